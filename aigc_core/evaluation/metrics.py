"""The names under which values are stored, reported and tested, and the formulas behind them in one place.

A metric NAME is stored with NAME_real (what real training images get, mean over draws of the same number), NAME_low
and NAME_high (95 % over samples). `diversity` and everything up to `coverage` are measured in the extractor's features.
"""

from __future__ import annotations

from aigc_core.evaluation.distances import (
    ROWS_PER_DIMENSION,
    FrechetDistance,
    KernelDistance,
    cubic_kernel,
    frechet_distance,
    rbf_kernel,
    subset_orders,
    usable_dimensions,
)
from aigc_core.evaluation.diversity import diversity, vendi_score
from aigc_core.evaluation.neighbours import inside_balls, nearest_rows
from aigc_core.evaluation.statistics import Array, Moments
from aigc_core.evaluation.support import (
    Support,
    clipped_density,
    coverage_share,
    density_coverage,
    density_share,
    neighbour_radii,
    recall,
)

FD = "fd"
FD_FLOOR = "fd_floor"
FD_FLOOR_STD = "fd_floor_std"
FD_OVER_FLOOR = "fd_over_floor"
FD_DIMENSIONS = "fd_dimensions"
FD_INF = "fd_inf"
MMD = "mmd"
KID = "kid"
PRECISION = "precision"
RECALL = "recall"
COVERAGE = "coverage"
DENSITY = "density"
CLIPPED_DENSITY = "clipped_density"
CLIPPED_COVERAGE = "clipped_coverage"
DIVERSITY = "diversity"
AGREEMENT = "agreement"
CAS = "cas"
#: Accuracy of naming the commonest class of the test images every time: what labels that looks do not tell come to.
CAS_CHANCE = "cas_chance"
#: Real minus generated, of the class that is served worst. NAME_real and NAME_limit are the mean and the upper 95 % of
#: the same maximum over classes where the images are real: the largest of several chances is never 0.
COVERAGE_GAP = "coverage_gap_worst"
AGREEMENT_GAP = "agreement_gap_worst"
CAS_GAP = "cas_gap_worst"
MEMORIZATION_PASSED = "memorization_passed"
N = "n"

#: Raw from `Panel`, and as shares of good images where they are told.
CLIPPED = (CLIPPED_DENSITY, CLIPPED_COVERAGE)
#: Measured on feature arrays alone, in the order in which they are told.
ON_FEATURES = (FD, FD_INF, MMD, KID, PRECISION, RECALL, DENSITY, COVERAGE, CLIPPED_DENSITY, CLIPPED_COVERAGE, DIVERSITY)
#: With value, real value and interval.
WITH_INTERVAL = (*ON_FEATURES, AGREEMENT, CAS)


def bound(likelihood: str, samples: int) -> str:
    """Name of a VAE's importance-weighted bound: those of another likelihood or another k do not compare."""
    return f"iw_bound_{likelihood}_k{samples}"


def real(name: str) -> str:
    """Name of what real images get."""
    return f"{name}_real"


def limit(name: str) -> str:
    """Name of what real images exceed by chance in one case of twenty."""
    return f"{name}_limit"


def low(name: str) -> str:
    """Name of the lower end of the interval."""
    return f"{name}_low"


def high(name: str) -> str:
    """Name of the upper end of the interval."""
    return f"{name}_high"


#: Values that can be neither below 0 nor, of shares, above 1; the others have no bounds.
NOT_NEGATIVE = (FD, DENSITY, *CLIPPED, DIVERSITY)
SHARES = (PRECISION, RECALL, COVERAGE)


def within_range(name: str, lower: float, upper: float) -> tuple[float, float]:
    """An interval cut to the values that the metric can take."""
    lower = max(lower, 0.0) if name in NOT_NEGATIVE + SHARES else lower
    return lower, min(upper, 1.0) if name in SHARES else upper


__all__ = [
    "ROWS_PER_DIMENSION",
    "Array",
    "FrechetDistance",
    "KernelDistance",
    "Moments",
    "Support",
    "clipped_density",
    "coverage_share",
    "cubic_kernel",
    "density_coverage",
    "density_share",
    "diversity",
    "frechet_distance",
    "inside_balls",
    "nearest_rows",
    "neighbour_radii",
    "rbf_kernel",
    "recall",
    "subset_orders",
    "usable_dimensions",
    "vendi_score",
]

"""Which part of the real images the generated ones reach, and which part of them is real: balls around neighbours.

Legend: N = real images, M = generated images, d = feature dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from aigc_core.errors import DataError
from aigc_core.evaluation.neighbours import Array, Index, inside_balls, nearest_rows

#: The largest share that a clipped coverage is told as: towards full coverage the share that it stands for grows without end.
MOST_SHARE = 2.0


def neighbour_radii(real: Array, neighbours: int, *, device: str = "cpu") -> Array:
    """Squared distance (N,) of each image to its k-th nearest other image. Raises DataError for N <= k."""
    refuse_few(len(real), neighbours)
    return np.ascontiguousarray(nearest_rows(real, real, neighbours, same=True, device=device)[1][:, -1])


def refuse_few(count: int, neighbours: int) -> None:
    """Raises DataError where images have fewer than k others."""
    if count <= neighbours:
        raise DataError(f"{count} images are too few for evaluate.neighbours = {neighbours}: lower it or add data")


@dataclass(frozen=True)
class Support:
    """How generated images lie around real ones; see `density_coverage`."""

    density: float
    coverage: float
    precision: float  # share of generated images in the ball of some real one
    covered: npt.NDArray[np.bool_]  # (N,) which real images have a generated one in their ball
    clipped_coverage: float  # mean over balls of min(1, generated images in it / k); raw, see `coverage_share`


def density_coverage(
    real: Array, generated: Array, neighbours: int, radii: Array | None = None, *, device: str = "cpu"
) -> Support:
    """Density (>= 0, about 1 for real data) and coverage (in [0, 1]) of Naeem et al. 2020, eq. (4) and (5).

    Around each real image (N, d) is a ball that reaches to its k-th nearest real image. Density: in how many balls
    a generated image (M, d) lies, over k. Coverage: the share of balls with a generated image in them. Balls are
    closed, so that a set covers itself even where images are repeated. `radii` saves computing them again.
    Precision (Kynkaanniemi et al. 2019, eq. (1) and (2)) is the share of generated images in any ball.
    """
    radii = neighbour_radii(real, neighbours, device=device) if radii is None else radii
    hits = inside_balls(generated, real, radii, device=device)
    covered = hits.by_ball > 0
    density = float(hits.by_point.sum()) / (neighbours * len(generated))
    precision = float((hits.by_point > 0).mean())
    return Support(density, float(covered.mean()), precision, covered, float(full(hits.by_ball, neighbours).mean()))


def full(counts: Index, neighbours: int) -> Array:
    """min(1, count / k) by image or ball: beyond k, no image or ball counts for others that have too few."""
    return np.minimum(counts / neighbours, 1.0)


def clipped_radii(radii: Array) -> Array:
    """Squared radii (N,), none larger than their median: the ball of a stranger would hold everything around it."""
    found: Array = np.minimum(radii, np.median(radii))
    return found


def clipped_density(real: Array, generated: Array, neighbours: int, radii: Array, *, device: str = "cpu") -> float:
    """The mean over generated images (M, d) of min(1, real balls that hold it / k), in [0, 1]; `radii` (N,) as above.

    After Salvy et al. 2025 (arXiv 2507.01761): no ball is larger than the median one, so that strangers among the real
    images hold nothing, and no generated image counts for more than itself, so that typical ones do not make up for
    others that lie nowhere. Raw, that is below 1 for real images, too: `density_share` makes a share of it.
    """
    hits = inside_balls(generated, real, clipped_radii(radii), device=device)
    return float(full(hits.by_point, neighbours).mean())


def density_share(raw: float, of_real: float) -> float:
    """The share of good images that has this `clipped_density`, where real images have `of_real`; above 1, more typical than they.

    s = raw / of_real: images that lie in no ball add nothing, so that the value falls in proportion to them. It is not
    cut at 1, or real images would fall short of 1 on average.
    """
    return max(raw, 0.0) / of_real if of_real > 0 else 0.0


def coverage_share(raw: float, of_real: float, neighbours: int, real: int, generated: int) -> float:
    """The share of good images that has this raw clipped coverage, where real images have `of_real`.

    After Salvy et al. 2025: the s with f(s) / f(1) = raw / of_real, where f(s) is the value that `expected_coverage`
    says of s M good images. Images that lie in no ball cover nothing. Above 1, as many images as s M real ones would be
    needed to reach as much; at most `MOST_SHARE`.
    """
    if of_real <= 0:
        return 0.0
    wanted = max(raw, 0.0) / of_real * expected_coverage(1.0, neighbours, real, generated)
    from scipy import optimize  # a quarter of a second that whoever never asks for a share need not spend

    if wanted >= expected_coverage(MOST_SHARE, neighbours, real, generated):
        return MOST_SHARE
    found: float = optimize.brentq(
        lambda share: expected_coverage(share, neighbours, real, generated) - wanted, 0.0, MOST_SHARE, xtol=1e-9
    )
    return found


def expected_coverage(share: float, neighbours: int, real: int, generated: int) -> float:
    """E min(1, B / k) for the number B of images in the ball of a real one, where `share` of M images are like the N real.

    A ball that reaches to the k-th of N - 1 others holds a mass that is Beta(k, N - k) distributed, whatever the
    features are, so that B is beta-binomial of s M trials: 1 - sum over b < k of (1 - b / k) P(B = b). In logarithms, because
    the number of ways to choose b of many trials is larger than a float holds. s M need not be whole: beyond s M + 1 none is chosen.
    """
    trials, few = share * generated, np.arange(neighbours)
    few = few[few < trials + 1]
    logs = (
        special.gammaln(trials + 1) - special.gammaln(few + 1) - special.gammaln(trials - few + 1)
        + special.betaln(few + neighbours, np.maximum(trials - few, 0) + real - neighbours)
        - special.betaln(neighbours, real - neighbours)
    )  # fmt: skip
    return float(1 - ((1 - few / neighbours) * np.exp(logs)).sum())


def recall(real: Array, generated: Array, neighbours: int, *, device: str = "cpu") -> float:
    """Improved recall in [0, 1]: the share of real images in the ball of some generated one.

    Kynkaanniemi et al. 2019, eq. (2) with the sets exchanged: balls reach to the k-th nearest generated image. Far
    outliers among the generated images make large balls, and with them a recall that is too good.
    """
    radii = neighbour_radii(generated, neighbours, device=device)
    return float((inside_balls(real, generated, radii, device=device).by_point > 0).mean())

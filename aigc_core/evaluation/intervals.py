"""Intervals over samples. A bootstrap repeats images, and repeated images move fd, density and C_T: it is not used.

Legend: M = samples, G = groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from aigc_core.evaluation.statistics import Array

#: Two-sided level of every interval.
LEVEL = 0.95


def balanced_groups(labels: npt.NDArray[np.int64], groups: int, seed: int) -> npt.NDArray[np.int64]:
    """A group in [0, G) for each of M samples, at random, with every class spread evenly over the groups."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    found = np.empty(len(labels), dtype=np.int64)
    found[order] = np.arange(len(labels)) % groups
    return found


def balanced_order(labels: npt.NDArray[np.int64], chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """A random order (M,) in which every beginning has the classes in about the shares of the whole."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        place[own] = (chance.permutation(len(own)) + chance.random()) / len(own)
    return np.argsort(place, kind="stable")


def jackknife(estimate: float, left_out: npt.ArrayLike) -> tuple[float, float]:
    """The 95 % interval around `estimate` by the delete-a-group jackknife: t distribution with G - 1 degrees of freedom.

    `left_out` (G,) holds the value without each group in turn. Raises ValueError for fewer than two groups.
    """
    reach = float(special.stdtrit(np.size(left_out) - 1, 0.5 + LEVEL / 2)) * jackknife_spread(left_out)
    return estimate - reach, estimate + reach


def jackknife_spread(left_out: npt.ArrayLike) -> float:
    """The standard deviation of a value over other samples, from the values (G,) without each group in turn.

    Variance (G - 1)/G sum (v_g - mean)^2, Kott 2001 eq. (2) after Quenouille and Tukey. The values are shifted by having
    fewer samples, all alike, which is why they are centred on their own mean. Raises ValueError for fewer than two groups.
    """
    values: Array = np.asarray(left_out, dtype=np.float64)
    count = len(values)
    if count < 2:
        raise ValueError(f"a jackknife needs two groups and there is {count}")
    return float(np.sqrt((count - 1) / count * np.square(values - values.mean()).sum()))


def share_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `count` images, within [0, 1] (Wilson 1927)."""
    z = float(special.ndtri(0.5 + LEVEL / 2))
    weight = 1 / (1 + z**2 / count)
    middle = weight * (share + z**2 / (2 * count))
    reach = weight * z * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    return max(0.0, middle - reach), min(1.0, middle + reach)

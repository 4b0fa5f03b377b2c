"""Probabilities under exchange: samples and held-out images could change places if both came from one distribution.

Legend: N = samples, H = held-out images, M = real images of both kinds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from aigc_core.evaluation.statistics import Array

#: A cell counts with at least this many samples and held-out images in it; the z of fewer is no z.
MIN_IN_CELL = 10


def at_most(found: int, drawn: int, marked: int, total: int) -> float:
    """Probability of `found` or fewer marked ones among `drawn` of `total` that hold `marked`: hypergeometric."""
    first = max(0, drawn - (total - marked))
    if found < first:
        return 0.0
    k = np.arange(first, min(found, marked, drawn) + 1)
    logs = _choose(marked, k) + _choose(total - marked, drawn - k) - _choose(total, np.array([drawn]))
    return min(1.0, float(np.exp(logs).sum()))


def _choose(n: int, k: npt.NDArray[np.int64]) -> Array:
    found: Array = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return found


def c_t(cell: npt.NDArray[np.int64], distance: Array, samples: int) -> float:
    """C_T of the first `samples` of N + H images against the rest.

    Meehan et al. 2020, eq. (3): in each cell the z of the Mann-Whitney U of the samples' distances, corrected for
    ties, averaged with the share of held-out images in the cell as weight. Cells with fewer than 10 on a side are left out;
    where none is left, C_T is 0: nothing was found.
    """
    total = weight = 0.0
    for number in np.unique(cell):
        places = np.flatnonzero(cell == number)
        mine = places < samples
        n, both = int(mine.sum()), len(places)
        h = both - n
        if n < MIN_IN_CELL or h < MIN_IN_CELL:
            continue
        ranks, ties = _ranks(distance[places])
        variance = n * h / 12 * (both + 1 - ties / (both * (both - 1)))
        if variance > 0:
            total += h * (float(ranks[mine].sum()) - n * (n + 1) / 2 - n * h / 2) / math.sqrt(variance)
        weight += h
    return total / weight if weight else 0.0


def chosen_by_chance(chosen: Array, seen: int) -> float:
    """Probability that the first `seen` of M images are chosen as often as they were, or more often.

    `chosen` (M,) is how many samples each is the nearest image of. Under exchange any `seen` of the M images could be the
    first: the sum over them has the mean and the variance of drawing without replacement, and is taken as normal.
    """
    count = len(chosen)
    mean = seen * float(chosen.mean())
    spread = math.sqrt(seen * (count - seen) / count * float(chosen.var(ddof=1)))
    if spread == 0:
        return 1.0
    return float(special.ndtr((mean - float(chosen[:seen].sum())) / spread))


def _ranks(values: Array) -> tuple[Array, float]:
    """Ranks from 1, equal values sharing their mean; and sum(t^3 - t) over groups of t equal values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Array = (last - (counts - 1) / 2)[place]
    return shared, float((counts.astype(np.float64) ** 3 - counts).sum())

"""Probabilities under exchange: samples and held-out images could change places if both came from one distribution.

Legend: N = samples, H = held-out images, K = cells, P = permutations.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from aigc_core.evaluation.statistics import Array

#: A cell counts with at least this many samples and held-out images in it; the z of fewer is no z.
MIN_IN_CELL = 10
#: Permutations times images that are held at once.
BLOCK = 1 << 24


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


def permuted_c_t(
    cell: npt.NDArray[np.int64], distance: Array, samples: int, permutations: int, seed: int
) -> tuple[float, float]:
    """C_T of the first `samples` of N + H images against the rest, and the share of permutations that are as low.

    Meehan et al. 2020, eq. (3): in each cell the z of the Mann-Whitney U of the samples' distances, corrected for
    ties, averaged with the share of held-out images in the cell as weight. Cells with fewer than 10 on a side are left out;
    where none is left, C_T is 0: nothing was found.
    """
    chance = np.random.default_rng(seed)
    ours = np.zeros(len(cell), dtype=np.bool_)
    ours[:samples] = True
    ranked = [(np.flatnonzero(cell == number), distance[cell == number]) for number in np.unique(cell)]
    cells = [(places, *_ranks(values)) for places, values in ranked]
    observed = float(_c_t(ours[None], cells)[0])
    at_a_time, as_low = max(1, BLOCK // len(cell)), 0
    for start in range(0, permutations, at_a_time):
        count = min(at_a_time, permutations - start)
        drawn = chance.permuted(np.broadcast_to(ours, (count, len(ours))), axis=1)
        as_low += int((_c_t(drawn, cells) <= observed + 1e-9).sum())
    return observed, (1 + as_low) / (1 + permutations)


def _ranks(values: Array) -> tuple[Array, float]:
    """Ranks from 1, equal values sharing their mean; and sum(t^3 - t) over groups of t equal values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Array = (last - (counts - 1) / 2)[place]
    return shared, float((counts.astype(np.float64) ** 3 - counts).sum())


def _c_t(ours: npt.NDArray[np.bool_], cells: list[tuple[npt.NDArray[np.int64], Array, float]]) -> Array:
    """(P,) for P labellings (P, N + H)."""
    total, weight = np.zeros(len(ours)), np.zeros(len(ours))
    for places, ranks, ties in cells:
        mine = ours[:, places]
        n = mine.sum(1).astype(np.float64)
        h, both = len(places) - n, float(len(places))
        counted = (n >= MIN_IN_CELL) & (h >= MIN_IN_CELL)
        u = mine @ ranks - n * (n + 1) / 2
        variance = n * h / 12 * (both + 1 - ties / max(both * (both - 1), 1))
        z = np.where(variance > 0, (u - n * h / 2) / np.sqrt(np.where(variance > 0, variance, 1)), 0)
        total += np.where(counted, h * z, 0)
        weight += np.where(counted, h, 0)
    found: Array = np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0)
    return found

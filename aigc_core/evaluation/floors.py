"""What real data gets: the same measures with real training images in the generated images' place, at the same n.

Legend: n = test images, N = training images (the pool), d = feature dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from rich.progress import track

from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.intervals import balanced_groups, jackknife_spread
from aigc_core.evaluation.panel import Labels, Panel

#: From a pool of at least this many times n, by at least this many draws, the spread over draws is used.
WIDE_POOL, MANY_DRAWS = 1.5, 10
#: Parts of a draw that are left out in turn, and draws that are looked at in that way, where it is not.
GROUPS, DRAWS = 20, 5


@dataclass(frozen=True)
class Floor:
    """Mean and spread over the draws by metric, and how often each test image (n,) was covered, in [0, 1].

    `fd_std` is by how much the distance of n fresh real images differs from the floor, as a standard deviation.
    """

    values: dict[str, float]
    spread: dict[str, float]
    covered: m.Array
    fd_std: float

    @property
    def fd(self) -> float:
        """The mean distance between two sets of real images."""
        return self.values[m.FD]

    @property
    def coverage(self) -> float:
        """The share of test images that real training images cover."""
        return self.values[m.COVERAGE]

    @property
    def density(self) -> float:
        """The density of real training images."""
        return self.values[m.DENSITY]


def real_floor(panel: Panel, train: m.Array, train_labels: Labels, *, draws: int, seed: int) -> Floor:
    """Compare `draws` random sets of n training images (N, d) with the panel's n test images (n, d).

    A draw is without replacement and has the labels of the test images, as samples of a model have; otherwise the
    floor would also pay for class shares that differ by chance, and a model would not. Where a class has too few
    training rows, other rows fill its place. The training features must hold at least n rows. `spread` is that
    of the draws alone, with the test images and the pool fixed; draws overlap, so that fresh images differ by more.
    """
    chance = np.random.default_rng(seed)
    chosen = [matching_draw(train_labels, panel.labels, chance) for _ in range(draws)]
    readings = [
        panel.read(train[rows], train_labels[rows]) for rows in track(chosen, "what real images get", transient=True)
    ]
    table = {name: [reading.values[name] for reading in readings] for name in m.ON_FEATURES}
    return Floor(
        {name: float(np.mean(values)) for name, values in table.items()},
        {name: float(np.std(values)) for name, values in table.items()},
        np.mean([reading.covered for reading in readings], axis=0),
        fresh_spread(partial(panel.fd, least=1), panel.labels, panel.seed, train, chosen, table[m.FD]),
    )


def fresh_spread(
    distance: Callable[[m.Array], float], labels: Labels, seed: int, pool: m.Array, draws: Sequence[Labels],
    distances: Sequence[float],
) -> float:  # fmt: skip
    """The standard deviation of (distance of n fresh real images) - (mean distance of the draws from a pool (N, d)).

    `labels` (n,) are those of the test images, `draws` positions (n,) in the pool and `distances` what they got; `distance`
    has to take parts of a draw as well. The spread s over draws is too small: two draws from one pool have n/N of their images in common. With v the
    variance of fresh images' distance, s^2 is about v (1 - n/N), and the pool's own mean has about v n/N, because it is
    one set of N images: s^2 (1 + n/N) / (1 - n/N). Towards n = N nothing is left of s; there v is taken from the
    jackknife of a draw, which is up to four times too large.
    """
    share = len(labels) / len(pool)
    if len(pool) >= WIDE_POOL * len(labels) and len(draws) >= MANY_DRAWS:
        return float(np.std(distances, ddof=1) * np.sqrt((1 + share) / (1 - share)))
    groups = balanced_groups(labels, GROUPS, seed)
    parts = [[distance(pool[rows[groups != each]]) for each in range(GROUPS)] for rows in draws[:DRAWS]]
    variance = float(np.mean([jackknife_spread(values) ** 2 for values in parts]))
    return float(np.sqrt(variance * (1 + share)))


def matching_draw(pool: Labels, wanted: Labels, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """Positions (len(wanted),) in `pool`, without replacement, whose labels are those of `wanted` as far as they go."""
    order = chance.permutation(len(pool))
    taken = np.zeros(len(pool), dtype=np.bool_)
    for label, count in zip(*np.unique(wanted, return_counts=True), strict=True):
        taken[order[pool[order] == label][:count]] = True
    spare = order[~taken[order]]
    taken[spare[: len(wanted) - int(taken.sum())]] = True
    return np.flatnonzero(taken)

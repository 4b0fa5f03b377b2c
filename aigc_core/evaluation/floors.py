"""What real data gets: the same measures with real training images in the generated images' place, at the same n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.progress import track

from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.panel import Labels, Panel


@dataclass(frozen=True)
class Floor:
    """Mean and spread over the draws by metric, and how often each test image (n,) was covered, in [0, 1]."""

    values: dict[str, float]
    spread: dict[str, float]
    covered: m.Array

    @property
    def fd(self) -> float:
        """The mean distance between two sets of real images."""
        return self.values[m.FD]

    @property
    def fd_std(self) -> float:
        """Its standard deviation over the draws."""
        return self.spread[m.FD]

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
    training rows, other rows fill its place. The training features must hold at least n rows. The spread is that
    of the draws alone, with the test images and the pool fixed: of other pools it would be wider.
    """
    chance = np.random.default_rng(seed)
    readings = []
    for _ in track(range(draws), "what real images get", transient=True):
        chosen = matching_draw(train_labels, panel.labels, chance)
        readings.append(panel.read(train[chosen], train_labels[chosen]))
    table = {name: [reading.values[name] for reading in readings] for name in m.ON_FEATURES}
    return Floor(
        {name: float(np.mean(values)) for name, values in table.items()},
        {name: float(np.std(values)) for name, values in table.items()},
        np.mean([reading.covered for reading in readings], axis=0),
    )


def matching_draw(pool: Labels, wanted: Labels, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """Positions (len(wanted),) in `pool`, without replacement, whose labels are those of `wanted` as far as they go."""
    order = chance.permutation(len(pool))
    taken = np.zeros(len(pool), dtype=np.bool_)
    for label, count in zip(*np.unique(wanted, return_counts=True), strict=True):
        taken[order[pool[order] == label][:count]] = True
    spare = order[~taken[order]]
    taken[spare[: len(wanted) - int(taken.sum())]] = True
    return np.flatnonzero(taken)

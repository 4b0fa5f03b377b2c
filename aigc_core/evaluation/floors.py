"""What real data gets: the same measures with real training images in the generated images' place, at the same n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aigc_core.evaluation.metrics import Array, density_coverage, frechet_distance

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Floor:
    """Means over the draws, and the spread of the distance."""

    fd: float
    fd_std: float
    coverage: float
    density: float


def real_floor(
    train: Array,
    test: Array,
    train_labels: Labels,
    test_labels: Labels,
    *,
    neighbours: int,
    radii: Array,
    draws: int,
    seed: int,
) -> Floor:
    """Compare `draws` random sets of n = len(test) training images (N, d) with the test images (n, d).

    A draw is without replacement and has the labels of the test images, as samples of a model have; otherwise the
    floor would also pay for class shares that differ by chance, and a model would not. Where a class has too few
    training rows, other rows fill its place. The training features must hold at least n rows. The spread is that
    of the draws alone, with the test images and the pool fixed: of other pools it would be wider.
    """
    chance = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = train[matching_draw(train_labels, test_labels, chance)]
        support = density_coverage(test, chosen, neighbours, radii)
        values.append((frechet_distance(test, chosen), support.coverage, support.density))
    fd, coverage, density = np.mean(values, axis=0)
    return Floor(float(fd), float(np.std([value[0] for value in values])), float(coverage), float(density))


def matching_draw(pool: Labels, wanted: Labels, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """Positions (len(wanted),) in `pool`, without replacement, whose labels are those of `wanted` as far as they go."""
    order = chance.permutation(len(pool))
    taken = np.zeros(len(pool), dtype=np.bool_)
    for label, count in zip(*np.unique(wanted, return_counts=True), strict=True):
        taken[order[pool[order] == label][:count]] = True
    spare = order[~taken[order]]
    taken[spare[: len(wanted) - int(taken.sum())]] = True
    return np.flatnonzero(taken)

"""All metrics on features at once: the same call for a model's samples, for real draws, and for parts of either.

Legend: N = held-out images, M = images held against them, d = feature dimensions, G = groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.progress import track

from aigc_core.evaluation import left_out
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.intervals import balanced_groups, jackknife

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """Values by name (`metrics.ON_FEATURES`), and which held-out images (N,) are covered.

    The two clipped values are raw, not yet calibrated by what real images get.
    """

    values: dict[str, float]
    covered: npt.NDArray[np.bool_]


class Panel:
    """Held-out features (N, d) with everything of them that no sampler changes."""

    def __init__(self, features: m.Array, labels: Labels, neighbours: int, seed: int, device: str = "cpu") -> None:
        self.features, self.labels = features, labels
        self.neighbours, self.seed, self.device = neighbours, seed, device
        self.fd = m.FrechetDistance(features)
        self.radii = m.neighbour_radii(features, neighbours, device=device)
        self.mmd = m.KernelDistance(features, m.rbf_kernel(features, seed), device)
        # Diversity looks inside a class: at the distances between classes all images of one would look alike.
        self.within = m.rbf_kernel(_centred(features, labels), seed)
        self.kid = m.KernelDistance(features, m.cubic_kernel(features.shape[1]), device)

    def read(self, features: m.Array, labels: Labels) -> Reading:
        """Hold images (M, d) with labels (M,) against the held-out ones. Raises DataError for M < 10 d."""
        support = m.density_coverage(self.features, features, self.neighbours, self.radii, device=self.device)
        clipped = m.clipped_density(self.features, features, self.neighbours, self.radii, device=self.device)
        orders = m.subset_orders(labels, self.seed)
        values = self._one_by_one(features, labels, np.arange(len(labels)), orders, m.ROWS_PER_DIMENSION) | {
            m.MMD: self.mmd(features),
            m.KID: self.kid(features),
            m.PRECISION: support.precision,
            m.RECALL: m.recall(self.features, features, self.neighbours, device=self.device),
            m.DENSITY: support.density,
            m.COVERAGE: support.coverage,
            m.CLIPPED_DENSITY: clipped,
            m.CLIPPED_COVERAGE: support.clipped_coverage,
        }
        return Reading({name: values[name] for name in m.ON_FEATURES}, support.covered)

    def intervals(
        self, reading: Reading, features: m.Array, labels: Labels, groups: int
    ) -> dict[str, tuple[float, float]]:
        """95 % over the images (M, d), with the held-out ones as they are; see `intervals.jackknife`."""
        parts = self.without_groups(features, labels, balanced_groups(labels, groups, self.seed), groups)
        return {name: jackknife(value, parts[name]) for name, value in reading.values.items()}

    def share_of_good(self, name: str, raw: float, of_real: float, count: int) -> float:
        """A clipped value of `count` images as a share of good images (real ones have 1), by what real images have."""
        if name == m.CLIPPED_DENSITY:
            return m.density_share(raw, of_real)
        return m.coverage_share(raw, of_real, self.neighbours, len(self.features), count)

    def without_groups(self, features: m.Array, labels: Labels, group: Labels, groups: int) -> dict[str, list[float]]:
        """By name, what `read` would say of images (M, d) without each of G groups (M,) in turn.

        `fd_inf` keeps the subsets of the whole, each without the group: subsets that were drawn anew for every part
        would add their own chance, which a jackknife multiplies by G - 1.
        """
        at, device = (features, group, groups), self.device
        supports = left_out.supports(self.features, features, self.neighbours, self.radii, group, groups, device=device)
        found = {
            m.MMD: self.mmd.without_groups(*at).tolist(),
            m.KID: self.kid.without_groups(*at).tolist(),
            m.PRECISION: [support.precision for support in supports],
            m.RECALL: left_out.recalls(self.features, features, self.neighbours, group, groups, device=device),
            m.DENSITY: [support.density for support in supports],
            m.COVERAGE: [support.coverage for support in supports],
            m.CLIPPED_DENSITY: left_out.clipped_densities(
                self.features, features, self.neighbours, self.radii, group, groups, device=device
            ),
            m.CLIPPED_COVERAGE: [support.clipped_coverage for support in supports],
        }
        orders = m.subset_orders(labels, self.seed)
        rest = [
            self._one_by_one(
                features, labels, np.flatnonzero(group != each), [order[group[order] != each] for order in orders]
            )
            for each in track(range(groups), "intervals", transient=True)
        ]
        return found | {name: [part[name] for part in rest] for name in rest[0]}

    def _one_by_one(
        self, features: m.Array, labels: Labels, kept: Labels, orders: Sequence[Labels], least: int = 1
    ) -> dict[str, float]:
        """The values that have to be measured anew for every part of the images (M, d): rows `kept`, in these orders.

        A part may be smaller than the whole has to be: only the differences between parts are used.
        """
        return {
            m.FD: self.fd(features[kept], least=least),
            m.FD_INF: self.fd.infinite(features, orders, least=least),
            m.DIVERSITY: m.diversity(features[kept], labels[kept], self.within),
        }


def _centred(features: m.Array, labels: Labels) -> m.Array:
    """Features (N, d) minus the mean of their class."""
    found: m.Array = np.array(features)
    for label in np.unique(labels):
        found[labels == label] -= features[labels == label].mean(0)
    return found

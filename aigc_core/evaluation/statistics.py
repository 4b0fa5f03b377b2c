"""Mean and covariance in float64, batch by batch, so that features need never lie in memory together.

Legend: N = rows, d = feature dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Count, mean (d,) and scatter (d, d), the sum of the outer products of deviations from the mean."""

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def empty(cls, dimensions: int) -> Moments:
        """Of no rows."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    @classmethod
    def of(cls, rows: npt.ArrayLike) -> Moments:
        """Of rows (N, d) of any numeric type, in two passes over the batch."""
        batch = np.asarray(rows, dtype=np.float64)
        if len(batch) == 0:
            return cls.empty(batch.shape[1])
        mean: Array = batch.mean(0)
        centred = batch - mean
        return cls(len(batch), mean, centred.T @ centred)

    def add(self, rows: npt.ArrayLike) -> Moments:
        """These rows and a further batch (N, d)."""
        return self.merge(Moments.of(rows))

    def merge(self, other: Moments) -> Moments:
        """Both sets of rows together: Chan, Golub & LeVeque 1983, eq. (2.1), in its form for matrices."""
        total = self.count + other.count
        if total == 0:
            return self
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / total)
        scatter = self.scatter + other.scatter + np.outer(gap, gap) * (self.count * other.count / total)
        return Moments(total, mean, scatter)

    @property
    def covariance(self) -> Array:
        """Unbiased (d, d). Raises ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two rows and there are {self.count}")
        return self.scatter / (self.count - 1)


def principal_axes(covariance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Variances (d,), falling, and their orthonormal axes as the columns of (d, d).

    The largest entry of each axis is positive, so that the axes of different variances are unique.
    """
    values, axes = torch.linalg.eigh(covariance)
    axes = axes.flip(1)
    signs = torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))
    return values.flip(0), (axes * signs).contiguous()

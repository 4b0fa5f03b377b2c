"""Distances between two sets of features: Frechet, its extrapolation, and two kernel distances.

Legend: N = real images, M = generated images, d = feature dimensions. Arrays are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation.intervals import balanced_order
from aigc_core.evaluation.neighbours import BLOCK_NUMBERS, Array
from aigc_core.evaluation.statistics import Moments

#: A covariance of d dimensions from fewer than this many images per dimension is mostly noise.
ROWS_PER_DIMENSION = 10
#: Fewer dimensions than this (or all that the extractor has) say too little; then there are too few images.
MIN_DIMENSIONS = 8
#: Sizes of the extrapolation, from half of the images to all of them (Chong & Forsyth 2020 use 15).
SIZES = 15
#: Rows whose distances choose a bandwidth; their median hardly moves with more.
MEDIAN_ROWS = 1000

#: Inner products (p, q), squared norms (p, 1) and (1, q), to kernel values (p, q) in the inner products' place.
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Order = npt.NDArray[np.int64]


def usable_dimensions(n: int, dimensions: int) -> int:
    """The largest d <= `dimensions` with n >= 10 d. Raises DataError where that is fewer than 8."""
    usable = dimensions_or_none(n, dimensions)
    if usable is None:
        need = ROWS_PER_DIMENSION * min(MIN_DIMENSIONS, dimensions)
        raise DataError(
            f"{n} held-out images are too few to compare distributions, at least {need} are needed: "
            "add data, or raise split.test"
        )
    return usable


def dimensions_or_none(n: int, dimensions: int) -> int | None:
    """The largest d <= `dimensions` with n >= 10 d; None where that is fewer than 8, and than there are."""
    usable = min(dimensions, n // ROWS_PER_DIMENSION)
    return usable if usable >= min(MIN_DIMENSIONS, dimensions) else None


class FrechetDistance:
    """Frechet distance to fixed real images (N, d), between Gaussians fitted to features; >= 0, lower is better.

    |m1 - m2|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), Dowson & Landau 1982 eq. (16), as used by Heusel et al. 2017.
    The matrix under the root is symmetric, so that `eigh` suffices. What the real images add is computed once.
    """

    def __init__(self, real: Array) -> None:
        self.real = Moments.of(real)

    @cached_property
    def root(self) -> Array:
        """A^1/2 (d, d), taken where a distance is not refused."""
        return matrix_root(self.real.covariance)

    def __call__(self, generated: Array, *, least: int = ROWS_PER_DIMENSION) -> float:
        """To generated images (M, d). Raises DataError for N or M < `least` d.

        Fewer images per dimension than ten are for parts of a set that is large enough as a whole.
        """
        self._refuse_few(len(generated), least)
        return self._to(Moments.of(generated))

    def infinite(self, generated: Array, orders: Sequence[Order], *, least: int = ROWS_PER_DIMENSION) -> float:
        """The distance at infinitely many generated images, by a line over 1/M; may fall below 0 by noise.

        Chong & Forsyth 2020, algorithm 1, with random subsets of M/2 to M images, always against all real images:
        what the finite number of real images adds stays in it. Each of the `orders` of M rows of `generated` gives one
        subset, its beginning; see `subset_orders`. Raises DataError for N or M < `least` d.
        """
        count = len(orders[0])
        self._refuse_few(count, least)
        sizes = np.linspace(count // 2, count, len(orders)).astype(np.int64)
        values = [
            self._to(Moments.of(generated[order[:size]])) for order, size in zip(orders, sizes.tolist(), strict=True)
        ]
        return float(np.polyfit(1 / sizes, values, 1)[1])

    def _refuse_few(self, generated: int, least: int) -> None:
        count, dimensions = min(self.real.count, generated), len(self.real.mean)
        if count < least * dimensions:
            raise DataError(
                f"a Frechet distance in {dimensions} dimensions needs {least * dimensions} images on each side "
                f"and there are {count}: add images, or lower extractor.dimensions to {count // least}"
            )

    def _to(self, other: Moments) -> float:
        gap = self.real.mean - other.mean
        cross = np.sqrt(np.clip(np.linalg.eigvalsh(self.root @ other.covariance @ self.root), 0, None)).sum()
        total = np.trace(self.real.covariance) + np.trace(other.covariance)
        return max(0.0, float(gap @ gap + total - 2 * cross))


def subset_orders(labels: npt.NDArray[np.int64], seed: int) -> list[Order]:
    """`SIZES` random orders (M,) of the images with these labels (M,), for `FrechetDistance.infinite`.

    Every beginning keeps the class shares: images of a class that is there too often by chance would grow the distance
    of small subsets alone, and tilt the line.
    """
    chance = np.random.default_rng(seed)
    return [balanced_order(labels, chance) for _ in range(SIZES)]


def matrix_root(matrix: Array) -> Array:
    """Symmetric square root of a positive semi-definite matrix; rounding below zero is cut."""
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def frechet_distance(first: Array, second: Array, *, least: int = ROWS_PER_DIMENSION) -> float:
    """Between two feature sets (N, d) and (M, d), once: see `FrechetDistance`."""
    return FrechetDistance(first)(second, least=least)


def rbf_kernel(real: Array, seed: int) -> Kernel:
    """exp(-|x - y|^2 / (2 s^2)) with s the median distance between real images (Gretton et al. 2012, section 8).

    The bandwidth is fixed by the real images alone, so that it is the same for every model.
    """
    rows = real[np.random.default_rng(seed).permutation(len(real))[:MEDIAN_ROWS]]
    table = torch.pdist(torch.from_numpy(np.ascontiguousarray(rows)))
    width = float(table.median())
    if width == 0:
        raise DataError("more than half of the held-out images are the same in the extractor's features: add others")
    return partial(_rbf, scale=-0.5 / width**2)


def _rbf(inner: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float) -> torch.Tensor:
    return inner.mul_(-2).add_(left).add_(right).clamp_(min=0).mul_(scale).exp_()


def cubic_kernel(dimensions: int) -> Kernel:
    """(x y / d + 1)^3, the kernel of KID (Binkowski et al. 2018, section 4)."""
    return partial(_cubic, dimensions=dimensions)


def _cubic(inner: torch.Tensor, _left: torch.Tensor, _right: torch.Tensor, dimensions: int) -> torch.Tensor:
    return inner.div_(dimensions).add_(1).pow_(3)


class KernelDistance:
    """Unbiased squared maximum mean discrepancy to fixed real images; about 0 for real images, may be negative.

    Gretton et al. 2012, eq. (3): mean k(x, x') + mean k(y, y') - 2 mean k(x, y), over pairs of different images.
    Computed in blocks in float64.
    """

    def __init__(self, real: Array, kernel: Kernel, device: str = "cpu") -> None:
        self.kernel, self.device = kernel, device
        self.real = torch.from_numpy(np.ascontiguousarray(real)).to(device)
        self.within_real = self._within(self.real)

    def __call__(self, generated: Array) -> float:
        """Against generated images (M, d). Raises ValueError for fewer than two."""
        rows = torch.from_numpy(np.ascontiguousarray(generated)).to(self.device)
        across = self._sum(rows, self.real) / (len(rows) * len(self.real))
        return self.within_real + self._within(rows) - 2 * across

    def without_groups(self, generated: Array, group: npt.NDArray[np.int64], groups: int) -> Array:
        """Against generated images (M, d) without each group in turn (G,), by group (M,) in [0, G).

        Every pair is looked at once: what a group adds is taken from the whole. Raises ValueError where fewer than
        two images are left.
        """
        rows, own = (torch.from_numpy(np.ascontiguousarray(values)).to(self.device) for values in (generated, group))
        member = torch.nn.functional.one_hot(own, groups).to(rows.dtype)
        left = len(rows) - member.sum(0)
        if float(left.min()) < 2:
            raise ValueError(f"a kernel distance needs two images on each side and there are {int(left.min())}")
        squares = rows.square().sum(1)
        twins = self.kernel(squares.clone(), squares, squares) @ member
        across, among = member.new_zeros(groups), member.new_zeros((groups, groups))
        for part, table in self._tables(rows, self.real):
            across += table.sum(1) @ member[part]
        for part, table in self._tables(rows, rows):
            among += member[part].T @ (table @ member)
        pairs = among.sum() - among.sum(0) - among.sum(1) + among.diagonal() - (twins.sum() - twins)
        mean = pairs / (left * (left - 1)) - 2 * (across.sum() - across) / (left * len(self.real))
        found: Array = (self.within_real + mean).cpu().numpy()
        return found

    def _within(self, rows: torch.Tensor) -> float:
        if len(rows) < 2:
            raise ValueError(f"a kernel distance needs two images on each side and there are {len(rows)}")
        squares = rows.square().sum(1)
        own = float(self.kernel(squares.clone(), squares, squares).sum())
        return (self._sum(rows, rows) - own) / (len(rows) * (len(rows) - 1))

    def _sum(self, first: torch.Tensor, second: torch.Tensor) -> float:
        total = 0.0
        for _, table in self._tables(first, second):
            total += float(table.sum())
        return total

    def _tables(self, first: torch.Tensor, second: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows of `first` and their kernel values against all of `second`; the next table takes the place of the last."""
        right = second.square().sum(1)[None]
        step = max(1, BLOCK_NUMBERS // len(second))
        # One table for all blocks: handing out memory for each takes longer than computing in it.
        table = first.new_empty((min(step, len(first)), len(second)))
        for start in range(0, len(first), step):
            part = first[start : start + step]
            inner = torch.mm(part, second.T, out=table[: len(part)])
            yield slice(start, start + step), self.kernel(inner, part.square().sum(1)[:, None], right)

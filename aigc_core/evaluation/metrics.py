"""Formulas on feature arrays, and the names under which their values are stored, reported and tested.

Legend: N = real images, M = generated images, d = feature dimensions. Arrays are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aigc_core.errors import DataError

Array = npt.NDArray[np.float64]

FD = "fd"
FD_FLOOR = "fd_floor"
FD_FLOOR_STD = "fd_floor_std"
FD_OVER_FLOOR = "fd_over_floor"
FD_REAL = "fd_real"
FD_DIMENSIONS = "fd_dimensions"
COVERAGE = "coverage"
COVERAGE_REAL = "coverage_real"
DENSITY = "density"
DENSITY_REAL = "density_real"
CAS = "cas"
CAS_REAL = "cas_real"
N = "n"

#: A covariance of d dimensions from fewer than this many images per dimension is mostly noise.
ROWS_PER_DIMENSION = 10
#: Fewer dimensions than this (or all that the extractor has) say too little; then there are too few images.
MIN_DIMENSIONS = 8
#: Distances are computed in blocks of at most this many numbers (32 MiB).
BLOCK_NUMBERS = 1 << 22


def usable_dimensions(n: int, dimensions: int) -> int:
    """The largest d <= `dimensions` with n >= 10 d. Raises DataError where that is fewer than 8."""
    usable = min(dimensions, n // ROWS_PER_DIMENSION)
    if usable < min(MIN_DIMENSIONS, dimensions):
        need = ROWS_PER_DIMENSION * min(MIN_DIMENSIONS, dimensions)
        raise DataError(
            f"{n} held-out images are too few to compare distributions, at least {need} are needed: "
            "add data, or raise split.test"
        )
    return usable


def frechet_distance(first: Array, second: Array) -> float:
    """Frechet distance between Gaussians fitted to two feature sets (N, d) and (M, d); >= 0, lower is better.

    |m1 - m2|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), Dowson & Landau 1982 eq. (16), as used by Heusel et al. 2017.
    The matrix under the root is symmetric, so that `eigh` suffices. Raises DataError for n < 10 d.
    """
    count, dimensions = min(len(first), len(second)), first.shape[1]
    if count < ROWS_PER_DIMENSION * dimensions:
        raise DataError(
            f"a Frechet distance in {dimensions} dimensions needs {ROWS_PER_DIMENSION * dimensions} images on each "
            f"side and there are {count}: add images, or lower extractor.dimensions to {count // ROWS_PER_DIMENSION}"
        )
    gap = first.mean(0) - second.mean(0)
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    a, b = np.atleast_2d(a), np.atleast_2d(b)
    root = _matrix_root(a)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    return max(0.0, float(gap @ gap + np.trace(a) + np.trace(b) - 2 * cross))


def _matrix_root(matrix: Array) -> Array:
    """Symmetric square root of a positive semi-definite matrix; rounding below zero is cut."""
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def squared_distances(first: Array, second: Array) -> Array:
    """Squared Euclidean distances (len(first), len(second)), >= 0."""
    table = np.square(first).sum(1)[:, None] + np.square(second).sum(1)[None] - 2 * first @ second.T
    clipped: Array = np.clip(table, 0, None)
    return clipped


def _block_rows(width: int) -> int:
    return max(1, BLOCK_NUMBERS // max(width, 1))


def neighbour_radii(real: Array, neighbours: int) -> Array:
    """Squared distance (N,) of each real image to its k-th nearest other real image. Raises DataError for N <= k."""
    if len(real) <= neighbours:
        raise DataError(
            f"{len(real)} held-out images are too few for evaluate.neighbours = {neighbours}: lower it or add data"
        )
    radii = np.empty(len(real))
    step = _block_rows(len(real))
    for start in range(0, len(real), step):
        table = squared_distances(real[start : start + step], real)
        rows = np.arange(len(table))
        table[rows, start + rows] = np.inf  # not its own neighbour
        radii[start : start + step] = np.partition(table, neighbours - 1, axis=1)[:, neighbours - 1]
    return radii


@dataclass(frozen=True)
class Support:
    """How generated images lie around real ones; see `density_coverage`."""

    density: float
    coverage: float
    covered: npt.NDArray[np.bool_]  # (N,) which real images have a generated one in their ball


def density_coverage(real: Array, generated: Array, neighbours: int, radii: Array | None = None) -> Support:
    """Density (>= 0, about 1 for real data) and coverage (in [0, 1]) of Naeem et al. 2020, eq. (4) and (5).

    Around each real image (N, d) is a ball that reaches to its k-th nearest real image. Density: in how many balls
    a generated image (M, d) lies, over k. Coverage: the share of balls with a generated image in them. Balls are
    closed, so that a set covers itself even where images are repeated. `radii` saves computing them again.
    """
    radii = neighbour_radii(real, neighbours) if radii is None else radii
    inside, covered = 0, np.zeros(len(real), dtype=np.bool_)
    step = _block_rows(len(real))
    for start in range(0, len(generated), step):
        hits = squared_distances(generated[start : start + step], real) <= radii[None]
        inside += int(hits.sum())
        covered |= hits.any(axis=0)
    return Support(inside / (neighbours * len(generated)), float(covered.mean()), covered)


def nearest(queries: Array, pool: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Index (len(queries),) of the nearest row of `pool`, and the root mean square difference per coordinate."""
    index = np.zeros(len(queries), dtype=np.int64)
    best = np.full(len(queries), np.inf)
    step = _block_rows(len(queries))
    for start in range(0, len(pool), step):
        table = squared_distances(queries, np.asarray(pool[start : start + step], dtype=np.float64))
        closest = table.argmin(1)
        value = table[np.arange(len(queries)), closest]
        index = np.where(value < best, start + closest, index)
        best = np.minimum(value, best)
    return index, np.sqrt(best / queries.shape[1])

"""Nearest rows and rows in balls, block by block: quick in float32, then exact where rounding could decide.

Products of matrices run in float32 on all cores, or on a GPU. Their rounding is bounded, and every pair that is
closer to a decision than the bound is measured again as a sum of squared differences in float64: the answers are
those of exact distances (a copy is at distance 0), and they depend neither on the block size nor on the device.

Legend: Q = queries, N = rows of the pool, d = dimensions. Rows are arrays or tensors (rows, d) of any numeric type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Rows = npt.NDArray[np.generic] | torch.Tensor

#: Tables and gathered differences hold at most this many numbers (16 MiB in float32, 32 MiB in float64).
BLOCK_NUMBERS = 1 << 22
#: Rows of a block of queries; the pool is cut so that a table stays within BLOCK_NUMBERS.
QUERY_ROWS = 1024
#: Candidates beyond k that are kept in float32; where they do not suffice for certainty, a row is searched exactly.
SPARE = 3
EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class _Block:
    """Rows start .. start + len, shifted by the pool's mean, in float32, with their squared norms and largest norm."""

    start: int
    rows: torch.Tensor
    squares: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)


def _tensor(rows: Rows) -> torch.Tensor:
    return rows if isinstance(rows, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(rows))


def _mean(rows: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    step = _height(rows.shape[1])
    for start in range(0, len(rows), step):
        total += rows[start : start + step].sum(0, dtype=torch.float64)
    return total / max(len(rows), 1)


def _height(width: int) -> int:
    return max(1, BLOCK_NUMBERS // max(width, 1))


def _blocks(rows: torch.Tensor, height: int, shift: torch.Tensor, device: str) -> Iterator[_Block]:
    for start in range(0, len(rows), height):
        block = (rows[start : start + height].double() - shift).float().to(device)
        yield _Block(start, block, block.square().sum(1))


def _bound(dimensions: int) -> float:
    """Times the sum of two squared norms: how far a squared distance in float32 may be off.

    The worst case of a sum of d products is d epsilon; sums in blocks, as every BLAS makes them, stay below
    sqrt(d) epsilon. Four more cover the rounding of the rows and of the three terms.
    """
    return EPSILON * (4 + math.sqrt(dimensions))


def _exact(queries: torch.Tensor, pool: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Squared distances (P,) float64 of the pairs queries[left], pool[right]."""
    found = torch.empty(len(left), dtype=torch.float64)
    step = _height(queries.shape[1])
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        gap = queries[left[part]].double() - pool[right[part]].double()
        found[part] = torch.linalg.vecdot(gap, gap)
    return found


def nearest_rows(
    queries: Rows, pool: Rows, k: int = 1, *, same: bool = False, device: str = "cpu"
) -> tuple[Index, Array]:
    """Indices (Q, k) of the k nearest rows of the pool, nearest first, and their squared distances (Q, k).

    `same` says that the queries are the pool: a row is not its own neighbour. Raises ValueError for a pool of fewer
    than k rows (k + 1 with `same`).
    """
    ours, theirs = _tensor(queries), _tensor(pool)
    if len(theirs) < k + same:
        raise ValueError(f"{k} neighbours need {k + same} rows and there are {len(theirs)}")
    shift = _mean(theirs)
    width = min(k + SPARE, len(theirs) - same)
    index, squared = torch.empty((len(ours), k), dtype=torch.int64), torch.empty((len(ours), k), dtype=torch.float64)
    height = min(QUERY_ROWS, _height(1))
    for block in _blocks(ours, height, shift, device):
        part = slice(block.start, block.start + len(block))
        candidates, certain = _candidates(block, theirs, width, shift, same)
        index[part], squared[part], sure = _decide(ours[part], theirs, candidates, certain, k)
        for row in (~sure).nonzero().flatten().tolist():
            place = block.start + row
            index[place], squared[place] = _search(ours, theirs, place, k, same)
    return index.numpy(), squared.numpy()


def _candidates(
    block: _Block, pool: torch.Tensor, width: int, shift: torch.Tensor, same: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The `width` nearest by float32, and per row a squared distance that no other row of the pool can be below."""
    best = torch.full((len(block), 0), torch.inf, device=block.rows.device)
    index = torch.zeros((len(block), 0), dtype=torch.int64, device=block.rows.device)
    largest = 0.0
    for other in _blocks(pool, _height(len(block)), shift, str(block.rows.device)):
        table = torch.addmm(other.squares[None], block.rows, other.rows.T, alpha=-2).add_(block.squares[:, None])
        if same:
            own = torch.arange(block.start, block.start + len(block), device=table.device) - other.start
            rows = ((own >= 0) & (own < len(other))).nonzero().flatten()
            table[rows, own[rows]] = torch.inf
        values, places = table.topk(min(width, len(other)), dim=1, largest=False)
        best, index = torch.cat([best, values], 1), torch.cat([index, places + other.start], 1)
        best, chosen = best.topk(min(width, best.shape[1]), dim=1, largest=False)
        index = index.gather(1, chosen)
        largest = max(largest, float(other.squares.max()))
    whole = width == len(pool) - same
    limit = best[:, -1] - _bound(pool.shape[1]) * (block.squares + largest)
    return index.cpu(), torch.full_like(limit, torch.inf).cpu() if whole else limit.cpu()


def _decide(
    queries: torch.Tensor, pool: torch.Tensor, candidates: torch.Tensor, certain: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The k nearest of the candidates by exact distance, and for which rows no other row can be among them."""
    rows = torch.arange(len(queries))[:, None].expand_as(candidates)
    ordered, place = candidates.sort(1)  # ties go to the lower index
    exact = _exact(queries, pool, rows.flatten(), ordered.flatten()).view(candidates.shape)
    squared, place = exact.sort(dim=1, stable=True)
    squared = squared[:, :k]
    sure = (squared[:, -1] <= certain) | (squared[:, -1] == 0)
    return ordered.gather(1, place[:, :k]), squared, sure


def _search(
    queries: torch.Tensor, pool: torch.Tensor, place: int, k: int, same: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest of one query among all rows, exactly."""
    every = torch.arange(len(pool))
    exact = _exact(queries, pool, torch.full((len(pool),), place), every)
    if same:
        exact[place] = torch.inf
    squared, index = exact.sort(stable=True)
    return index[:k], squared[:k]


@dataclass(frozen=True)
class Hits:
    """How many balls each point is in (Q,), and how many points each ball holds (N,)."""

    by_point: Index
    by_ball: Index


def inside_balls(points: Rows, centres: Rows, squared_radii: Array, *, device: str = "cpu") -> Hits:
    """Count points (Q, d) in closed balls around the centres (N, d) with squared radii (N,)."""
    ours, theirs = _tensor(points), _tensor(centres)
    radii = torch.from_numpy(np.ascontiguousarray(squared_radii))
    by_point, by_ball = np.zeros(len(ours), dtype=np.int64), np.zeros(len(theirs), dtype=np.int64)
    shift, bound = _mean(theirs), _bound(ours.shape[1])
    for block in _blocks(ours, QUERY_ROWS, shift, device):
        for other in _blocks(theirs, _height(len(block)), shift, device):
            reach = radii[other.start : other.start + len(other)].float().to(device)
            # Squared distance minus squared radius; a radius in float32 is off by less than the bound allows for.
            table = torch.addmm((other.squares - reach)[None], block.rows, other.rows.T, alpha=-2)
            table.add_(block.squares[:, None])
            doubt = bound * (block.squares + other.squares.max() + reach.max())[:, None]
            maybe = (table.abs() <= doubt).nonzero().cpu()
            inside = (table < -doubt).cpu()
            left, right = maybe[:, 0] + block.start, maybe[:, 1] + other.start
            inside[maybe[:, 0], maybe[:, 1]] = _exact(ours, theirs, left, right) <= radii[right]
            by_point[block.start : block.start + len(block)] += np.count_nonzero(inside.numpy(), axis=1)
            by_ball[other.start : other.start + len(other)] += np.count_nonzero(inside.numpy(), axis=0)
    return Hits(by_point, by_ball)

"""How similar two small pictures are once one is moved over the other, whatever their brightness, contrast and slight blur.

Legend: M pairs of lumas (M, H, W) of one size. Sums are sums of integers in float64, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

#: Largest move that is tried, in px each way.
REACH = 2
#: The highest similarity of pictures that differ; 1 is for equal pixels alone.
MOST = 0.999999

Wide = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def similarity(left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> Wide:
    """Similarity (M,) in [-1, MOST] of pairs of lumas (M, H, W).

    The correlation of the middle of `left` with the equally large window of `right` that fits it best, of the 25 windows up
    to REACH px away; then, at that place, the best of the four that compare either picture as it is or slightly blurred. A
    resized or compressed copy is a slightly blurred original, and correlates above .99 with it in one of the four, while
    two pictures of the same kind gain little by blurring one of them.
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    sizes = (a.shape[1] - 2 * REACH, a.shape[2] - 2 * REACH)
    fixed = _standard(a[:, REACH:-REACH, REACH:-REACH])
    best, row, column = np.full(len(a), -1.0), np.zeros(len(a), np.int64), np.zeros(len(a), np.int64)
    for y, x, norm in _windows(b, sizes):
        # `fixed` has no mean, so the window's own drops out of the product.
        score = np.einsum("nij,nij->n", fixed, b[:, y : y + sizes[0], x : x + sizes[1]]) / norm
        better = score > best
        best[better], row[better], column[better] = score[better], y, x
    soft_a, soft_b = _blurred(a), _blurred(b)
    moved, soft_moved = (_standard(_cut(values, row, column, sizes)) for values in (b, soft_b))
    soft_fixed = _standard(soft_a[:, REACH:-REACH, REACH:-REACH])
    for one, other in ((soft_fixed, moved), (fixed, soft_moved), (soft_fixed, soft_moved)):
        best = np.maximum(best, np.einsum("nij,nij->n", one, other))
    return np.asarray(np.minimum(best, MOST))


def _windows(values: Wide, sizes: tuple[int, int]) -> Iterator[tuple[int, int, Wide]]:
    """Each window's corner and its norm (M,) about its mean, from sums over all rectangles that begin at the corner."""
    sums = np.zeros((2, len(values), values.shape[1] + 1, values.shape[2] + 1))
    for power in (0, 1):
        sums[power, :, 1:, 1:] = (values ** (power + 1)).cumsum(axis=1).cumsum(axis=2)
    height, width = sizes
    for y in range(2 * REACH + 1):
        for x in range(2 * REACH + 1):
            low, high = sums[:, :, y], sums[:, :, y + height]
            first, second = high[..., x + width] - high[..., x] - low[..., x + width] + low[..., x]
            yield y, x, np.sqrt(np.maximum(second - first**2 / (height * width), 1.0))


def _standard(values: Wide) -> Wide:
    """Pictures with mean 0 and length 1; flat ones become 0."""
    values = values - values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(values / np.maximum(np.sqrt(np.einsum("nij,nij->n", values, values)), 1.0)[:, None, None])


def _blurred(values: Wide) -> Wide:
    """Each pixel with its neighbours, weights 1 4 1 both ways (times 36); the border is repeated outwards."""
    wide = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + 4 * wide[:, 1:-1] + wide[:, 2:]
    return np.asarray(rows[:, :, :-2] + 4 * rows[:, :, 1:-1] + rows[:, :, 2:])


def _cut(values: Wide, row: Places, column: Places, sizes: tuple[int, int]) -> Wide:
    """The window (M, *sizes) of each picture at its own corner."""
    windows = np.lib.stride_tricks.sliding_window_view(values, sizes, axis=(1, 2))
    return np.asarray(windows[np.arange(len(values)), row, column])

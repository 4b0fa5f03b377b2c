"""How similar the edges of two small pictures are once one is moved over the other, whatever brightness, contrast and blur.

Legend: M pairs of lumas (M, H, W) of one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

#: Largest move that is tried, in px each way.
REACH = 2
#: The highest similarity of pictures that differ; 1 is for equal pixels alone.
MOST = 0.999999
#: Pictures that correlate less than this as they are are no copies: their edges are not compared.
PLAIN = 0.85
#: How often a picture is blurred at most before its edges are compared.
BLURS = 2

Lumas = npt.NDArray[np.uint8]

Wide = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def similarity(left: Lumas, right: Lumas) -> Wide:
    """Similarity (M,) in [-1, MOST] of pairs of lumas (M, H, W).

    The middle of `left` is laid on the equally large window of `right` that correlates best with it, of the 25 windows up to
    REACH px away. There the edges are compared: the correlation of the two fields of gradients, the best of the nine that
    compare either picture as it is, slightly blurred, or blurred twice. A resized or compressed copy is a blurred original
    with a little noise, and in one of the nine its edges are those of the original. The pictures themselves say less: a
    horizon or a bright sky makes most of the variance, and two ships on two seas correlate as well as a photograph and its
    compressed copy. Pairs whose pictures correlate below PLAIN get that correlation.
    """
    best, row, column = _placed(left, right)
    near = best >= PLAIN
    if near.any():
        best[near] = _edges_compared(left[near], right[near], row[near], column[near])
    return np.minimum(best, MOST)


def _placed(left: Lumas, right: Lumas) -> tuple[Wide, Places, Places]:
    """The best plain correlation (M,), and the corner (row, column) of the window of `right` that has it."""
    height, width = left.shape[1] - 2 * REACH, left.shape[2] - 2 * REACH
    fixed = _standard(left[:, REACH:-REACH, REACH:-REACH].astype(np.float32))
    values = right.astype(np.float32)
    best, row, column = np.full(len(left), -1.0), np.zeros(len(left), np.int64), np.zeros(len(left), np.int64)
    for y, x, norm in _windows(right, height, width):
        # `fixed` has no mean, so the window's own drops out of the product.
        score = np.einsum("nij,nij->n", fixed, values[:, y : y + height, x : x + width]) / norm
        better = score > best
        best[better], row[better], column[better] = score[better], y, x
    return best, row, column


def _windows(values: Lumas, height: int, width: int) -> Iterator[tuple[int, int, Wide]]:
    """Each window's corner and its norm (M,) about its mean, from sums over all rectangles that begin at the corner."""
    sums = np.zeros((2, len(values), values.shape[1] + 1, values.shape[2] + 1), np.int32)
    whole = values.astype(np.int32)
    for power, part in enumerate((whole, whole**2)):
        sums[power, :, 1:, 1:] = part.cumsum(axis=1, dtype=np.int32).cumsum(axis=2, dtype=np.int32)
    for y in range(2 * REACH + 1):
        for x in range(2 * REACH + 1):
            low, high = sums[:, :, y], sums[:, :, y + height]
            first, second = (high[..., x + width] - high[..., x] - low[..., x + width] + low[..., x]).astype(np.float64)
            yield y, x, np.sqrt(np.maximum(second - first**2 / (height * width), 1.0))


def _edges_compared(a: Lumas, b: Lumas, row: Places, column: Places) -> Wide:
    """The best correlation (M,) of the gradients of the middles of `a` with those of windows of `b`, over BLURS of each."""
    sizes = (a.shape[1] - 2 * REACH, a.shape[2] - 2 * REACH)
    windows = a[:, REACH:-REACH, REACH:-REACH].astype(np.float64), _cut(b, row, column, sizes).astype(np.float64)
    fixed, moved = (_edges(window) for window in windows)
    scores = [np.einsum("nij,nij->n", one, other) for one in fixed for other in moved]
    return np.asarray(np.max(scores, axis=0))


def _edges(window: Wide) -> list[Wide]:
    """Gradients (M, 2, D) of windows (M, H, W), each of length 1 in all, of the window and of its BLURS blurred versions."""
    found = []
    for _ in range(BLURS + 1):
        down = window[:, 2:, 1:-1] - window[:, :-2, 1:-1]
        across = window[:, 1:-1, 2:] - window[:, 1:-1, :-2]
        both = np.stack([down.reshape(len(window), -1), across.reshape(len(window), -1)], axis=1)
        length = np.sqrt(np.einsum("nij,nij->n", both, both))
        found.append(both / np.maximum(length, 1)[:, None, None])
        window = _blurred(window)
    return found


def _standard(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pictures with mean 0 and length 1; flat ones become 0."""
    values = values - values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(values / np.maximum(np.sqrt(np.einsum("nij,nij->n", values, values)), 1)[:, None, None])


def _blurred(values: Wide) -> Wide:
    """Each pixel with its neighbours, weights 1 4 1 both ways; the border is repeated outwards."""
    wide = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + 4 * wide[:, 1:-1] + wide[:, 2:]
    return np.asarray((rows[:, :, :-2] + 4 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 36)


def _cut(values: Lumas, row: Places, column: Places, sizes: tuple[int, int]) -> Lumas:
    """The window (M, *sizes) of each picture at its own corner."""
    windows = np.lib.stride_tricks.sliding_window_view(values, sizes, axis=(1, 2))
    return np.asarray(windows[np.arange(len(values)), row, column])

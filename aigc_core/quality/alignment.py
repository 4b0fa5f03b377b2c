"""How similar the edges of two small pictures are once one is moved over the other, whatever brightness, contrast and blur.

Legend: M pairs of lumas (M, H, W) of one size.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

#: Largest move that is tried, in px each way.
REACH = 2
MOVES = 2 * REACH + 1
#: Half a pixel away from a place: means of two or four neighbours.
HALVES = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0)]
#: The highest similarity of pictures that differ; 1 is for equal pixels alone.
MOST = 0.999999
#: Pictures that correlate less than this as they are are no copies: their edges are not compared.
PLAIN = 0.85
#: Edges that correlate less than this do not become those of a copy by half a pixel.
HOPELESS = 0.75
#: How often a picture is blurred at most before its edges are compared.
BLURS = 2
#: The sum of a blur's weights, (1 + 4 + 1) squared.
UNBLURRED = 36

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
    scores = _norms(right, height, width)
    for place, norm in enumerate(scores):
        y, x = divmod(place, MOVES)
        # `fixed` has no mean, so the window's own drops out of the product.
        norm[:] = np.einsum("nij,nij->n", fixed, values[:, y : y + height, x : x + width]) / norm
    chosen = scores.argmax(axis=0)
    row, column = np.divmod(chosen, MOVES)
    return np.maximum(scores[chosen, np.arange(len(left))], -1.0), row, column


def _norms(values: Lumas, height: int, width: int) -> Wide:
    """The norm (MOVES * MOVES, M) of each window about its mean, from its sums, whole numbers that float64 holds exactly."""
    down, across = _spans(values.shape[1], height), _spans(values.shape[2], width).T
    whole = values.astype(np.float64)
    first, second = (
        (down @ (part.reshape(-1, part.shape[2]) @ across).reshape(*part.shape[:2], MOVES)).reshape(len(values), -1)
        for part in (whole, whole * whole)
    )
    return np.ascontiguousarray(np.sqrt(np.maximum(second - first**2 / (height * width), 1.0)).T)


@functools.lru_cache(maxsize=64)
def _spans(side: int, length: int) -> Wide:
    """Which of `side` places each of the MOVES windows of a length covers, (MOVES, side) of 0 and 1."""
    places = np.arange(side) - np.arange(MOVES)[:, None]
    return ((places >= 0) & (places < length)).astype(np.float64)


def _edges_compared(a: Lumas, b: Lumas, row: Places, column: Places) -> Wide:
    """The best correlation (M,) of the gradients of the middles of `a` with those of windows of `b`, over BLURS of each."""
    sizes = (a.shape[1] - 2 * REACH, a.shape[2] - 2 * REACH)
    middle, window = a[:, REACH:-REACH, REACH:-REACH], _cut(b, row, column, sizes)
    fixed = _edges(middle)
    found = _correlated(fixed, window)
    some = np.flatnonzero((found >= HOPELESS) & (found < MOST))
    if len(some):
        between, closer = _halfway(middle[some], window[some], b[some], row[some], column[some])
        some = some[closer]
        edges, lengths = fixed
        found[some] = np.maximum(found[some], _correlated((edges[some], lengths[some]), between[closer]))
    return found


def _correlated(fixed: tuple[Wide, Wide], window: Lumas) -> Wide:
    (edges, lengths), (moved, others) = fixed, _edges(window)
    scores = (edges @ moved.swapaxes(1, 2)) / (lengths[:, :, None] * others[:, None])
    return np.asarray(scores.max(axis=(1, 2)))


def _halfway(
    fixed: Lumas, window: Lumas, values: Lumas, row: Places, column: Places
) -> tuple[Lumas, npt.NDArray[np.bool_]]:
    """The window half a pixel from the corner that correlates best, and where that is better than the corner's own `window`: a
    copy that was moved before both were made smaller is off by a part of a pixel."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint16)
    height, width = window.shape[1:]
    around = _cut(padded, row, column, (height + 2, width + 2))
    wanted = _standard(fixed.astype(np.float32))
    best, closer = window.copy(), np.zeros(len(window), np.bool_)
    score = np.einsum("nij,nij->n", wanted, _standard(window.astype(np.float32)))
    for down, across in HALVES:
        corners = [(1 + y, 1 + x) for y in {0, down} for x in {0, across}]
        total = np.add.reduce([around[:, y : y + height, x : x + width] for y, x in corners])
        between: Lumas = ((total + len(corners) // 2) // len(corners)).astype(np.uint8)
        found = np.einsum("nij,nij->n", wanted, _standard(between.astype(np.float32)))
        better = found > score
        best[better], score[better], closer = between[better], found[better], closer | better
    return best, closer


def _edges(window: Lumas) -> tuple[Wide, Wide]:
    """Gradients (M, BLURS + 1, D) of windows (M, H, W) and of their blurred versions, and their lengths (M, BLURS + 1).

    Each blur multiplies by UNBLURRED instead of dividing: whole numbers, which float32 holds exactly.
    """
    count, height, width = window.shape
    found = np.empty((count, BLURS + 1, 2, height - 2, width - 2), np.float32)
    values = window.astype(np.float32)
    for blurs in range(BLURS + 1):
        if blurs:
            values = _blurred(values)
        np.subtract(values[:, 2:, 1:-1], values[:, :-2, 1:-1], out=found[:, blurs, 0])
        np.subtract(values[:, 1:-1, 2:], values[:, 1:-1, :-2], out=found[:, blurs, 1])
    edges = found.reshape(count, BLURS + 1, math.prod(found.shape[2:])).astype(np.float64)
    lengths = np.sqrt(np.einsum("nki,nki->nk", edges, edges))
    return edges, np.maximum(lengths, float(UNBLURRED) ** np.arange(BLURS + 1))


def _standard(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pictures with mean 0 and length 1; flat ones become 0."""
    values = values - values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(values / np.maximum(np.sqrt(np.einsum("nij,nij->n", values, values)), 1)[:, None, None])


def _blurred(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each pixel with its neighbours, weights 1 4 1 both ways, undivided; the border is repeated outwards."""
    for axis in (1, 2):
        lines = values.swapaxes(1, axis)
        found = 4 * lines
        found[:, 1:] += lines[:, :-1]
        found[:, :-1] += lines[:, 1:]
        found[:, 0] += lines[:, 0]
        found[:, -1] += lines[:, -1]
        values = found.swapaxes(1, axis)
    return values


def _cut(values: npt.NDArray[Any], row: Places, column: Places, sizes: tuple[int, int]) -> npt.NDArray[Any]:
    """The window (M, *sizes) of each picture at its own corner."""
    windows = np.lib.stride_tricks.sliding_window_view(values, sizes, axis=(1, 2))
    return np.asarray(windows[np.arange(len(values)), row, column])

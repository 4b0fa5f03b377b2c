"""Whether two pictures of one shape have the same colours: shapes are compared without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Brightness may differ by this factor either way, and the distance from grey with it.
GAIN = 1.3
#: Root mean square of Cb and Cr (levels) that compression and rounding make of grey: colours below it are not told apart.
GREY = 4.0
#: From this agreement on two pictures have the same colours: cell by cell for large pictures, and over cells of twice the side
#: for small ones, whose colours compression mixes over a quarter of the picture. Chosen on copies of sprites, lamps and
#: photographs (JPEG 40, moved by a pixel, resized: the lowest twentieth lies above), beside sprites in other colours.
FINE, COARSE = 0.93, 0.9

Chroma = npt.NDArray[np.int8]  # (M, G, G, 2)
Scores = npt.NDArray[np.float64]


def same(
    left: Chroma, right: Chroma, fine: npt.NDArray[np.bool_], located: bool = True
) -> tuple[Scores, npt.NDArray[np.bool_]]:
    """Agreement (M,) of the coarse colours (M, G, G, 2) of pairs, and whether it makes them the same; `fine` (M,) says which are
    compared cell by cell. `located` false compares the mean colours alone: one picture is a part of the other."""
    if not located:
        found = _agreement(*(values.mean(axis=(1, 2)) for values in (left, right)))
        return found, found >= FINE
    cells, halves = (_agreement(merge(left), merge(right)) for merge in (_flat, _halved))
    return np.where(fine, cells, halves), np.where(fine, cells >= FINE, halves >= COARSE)


def _agreement(one: Scores, two: Scores) -> Scores:
    """1 - |r - g l|^2 / (mean square of both) of rows (M, D), in [0, 1], with the gain g in [1 / GAIN, GAIN] that fits best."""
    dot, own = np.einsum("ij,ij->i", one, two), np.einsum("ij,ij->i", one, one)
    gain = np.clip(dot / np.maximum(own, 1e-9), 1 / GAIN, GAIN)
    apart = np.square(two - gain[:, None] * one).sum(axis=1)
    size = (own + np.einsum("ij,ij->i", two, two)) / 2 + one.shape[1] * GREY**2
    return np.asarray(1 - np.minimum(apart / size, 1))


def _flat(values: npt.NDArray[Any]) -> Scores:
    return np.asarray(values.astype(np.float64).reshape(len(values), values.shape[1] * values.shape[2] * 2))


def _halved(values: Chroma) -> Scores:
    count, grid = values.shape[:2]
    cells = values.astype(np.float64).reshape(count, grid // 2, 2, grid // 2, 2, 2)
    return _flat(cells.mean(axis=(2, 4)))

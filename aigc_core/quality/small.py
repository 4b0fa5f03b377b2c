"""The small pictures by which look-alikes are found, of all rows: in memory for a chunk, in files for a whole set.

A transparent picture has one view on each of BACKDROPS, because a copy of it may have been laid over any of them; an opaque one
has the first alone. Pictures with a side above 32 px are kept a second time, at up to LARGE px: on a thumbnail of a large
drawing two drawings of one thing look as alike as a drawing and its shifted copy.

Legend: N = rows, V = views.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_core.quality.fingerprints import DIMENSIONS, Fingerprints, canvases, fingerprints
from aigc_core.quality.planes import BACKDROPS, GRID, Lumas, Planes, over
from aigc_core.quality.thumbnails import SIDE, resized, thumbnails

VIEWS = len(BACKDROPS)
#: Longest side (px) of the larger pictures.
LARGE = 64


@dataclass(frozen=True)
class Small:
    """Canvases (N, 32, 32) and larger pictures (N, LARGE, LARGE, top left) as luma over black and as alpha, chroma
    (N, GRID, GRID, 2), fingerprints (N, V, DIMENSIONS) and their kinds (N, V); `alpha` (N,) says which rows have any."""

    canvases: Lumas
    alphas: Lumas
    large: Lumas
    large_alphas: Lumas
    chroma: npt.NDArray[np.int8]
    fingerprints: Fingerprints
    kinds: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.bool_]

    @classmethod
    def zeros(cls, count: int, folder: Path | None = None) -> Small:
        """Room for `count` rows: in memory, or in files of a folder, where what is never written takes no room."""

        def room(name: str, kind: type[np.generic], *shape: int) -> npt.NDArray[Any]:
            if folder is None:
                return np.zeros((count, *shape), kind)
            return np.memmap(folder / name, kind, "w+", shape=(max(count, 1), *shape))

        return cls(
            room("canvases", np.uint8, SIDE, SIDE),
            room("alphas", np.uint8, SIDE, SIDE),
            room("large", np.uint8, LARGE, LARGE),
            room("large_alphas", np.uint8, LARGE, LARGE),
            room("chroma", np.int8, GRID, GRID, 2),
            room("fingerprints", np.int16, VIEWS, DIMENSIONS),
            np.zeros((count, VIEWS), np.uint8),
            np.zeros(count, np.bool_),
        )

    def put(self, places: npt.NDArray[np.int64], part: Part) -> None:
        """Write pictures of one size at these rows."""
        views = part.fingerprints.shape[1]
        self.canvases[places] = part.canvases
        self.chroma[places] = part.chroma
        self.fingerprints[places, :views] = part.fingerprints
        self.kinds[places, :views] = part.kinds
        if part.alphas is not None:
            self.alphas[places], self.alpha[places] = part.alphas, True
        if part.large is not None:
            height, width = part.large.shape[1:]
            self.large[places, :height, :width] = part.large
            if part.large_alphas is not None:
                self.large_alphas[places, :height, :width] = part.large_alphas


@dataclass(frozen=True)
class Part:
    """As `Small`, of M pictures of one size; what they do not have is null. `large` is (M, h, w)."""

    canvases: Lumas
    alphas: Lumas | None
    large: Lumas | None
    large_alphas: Lumas | None
    chroma: npt.NDArray[np.int8]
    fingerprints: Fingerprints
    kinds: npt.NDArray[np.uint8]
    thumbnails: Lumas  # on the last backdrop where there is alpha: what the perceptual hash is taken of


def part_of(planes: Planes) -> Part:
    """The small pictures of images of one size."""
    luma, alpha = planes.luma, planes.alpha
    small = thumbnails(luma)
    clear = None if alpha is None else thumbnails(alpha)
    views = [small] if clear is None else [over(small, clear, level) for level in BACKDROPS]
    found = [fingerprints(view, planes.chroma) for view in views]
    size = large_size(*luma.shape[1:])
    return Part(
        canvases(luma, small),
        None if alpha is None or clear is None else canvases(alpha, clear),
        None if size is None else resized(luma, *size),
        None if size is None or alpha is None else resized(alpha, *size),
        planes.chroma,
        np.stack([vectors for vectors, _ in found], axis=1),
        np.stack([kinds for _, kinds in found], axis=1),
        views[-1],
    )


def large_size(height: int, width: int) -> tuple[int, int] | None:
    """Height and width (px) of the larger picture of an image; null where the canvas holds all that there is."""
    longest = max(height, width)
    if longest <= SIDE:
        return None
    share = min(1.0, LARGE / longest)
    return max(1, round(height * share)), max(1, round(width * share))

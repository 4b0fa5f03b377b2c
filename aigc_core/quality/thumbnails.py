"""The 32x32 luma that hashes and fingerprints are taken of, for many images of one shape at once.

Everything is integer arithmetic carried in float64 (below 2^53, so exact): the same bytes on any processor, and for any
batch that an image is in.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 32
#: Above this many pixels, or this long a side (px), Pillow resizes image by image: the matrices would be large.
LARGE = 1 << 18
LONG = 2048
#: Pixels that are worked on at once: what is in between stays in the cache.
BLOCK = 1 << 16
#: Weights are multiples of 1 / UNIT.
UNIT = 1 << 20

Lumas = npt.NDArray[np.uint8]  # (N, H, W)


def thumbnails(lumas: Lumas) -> Lumas:
    """Thumbnails (N, 32, 32) of lumas (N, H, W)."""
    return resized(lumas, SIDE, SIDE)


def resized(lumas: Lumas, height: int, width: int) -> Lumas:
    """Lumas (N, H, W) at another size (px): triangle filter, widened by the factor of the reduction."""
    before, length = lumas.shape[1:]
    if (before, length) == (height, width):
        return lumas
    if before * length > LARGE or max(before, length) > LONG:
        size, bilinear = (width, height), Image.Resampling.BILINEAR
        return np.stack([np.asarray(Image.fromarray(luma).resize(size, bilinear)) for luma in lumas])
    found = np.empty((len(lumas), height, width), np.uint8)
    rows = max(BLOCK // (max(before, height) * max(length, width)), 1)
    for top in range(0, len(lumas), rows):
        found[top : top + rows] = _resized(lumas[top : top + rows], height, width)
    return found


def _resized(lumas: Lumas, height: int, width: int) -> Lumas:
    before, length = lumas.shape[1:]
    across = (lumas.reshape(-1, length).astype(np.float64) @ weights(length, width).T).reshape(-1, before, width)
    down = np.ascontiguousarray(across.swapaxes(1, 2)).reshape(-1, before) @ weights(before, height).T
    down /= UNIT**2
    down += 0.5
    return np.floor(down, out=down).astype(np.uint8).reshape(-1, width, height).swapaxes(1, 2)


@functools.lru_cache(maxsize=64)
def weights(length: int, wanted: int = SIDE) -> npt.NDArray[np.float64]:
    """Integer weights (wanted, length), each row summing to UNIT, that resize one axis."""
    scale = length / wanted
    reach = max(scale, 1.0)
    centre = (np.arange(wanted)[:, None] + 0.5) * scale
    share = np.clip(1 - np.abs(np.arange(length)[None] + 0.5 - centre) / reach, 0, None)
    whole = np.round(share / share.sum(axis=1, keepdims=True) * UNIT)
    # The rounding's remainder goes to the middle, where it is the smallest part.
    whole[np.arange(wanted), whole.argmax(axis=1)] += UNIT - whole.sum(axis=1)
    return np.asarray(whole)

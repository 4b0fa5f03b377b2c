"""The one form in which pixels are handed on, so that one picture has one content hash, whatever it was stored as.

Legend: H, W = height, width in px; C = channels (1 grey, 3 colour, 4 colour with alpha). Pixels are uint8 (H, W, C).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

OPAQUE = 255
#: Pixels along the diagonal that are looked at before all of them are.
PROBES = 4


def canonical(pixels: Pixels) -> Pixels:
    """The same picture with the fewest channels: no alpha where all is opaque, one channel where all three are equal.

    Colour that no eye can see, under an alpha of 0, becomes 0.
    """
    if pixels.shape[2] == 4:
        if pixels.item(3) == OPAQUE and bool((pixels[..., 3] == OPAQUE).all()):
            pixels = np.ascontiguousarray(pixels[..., :3])
        else:
            return without_hidden(pixels)
    if pixels.shape[2] == 3 and _grey(pixels):
        return np.ascontiguousarray(pixels[..., :1])
    return pixels


def _grey(pixels: Pixels) -> bool:
    """Whether all three channels (H, W, 3) are equal. A colour image is known by its first pixels."""
    if pixels.item(0) != pixels.item(1):
        return False
    height, width = pixels.shape[:2]
    for part in range(PROBES):
        red, green, blue = pixels[height * part // PROBES, width * part // PROBES].tolist()
        if red != green or green != blue:
            return False
    first = pixels[..., 0]
    return bool((first == pixels[..., 1]).all() and (first == pixels[..., 2]).all())


def without_hidden(pixels: Pixels) -> Pixels:
    """Pixels (H, W, 4) with colour 0 wherever alpha is 0."""
    hidden = pixels[..., 3] == 0
    if not pixels[hidden].any():
        return pixels
    shown = pixels.copy()
    shown[hidden] = 0
    return shown


def multiplied_back(values: npt.NDArray[Any]) -> Pixels:
    """Pixels (H, W, 4) with their own colour, of values (H, W, 4) from 0 to 255 whose colour is multiplied by alpha.

    Values that lie beyond that range, as resizing makes them, still have the right colour.
    """
    alpha = values[..., 3:].astype(np.float32)
    opacity = np.clip(np.round(alpha), 0, OPAQUE)
    colour = np.zeros((*values.shape[:2], 3), np.float32)
    np.divide(values[..., :3] * np.float32(OPAQUE), alpha, out=colour, where=opacity > 0)
    return np.concatenate([np.clip(np.round(colour), 0, OPAQUE), opacity], axis=2).astype(np.uint8)

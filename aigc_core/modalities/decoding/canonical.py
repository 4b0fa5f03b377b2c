"""The one form in which pixels are handed on, so that one picture has one content hash, whatever it was stored as.

Legend: H, W = height, width in px; C = channels (1 grey, 3 colour, 4 colour with alpha). Pixels are uint8 (H, W, C).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

OPAQUE = 255
#: Pixels along the diagonal that are looked at before all of them are.
PROBES = 4
#: A picture whose mean luminance, of 255, is below the first is nearly black; one of which a few pixels have a mean above the
#: second is surely not.
NEARLY_BLACK, SURELY_BRIGHTER = 0.04 * 255, 0.1 * 255
FEW, MANY = 191, 4093
#: Weights of grey, and of red, green and blue (ITU-R BT.601) in the luminance, by the number of channels.
LUMA = {1: (1.0,), 3: (0.299, 0.587, 0.114)}
#: Up to so many values Python's bytes are compared quicker than numpy's arrays.
SMALL = 1 << 15


def canonical(pixels: Pixels) -> Pixels:
    """The same picture with the fewest channels: no alpha where all is opaque, one channel where all three are equal.

    Colour that no eye can see, under an alpha of 0, becomes 0.
    """
    if pixels.shape[2] == 4:
        if not _opaque(pixels):
            return without_hidden(pixels)
        pixels = _colours(pixels)
    if pixels.shape[2] == 3 and _grey(pixels):
        return np.ascontiguousarray(pixels[..., :1])
    return pixels


def digest(pixels: Pixels) -> str:
    """Hex sha256 of shape and pixels (H, W, C), as they are."""
    whole = hashlib.sha256(_hash_header(pixels.shape))
    whole.update(np.ascontiguousarray(pixels).data)
    return whole.hexdigest()


@functools.lru_cache(maxsize=1024)
def _hash_header(shape: tuple[int, ...]) -> bytes:
    return ",".join(str(side) for side in shape).encode() + b":"


def _opaque(pixels: Pixels) -> bool:
    """Whether alpha is full everywhere in pixels (H, W, 4)."""
    if pixels.item(3) != OPAQUE:
        return False
    if pixels.size <= SMALL:
        return 4 * pixels.tobytes()[3::4].count(OPAQUE) == pixels.size
    return bool((_words(pixels) >= OPAQUE << 24).all())


def _colours(pixels: Pixels) -> Pixels:
    """The first three channels of pixels (H, W, 4), which numpy copies slowly."""
    if pixels.size > SMALL:
        return np.asarray(Image.fromarray(pixels).convert("RGB"))
    values, kept = pixels.tobytes(), bytearray(pixels.size // 4 * 3)
    for channel in range(3):
        kept[channel::3] = values[channel::4]
    return np.frombuffer(kept, np.uint8).reshape(*pixels.shape[:2], 3)


def _words(pixels: Pixels) -> npt.NDArray[np.uint32]:
    """Pixels (H, W, 4) as one number each (H, W), of which alpha is the highest byte: one comparison instead of four."""
    return np.ascontiguousarray(pixels).view("<u4")[..., 0]


def _grey(pixels: Pixels) -> bool:
    """Whether all three channels (H, W, 3) are equal. A colour image is known by its first pixels."""
    if pixels.item(0) != pixels.item(1):
        return False
    if pixels.size <= SMALL:
        values = pixels.tobytes()
        return values[::3] == values[1::3] == values[2::3]
    height, width = pixels.shape[:2]
    for part in range(PROBES):
        red, green, blue = pixels[height * part // PROBES, width * part // PROBES].tolist()
        if red != green or green != blue:
            return False
    first = pixels[..., 0]
    return bool((first == pixels[..., 1]).all() and (first == pixels[..., 2]).all())


def dark_mean(pixels: Pixels) -> float | None:
    """The mean luminance, from 0 to 255, of pixels (H, W, C) that are nearly black; None for all others.

    Of large pictures some thousand pixels are taken, of those with alpha such as are seen. Most pictures are known by the
    green of a few pixels not to be nearly black.
    """
    channels = pixels.shape[2]
    colours = min(channels, 3)
    green = _spread(pixels, colours // 2, FEW).tobytes()
    seen = len(green) - (_spread(pixels, 3, FEW).tobytes().count(0) if channels == 4 else 0)
    if sum(green) > SURELY_BRIGHTER * seen:  # hidden pixels are 0
        return None
    planes = [_spread(pixels, channel, MANY) for channel in range(colours)]
    count = int(np.count_nonzero(_spread(pixels, 3, MANY))) if channels == 4 else len(planes[0])
    if not count:
        return None
    sums = (float(np.add.reduce(plane, dtype=np.int64)) for plane in planes)
    mean = sum(weight * total for weight, total in zip(LUMA[colours], sums, strict=True)) / count
    return mean if mean < NEARLY_BLACK else None


def _spread(pixels: Pixels, channel: int, count: int) -> Pixels:
    """One channel (N,) of about `count` of the pixels (H, W, C)."""
    height, width, channels = pixels.shape
    # A step that has a factor in common with the width would take some columns alone.
    step = next(step for step in itertools.count(max(1, height * width // count)) if math.gcd(step, width) == 1)
    return pixels.reshape(-1)[channel :: step * channels]


def without_hidden(pixels: Pixels) -> Pixels:
    """Pixels (H, W, 4) with colour 0 wherever alpha is 0."""
    if pixels.size <= SMALL and 0 not in pixels.tobytes()[3::4]:
        return pixels
    words = _words(pixels)
    hidden = words - np.uint32(1) < (1 << 24) - 1  # alpha is 0 and colour is not; 0 - 1 is the largest number
    if not hidden.any():
        return pixels
    return np.where(hidden, np.uint32(0), words).view(np.uint8).reshape(pixels.shape)


def without_empty_alpha(pixels: Pixels, notes: tuple[str, ...]) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels (H, W, C) and notes, without an alpha that hides a whole picture, for files that do not say that it is alpha."""
    if pixels.shape[2] < 4 or pixels[..., 3].any():
        return pixels, notes
    colours = np.ascontiguousarray(pixels[..., :3])
    if (colours == colours[0, 0]).all():
        return pixels, notes
    return colours, (*notes, "alpha of 0 everywhere left out")


def multiplied_back(values: npt.NDArray[Any]) -> Pixels:
    """Pixels (H, W, 4) with their own colour, of values (H, W, 4) from 0 to 255 whose colour is multiplied by alpha.

    Values that lie beyond that range, as resizing makes them, still have the right colour.
    """
    alpha = values[..., 3:].astype(np.float32)
    opacity = np.clip(np.round(alpha), 0, OPAQUE)
    colour = np.zeros((*values.shape[:2], 3), np.float32)
    np.divide(values[..., :3] * np.float32(OPAQUE), alpha, out=colour, where=opacity > 0)
    return np.concatenate([np.clip(np.round(colour), 0, OPAQUE), opacity], axis=2).astype(np.uint8)

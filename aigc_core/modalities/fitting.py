"""Pixels of one size and number of channels to those that a model sees.

Legend: H, W = height, width in px; C = channels (1 grey, 3 colour, 4 colour with alpha). Pixels are uint8 (H, W, C).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from aigc_core.modalities.decoding.canonical import Pixels, multiplied_back

#: Written into every card, because features change with the way an image is resized.
RESIZE_MODE = "lanczos-cover"
#: Colour that lies behind transparent pixels where one luma is needed; grey is as far from black as from white.
BACKDROP = 128


def to_pil(pixels: Pixels) -> Image.Image:
    """A Pillow image of (H, W, C) pixels."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Convert (H, W, C) to the given number of channels; alpha is laid over the backdrop where it has no place.

    Grey is the luma with Rec. 601 weights.
    """
    have = pixels.shape[2]
    if have == channels:
        return pixels
    if have == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        colour = pixels[..., :3].astype(np.float32) * alpha + BACKDROP * (1 - alpha)
        pixels, have = np.round(colour).astype(np.uint8), 3
    if channels == 1 and have == 3:
        return np.asarray(to_pil(pixels).convert("L"))[..., None]
    if channels in (3, 4) and have == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if channels == 4:
        pixels = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)
    return pixels


def fit(pixels: Pixels, size: int, channels: int) -> Pixels:
    """Scale the shorter side to `size` (Lanczos) and cut the middle square: (size, size, channels).

    Colours count by their alpha: what nobody sees does not bleed into the edge of what is seen.
    """
    pixels = with_channels(pixels, channels)
    if pixels.shape[:2] == (size, size):
        return pixels
    if channels == 4:
        return _fit_alpha(pixels, size)
    fitted = np.asarray(_cover(to_pil(pixels), size), dtype=np.uint8)
    return fitted[..., None] if fitted.ndim == 2 else fitted


def _cover(picture: Image.Image, size: int) -> Image.Image:
    return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)


def _fit_alpha(pixels: Pixels, size: int) -> Pixels:
    """`fit` of pixels (H, W, 4). With 8 bits in between, as Pillow does it, rounding and cutting off would tint the edges."""
    multiplied = pixels.astype(np.float32)
    multiplied[..., :3] *= multiplied[..., 3:] / 255
    planes = [np.asarray(_cover(Image.fromarray(multiplied[..., channel]), size)) for channel in range(4)]
    return multiplied_back(np.stack(planes, axis=2))

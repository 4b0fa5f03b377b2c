"""A picture as its luma over black, its alpha and its coarse colours: enough to show it on any plain backdrop.

Legend: N = images, H, W = height, width in px, C = channels. All arithmetic is on whole numbers: equal on any processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Lumas = npt.NDArray[np.uint8]  # (N, H, W)
#: Grey levels of the plain backdrops that a transparent picture is compared on, in the order of its views.
BACKDROPS = (0, 255, 128)
#: Colours are kept as means over a grid of GRID x GRID cells.
GRID = 8
#: Pixels of one image above which Pillow converts colours, image by image: no wide copies.
BLOCK = 1 << 18


@dataclass(frozen=True)
class Planes:
    """N images of one size: `luma` (N, H, W) over black, `bare` the same without regard to alpha; `alpha` (N, H, W), null where
    all are opaque; `chroma` (N, GRID, GRID, 2) int8, the mean Cb and Cr over black, 0 where there is no colour."""

    luma: Lumas
    bare: Lumas
    alpha: Lumas | None
    chroma: npt.NDArray[np.int8]


def planes_of(pixels: npt.NDArray[np.uint8]) -> Planes:
    """Planes of pixels (N, H, W, C) with 1, 3 or 4 channels; luma has the weights of Rec. 601 in Pillow's fixed point."""
    channels = pixels.shape[3]
    if channels == 1:
        return Planes(pixels[..., 0], pixels[..., 0], None, np.zeros((len(pixels), GRID, GRID, 2), np.int8))
    alpha = pixels[..., 3] if channels == 4 else None
    bare = luma_of(pixels[..., :3])
    luma = bare if alpha is None else over_black(bare, alpha)
    return Planes(luma, bare, alpha, _chroma(pixels, alpha))


def over(luma: Lumas, alpha: Lumas, level: int) -> Lumas:
    """Luma over black (N, H, W) and alpha, laid over a backdrop of this grey level."""
    return luma + over_black(np.full_like(luma, level), 255 - alpha)


def luma_of(colours: npt.NDArray[np.uint8]) -> Lumas:
    """Luma (N, H, W) in 0..255 of colours (N, H, W, 3): Rec. 601 in Pillow's fixed point."""
    if colours[0].size > BLOCK:
        return np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in np.ascontiguousarray(colours)])
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def over_black(values: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Lumas or colours as they look over black: values * alpha / 255, rounded. The shapes are equal, or broadcast."""
    return ((values.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)


def _chroma(pixels: npt.NDArray[np.uint8], alpha: Lumas | None) -> npt.NDArray[np.int8]:
    """Cb and Cr of the mean colours of the cells: both are linear, so means of colours suffice."""
    colours = pixels[..., :3] if alpha is None else over_black(pixels[..., :3], alpha[..., None])
    means = _cells(colours)
    red, green, blue = means[..., 0], means[..., 1], means[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    found = np.stack([(blue - luma) * 0.564, (red - luma) * 0.713], axis=-1)
    return np.clip(np.round(found), -128, 127).astype(np.int8)


def _cells(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Means (N, GRID, GRID, 3) of colours (N, H, W, 3); an image with fewer pixels than cells repeats some."""
    count, height, width = colours.shape[:3]
    rows, columns = (np.arange(GRID) * side // GRID for side in (height, width))
    sums = np.add.reduceat(colours, rows, axis=1, dtype=np.uint32)
    sums = np.add.reduceat(sums, columns, axis=2, dtype=np.uint32)
    sizes = [np.maximum(np.diff([*starts, side]), 1) for starts, side in ((rows, height), (columns, width))]
    return np.asarray(sums.reshape(count, GRID, GRID, 3) / (sizes[0][:, None, None] * sizes[1][:, None]))

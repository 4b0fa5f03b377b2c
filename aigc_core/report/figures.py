"""Pictures made of pictures: sheets of images, and sheets of pairs. Pillow only.

Legend: N = images, H, W = height and width in px, C = channels (1 grey, 3 colour, 4 colour with alpha).
Small images are enlarged by a whole number, nearest neighbour, so that every pixel stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from aigc_core.files import atomic_file

Pixels = npt.NDArray[np.uint8]
Images = Pixels | Sequence[Pixels]
Colour = tuple[int, int, int]

#: An image is enlarged until its longer side is about this many px.
TARGET_SIDE = 56
GAP = 4
MARGIN = 8
#: One light ground for sheets: a picture inside a page looks the same in its light and dark rendering.
GROUND: Colour = (250, 250, 249)
INK: Colour = (68, 64, 60)
CHECKER: tuple[Colour, Colour] = ((255, 255, 255), (214, 211, 209))
CHECKER_SIDE = 4
TEXT_SIZE = 13


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def text_width(text: str, size: int = TEXT_SIZE) -> int:
    """Width of a line of text in px."""
    return int(np.ceil(_font(size).getlength(text)))


def enlargement(height: int, width: int) -> int:
    """The whole factor that brings the longer side nearest to TARGET_SIDE from below; at least 1."""
    return max(1, TARGET_SIDE // max(height, width))


def tile(pixels: Pixels, scale: int) -> Image.Image:
    """One (H, W, C) image as RGB, enlarged `scale` times; what is transparent shows a checkerboard."""
    channels = pixels.shape[2]
    if channels not in (1, 3, 4):
        raise ValueError(f"an image has 1, 3 or 4 channels, not {channels}")
    plain = Image.fromarray(pixels[..., 0] if channels == 1 else np.ascontiguousarray(pixels))
    large = plain.resize((pixels.shape[1] * scale, pixels.shape[0] * scale), Image.Resampling.NEAREST)
    if channels != 4:
        return large.convert("RGB")
    ground = _checkerboard(large.height, large.width)
    ground.paste(large, (0, 0), large.getchannel("A"))
    return ground


def _checkerboard(height: int, width: int) -> Image.Image:
    rows, columns = np.indices((height, width)) // CHECKER_SIDE
    return Image.fromarray(np.array(CHECKER, dtype=np.uint8)[(rows + columns) % 2])


def image_grid(
    images: Images,
    columns: int,
    *,
    scale: int | None = None,
    row_labels: list[str] | None = None,
    title: str | None = None,
) -> Image.Image:
    """Images in rows of `columns`, in order; N need not fill the last row.

    `images` is (N, H, W, C) uint8 or a sequence of (H, W, C) of different sizes; a cell is as large as the largest.
    `row_labels` name the rows from the top. Raises ValueError for no images, or other than 1, 3 or 4 channels.
    """
    if len(images) == 0:
        raise ValueError("a grid needs at least one image")
    side = max(max(image.shape[:2]) for image in images)
    factor = scale or enlargement(side, side)
    tiles = [tile(image, factor) for image in images]
    width, height = max(t.width for t in tiles), max(t.height for t in tiles)
    rows = -(-len(tiles) // columns)
    labels = row_labels or []
    left = MARGIN + (max((text_width(label) for label in labels), default=0) + GAP * 2 if labels else 0)
    top = MARGIN + (TEXT_SIZE + GAP * 2 if title else 0)
    used = min(columns, len(tiles))
    total_width = left + used * (width + GAP) - GAP + MARGIN
    if title:
        total_width = max(total_width, text_width(title) + 2 * MARGIN)
    sheet = Image.new("RGB", (total_width, top + rows * (height + GAP) - GAP + MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((MARGIN, MARGIN - 1), title, fill=INK, font=_font(TEXT_SIZE))
    for row, label in enumerate(labels[:rows]):
        middle = top + row * (height + GAP) + height // 2
        draw.text((MARGIN, middle), label, fill=INK, font=_font(TEXT_SIZE), anchor="lm")
    for index, picture in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet.paste(picture, (left + column * (width + GAP), top + row * (height + GAP)))
    return sheet


def pair_grid(
    left: Images,
    right: Images,
    columns: int,
    left_label: str,
    right_label: str,
    captions: list[str] | None = None,
    *,
    scale: int | None = None,
) -> Image.Image:
    """Pairs side by side, `columns` pairs to a row; a legend line says which side is which.

    Both are (N, H, W, C) uint8 or sequences of (H, W, C); `captions` stand below each pair. Raises ValueError
    when the two differ in number, or are empty.
    """
    if len(left) != len(right) or len(left) == 0:
        raise ValueError(f"pairs need as many images on both sides, not {len(left)} and {len(right)}")
    side = max(max(image.shape[:2]) for image in [*left, *right])
    factor = scale or enlargement(side, side)
    cell, caption_size = side * factor, TEXT_SIZE - 2
    pair_width = max(2 * cell + 1, *(text_width(text, caption_size) for text in captions or [""]))
    pair_height = cell + (caption_size + GAP if captions else 0)
    legend = f"left: {left_label}   right: {right_label}"
    rows, used = -(-len(left) // columns), min(columns, len(left))
    gap, top = GAP * 3, MARGIN + TEXT_SIZE + GAP * 2
    width = max(MARGIN * 2 + used * (pair_width + gap) - gap, text_width(legend) + 2 * MARGIN)
    sheet = Image.new("RGB", (width, top + rows * (pair_height + gap) - gap + MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 1), legend, fill=INK, font=_font(TEXT_SIZE))
    for index, (first, second) in enumerate(zip(left, right, strict=True)):
        row, column = divmod(index, columns)
        x, y = MARGIN + column * (pair_width + gap), top + row * (pair_height + gap)
        sheet.paste(tile(first, factor), (x, y))
        sheet.paste(tile(second, factor), (x + cell + 1, y))
        if captions:
            draw.text((x, y + cell + GAP // 2), captions[index], fill=INK, font=_font(caption_size))
    return sheet


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG without metadata, atomically; equal pixels make equal bytes."""
    with atomic_file(path) as scratch:
        image.save(scratch, format="PNG", optimize=True)

"""The same pixels in other files: containers and modes that people re-export to, and odd files that are perfectly valid."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from aigc_core.modalities import image
from defects.pictures import Pixels, flattened, one_bit, palette_png, png, saved

#: Bytes and the ending of a file; null where the pixels cannot be written so without loss.
File = tuple[bytes, str] | None


def _plain(pixels: Pixels) -> File:
    return saved(image.to_pil(pixels), "PNG", compress_level=9), "png"


def _bmp(pixels: Pixels) -> File:
    return (saved(image.to_pil(pixels), "BMP"), "bmp") if pixels.shape[2] != 4 else None


def _tiff(pixels: Pixels) -> File:
    return saved(image.to_pil(pixels), "TIFF", compression="tiff_lzw"), "tif"


def _webp(pixels: Pixels) -> File:
    return saved(image.to_pil(pixels), "WEBP", lossless=True, exact=True), "webp"


def _palette(pixels: Pixels) -> File:
    content = palette_png(pixels)
    return (content, "png") if content else None


def _one_bit(pixels: Pixels) -> File:
    content = one_bit(pixels, "TIFF")
    return (content, "tif") if content else None


def _grey_as_colour(pixels: Pixels) -> File:
    return (png(image.with_channels(pixels, 3)), "png") if pixels.shape[2] == 1 else None


def _opaque_alpha(pixels: Pixels) -> File:
    return (png(image.with_channels(pixels, 4)), "png") if pixels.shape[2] != 4 else None


def _hidden_colour(pixels: Pixels) -> File:
    """Another colour where nothing shows: tools clear it, or leave white."""
    if pixels.shape[2] != 4 or (pixels[..., 3] > 0).all():
        return None
    other = pixels.copy()
    hidden = pixels[..., 3] == 0
    other[hidden, :3] = 255 - other[hidden, :3]
    return png(other), "png"


#: Ways in which an exact copy comes.
COPIES: dict[str, Callable[[Pixels], File]] = {
    "PNG": _plain, "BMP": _bmp, "TIFF": _tiff, "lossless WebP": _webp, "palette": _palette, "1-bit TIFF": _one_bit,
    "grey as RGB": _grey_as_colour, "opaque alpha": _opaque_alpha, "other colour under full transparency": _hidden_colour,
}  # fmt: skip


def copy(pixels: Pixels, number: int) -> tuple[bytes, str, str]:
    """Bytes, ending and way of the exact copy with this number: the ways that the pixels allow, one after the other."""
    possible = [(name, found) for name, make in COPIES.items() if (found := make(pixels))]
    name, (content, ending) = possible[number % len(possible)]
    return content, ending, name


# -- valid odd files ---------------------------------------------------------------------------------


def _sixteen_bits(pixels: Pixels) -> tuple[bytes, str]:
    grey = image.with_channels(pixels, 1)[..., 0].astype(np.uint16) * 257
    return saved(Image.fromarray(grey), "PNG"), "png"


def _cmyk(pixels: Pixels) -> tuple[bytes, str]:
    colour = image.with_channels(flattened(pixels, 255), 3)
    return saved(image.to_pil(colour).convert("CMYK"), "JPEG", quality=95), "jpg"


def _few_colours(pixels: Pixels) -> tuple[bytes, str]:
    colour = image.with_channels(flattened(pixels, 255), 3)
    return saved(image.to_pil(colour).quantize(64), "GIF"), "gif"


def _black_and_white(pixels: Pixels) -> tuple[bytes, str]:
    return saved(image.to_pil(image.with_channels(flattened(pixels, 255), 1)).convert("1"), "PNG"), "png"


def _turned(pixels: Pixels) -> tuple[bytes, str]:
    """Stored lying, with the EXIF mark that says how to stand it up."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = image.to_pil(np.ascontiguousarray(np.rot90(pixels)))
    if pixels.shape[2] == 4:
        return saved(lying, "PNG", exif=exif), "png"
    return saved(lying, "JPEG", quality=95, exif=exif), "jpg"


def _animated(pixels: Pixels) -> tuple[bytes, str]:
    first = image.to_pil(pixels)
    later = [first.rotate(angle) for angle in (5, 10)]
    return saved(first, "PNG", save_all=True, append_images=later, duration=80), "png"


#: Adam7: the first row and column of each pass, and the steps to the next ones.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def interlaced(pixels: Pixels) -> bytes:
    """An interlaced PNG, which Pillow reads but does not write."""
    height, width, channels = pixels.shape
    lines = io.BytesIO()
    for top, left, down, across in _PASSES:
        part = pixels[top::down, left::across]
        if part.size:
            for line in part:
                lines.write(b"\0" + line.tobytes())
    colour = {1: 0, 3: 2, 4: 6}[channels]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 1)),
        (b"IDAT", zlib.compress(lines.getvalue())),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


#: Valid odd files: what makes them of pixels, and their name where that is what is odd.
VALID: dict[str, tuple[Callable[[Pixels], tuple[bytes, str]], str]] = {
    "palette GIF": (_few_colours, ""),
    "1 bit": (_black_and_white, ""),
    "16 bits": (_sixteen_bits, ""),
    "CMYK": (_cmyk, ""),
    "EXIF rotation": (_turned, ""),
    "interlaced PNG": (lambda pixels: (interlaced(pixels), "png"), ""),
    "animation": (_animated, ""),
    "upper-case ending": (lambda pixels: (png(pixels), "PNG"), ""),
    "spaces in the name": (lambda pixels: (png(pixels), "png"), "IMG {} (copy 2)"),
    "non-ASCII name": (lambda pixels: (png(pixels), "png"), "größe фото 写真 {}"),
}

"""Images: bytes to pixels and back, and nothing that judges them.

Legend: H, W = height, width in px; C = channels (1 grey, 3 colour, 4 colour with alpha). Pixels are uint8 in
[0, 255], shape (H, W, C).
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from aigc_core.errors import DecodeError

Pixels = npt.NDArray[np.uint8]

#: Written into every card, because features change with the way an image is resized.
RESIZE_MODE = "lanczos-cover"
#: Larger images are refused before they are decoded: a small file may unpack to gigabytes.
MAX_PIXELS = 64_000_000
#: Rows of wide grey that are scaled at once.
STRIP_ROWS = 256
#: Where a PNG or JPEG may say that it is turned; without one of these Pillow has no rotation to find.
ROTATED_BY = frozenset({"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"})
#: Colour that lies behind transparent pixels where one luma is needed; grey is as far from black as from white.
BACKDROP = 128


@dataclass(frozen=True)
class Decoded:
    """Pixels (H, W, C), what had to be normalised to get them, and what the bytes were, by Pillow's name."""

    pixels: Pixels
    notes: tuple[str, ...]
    format: str | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow warns of bombs and odd metadata; the limit on pixels is ours, and what it could read is taken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode(content: bytes) -> Decoded:
    """Decode one encoded image to 1, 3 or 4 channels of 8 bits.

    EXIF rotation is applied, palettes and CMYK become RGB(A), 16 bits become 8, of an animation the first frame is
    taken; each leaves a note. Raises DecodeError, with the reason, for anything that is not a whole image.
    """
    with quiet():
        return decode_quietly(content)


def decode_quietly(content: bytes) -> Decoded:
    """`decode` for a caller that holds `quiet` over many images."""
    if not content:
        raise DecodeError("zero bytes")
    try:
        with Image.open(io.BytesIO(content), formats=_safe_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DecodeError(f"{image.width}x{image.height} px is more than {MAX_PIXELS:,} px")
            return _normalise(image)
    except (DecodeError, MemoryError):  # a full memory says nothing of the image
        raise
    except Image.DecompressionBombError:
        raise DecodeError(f"more than {MAX_PIXELS:,} px") from None
    except Exception as error:  # Pillow's readers raise many kinds for foreign bytes; each is the same verdict
        text = (
            "not an image" if "cannot identify" in str(error) else " ".join(str(error).split()) or type(error).__name__
        )
        raise DecodeError(text) from None


@functools.cache
def _safe_formats() -> tuple[str, ...]:
    """Every format that Pillow reads by itself, the usual ones first: EPS would hand foreign bytes to Ghostscript."""
    Image.preinit()
    Image.init()
    usual = ("PNG", "JPEG")  # each format is asked in this order, and by name PNG would be the thirtieth
    return (*usual, *(name for name in Image.OPEN if name not in ("EPS", *usual)))


def _normalise(image: Image.Image) -> Decoded:
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"first of {getattr(image, 'n_frames', 1)} frames")
    mode = image.mode
    transparent = "transparency" in image.info
    image.load()
    rotation = _rotation(image)
    upright: Image.Image = image
    if rotation != 1:
        upright = ImageOps.exif_transpose(image)  # copies also where nothing is turned
        notes.append(f"EXIF orientation {rotation} applied")
    if mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        notes.append(f"mode {mode} scaled to 8 bits")
        return Decoded(_eight_bits(np.asarray(upright)), tuple(notes), image.format)
    target = _target_mode(mode, transparent)
    if target != mode:
        notes.append(f"mode {mode} read as {target}")
        upright = upright.convert(target)
    # What np.asarray does as well, by a longer way.
    pixels = np.frombuffer(upright.tobytes(), np.uint8).reshape(upright.height, upright.width, -1)
    return Decoded(pixels, tuple(notes), image.format)


def _rotation(image: Image.Image) -> Any:
    """EXIF's orientation, 1 where there is none. Building Pillow's Exif for every file costs more than looking first."""
    if image.format in ("PNG", "JPEG") and ROTATED_BY.isdisjoint(image.info):
        return 1
    return image.getexif().get(0x0112, 1)


def _target_mode(mode: str, transparent: bool) -> str:
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or transparent:
        return "RGBA"
    return "L" if mode in ("1", "L") else "RGB"


def _eight_bits(values: npt.NDArray[np.generic]) -> Pixels:
    """Scale wide grey to 8 bits: floats in [0, 1] by 255, up to 16 bits by 1/257, else by the image's own range."""
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DecodeError("pixels that are not finite numbers")
    shift, factor = low, 255 / max(high - low, 1e-12)
    if np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1:
        shift, factor = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        shift, factor = 0.0, 1 / 257
    scaled = np.empty((*values.shape, 1), np.uint8)
    for top in range(0, values.shape[0], STRIP_ROWS):  # the largest images would take gigabytes as floats
        strip = (values[top : top + STRIP_ROWS].astype(np.float64) - shift) * factor
        scaled[top : top + STRIP_ROWS, :, 0] = np.clip(np.round(strip), 0, 255)
    return scaled


def content_hash(pixels: Pixels) -> str:
    """Hex sha256 of shape and pixels: equal for the same picture in two file formats."""
    whole = hashlib.sha256(_hash_header(pixels.shape))
    whole.update(np.ascontiguousarray(pixels).data)
    return whole.hexdigest()


@functools.lru_cache(maxsize=1024)
def _hash_header(shape: tuple[int, ...]) -> bytes:
    return ",".join(str(side) for side in shape).encode() + b":"


@dataclass(frozen=True)
class Identity:
    """What a row is known by before it is measured: digest and size (H, W, C) of its pixels, and a note; null where undecodable."""

    digest: str | None
    note: str | None
    shape: tuple[int, ...] | None


def identify(contents: list[bytes | None]) -> list[Identity]:
    """The identities of encoded images, in their order; an undecodable one has the reason as its note, a null one nothing."""
    with quiet():
        return [_identity(content) for content in contents]


def _identity(content: bytes | None) -> Identity:
    if content is None:
        return Identity(None, None, None)
    try:
        decoded = decode_quietly(content)
    except DecodeError as failure:
        return Identity(None, str(failure), None)
    return Identity(content_hash(decoded.pixels), "; ".join(decoded.notes) or None, decoded.pixels.shape)


def to_pil(pixels: Pixels) -> Image.Image:
    """A Pillow image of (H, W, C) pixels."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def encode_png(pixels: Pixels) -> bytes:
    """Lossless PNG without metadata; equal pixels make equal bytes."""
    buffer = io.BytesIO()
    to_pil(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


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
    """Scale the shorter side to `size` (Lanczos) and cut the middle square: (size, size, channels)."""
    pixels = with_channels(pixels, channels)
    if pixels.shape[:2] == (size, size):
        return pixels
    fitted = ImageOps.fit(to_pil(pixels), (size, size), Image.Resampling.LANCZOS)
    values = np.asarray(fitted, dtype=np.uint8)
    return values[..., None] if values.ndim == 2 else values

"""Images: bytes to pixels and back, and nothing that judges them.

Legend: H, W = height, width in px; C = channels (1 grey, 3 colour, 4 colour with alpha). Pixels are uint8 in
[0, 255], shape (H, W, C).
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities.decoding import deep_files, deep_tiff, depth, endings, exif, foreign, jpeg_end, metadata, tiff
from aigc_core.modalities.decoding.canonical import Pixels as Pixels
from aigc_core.modalities.decoding.canonical import canonical, dark_mean, digest, without_empty_alpha
from aigc_core.modalities.fitting import BACKDROP as BACKDROP
from aigc_core.modalities.fitting import RESIZE_MODE as RESIZE_MODE
from aigc_core.modalities.fitting import fit as fit
from aigc_core.modalities.fitting import to_pil as to_pil
from aigc_core.modalities.fitting import with_channels as with_channels

#: Larger images are refused before they are decoded: a small file may unpack to gigabytes.
MAX_PIXELS = 64_000_000
#: Bytes of samples that are held at once; TIFF files with more are left to Pillow, which keeps the upper bytes alone.
MAX_BYTES = 170_000_000
#: Modes of Pillow with one wide sample per pixel.
WIDE_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
JPEG = b"\xff\xd8\xff"
#: Formats of which Pillow keeps 8 bits where there are more.
NARROWED = frozenset({"JPEG2000", "SGI"})
#: Formats whose fourth sample is often written as 0 and means nothing.
SPARE_ALPHA = frozenset({"TGA", "BMP"})
#: First bytes of TIFF and of PPM, which are not left to Pillow as they are.
READ_HERE = frozenset(b"IMP")
#: Bits per sample in the header of a PNG, when they are more than Pillow keeps.
DEEP = 16


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
    """Decode one encoded image to 1, 3 or 4 channels of 8 bits, in canonical form: one picture, one array.

    EXIF rotation is applied, palettes and CMYK become RGB(A), wider values become 8 bits, of an animation the first frame
    is taken, metadata that cannot be read is ignored; each leaves a note. Raises DecodeError, with the reason, for
    anything that is not a whole image.
    """
    with quiet():
        return decode_quietly(content)


def decode_quietly(content: bytes) -> Decoded:
    """`decode` for a caller that holds `quiet` over many images."""
    if not content:
        raise DecodeError("zero bytes")
    try:
        return _read(content)
    except (DecodeError, MemoryError):  # a full memory says nothing of the image
        raise
    except Exception as error:  # Pillow's readers raise many kinds for foreign bytes; each is the same verdict
        return _read_otherwise(content, error)


def _read_otherwise(content: bytes, failure: Exception) -> Decoded:
    """What Pillow gave up at, without its metadata, or with its end, or by an optional package. Raises DecodeError."""
    kind = foreign.plugin(content)
    name = foreign.registered(kind) if kind else None
    info: Mapping[str, Any] | None = {} if kind == "JPEG XL" else None  # its decoders turn it by themselves
    attempts: list[Callable[[], Decoded | None]] = [lambda: _read(content, info, (name,))] if name else []
    bare = None if isinstance(failure, Image.DecompressionBombError) else metadata.without_metadata(content)
    if bare is not None:
        attempts.append(lambda: _noted(_read(bare.content, bare.info), bare.note))
        if content.startswith(JPEG):
            attempts.append(lambda: _ended(bare.content, bare.info))
    for attempt in attempts:
        try:
            decoded = attempt()
        except (DecodeError, MemoryError):
            raise
        except Exception as error:
            failure = error
        else:
            if decoded is not None:
                return decoded
    raise DecodeError(_words(content, failure)) from None


def _ended(content: bytes, info: Mapping[str, Any]) -> Decoded | None:
    closed = jpeg_end.ended(content, _as_stored)
    return _noted(_read(closed, info), jpeg_end.MISSING) if closed else None


def _as_stored(content: bytes) -> Pixels:
    with _opened(content) as image:
        return np.asarray(image)


def _noted(decoded: Decoded, note: str) -> Decoded:
    return replace(decoded, notes=(note, *decoded.notes))


def _words(content: bytes, failure: Exception) -> str:
    if isinstance(failure, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} px"
    known = foreign.reason(content)
    if known is None and "cannot identify" in str(failure):
        known = foreign.damaged(content) or "not an image"
    return known or " ".join(str(failure).split()) or type(failure).__name__


@functools.cache
def _safe_formats() -> tuple[str, ...]:
    """Every format that Pillow reads by itself, the usual ones first: EPS would hand foreign bytes to Ghostscript."""
    Image.preinit()
    Image.init()
    usual = ("PNG", "JPEG")  # each format is asked in this order, and by name PNG would be the thirtieth
    return (*usual, *(name for name in Image.OPEN if name not in ("EPS", *usual)))


def _opened(content: bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    """The image, whose pixels are not read yet. Raises DecodeError for one that is too large."""
    image = Image.open(io.BytesIO(content), formats=formats or _safe_formats())
    _check_size(*image.size)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(f"{width}x{height} px is more than {MAX_PIXELS:,} px")


def _read(content: bytes, info: Mapping[str, Any] | None = None, formats: tuple[str, ...] | None = None) -> Decoded:
    """Decode, in canonical form; `info` is what is known of how the image lies where the bytes do not say it any more."""
    if content[0] in READ_HERE and (special := _read_here(content)) is not None:
        return special
    with _opened(content, formats) as image:
        notes = _first_of(getattr(image, "n_frames", 1))
        if image.format == "PNG" and metadata.png_header(content).bits == DEEP:
            pixels, read = deep_files.png(image, content, lambda: _opened(content))
        else:
            pixels, read = _pixels(image, content)
        if image.format in SPARE_ALPHA:
            pixels, read = without_empty_alpha(pixels, read)
        place: Mapping[Any, Any] = image.info if info is None else info
        if exif.CARRIERS.isdisjoint(place):
            return Decoded(canonical(pixels), notes + read, image.format)
        orientation, ignored = exif.orientation(place)
        return _finished(pixels, notes + ignored, read, orientation, image.format)


def _first_of(frames: int) -> tuple[str, ...]:
    return (f"first of {frames} frames",) if frames > 1 else ()


def _finished(
    pixels: Pixels, notes: tuple[str, ...], read: tuple[str, ...], orientation: int, name: str | None
) -> Decoded:
    if orientation != exif.UPRIGHT:
        pixels = exif.upright(pixels, orientation)
        notes = (*notes, f"EXIF orientation {orientation} applied")
    return Decoded(canonical(pixels), notes + read, name)


def _read_here(content: bytes) -> Decoded | None:
    """What Pillow would read with less than it holds; None where that is not so."""
    if (found := tiff.read(content)) is not None:
        return _read_tiff(found)
    if (wide := deep_files.deep_ppm(content)) is not None:
        _check_size(wide[0].shape[1], wide[0].shape[0])
        pixels, read = depth.eight_bits(*wide)
        return Decoded(canonical(pixels), read, "PPM")
    return None


def _read_tiff(found: tiff.Tiff) -> Decoded:
    """TIFF, whose tags are read here: Pillow turns it by itself, and fails to where another tag is broken."""
    if (raw := foreign.camera_raw(found)) is not None:
        raise DecodeError(raw)
    orientation, notes = exif.valid(found.orientation())
    notes = _first_of(found.frames) + notes
    layout = deep_tiff.layout_of(found)
    if layout is not None:
        _check_size(layout.width, layout.height)
        if layout.bytes <= MAX_BYTES:
            pixels, read = _without_undeclared(found, *deep_tiff.pixels_of(found, layout, _bytes_of_rows))
            return _finished(pixels, notes, read, orientation, "TIFF")
        if layout.photometric == deep_tiff.MIN_IS_WHITE:
            raise DecodeError(f"a TIFF whose white is 0 with more than {MAX_BYTES:,} bytes of samples")
    content = tiff.mended(found)
    with _opened(content) as image:
        pixels, read = _without_undeclared(found, *_pixels(image, content))
        return _finished(pixels, notes, read, orientation, image.format)


def _without_undeclared(found: tiff.Tiff, pixels: Pixels, read: tuple[str, ...]) -> tuple[Pixels, tuple[str, ...]]:
    return (pixels, read) if tiff.EXTRA_SAMPLES in found.entries else without_empty_alpha(pixels, read)


def _bytes_of_rows(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content), formats=("TIFF",)) as image:
        return _pixels(image, content)[0]


def _pixels(image: Image.Image, content: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels (H, W, C) as they are stored, and notes on how they were converted."""
    transparent = "transparency" in image.info
    image.load()
    notes = endings.check(image, content, _as_stored)
    mode = image.mode  # of an icon it is known only now
    if transparent and image.format == "PNG":
        deep_files.scale_key(image, content)
    if mode in WIDE_MODES:
        return deep_files.grey(image, content)
    target = _target_mode(mode, transparent)
    if target != mode:
        notes += (f"mode {mode} read as {target}",)
        image = image.convert(target)
    # What np.asarray does as well, by a longer way.
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)
    if image.format in NARROWED and deep_files.narrowed(image, content):
        notes += depth.dim(pixels[..., :3])
    return pixels, notes


def _target_mode(mode: str, transparent: bool) -> str:
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or transparent:
        return "RGBA"
    return "L" if mode in ("1", "L") else "RGB"


def content_hash(pixels: Pixels) -> str:
    """Hex sha256 of shape and pixels in their canonical form: equal for one picture in any file format and with any channels."""
    return digest(canonical(pixels))


@dataclass(frozen=True)
class Identity:
    """What a row is known by before it is measured: digest and size (H, W, C) of its pixels, and a note; null where undecodable."""

    digest: str | None
    note: str | None
    shape: tuple[int, ...] | None
    dark_mean: float | None = None  # `dark_mean` of its pixels


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
    pixels, notes = decoded.pixels, "; ".join(decoded.notes)
    return Identity(digest(pixels), notes or None, pixels.shape, dark_mean(pixels))


def encode_png(pixels: Pixels) -> bytes:
    """Lossless PNG without metadata; equal pixels make equal bytes."""
    buffer = io.BytesIO()
    to_pil(pixels).save(buffer, format="PNG")
    return buffer.getvalue()

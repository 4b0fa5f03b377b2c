"""PNG and PPM with more than 8 bits: Pillow keeps the upper bytes of colours, so both bytes are taken here.

Legend: H, W = height, width in px; S = samples per pixel.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from aigc_core.modalities.decoding.canonical import OPAQUE, Pixels
from aigc_core.modalities.decoding.depth import Known, eight_bits
from aigc_core.modalities.decoding.endings import check_png
from aigc_core.modalities.decoding.metadata import checksum, png_chunks, png_header

Wide = npt.NDArray[np.uint16]
Opener = Callable[[], Image.Image]

#: Colour types of PNG's IHDR with 16 bits: name in notes, samples.
PNG_COLOURS = {0: ("I;16", 1), 2: ("RGB;16", 3), 4: ("LA;16", 2), 6: ("RGBA;16", 4)}
#: Pillow's names of the layouts that take the upper and the lower bytes of a row; grey with alpha is read as four bytes.
BYTES = {2: ("RGB;16B", "RGB;16L"), 6: ("RGBA;16B", "RGBA;16L")}
WIDEST = 65535
_CARD = re.compile(rb"(BZERO|BSCALE) *= *([-+0-9.E]+)")
_BETWEEN = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PPM = re.compile(rb"P([56])" + _BETWEEN + rb"(\d+)" + _BETWEEN + rb"(\d+)" + _BETWEEN + rb"(\d+)\s")


def png(image: Image.Image, content: bytes, opener: Opener) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels (H, W, 1, 3 or 4) of a PNG of 16 bits, which is not read yet, and notes. `opener` opens it anew."""
    colour = png_header(content).colour
    name, samples = PNG_COLOURS[colour]
    values = _values(image, colour, opener)
    check_png(content, filled=bool(values[-1].any()))
    alpha = samples in (2, 4)
    significant, key = _declared(content, colour, samples - alpha)
    white = None
    if significant is not None:  # scaled to 16 bits, as the specification asks, or not scaled at all
        most = 2.0**significant - 1
        white = most if values[..., : samples - alpha].max() <= most else float(WIDEST)
    pixels, notes = eight_bits(values, Known(name, 16, white=white), alpha=alpha)
    if samples == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    if key is not None:
        shown = (values != np.array(key, np.uint16)).any(axis=2, keepdims=True).astype(np.uint8) * OPAQUE
        pixels = np.concatenate([np.broadcast_to(pixels, (*pixels.shape[:2], 3)), shown], axis=2)
    return pixels, notes


def _values(image: Image.Image, colour: int, opener: Opener) -> Wide:
    """Values (H, W, S) in the machine's order of bytes."""
    if colour == 0:
        return np.asarray(image).astype(np.uint16, copy=False)[..., None]
    if colour == 4:
        return np.ascontiguousarray(_rows(image, "RGBA")).view(">u2").astype(np.uint16)
    upper, lower = BYTES[colour]
    high = _rows(image, upper).astype(np.uint16)
    with opener() as again:
        return (high << 8 | _rows(again, lower)).astype(np.uint16, copy=False)


def _rows(image: Image.Image, layout: str) -> Pixels:
    image.tile = [part._replace(args=layout) for part in image.tile]  # type: ignore[attr-defined]
    image.load()
    return np.asarray(image)


def _declared(content: bytes, colour: int, colours: int) -> tuple[int | None, tuple[int, ...] | None]:
    """Bits of a colour that are significant (sBIT), and the colour that is transparent (tRNS); each None where the file does not say."""
    significant: int | None = None
    key: tuple[int, ...] | None = None
    for name, body, check in png_chunks(content):
        if name == b"IDAT":
            break
        if check != checksum(name, body):
            continue
        if name == b"sBIT" and len(body) >= colours and 0 < max(body[:colours]) <= 16:
            significant = max(body[:colours])
        elif name == b"tRNS" and colour in (0, 2) and len(body) >= 2 * colours:
            key = struct.unpack_from(f">{colours}H", body)
    return significant, key


def scale_key(image: Image.Image, content: bytes) -> None:
    """Scale the transparent grey of a PNG of 2 or 4 bits as Pillow scales its pixels, but not this."""
    header = png_header(content)
    key = image.info.get("transparency")
    if header.colour == 0 and header.bits in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * (255 // (2**header.bits - 1))


def deep_ppm(content: bytes) -> tuple[Wide, Known] | None:
    """Values (H, W, 1 or 3) of a binary PGM or PPM of 16 bits, and what its header says of them; None for any other file.

    The largest possible value counts as said, unless it is that of all 16 bits, which writers put there for any depth.
    """
    match = _PPM.match(content[:1024]) if content[:2] in (b"P5", b"P6") else None
    if match is None:
        return None
    wide, high, most = (int(part) for part in match.groups()[1:])
    samples = 1 if match[1] == b"5" else 3
    size = wide * high * samples
    if not 255 < most <= WIDEST or not 0 < 2 * size <= len(content) - match.end():
        return None
    values = np.frombuffer(content, ">u2", size, match.end()).astype(np.uint16)
    known = Known("I" if samples == 1 else "RGB;16", 16, white=None if most == WIDEST else float(most))
    return values.reshape(high, wide, samples), known


def grey(image: Image.Image, content: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels (H, W, 1) and notes of an image whose mode is wide, of any other format."""
    values: npt.NDArray[Any] = np.asarray(image)[..., None]
    if image.format == "FITS":
        return eight_bits(*_fits(values, content))
    bits = 16 if image.mode.startswith("I;16") else 32
    white = None
    if image.format == "JPEG2000" and (precision := _precision(content)) is not None and precision < 16:
        white = float(WIDEST)  # Pillow scales to 16 bits what is said to have fewer
    if image.format == "PPM" and image.mode == "I":  # the plain text form, which Pillow scales to 16 bits
        white = float(WIDEST)
    return eight_bits(values, Known(image.mode, bits, signed=image.mode == "I", white=white))


def narrowed(image: Image.Image, content: bytes) -> bool:
    """Whether Pillow read an image with more than 8 bits per sample by its upper bits alone."""
    if image.format == "JPEG2000":
        return (_precision(content) or 0) > 8
    return image.format == "SGI" and content[3] == 2


def _fits(values: npt.NDArray[Any], content: bytes) -> tuple[npt.NDArray[Any], Known]:
    """The values that a FITS file means: its integers are signed, and its header may shift and scale them, which Pillow leaves out."""
    header = content[: content.find(b"END" + b" " * 77)]
    cards = {name: float(value) for name, value in _CARD.findall(header)}
    shift, factor = cards.get(b"BZERO", 0.0), cards.get(b"BSCALE", 1.0)
    if values.dtype == np.uint16:
        values = values.view(np.int16)
    bits = 8 * values.dtype.itemsize
    if values.dtype.kind == "f" or (shift, factor) == (0, 1):
        return values, Known("I;16" if bits == 16 else "I", bits, signed=True)
    if (shift, factor) == (32768, 1):
        return (values.astype(np.int32) + 32768).astype(np.uint16), Known("I;16", 16)
    return values * factor + shift, Known("F", 32)


def _precision(content: bytes) -> int | None:
    """Bits per sample of the first component of a JPEG 2000 codestream (its marker SIZ)."""
    place = content.find(b"\xff\x4f\xff\x51")
    return (content[place + 42] & 0x7F) + 1 if place >= 0 and place + 42 < len(content) else None

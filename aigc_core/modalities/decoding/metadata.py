"""An image file without its metadata: what is left when Pillow gives up at a part that decides no pixel.

Each function takes the bytes of one format and returns them with the parts alone that the pixels depend on, and what of
the rest says how the image lies, under Pillow's names; None where the format's frame itself cannot be followed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aigc_core.modalities.decoding import tiff

PNG = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"sBIT", b"tRNS", b"IDAT", b"IEND"})
#: Bytes of tRNS by the colour type of IHDR; any number up to 256 for a palette.
PNG_KEY = {0: 2, 2: 6}
WEBP_PIXELS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})
#: Flags of VP8X for ICC, EXIF and XMP.
WEBP_METADATA = 0x20 | 0x08 | 0x04
#: Length and name before each chunk of a PNG, and what its IHDR holds.
_CHUNK, _HEADER = struct.Struct(">I4s"), struct.Struct(">IIBBBBB")
#: A text that says how an image lies is far shorter.
LONGEST_TEXT = 1 << 20
JFIF_LENGTH, ADOBE_LENGTH = 14, 12
#: Notes on what is left out.
IGNORED = "metadata that cannot be read ignored"
FIRST_FRAME_ALONE = "what cannot be read beside the first frame ignored"


@dataclass(frozen=True)
class Bare:
    """The file without metadata, what of that says how the image lies, by Pillow's name for it, and a note on what is left out."""

    content: bytes
    info: dict[str, Any] = field(default_factory=dict)
    note: str = IGNORED


def without_metadata(content: bytes) -> Bare | None:
    """The file without metadata; None for a format or a damage that this cannot help with."""
    for magic, function in _BY_MAGIC.items():
        if content.startswith(magic):
            try:
                return function(content)
            except (struct.error, IndexError, ValueError):
                return None
    return None


class PngHeader(NamedTuple):
    """What the chunk IHDR of a PNG says."""

    width: int  # px
    height: int  # px
    bits: int  # per sample
    colour: int  # 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha
    packing: int
    filtering: int
    interlaced: int


def png_header(content: bytes) -> PngHeader:
    """The header of a PNG, which another chunk may precede. Raises struct.error where there is none."""
    if content[12:16] == b"IHDR":
        return PngHeader(*_HEADER.unpack_from(content, 16))
    body = next((body for name, body, _ in png_chunks(content) if name == b"IHDR"), b"")
    return PngHeader(*_HEADER.unpack_from(body))


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Names, bodies and checksums of the chunks of a PNG; the last one may be cut off."""
    place = len(PNG)
    while place + 8 <= len(content):
        length, name = _CHUNK.unpack_from(content, place)
        end = place + 8 + length
        yield name, content[place + 8 : end], content[end : end + 4]
        place = end + 4


def checksum(name: bytes, body: bytes) -> bytes:
    """The checksum of a chunk of a PNG."""
    return zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big")


def _png(content: bytes) -> Bare:
    parts, info = [PNG], dict[str, Any]()
    colour, entries = png_header(content).colour, 0
    for name, body, check in png_chunks(content):
        if name not in PNG_PIXELS:
            info |= _png_position(name, body)
            continue
        if name in (b"sBIT", b"tRNS") and check != checksum(name, body):
            continue
        if name == b"PLTE":
            entries = len(body) // 3
        elif name == b"tRNS":
            if len(body) < PNG_KEY.get(colour, 0):
                continue
            body = body[: PNG_KEY.get(colour, entries)]
            check = checksum(name, body)
        parts.append(struct.pack(">I", len(body)) + name + body + check)
    return Bare(b"".join(parts), info)


def _png_position(name: bytes, body: bytes) -> dict[str, Any]:
    if name == b"eXIf":
        return {"exif": body}
    keyword, _, text = body.partition(b"\0")
    if keyword not in (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1"):
        return {}
    try:
        if name == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], LONGEST_TEXT)
        elif name == b"iTXt":
            packed, text = text[0], text[2:].split(b"\0", 2)[2]
            text = zlib.decompressobj().decompress(text, LONGEST_TEXT) if packed else text
    except (zlib.error, IndexError):
        return {}
    return {keyword.decode(): text.decode("latin-1")}


def _jpeg(content: bytes) -> Bare | None:
    parts, info, place = [content[:2]], dict[str, Any](), 2
    while True:
        place = content.index(b"\xff", place) if content[place] != 0xFF else place
        marker = content[place + 1]
        if marker in (0x00, 0xFF):  # filling
            place += 1
            continue
        (length,) = struct.unpack_from(">H", content, place + 2)
        body = content[place + 4 : place + 2 + length]
        if length < 2 or len(body) < length - 2:
            return None
        if marker == 0xDA:  # from here on the picture
            return Bare(b"".join([*parts, content[place:]]), info)
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or _decides_colour(marker, body):
            parts.append(content[place : place + 2 + length])
        elif body.startswith(b"Exif\0\0"):
            info.setdefault("exif", body)  # of several the first one begins the table of tags
        elif body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            info["xmp"] = body.split(b"\0", 1)[1]
        place += 2 + length


def _decides_colour(marker: int, body: bytes) -> bool:
    """Whether an application segment says how colour is stored: JFIF, or Adobe's, if it is whole."""
    jfif = marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= JFIF_LENGTH
    return jfif or (marker == 0xEE and body.startswith(b"Adobe") and len(body) >= ADOBE_LENGTH)


def _webp(content: bytes) -> Bare:
    parts, info, place = list[bytes](), dict[str, Any](), 12
    while place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        body = content[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
        if name == b"VP8X" and body:
            body = bytes([body[0] & ~WEBP_METADATA]) + body[1:]
        if name in WEBP_PIXELS:
            parts.append(struct.pack("<4sI", name, length) + body + bytes(length % 2))
        elif name in (b"EXIF", b"XMP "):
            info[{b"EXIF": "exif", b"XMP ": "xmp"}[name]] = body
    body = b"WEBP" + b"".join(parts)
    return Bare(b"RIFF" + struct.pack("<I", len(body)) + body, info)


def _gif(content: bytes) -> Bare:
    """The first frame, with the control block that says which colour is transparent."""
    flags = content[10]
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    parts = [content[:place]]
    while content[place] in (0x21, 0x2C):
        start = place
        extension = content[place] == 0x21
        if extension:
            place += 2
        else:
            flags = content[place + 9]
            place += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        while place < len(content) and content[place]:  # a block's bytes come in pieces, after their number
            place += 1 + content[place]
        place += 1
        if not extension or content[start + 1] == 0xF9:
            parts.append(content[start:place])
        if not extension:
            break
    return Bare(b"".join([*parts, b";"]), note=FIRST_FRAME_ALONE)


def _tiff(content: bytes) -> Bare | None:
    found = tiff.read(content)
    return Bare(tiff.written(found, {}), {}) if found else None


_BY_MAGIC: dict[bytes, Callable[[bytes], Bare | None]] = {
    PNG: _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"II": _tiff,
    b"MM": _tiff,
}

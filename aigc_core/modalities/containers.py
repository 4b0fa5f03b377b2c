"""The metadata of image files, block by block, without decoding pixels: PNG chunks, JPEG segments, WebP chunks.

Formats: PNG, W3C Recommendation (2003), section 5; JPEG, ITU-T T.81 (1992), annex B; XMP in JPEG, Adobe XMP part 3
(2020); RIFF container of WebP, Google (2011); JUMBF in JPEG APP11, ISO/IEC 19566-5.

A walk goes from header to header, so that its cost does not grow with the image data, and foreign bytes can make it
stop early but never fail, loop or allocate: a block is cut off at `MAX_BLOCK`, unpacked text too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Bytes of one block, and of one end of a file of another kind, that are looked at.
MAX_BLOCK = 1 << 20
#: Blocks of one file that are looked at.
MAX_BLOCKS = 10_000
#: Of a JPEG up to so many bytes, looking for its markers' bytes anywhere takes less time than a walk.
SMALL = 1 << 16
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_APP1, _APP11 = 0xE1, 0xEB
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
#: Keyword of the iTXt chunk that holds XMP in a PNG.
XMP_KEYWORD = "XML:com.adobe.xmp"


@dataclass
class Metadata:
    """What stands beside the pixels of one file."""

    text: list[tuple[str, str]] = field(default_factory=list)  # keyword and value of PNG text chunks
    xmp: list[bytes] = field(default_factory=list)  # XMP packets
    exif: list[bytes] = field(default_factory=list)  # TIFF structures, with or without "Exif\0\0"
    jumbf: list[bytes] = field(default_factory=list)  # JUMBF boxes, where C2PA manifests live

    def __bool__(self) -> bool:
        return bool(self.text or self.xmp or self.exif or self.jumbf)


def read_metadata(content: bytes) -> Metadata:
    """The metadata of a PNG, JPEG or WebP; of other formats the XMP and JUMBF within 1 MiB of either end."""
    found = Metadata()
    if content.startswith(PNG_SIGNATURE):
        _png(content, found)
    elif content.startswith(b"\xff\xd8"):
        _jpeg(content, found)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        _webp(content, found)
    else:
        _other(content, found)
    return found


def plain(text: str, most: int = 80) -> str:
    """Text out of a foreign file as it may be printed: at most so many characters, what is no visible one escaped."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in cut)


def png_end(content: bytes) -> str:
    """How a PNG ends otherwise than with its last chunk, in words; nothing where it ends with it."""
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        place += 12 + size
        if place > len(content):
            break
        if kind == b"IEND":
            more = len(content) - place
            if struct.unpack_from(">I", content, place - 4)[0] != zlib.crc32(content[place - 8 - size : place - 4]):
                return "the checksum of its last chunk (IEND) is wrong"
            return f"{more:,} byte{'s' if more > 1 else ''} stand behind its last chunk (IEND)" if more else ""
    return "it is cut short: it ends before its last chunk (IEND)"


def _png(content: bytes, found: Metadata) -> None:
    place = len(PNG_SIGNATURE)
    for _ in range(MAX_BLOCKS):
        if place + 8 > len(content):
            return
        size, kind = struct.unpack_from(">I4s", content, place)
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"caBX"):
            body = content[place + 8 : place + 8 + min(size, MAX_BLOCK)]
            if kind == b"eXIf":
                found.exif.append(body)
            elif kind == b"caBX":
                found.jumbf.append(body)
            else:
                _png_text(kind, body, found)
        place += 12 + size


def _png_text(kind: bytes, body: bytes, found: Metadata) -> None:
    keyword, _, rest = body.partition(b"\0")
    packed = False
    if kind == b"zTXt":
        packed, rest = True, rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # flag, method; language; translated keyword
    value = _inflate(rest) if packed else rest
    name = keyword.decode("latin-1")
    if name == XMP_KEYWORD:
        found.xmp.append(value)
    elif name.startswith("Raw profile type") or not name:
        return
    else:
        found.text.append((name, value.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")))


def _inflate(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_BLOCK)
    except zlib.error:
        return b""


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of the segments before the image data that may hold what is looked for."""
    place = 2
    for _ in range(MAX_BLOCKS):
        if place + 4 > len(content) or content[place] != 0xFF:
            return
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in (0xDA, 0xD9):  # image data, end
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without a body
            place += 2
            continue
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        if marker in (_APP1, _APP11):
            yield marker, content[place + 4 : place + 2 + size]
        place += 2 + max(size, 2)


def _jpeg(content: bytes, found: Metadata) -> None:
    if len(content) <= SMALL and b"\xff\xe1" not in content and b"\xff\xeb" not in content:
        return
    boxes: dict[bytes, bytearray] = {}
    extended = bytearray()
    for marker, body in _jpeg_segments(content):
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            found.exif.append(body)
        elif marker == _APP1 and body.startswith(_XMP_IN_JPEG):
            found.xmp.append(body[len(_XMP_IN_JPEG) :])
        elif marker == _APP1 and body.startswith(_EXTENDED_XMP) and len(extended) < MAX_BLOCK:
            extended += body[len(_EXTENDED_XMP) + 40 :]  # digest, length, offset
        elif marker == _APP11 and body.startswith(b"JP"):
            # "JP", box number (2 bytes), packet number (4); each packet repeats the box header (8).
            box = boxes.setdefault(body[2:4], bytearray())
            if len(box) < MAX_BLOCK:
                box += body[16:] if box else body[8:]
    found.jumbf += [bytes(box) for box in boxes.values()]
    if extended:
        found.xmp.append(bytes(extended))


def _webp(content: bytes, found: Metadata) -> None:
    place = 12
    for _ in range(MAX_BLOCKS):
        if place + 8 > len(content):
            return
        kind, size = struct.unpack_from("<4sI", content, place)
        target = {b"EXIF": found.exif, b"XMP ": found.xmp, b"C2PA": found.jumbf}.get(kind)
        if target is not None:
            target.append(content[place + 8 : place + 8 + min(size, MAX_BLOCK)])
        place += 8 + size + size % 2


def _other(content: bytes, found: Metadata) -> None:
    ends = [content] if len(content) <= 2 * MAX_BLOCK else [content[:MAX_BLOCK], content[-MAX_BLOCK:]]
    for end in ends:
        start, stop = end.find(b"<x:xmpmeta"), end.rfind(b"</x:xmpmeta>")
        if 0 <= start < stop:
            found.xmp.append(end[start:stop])
        box = end.find(b"jumb")
        if box >= 0:
            found.jumbf.append(end[box:])

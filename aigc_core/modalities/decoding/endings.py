"""Whether the pixels of a file are all there: Pillow fills what is missing with zeros or grey and says nothing.

A file that was broken off is often as long as it should be, with zeros for what never arrived.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities.decoding import jpeg_end
from aigc_core.modalities.decoding.canonical import Pixels

#: Samples per pixel by the colour type of a PNG's IHDR.
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: First column and row, and steps across and down, of the seven passes of an interlaced PNG.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Length and name before each chunk, and where the first one after IHDR lies.
CHUNK, HEADER_END = struct.Struct(">I4s"), 33
#: Bytes that are unpacked at once, and packed bytes that cannot unpack to many more.
PIECE, SMALL = 1 << 18, 1 << 10
#: So many zeros at the end of the picture of a WebP are looked into, by taking so many away: more than its readers look ahead.
ZEROS, TAKEN = 16, 12

Decode = Callable[[bytes], Pixels]


def check(image: Image.Image, content: bytes, decoded: Decode) -> tuple[str, ...]:
    """Notes on the end of the file whose image is loaded. Raises DecodeError where a visible part of its pixels is missing.

    `decoded` gives the pixels of another file as they are stored.
    """
    if image.format == "PNG":
        box = image.getbbox(alpha_only=False)
        check_png(content, filled=box is not None and box[3] == image.height)
    elif image.format in ("JPEG", "MPO"):
        return jpeg_end.check(image, content, decoded)
    elif image.format == "WEBP":
        _check_webp(content, decoded)
    return ()


def check_png(content: bytes, *, filled: bool) -> None:
    """Raise DecodeError for a PNG whose pixels are damaged or incomplete.

    `filled` says that the last row that is decoded holds a value other than 0: then no row is missing.
    """
    packed, place = list[bytes](), HEADER_END
    while place + 8 <= len(content):
        length, name = CHUNK.unpack_from(content, place)
        end = place + 8 + length
        if name == b"IDAT":
            check = content[end : end + 4]
            if len(check) == 4 and int.from_bytes(check, "big") != zlib.crc32(content[place + 4 : end]):
                raise DecodeError("a damaged PNG: the checksum of its pixels is wrong")
            packed.append(content[place + 8 : end])
        elif packed:  # they lie together
            break
        place = end + 4
    if filled and not content[28]:  # of an interlaced one the last row is not the last to come
        return
    if content[12:16] != b"IHDR":  # something foreign lies before what says how many bytes are wanted
        return
    wanted = _png_bytes(content)
    found = _unpacked(packed, wanted)
    if found < wanted:
        raise DecodeError(f"a damaged PNG: it holds {found:,} of the {wanted:,} bytes of its pixels")


def _png_bytes(content: bytes) -> int:
    """Bytes of all rows of a PNG with the byte before each that names its filter."""
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    pixel = bits * PNG_SAMPLES[colour]
    if not interlaced:
        return int(height * (1 + -(-width * pixel // 8)))
    sizes = ((-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in PASSES)
    return sum(high * (1 + -(-wide * pixel // 8)) for wide, high in sizes if wide > 0 and high > 0)


def _unpacked(bodies: list[bytes], wanted: int) -> int:
    """Bytes that the pixels of a PNG unpack to, counted no further than those that are wanted."""
    packed = b"".join(bodies)
    try:
        if len(packed) <= SMALL:  # as one it is quicker
            return len(zlib.decompress(packed, bufsize=wanted))
    except zlib.error:  # perhaps after all that is wanted
        pass
    stream, found = zlib.decompressobj(), 0
    try:
        while found < wanted and (piece := stream.decompress(packed, min(PIECE, wanted - found))):
            found += len(piece)
            packed = stream.unconsumed_tail
    except zlib.error:  # where the stream itself is broken, Pillow has said so
        pass
    return found


def _check_webp(content: bytes, decoded: Decode) -> None:
    """Raise DecodeError for a WebP whose picture, or first frame, ends in zeros that decide no pixel.

    Encoders write as many zeros as a flat part of the picture needs, and hardly any more.
    """
    name, body = _webp_picture(content)
    zeros = len(body) - len(body.rstrip(b"\0")) if body.endswith(b"\0") else 0
    if zeros < ZEROS:
        return
    body = body[:-TAKEN]
    shorter = b"WEBP" + name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    try:
        decoded(b"RIFF" + struct.pack("<I", len(shorter)) + shorter)
    except (OSError, ValueError, SyntaxError):  # Pillow misses what was taken away: it belongs to the picture
        return
    raise DecodeError(f"a damaged WebP: the last {zeros:,} bytes of its picture are zeros")


def _webp_picture(content: bytes) -> tuple[bytes, bytes]:
    """Name and body of the chunk that holds the picture, or the first frame; empty where there is none."""
    place = 12
    while place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        if name in (b"VP8 ", b"VP8L"):
            return name, content[place + 8 : place + 8 + length]
        # The chunks of a frame of an animation lie within it, behind its 16 bytes of place and time.
        place += 8 + (16 if name == b"ANMF" else length + length % 2)
    return b"", b""

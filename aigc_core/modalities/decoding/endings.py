"""Whether the pixels of a file are all there: Pillow fills what is missing with zeros or grey and says nothing.

A file that was broken off is often as long as it should be, with zeros for what never arrived.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities.decoding import jpeg_end
from aigc_core.modalities.decoding.canonical import Pixels
from aigc_core.modalities.decoding.metadata import PngHeader, checksum, png_chunks, png_header

#: Samples per pixel by the colour type of a PNG's IHDR.
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: First column and row, and steps across and down, of the seven passes of an interlaced PNG.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Packed bytes that are unpacked at once, bytes that they may become at once, and packed bytes that cannot become many.
PIECE, MOST, SMALL = 1 << 14, 1 << 18, 1 << 10
#: So many zeros at the end of the picture of a WebP or AVIF are looked into.
ZEROS = 16
#: So many of a WebP's are taken away for it: more than its readers look ahead.
TAKEN = 12

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
    elif image.format == "AVIF":
        _check_avif(image, content, decoded)
    return ()


def check_png(content: bytes, *, filled: bool) -> None:
    """Raise DecodeError for a PNG whose pixels are damaged or incomplete.

    `filled` says that the last row that is decoded holds a value other than 0: then no row is missing.
    """
    packed = list[bytes]()
    for name, body, check in png_chunks(content):
        if name == b"IDAT":
            if len(check) == 4 and check != checksum(name, body):
                raise DecodeError("a damaged PNG: the checksum of its pixels is wrong")
            packed.append(body)
        elif packed:  # they lie together
            break
    header = png_header(content)
    if filled and not header.interlaced:  # of an interlaced one the last row is not the last to come
        return
    wanted = _png_bytes(header)
    found = _unpacked(packed, wanted)
    if found < wanted:
        raise DecodeError(f"a damaged PNG: it holds {found:,} of the {wanted:,} bytes of its pixels")


def _png_bytes(header: PngHeader) -> int:
    """Bytes of all rows of a PNG with the byte before each that names its filter."""
    width, height, pixel = header.width, header.height, header.bits * PNG_SAMPLES[header.colour]
    if not header.interlaced:
        return height * (1 + -(-width * pixel // 8))
    sizes = ((-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in PASSES)
    return sum(high * (1 + -(-wide * pixel // 8)) for wide, high in sizes if wide > 0 and high > 0)


def _unpacked(bodies: list[bytes], wanted: int) -> int:
    """Bytes that the pixels of a PNG unpack to, counted no further than those that are wanted."""
    try:
        if sum(map(len, bodies)) <= SMALL:  # as one it is quicker
            return len(zlib.decompress(b"".join(bodies), bufsize=wanted))
    except zlib.error:  # perhaps after all that is wanted
        pass
    stream, found = zlib.decompressobj(), 0
    pieces = (body[place : place + PIECE] for body in bodies for place in range(0, len(body), PIECE))
    with contextlib.suppress(zlib.error):  # where the stream itself is broken, Pillow has said so
        for piece in pieces:  # in small ones, because what is not unpacked yet is copied each time
            while found < wanted and (unpacked := stream.decompress(piece, min(MOST, wanted - found))):
                found += len(unpacked)
                piece = stream.unconsumed_tail
    return found


def _check_webp(content: bytes, decoded: Decode) -> None:
    """Raise DecodeError for a WebP whose picture, or first frame, ends in zeros that decide no pixel.

    Encoders write as many zeros as a flat part of the picture needs, and hardly any more.
    """
    name, start, end = _webp_picture(content)
    if end - start < ZEROS or any(content[end - ZEROS : end]):
        return
    body = content[start : end - TAKEN]
    shorter = b"WEBP" + name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    try:
        decoded(b"RIFF" + struct.pack("<I", len(shorter)) + shorter)
    except (OSError, ValueError, SyntaxError):  # Pillow misses what was taken away: it belongs to the picture
        return
    zeros = end - start - len(content[start:end].rstrip(b"\0"))
    raise DecodeError(f"a damaged WebP: the last {zeros:,} bytes of its picture are zeros")


def _webp_picture(content: bytes) -> tuple[bytes, int, int]:
    """Name, begin and end of the chunk that holds the picture, or the first frame; an empty one where there is none."""
    place = 12
    while place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        if name in (b"VP8 ", b"VP8L"):
            return name, place + 8, min(place + 8 + length, len(content))
        # The chunks of a frame of an animation lie within it, behind its 16 bytes of place and time.
        place += 8 + (16 if name == b"ANMF" else length + length % 2)
    return b"", place, place


def _check_avif(image: Image.Image, content: bytes, decoded: Decode) -> None:
    """Raise DecodeError for an AVIF, whose image is loaded, that ends in zeros which decide pixels: with others in their
    place it is another picture, or none."""
    start, end = _media_data(content)
    if end - start < ZEROS or any(content[end - ZEROS : end]):
        return
    zeros = end - start - len(content[start:end].rstrip(b"\0"))
    other = content[: end - zeros] + hashlib.shake_128(b"").digest(zeros) + content[end:]
    with contextlib.suppress(OSError, ValueError, SyntaxError, RuntimeError):
        if np.array_equal(np.asarray(image), decoded(other)):
            return
    raise DecodeError(f"a damaged AVIF: the last {zeros:,} bytes of its picture are zeros")


def _media_data(content: bytes) -> tuple[int, int]:
    """Begin and end of the last box with media data in an ISO media file (ISO/IEC 14496-12); an empty one where there is none."""
    found, place = (0, 0), 0
    while place + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        head = 8
        if size == 1 and place + 16 <= len(content):  # the size stands behind the name
            (size,), head = struct.unpack_from(">Q", content, place + 8), 16
        end = place + size if size else len(content)
        if end < place + head:
            break
        if name == b"mdat":
            found = place + head, min(end, len(content))
        place = end
    return found

"""A JPEG without its end, or with one that comes too early: how much of the picture is missing.

libjpeg fills what is missing with grey and says nothing that Pillow hands on. So the file is decoded twice: ended where
it is cut off, and with other data after the cut. Where the two agree, the picture does not depend on what is missing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import struct
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities.decoding.canonical import Pixels

START_OF_SCAN, END = b"\xff\xda", b"\xff\xd9"
#: Brightness of a unit of which no data came, with what rounding and inverted print colours change.
GREY_FROM, GREY_TO = 126.5, 129.5
#: What stands in for the missing data, several because one may say by chance what is assumed without it: bytes that
#: begin no marker, and every restart, which some files expect.
FILLINGS = tuple(
    b"".join(
        hashlib.shake_128(bytes([number, part])).digest(32).replace(b"\xff", b"\xaa") + bytes([0xFF, 0xD0 + part % 8])
        for part in range(24)
    )
    for number in range(6)
)
#: A cut-off end is forgiven where at most this share of the picture depends on it.
MISSING_SHARE = 0.02
#: So is one in the last unit of a small picture, where other data would change the picture by so many levels on average.
MISSING_LEVELS = 3.0
#: The note on a JPEG of which no visible part is missing.
MISSING = "end of the JPEG missing, its picture is there"
#: Scaled-up colour reaches so many px up and left into the unit before.
RIM = 2
#: A marker inside of a scan, other than restarts.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def check(image: Image.Image, content: bytes, decoded: Callable[[bytes], Pixels]) -> tuple[str, ...]:
    """Notes on the end of a JPEG whose image is loaded. Raises DecodeError where a visible part of it is missing.

    The second decoding is left out for a file whose last unit shows that it came: one scan, an end marker, no grey corner.
    A progressive file is always decoded twice: its first scans cover the whole picture, so that no unit of it shows
    whether the later ones, which sharpen it, came to their end.
    """
    one_scan = "progressive" not in image.info and _components(content) == len(image.mode)  # L, RGB, CMYK
    came = one_scan and not _grey_corner(image)
    if came and content.endswith(END):
        return ()
    frame, scan = _header(content)
    end = content.find(END, scan)
    if frame is None or (came and end >= 0):
        return ()
    cut = content[:end] if end >= 0 else content.rstrip(b"\0")
    began = _all_scans_began(content, frame)
    decoded = functools.lru_cache(maxsize=1)(decoded)  # the same filling comes first below
    if (one_scan or began) and np.array_equal(np.asarray(image), decoded(cut + FILLINGS[0] + END)):
        return ()
    if not began or _closed(cut, frame, decoded) is None:
        raise DecodeError("a damaged JPEG: it ends before its picture does")
    return (MISSING,)


def _grey_corner(image: Image.Image) -> bool:
    """Whether two corners of the last block are as bright as one of which no data came.

    Their colour does not count: it may come from the unit before.
    """
    right, bottom = image.width - 1, image.height - 1
    return _grey(image, (right, bottom)) and _grey(image, (right & ~7, bottom & ~7))


def _grey(image: Image.Image, place: tuple[int, int]) -> bool:
    value = image.getpixel(place)
    if isinstance(value, tuple):
        value = 0.299 * value[0] + 0.587 * value[1] + 0.114 * value[2]
    return value is None or GREY_FROM <= value <= GREY_TO


def ended(content: bytes, decoded: Callable[[bytes], Pixels]) -> bytes | None:
    """The JPEG with an end, if its picture is there but for a part that nobody sees; else None.

    `decoded` gives pixels (H, W) or (H, W, C). Raises what that raises.
    """
    frame, _ = _header(content)
    return _closed(content, frame, decoded) if frame is not None and _all_scans_began(content, frame) else None


def _closed(content: bytes, frame: dict[int, int], decoded: Callable[[bytes], Pixels]) -> bytes | None:
    """`ended` for a file with this frame, of which every scan began."""
    cut = content.rstrip(b"\0").removesuffix(b"\xff")
    others = (decoded(cut + filling + END) for filling in FILLINGS)
    first = next(others)
    picture = decoded(cut + END)
    seen = np.zeros(picture.shape[:2], np.bool_)
    for other in itertools.chain([first], others):
        apart = np.maximum(picture, other) - np.minimum(picture, other)
        seen |= apart.reshape(*seen.shape, -1).any(axis=2)
        missing, units = _missing_units(seen, frame)
        if missing > max(MISSING_SHARE * units, 1 if apart.mean() <= MISSING_LEVELS else 0):
            return None
    return cut + END


def _missing_units(missing: npt.NDArray[np.bool_], frame: dict[int, int]) -> tuple[int, int]:
    """What is coded together, from the first unit that depends on missing data (H, W) on in the order of reading, and of all units."""
    high = 8 * max(value & 15 for value in frame.values()) if len(frame) > 1 else 8
    wide = 8 * max(value >> 4 for value in frame.values()) if len(frame) > 1 else 8
    height, width = missing.shape
    padded = np.pad(missing, ((0, -height % high), (0, -width % wide)))
    inside = padded.reshape(padded.shape[0] // high, high, -1, wide)[:, : high - RIM, :, : wide - RIM]
    units = inside.any(axis=(1, 3)).ravel()
    return (len(units) - int(units.argmax()) if units.any() else 0), len(units)


def _components(content: bytes) -> int:
    """Components of the first scan; of a preview before it, which is hardly ever another number."""
    place = content.find(START_OF_SCAN) + 4
    return content[place] if 4 <= place < len(content) else 0


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, place and length of every segment up to the first scan."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], struct.unpack_from(">H", content, place + 2)[0]
        if marker == 0xFF:  # filling
            place += 1
            continue
        yield marker, place, length
        if marker == START_OF_SCAN[1]:
            return
        place += 2 + length


def _header(content: bytes) -> tuple[dict[int, int] | None, int]:
    """Sampling factors (two half bytes, across and down) of the components of the frame, by their ids, and the place of the
    first scan."""
    frame: dict[int, int] | None = None
    place = 0
    for marker, place, length in _segments(content):
        if marker in _FRAMES and frame is None:
            parts = content[place + 10 : place + 2 + length]
            frame = {parts[at]: parts[at + 1] for at in range(0, len(parts) - 2, 3)}
    return frame, place


def _all_scans_began(content: bytes, frame: dict[int, int]) -> bool:
    """Whether every coefficient of every component is given to its last bit by some scan, finished or not."""
    missing = dict.fromkeys(frame, (1 << 64) - 1)  # a bit for each coefficient
    place = 2
    while (match := _MARKER.search(content, place)) and match[0] != END and match.end() + 3 <= len(content):
        place = match.end()
        if match[0] == b"\xff\xda":
            count = content[place + 2]
            parts = content[place + 3 : place + 6 + 2 * count]
            if len(parts) < 2 * count + 3:
                break
            first, final, bits = parts[2 * count :]
            if not bits & 15:
                given = (1 << final + 1) - (1 << first)
                for component in parts[: 2 * count : 2]:
                    missing[component] = missing.get(component, 0) & ~given
        place += struct.unpack_from(">H", content, place)[0]
    return not any(missing.values())

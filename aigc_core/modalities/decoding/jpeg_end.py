"""A JPEG without its end: how much of the picture is missing with it.

libjpeg fills what is missing with grey and says nothing that Pillow hands on. So the file is decoded twice: ended where
it is cut off, and with other data after the cut. Where the two agree, the picture does not depend on what is missing.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from aigc_core.modalities.decoding.canonical import Pixels

END = b"\xff\xd9"
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
#: Scaled-up colour reaches so many px up and left into the unit before.
RIM = 2
#: A marker inside of a scan, other than restarts.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def ended(content: bytes, decoded: Callable[[bytes], Pixels]) -> bytes | None:
    """The JPEG with an end, if its picture is there but for a part that nobody sees; else None.

    `decoded` gives pixels (H, W) or (H, W, C). Raises what that raises.
    """
    frame = _frame(content)
    if frame is None or not _all_scans_began(content, frame):
        return None
    cut = content.removesuffix(b"\xff")
    picture = decoded(cut + END)
    seen = np.zeros(picture.shape[:2], np.bool_)
    for filling in FILLINGS:
        other = decoded(cut + filling + END)
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


def _frame(content: bytes) -> dict[int, int] | None:
    """Sampling factors (two half bytes, across and down) of the components of the frame, by their ids."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], struct.unpack_from(">H", content, place + 2)[0]
        if marker in _FRAMES:
            parts = content[place + 10 : place + 2 + length]
            return {parts[at]: parts[at + 1] for at in range(0, len(parts) - 2, 3)}
        place += 2 + length
    return None


def _all_scans_began(content: bytes, frame: dict[int, int]) -> bool:
    """Whether every coefficient of every component is given to its last bit by some scan, finished or not."""
    missing = {(component, index) for component in frame for index in range(64)}
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
                missing -= {
                    (component, index) for component in parts[: 2 * count : 2] for index in range(first, final + 1)
                }
        place += struct.unpack_from(">H", content, place)[0]
    return not missing

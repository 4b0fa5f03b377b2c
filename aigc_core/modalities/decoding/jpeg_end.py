"""A JPEG without its end: how much of the picture is missing with it.

libjpeg fills what is missing with grey and says nothing that Pillow hands on. So the file is decoded twice: ended where
it is cut off, and with other data after the cut. Where the two agree, the picture does not depend on what is missing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]

END = b"\xff\xd9"
#: What stands in for the missing data; no byte of it begins a marker.
FILLINGS = tuple(bytes((7 + step * place) % 255 for place in range(256)) for step in (37, 101))
#: A cut-off end is forgiven where at most this share of the picture depends on it.
MISSING_SHARE = 0.02
#: A marker inside of a scan, other than restarts.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def ended(content: bytes, decoded: Callable[[bytes, bool], Plane]) -> bytes | None:
    """The JPEG with an end, if its picture is there but for MISSING_SHARE; else None.

    `decoded` gives pixels (H, W) or (H, W, C), of the luma alone where its second argument is true. Raises what that raises.
    """
    frame = _frame(content)
    last = frame and _last_scan(content, frame)
    if not frame or not last:
        return None
    # A tint in the last corner is no missing part, as long as it is the luma that the last scan holds.
    luma = next(iter(frame)) in last
    closed = content.removesuffix(b"\xff") + END
    picture = decoded(closed, luma)
    missing = np.zeros(picture.shape[:2], np.bool_)
    for filling in FILLINGS:
        differs = picture != decoded(content.removesuffix(b"\xff") + filling + END, luma)
        missing |= differs if differs.ndim == 2 else differs.any(axis=2)
    return closed if _missing_share(missing, *_unit(frame)) <= MISSING_SHARE else None


def _missing_share(missing: npt.NDArray[np.bool_], high: int, wide: int) -> float:
    """Share of the units of high x wide px from the first one with a missing pixel on, in the order of reading."""
    places = np.argwhere(missing)
    if not len(places):
        return 0.0
    rows, columns = -(-missing.shape[0] // high), -(-missing.shape[1] // wide)
    row = int(places[0, 0]) // high
    column = int(places[places[:, 0] // high == row, 1].min()) // wide
    return ((rows - row) * columns - column) / (rows * columns)


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


def _unit(frame: dict[int, int]) -> tuple[int, int]:
    """Height and width in px of what is coded together."""
    if len(frame) == 1:
        return 8, 8
    return 8 * max(value & 15 for value in frame.values()), 8 * max(value >> 4 for value in frame.values())


def _last_scan(content: bytes, frame: dict[int, int]) -> set[int] | None:
    """The components of the last scan; None where some coefficient is not given to its last bit by any scan, finished or not."""
    missing = {(component, index) for component in frame for index in range(64)}
    last: set[int] = set()
    place = 2
    while (match := _MARKER.search(content, place)) and match[0] != END and match.end() + 3 <= len(content):
        place = match.end()
        if match[0] == b"\xff\xda":
            count = content[place + 2]
            parts = content[place + 3 : place + 6 + 2 * count]
            if len(parts) < 2 * count + 3:
                break
            last = set(parts[: 2 * count : 2])
            first, final, bits = parts[2 * count :]
            if not bits & 15:
                missing -= {(component, index) for component in last for index in range(first, final + 1)}
        place += struct.unpack_from(">H", content, place)[0]
    return None if missing else last

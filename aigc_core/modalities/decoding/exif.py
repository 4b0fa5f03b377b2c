"""How an image lies: the EXIF orientation, read alone, because a broken tag beside it says nothing of the pixels.

Pillow reads the whole table of tags and gives up at the first one that leads nowhere; this reads one number.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from aigc_core.modalities.decoding.canonical import Pixels

#: The tag of TIFF 6.0 that says which corner the first pixel is in.
ORIENTATION = 0x0112
#: Where Pillow keeps what may hold an orientation; without one of these an image lies as it is stored.
CARRIERS = frozenset(
    {"exif", "Raw profile type exif", "Raw profile type APP1", "XML:com.adobe.xmp", "xmp"}
)  # fmt: skip
#: Codes of `struct` for the whole numbers among the types of TIFF 6.0.
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
UPRIGHT = 1
#: An IFD has at most so many entries: its count has 16 bits.
ENTRY = 12
_IN_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([0-9])')


def orientation(info: Mapping[Any, Any]) -> tuple[int, tuple[str, ...]]:
    """The orientation (1 to 8, 1 is upright) that the `info` of a Pillow image names, and notes on what is ignored.

    Of EXIF and XMP the former decides, as everywhere.
    """
    notes: tuple[str, ...] = ()
    found: int | str | None = None
    try:
        found = of_exif(info.get("exif") or _raw_profile(info))
    except (ValueError, struct.error):
        notes = ("EXIF that cannot be read ignored",)
    if found is None:
        found = _of_xmp(info)
    value, ignored = valid(found)
    return value, notes + ignored


def valid(found: int | str | None) -> tuple[int, tuple[str, ...]]:
    """An orientation from 1 to 8, and a note where what was found is none."""
    if found is None or found == UPRIGHT:
        return UPRIGHT, ()
    if found not in range(UPRIGHT, 9):
        return UPRIGHT, (f"EXIF orientation {found} ignored",)
    return int(found), ()


def upright(pixels: Pixels, value: int) -> Pixels:
    """Pixels (H, W, C) turned and mirrored as the orientation 1 to 8 asks."""
    if value == UPRIGHT:
        return pixels
    turned = {
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.swapaxes(0, 1),
        6: lambda: np.rot90(pixels, -1),
        7: lambda: pixels[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(pixels),
    }[value]()
    return np.ascontiguousarray(turned)


def of_exif(block: bytes | None) -> int | str | None:
    """The orientation's value in an EXIF block; a text where its type is no whole number, None where it is absent.

    Raises ValueError or struct.error for bytes that are no EXIF.
    """
    if not block:
        return None
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        raise ValueError("neither of the two byte orders of TIFF")
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    for place in range(start + 2, min(start + 2 + ENTRY * count, len(block) - ENTRY + 1), ENTRY):
        if struct.unpack_from(order + "H", block, place)[0] == ORIENTATION:
            return _value(block, place, order)
    return None


def _value(block: bytes, place: int, order: str) -> int | str:
    kind, count = struct.unpack_from(order + "HI", block, place + 2)
    code = WHOLE_NUMBERS.get(kind)
    if code is None or not count:
        return f"of type {kind}"
    place += 8
    if count * struct.calcsize(code) > 4:  # several values where one is right: the first one, which lies elsewhere
        (place,) = struct.unpack_from(order + "I", block, place)
    return int(struct.unpack_from(order + code, block, place)[0])


def _raw_profile(info: Mapping[Any, Any]) -> bytes | None:
    """EXIF as ImageMagick writes it into a PNG: a name, a length and hexadecimal digits, in lines."""
    for name in ("Raw profile type exif", "Raw profile type APP1"):
        if name in info:
            return bytes.fromhex("".join(str(info[name]).split("\n")[3:]))
    return None


def _of_xmp(info: Mapping[Any, Any]) -> int | None:
    for name in ("XML:com.adobe.xmp", "xmp"):
        text = info.get(name)
        if isinstance(text, str):
            text = text.encode("utf-8", "replace")
        if isinstance(text, bytes) and (match := _IN_XMP.search(text)):
            return int(match[1])
    return None

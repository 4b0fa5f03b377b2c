"""How an image lies: the EXIF orientation, read alone, because a broken tag beside it says nothing of the pixels.

Pillow reads the whole table of tags and gives up at the first one that leads nowhere; of this one number is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from aigc_core.modalities.decoding import tiff
from aigc_core.modalities.decoding.canonical import Pixels

#: Where Pillow keeps what may hold an orientation; without one of these an image lies as it is stored.
CARRIERS = frozenset(
    {"exif", "Raw profile type exif", "Raw profile type APP1", "XML:com.adobe.xmp", "xmp"}
)  # fmt: skip
UPRIGHT = 1
#: The note on EXIF that is none.
UNREADABLE = "EXIF that cannot be read ignored"
_IN_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([0-9])')


def orientation(info: Mapping[Any, Any]) -> tuple[int, tuple[str, ...]]:
    """The orientation (1 to 8, 1 is upright) that the `info` of a Pillow image names, and notes on what is ignored.

    Of EXIF and XMP the former decides, as everywhere.
    """
    notes: tuple[str, ...] = ()
    found: int | str | None = None
    try:
        found = of_exif(info.get("exif") or _raw_profile(info))
    except ValueError:
        notes = (UNREADABLE,)
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

    Raises ValueError for bytes that are no EXIF.
    """
    if not block:
        return None
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    found = tiff.read(block)
    if found is None or not found.frames:
        raise ValueError("no table of tags")
    return found.orientation()


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

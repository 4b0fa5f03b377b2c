"""The first directory of a TIFF file: the tags that decide the pixels, read alone, and the file written without the others.

Pillow reads every tag and gives up at a broken one; this looks at those of TIFF 6.0 that matter. Bytes of other tags
stay where they are, nothing points to them any more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
SUBFILE, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS = 254, 273, 274, 277, 278, 279
MIN_SAMPLE, MAX_SAMPLE, PLANAR, PREDICTOR, COLOUR_MAP = 280, 281, 284, 317, 320
TILE_WIDTH, TILE_OFFSETS, TILE_COUNTS, SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT = 322, 324, 325, 330, 338, 339
S_MIN_SAMPLE, S_MAX_SAMPLE, DNG_VERSION = 340, 341, 50706
#: Everything that says how the pixels lie in the file; 266 fill order, 292 and 293 fax, 347 and 512 to 521 JPEG, 529 to 532 YCbCr.
OF_PIXELS = frozenset(
    {WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, 266, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, PLANAR, 292,
     293, PREDICTOR, COLOUR_MAP, TILE_WIDTH, 323, TILE_OFFSETS, TILE_COUNTS, 332, EXTRA_SAMPLES, SAMPLE_FORMAT, 347,
     *range(512, 522), *range(529, 533)}
)  # fmt: skip
#: Codes of `struct` for the types of TIFF 6.0 and BigTIFF that are numbers.
NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
LONG, LONG8 = 4, 16
#: Directories that are counted, entries of one and values of a tag that are read at most; no sound file has as many.
MOST_FRAMES = MOST_ENTRIES = 1 << 16
MOST_VALUES = 1 << 20

#: Type, count and the 4 (BigTIFF 8) bytes that are the value or lead to it.
Entry = tuple[int, int, bytes]


@dataclass(frozen=True)
class Tiff:
    """A TIFF file and the entries of its first directory."""

    content: bytes
    order: str  # of `struct`: < or >
    big: bool  # BigTIFF, with 8 bytes where TIFF has 4
    entries: Mapping[int, Entry] = field(default_factory=dict)
    frames: int = 0  # directories; 0 where the first one does not lie in the file

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The values of a tag; none where it is absent or broken."""
        kind, count, raw = self.entries.get(tag, (0, 0, b""))
        if kind not in NUMBERS or count > MOST_VALUES:
            return ()
        layout = f"{self.order}{count}{NUMBERS[kind]}"
        try:
            if struct.calcsize(layout) > len(raw):
                return struct.unpack_from(layout, self.content, self.pointer(raw))
            return struct.unpack_from(layout, raw)
        except (struct.error, OverflowError):
            return ()

    def whole(self, tag: int, default: int) -> int:
        """The first value of a tag as a whole number."""
        found = self.numbers(tag)
        return int(found[0]) if found else default

    def pointer(self, raw: bytes) -> int:
        """The place in the file that the bytes of an entry lead to."""
        return int(struct.unpack(self.order + ("Q" if self.big else "I"), raw)[0])

    def orientation(self) -> int | str | None:
        """The value of the orientation; a text where its type is no whole number, None where there is none."""
        if ORIENTATION not in self.entries:
            return None
        found = self.numbers(ORIENTATION)
        return found[0] if found and isinstance(found[0], int) else f"of type {self.entries[ORIENTATION][0]}"


def read(content: bytes) -> Tiff | None:
    """The first directory of a TIFF file, as far as it can be read; None for other bytes."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    kind = struct.unpack_from(order + "H", content, 2)[0] if order and len(content) >= 8 else 0
    big = kind == 43
    if order is None or kind not in (42, 43) or (big and len(content) < 16):
        return None
    empty = Tiff(content, order, big)
    start = empty.pointer(content[8:16] if big else content[4:8])
    try:
        count, place = _count(empty, start)
    except struct.error:
        return empty
    layout = order + ("HHQ8s" if big else "HHI4s")
    size = struct.calcsize(layout)
    whole = min(count, (len(content) - place) // size)  # of a table that is cut off the first entries are known
    entries: dict[int, Entry] = {}
    for tag, kind, number, raw in struct.iter_unpack(layout, content[place : place + whole * size]):
        entries.setdefault(tag, (kind, number, raw))
    return Tiff(content, order, big, entries, _frames(empty, start))


def _count(tiff: Tiff, start: int) -> tuple[int, int]:
    """The number of entries of the directory at `start`, and where the first one is. Raises struct.error beyond the file."""
    if start >= len(tiff.content):
        raise struct.error
    layout = tiff.order + ("Q" if tiff.big else "H")
    count = struct.unpack_from(layout, tiff.content, start)[0]
    return min(count, MOST_ENTRIES), start + struct.calcsize(layout)


def _frames(tiff: Tiff, start: int) -> int:
    """Directories in the chain that begins at `start`, at least 1."""
    seen: set[int] = set()
    try:
        while start and start not in seen and len(seen) < MOST_FRAMES:
            count, place = _count(tiff, start)
            seen.add(start)
            at = place + count * (20 if tiff.big else 12)
            start = tiff.pointer(tiff.content[at : at + (8 if tiff.big else 4)])
    except struct.error:
        pass
    return max(len(seen), 1)


def written(tiff: Tiff, changes: Mapping[int, Iterable[int]], keep: Iterable[int] = OF_PIXELS) -> bytes:
    """The file with one directory of the tags in `keep`, and with `changes` (tag to whole numbers) in place of what was there."""
    size, code = (8, "Q") if tiff.big else (4, "I")
    fields = {tag: tiff.entries[tag] for tag in keep if tag in tiff.entries and tag not in changes}
    tail = bytearray(len(tiff.content) % 2)
    for tag, values in changes.items():
        numbers = list(values)
        raw = struct.pack(f"{tiff.order}{len(numbers)}{code}", *numbers)
        if len(raw) > size:
            place = len(tiff.content) + len(tail)
            tail += raw
            raw = struct.pack(tiff.order + code, place)
        fields[tag] = (LONG8 if tiff.big else LONG, len(numbers), raw)
    start = struct.pack(tiff.order + code, len(tiff.content) + len(tail))
    tail += struct.pack(tiff.order + ("Q" if tiff.big else "H"), len(fields))
    for tag in sorted(fields):
        kind, count, raw = fields[tag]
        tail += struct.pack(f"{tiff.order}HH{code}", tag, kind, count) + raw
    head = tiff.content[:8] + start if tiff.big else tiff.content[:4] + start
    return b"".join([head, memoryview(tiff.content)[len(head) :], tail, bytes(size)])


def mended(tiff: Tiff) -> bytes:
    """The file without an orientation, which others would apply, and with a colour map of 16 bits where it has one of 8."""
    colours = [int(value) for value in tiff.numbers(COLOUR_MAP)]
    narrow = bool(colours) and max(colours) <= 255
    if ORIENTATION not in tiff.entries and not narrow:
        return tiff.content
    changes = {COLOUR_MAP: [value * 257 for value in colours]} if narrow else {}
    return written(tiff, changes, set(tiff.entries) - {ORIENTATION})

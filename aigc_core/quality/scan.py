"""One pass over encoded images: bytes in, facts and small pictures out, each image decoded once.

A worker process imports this file, so it needs numpy, Pillow and pyarrow alone. Images of one shape are measured
together; how rows are cut into chunks changes no row's facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from aigc_core.errors import DecodeError
from aigc_core.modalities import image, provenance
from aigc_core.quality.hashing import perceptual_hashes
from aigc_core.quality.measures import BLOCK, measure_batch
from aigc_core.quality.planes import planes_of
from aigc_core.quality.small import Part, part_of
from aigc_core.records import MEASURE_SCHEMA

#: Rows per chunk, and bytes of encoded content that end a chunk earlier.
CHUNK_ROWS = 256
CHUNK_BYTES = 8 << 20
#: What is measured of every image that can be decoded: the numeric columns of MEASURE_SCHEMA but for the size of the file.
NUMBERS = {
    field.name: field.type.to_pandas_dtype()
    for field in MEASURE_SCHEMA
    if not pa.types.is_string(field.type) and field.name != "bytes"
}


@dataclass
class Chunk:
    """Rows that are measured together: ids, encoded originals, and why one is missing."""

    ids: list[str] = field(default_factory=list)
    contents: list[bytes | None] = field(default_factory=list)
    notes: list[str | None] = field(default_factory=list)
    size: int = 0

    def add(self, identity: str, content: bytes | None, note: str | None) -> None:
        """Append one row."""
        self.ids.append(identity)
        self.contents.append(content)
        self.notes.append(note)
        self.size += len(content or b"")

    @property
    def full(self) -> bool:
        """Whether the chunk should be measured before it grows further."""
        return len(self.ids) >= CHUNK_ROWS or self.size >= CHUNK_BYTES


def chunks(rows: Iterable[tuple[str, bytes | None]], notes: Mapping[str, str | None] | None = None) -> Iterator[Chunk]:
    """Rows (id, encoded original) in their order; a chunk ends with its shard, so that a shard's chunks depend on it alone.

    `notes` says why a row has no bytes.
    """
    chunk = Chunk()
    for identity, content in rows:
        if chunk.ids and (chunk.full or identity[0] != chunk.ids[0][0]):
            yield chunk
            chunk = Chunk()
        chunk.add(identity, content, notes.get(identity) if notes else None)
    if chunk.ids:
        yield chunk


@dataclass(frozen=True)
class Scanned:
    """Facts (MEASURE_SCHEMA) of a chunk's rows, in their order, and what look-alikes are found by: places in the chunk, and
    the small pictures of the rows there, by their size."""

    facts: pa.RecordBatch
    small: list[tuple[list[int], Part]]


class _Table:
    """The columns of a chunk while they are filled, shape by shape; what is not filled is null."""

    def __init__(self, chunk: Chunk) -> None:
        count = len(chunk.ids)
        self.columns: dict[str, Any] = {name: [None] * count for name in MEASURE_SCHEMA.names if name not in NUMBERS}
        self.columns["id"] = chunk.ids
        self.numbers = {name: np.zeros(count, kind) for name, kind in NUMBERS.items()}
        self.measured = np.zeros(count, np.bool_)
        self.small: list[tuple[list[int], Part]] = []
        self.waiting: dict[tuple[int, ...], tuple[list[int], list[image.Pixels]]] = {}

    def add(self, place: int, pixels: image.Pixels) -> None:
        """Let an image wait for others of its shape, as long as they are small."""
        places, images = self.waiting.setdefault(pixels.shape, ([], []))
        places.append(place)
        images.append(pixels)
        if len(places) * pixels.size >= BLOCK:
            self.measure(pixels.shape)

    def measure(self, shape: tuple[int, ...]) -> None:
        """Measure the waiting images of one shape."""
        places, images = self.waiting.pop(shape)
        pixels = np.stack(images)
        self.measured[places] = True
        planes = planes_of(pixels)
        for name, values in measure_batch(pixels, planes).items():
            self.numbers[name][places] = values
        part = part_of(planes)
        self.small.append((places, part))
        hashes = perceptual_hashes(part.thumbnails).tolist()
        for place, one, perceptual in zip(places, images, hashes, strict=True):
            self.columns["content_hash"][place] = image.content_hash(one)
            self.columns["perceptual_hash"][place] = f"{perceptual:016x}"

    def scanned(self) -> Scanned:
        """All rows, when none waits."""
        for shape in list(self.waiting):
            self.measure(shape)
        missing = ~self.measured
        arrays = [
            pa.array(values := self.numbers[field.name], field.type, mask=missing | np.isnan(values))
            if field.name in NUMBERS
            else pa.array(self.columns[field.name], field.type)
            for field in MEASURE_SCHEMA
        ]
        return Scanned(pa.record_batch(arrays, schema=MEASURE_SCHEMA), self.small)


def scan(chunk: Chunk, show: Callable[[int, image.Pixels], object] = lambda _, __: None) -> Scanned:
    """Decode and measure the rows of a chunk; an undecodable row has nulls and `error`.

    `show` is given the place and the pixels (H, W, C) of every row that can be decoded.
    """
    table = _Table(chunk)
    columns = table.columns
    with image.quiet():
        for place, content in enumerate(chunk.contents):
            if content is None:
                columns["error"][place] = chunk.notes[place] or "cannot be read"
                continue
            columns["bytes"][place] = len(content)
            columns["provenance"][place] = provenance.detect(content)
            try:
                decoded = image.decode_quietly(content)
            except DecodeError as error:
                columns["error"][place] = str(error)
                continue
            columns["format"][place] = decoded.format
            table.add(place, decoded.pixels)
            show(place, decoded.pixels)
    return table.scanned()

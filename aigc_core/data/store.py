"""Dataset versions: the content once, in shards by id, and small overlays over it.

A version is a folder with `rows.parquet` (ROW_SCHEMA) and `card.json`; the card names the content folders. A
shard is named by the first hex digit of the ids in it, so that a changed row rewrites its shard only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.errors import DataError
from aigc_core.files import atomic_folder, digest, read_json, write_json, write_table
from aigc_core.records import CONTENT_SCHEMA, ROW_SCHEMA

#: A row group is written when a shard's buffer holds this much: bounds memory at 16 shards times this.
BUFFER_ROWS = 2048
BUFFER_BYTES = 4 << 20
READ_ROWS = 256
TOOL = "aigc 0.1.0"


@dataclass(frozen=True)
class Card:
    """What a version is, where it comes from, and what it holds; `card.json`."""

    operation: str
    parameters: dict[str, Any]
    parent: str | None  # version of the parent
    version: str  # 16 hex digits over rows, operation, parameters and parent
    counts: dict[str, dict[str, int]]  # split -> label -> rows; "" stands for no label
    dropped: dict[str, int]  # reason -> rows
    classes: list[str]  # of the training rows, in natural order
    image: dict[str, Any]  # size (px), channels, resize mode
    content: list[str]  # folders with the content, relative to the card's own
    license: str | None = None
    consent: str | None = None
    tool: str = TOOL


def natural(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key that puts "2" before "10"; the name itself decides between "1" and "01"."""
    parts = (part for part in re.split(r"(\d+)", name) if part)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts), name


@dataclass(frozen=True)
class Version:
    """One dataset version, opened for reading."""

    folder: Path
    card: Card
    rows: pa.Table

    @classmethod
    def open(cls, folder: Path) -> Version:
        """Read card and rows. Raises DataError when the version was not made yet."""
        if not (folder / "card.json").exists():
            raise DataError(f"{folder.name}: this dataset version does not exist yet; run `dvc repro` first")
        return cls(folder, Card(**read_json(folder / "card.json")), pq.read_table(folder / "rows.parquet"))

    def select(self, split: str | None = None) -> pa.Table:
        """Rows of one split, or all."""
        return self.rows if split is None else self.rows.filter(pc.equal(self.rows["split"], split))

    def contents(self, ids: Collection[str] | None = None) -> Iterator[tuple[str, bytes | None]]:
        """Stream (id, encoded original), shard by shard; by default for all rows of this version."""
        wanted = set(self.rows["id"].to_pylist() if ids is None else ids)
        for name in self.card.content:
            for shard in sorted((self.folder / name).glob("content-*.parquet")):
                with pq.ParquetFile(shard) as file:
                    for batch in file.iter_batches(READ_ROWS):
                        for identity, content in zip(batch["id"].to_pylist(), batch["content"], strict=True):
                            if identity in wanted:
                                yield identity, content.as_py()


def write_version(
    folder: Path,
    rows: pa.Table,
    *,
    operation: str,
    parameters: dict[str, Any],
    parent: Version | None,
    content: list[str],
    image: dict[str, Any],
    dropped: dict[str, int] | None = None,
    extra: dict[str, pa.Table] | None = None,
) -> Card:
    """Write rows and card as one atomic folder. `extra` are further tables (name to table) beside them."""
    with atomic_folder(folder) as scratch:
        return fill_version(
            scratch, rows, operation=operation, parameters=parameters, parent=parent, content=content,
            image=image, dropped=dropped, extra=extra,
        )  # fmt: skip


def fill_version(
    folder: Path,
    rows: pa.Table,
    *,
    operation: str,
    parameters: dict[str, Any],
    parent: Version | None,
    content: list[str],
    image: dict[str, Any],
    dropped: dict[str, int] | None = None,
    extra: dict[str, pa.Table] | None = None,
) -> Card:
    """As `write_version`, into a folder that the caller makes atomic."""
    rows = rows.cast(ROW_SCHEMA).sort_by("id")
    parent_version = parent.card.version if parent else None
    identity = [_rows_digest(rows), operation, parameters, parent_version]
    card = Card(
        operation=operation,
        parameters=parameters,
        parent=parent_version,
        version=digest(identity)[:16],
        counts=_counts(rows),
        dropped=dict(sorted((dropped or {}).items())),
        classes=_classes(rows),
        image=image,
        content=content,
    )
    write_table(folder / "rows.parquet", rows)
    for name, table in (extra or {}).items():
        write_table(folder / f"{name}.parquet", table)
    write_json(folder / "card.json", asdict(card))
    return card


def _rows_digest(rows: pa.Table) -> str:
    """Digest of what a version holds, without notes: those may be reworded."""
    whole = hashlib.sha256()
    for batch in rows.select(["id", "content_hash", "label", "split"]).to_batches(max_chunksize=BUFFER_ROWS):
        for line in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            whole.update("\t".join(str(value) for value in line).encode() + b"\n")
    return whole.hexdigest()


def _counts(rows: pa.Table) -> dict[str, dict[str, int]]:
    pairs = rows.group_by(["split", "label"]).aggregate([([], "count_all")])
    table: dict[str, dict[str, int]] = {}
    for line in pairs.to_pylist():
        counts = table.setdefault(line["split"], {})
        label = line["label"] or ""
        counts[label] = counts.get(label, 0) + line["count_all"]
    return table


def _classes(rows: pa.Table) -> list[str]:
    train = rows.filter(pc.equal(rows["split"], "train"))
    return sorted({label for label in pc.unique(train["label"]).to_pylist() if label is not None}, key=natural)


@dataclass
class _Shard:
    ids: list[str] = field(default_factory=list)
    contents: list[bytes | None] = field(default_factory=list)
    size: int = 0
    writer: pq.ParquetWriter | None = None


class ContentWriter:
    """Writes the content store row by row in bounded memory; a context manager, atomic as a folder.

    >>> with ContentWriter(paths.content) as writer:
    ...     writer.add(row_id("a.png"), content)
    """

    def __init__(self, folder: Path) -> None:
        self._atomic = atomic_folder(folder)
        self._shards: dict[str, _Shard] = {}

    def __enter__(self) -> ContentWriter:
        self._folder = self._atomic.__enter__()
        return self

    def add(self, identity: str, content: bytes | None) -> None:
        """Append one row; null content is a row whose bytes could not even be read."""
        shard = self._shards.setdefault(identity[0], _Shard())
        shard.ids.append(identity)
        shard.contents.append(content)
        shard.size += len(content or b"")
        if len(shard.ids) >= BUFFER_ROWS or shard.size >= BUFFER_BYTES:
            self._flush(identity[0])

    def _flush(self, prefix: str) -> None:
        shard = self._shards[prefix]
        if not shard.ids:
            return
        if shard.writer is None:
            # Encoded images do not compress again.
            path = self._folder / f"content-{prefix}.parquet"
            shard.writer = pq.ParquetWriter(path, CONTENT_SCHEMA, compression="none", write_statistics=False)
        shard.writer.write_table(pa.table({"id": shard.ids, "content": shard.contents}, schema=CONTENT_SCHEMA))
        self._shards[prefix] = _Shard(writer=shard.writer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for prefix in sorted(self._shards):
                    self._flush(prefix)
        finally:
            for shard in self._shards.values():
                if shard.writer is not None:
                    shard.writer.close()
        self._atomic.__exit__(kind, error, trace)

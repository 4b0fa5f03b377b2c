"""Rows and their encoded images as plain Parquet that `datasets.load_dataset("parquet")` reads with its Image feature.

The features stand in the schema's metadata under `huggingface`, as `datasets` itself writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aigc_core.data.store import natural

#: A row group is written at this many rows or bytes, a new file begun at that many bytes.
GROUP_ROWS = 512
GROUP_BYTES = 16 << 20
FILE_BYTES = 512 << 20

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def export_schema(labels: Iterable[str], *, reasons: bool) -> pa.Schema:
    """Columns of an export: label is a ClassLabel over the sorted names, so that it is an integer in the files."""
    classes = sorted(set(labels), key=natural)
    columns: list[tuple[str, pa.DataType, dict[str, Any]]] = [
        ("image", _IMAGE, {"_type": "Image"}),
        ("label", pa.int64(), {"_type": "ClassLabel", "names": classes}),
        *((name, pa.string(), {"_type": "Value", "dtype": "string"}) for name in ("text", "id", "split", "source")),
    ]
    if not classes:
        columns[1] = ("label", pa.string(), {"_type": "Value", "dtype": "string"})
    if reasons:
        listed = {"_type": "List", "feature": {"_type": "Value", "dtype": "string"}}
        columns.append(("reasons", pa.list_(pa.string()), listed))
    features = {name: feature for name, _, feature in columns}
    told = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return pa.schema([(name, kind) for name, kind, _ in columns], metadata={"huggingface": told})


def write_export(
    folder: Path, rows: Iterator[tuple[Mapping[str, Any], bytes | None]], schema: pa.Schema, done: Callable[[], None]
) -> dict[str, int]:
    """Write `<split>-00000.parquet` and so on; returns rows by split. `done` is called after each row.

    `rows` yields (columns of ROW_SCHEMA, encoded image) one by one; memory stays below a few row groups.
    """
    names = json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"].get("names", [])
    number = {name: index for index, name in enumerate(names)}
    files: dict[str, _Shards] = {}
    try:
        for row, content in rows:
            shards = files.setdefault(row["split"], _Shards(folder, row["split"], schema))
            cell = {"bytes": content, "path": row["source"].rpartition("/")[2]}
            given = {name: row.get(name) for name in schema.names if name not in ("image", "label")}
            shards.add({**given, "image": cell, "label": number.get(row["label"])}, len(content or b""))
            done()
        for shards in files.values():
            shards.flush()
    finally:
        for shards in files.values():
            shards.close()
    return {split: shards.count for split, shards in sorted(files.items())}


@dataclass
class _Shards:
    """The files of one split, written in row groups."""

    folder: Path
    split: str
    schema: pa.Schema
    count: int = 0
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _held: int = 0  # bytes of images waiting
    _written: int = 0  # bytes of images in the file
    _files: int = 0
    _writer: Any = None

    def add(self, row: dict[str, Any], size: int) -> None:
        """Append one row."""
        self._rows.append(row)
        self.count += 1
        self._held += size
        if len(self._rows) >= GROUP_ROWS or self._held >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one row group."""
        if not self._rows:
            return
        if self._writer is None:
            path = self.folder / f"{self.split}-{self._files:05}.parquet"
            # Encoded images do not compress again, and statistics over them would only take room.
            self._writer = pq.ParquetWriter(path, self.schema, compression="none", write_statistics=False)
            self._files += 1
        self._writer.write_table(pa.Table.from_pylist(self._rows, self.schema))
        self._written += self._held
        self._rows, self._held = [], 0
        if self._written >= FILE_BYTES:
            self.close()

    def close(self) -> None:
        """Finish the file that is open."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0

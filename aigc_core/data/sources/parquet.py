"""Parquet files with a column of encoded images, one file or a folder of them; also what `datasets` writes.

Images are never held together: batches of a few rows are read in the order of the entries.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aigc_core.config import Reading
from aigc_core.data.sources.base import Entry, OpenSource, one_line, own_splits, readers
from aigc_core.data.sources.columns import Layout, encoded, find_columns
from aigc_core.data.sources.folder import walk
from aigc_core.data.splits import SPLIT_NAMES
from aigc_core.errors import SourceError
from aigc_core.records import Split

#: Images held at once.
IMAGE_ROWS = 32
#: Rows of labels and captions read at once.
FACT_ROWS = 4096
SUFFIXES = {".parquet", ".pq"}


@readers.register("parquet")
def open_parquet(path: Path, options: Reading) -> OpenSource:
    """List the rows of Parquet files; keys are `file#row`.

    The split comes from a column, else from a folder or file name that begins with train, test, val or validation.
    Raises SourceError for a file that is no Parquet or has no image column.
    """
    places, refused, skipped = _files(path)
    if not places and not refused:
        raise SourceError(f"source.path {str(path)!r} holds no .parquet file: name a file or a folder of them")
    files = {name: _File(place, name, options) for name, place in places.items()}
    entries = [entry for name, file in files.items() for entry in file.entries(_named_split(name))]
    entries += [Entry(name, refused=reason) for name, reason in refused.items()]

    def read(entry: Entry) -> bytes:
        name, _, index = entry.key.rpartition("#")
        return files[name].content(int(index))

    def close() -> None:
        for file in files.values():
            file.close()

    return OpenSource(own_splits(entries), read, skipped, close)


def _files(path: Path) -> tuple[dict[str, Path], dict[str, str], dict[str, int]]:
    """Parquet files by name, those that may not be read with the reason, and counts of other files by suffix."""
    if path.is_file():
        return {path.name: path}, {}, {}
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name a .parquet file or a folder of them")
    found = walk(path)
    names = sorted(name for name in found.names if PurePosixPath(name).suffix.lower() in SUFFIXES)
    others = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in found.names if name not in names)
    refused = {name: found.refused[name] for name in names if name in found.refused}
    return {name: path / name for name in names if name not in refused}, refused, dict(others)


def _named_split(name: str) -> Split | None:
    """The split that a path names: one of its folders, or the first word of the file."""
    *folders, file = PurePosixPath(name.lower()).parts
    words = [*reversed(folders), re.split(r"[^a-z]", file)[0]]
    return next((SPLIT_NAMES[word] for word in reversed(words) if word in SPLIT_NAMES), None)


class _File:
    """One Parquet file, open for reading forwards; going back begins its row group again."""

    def __init__(self, path: Path, name: str, options: Reading) -> None:
        try:
            self._file = pq.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False)
            self.name = name
            self.layout: Layout = find_columns(self._file.schema_arrow, options.columns, name)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{name} is not a readable Parquet file ({one_line(error)}): fetch it again") from None
        groups = self._file.metadata
        self._ends: list[int] = []  # of the row groups
        for group in range(groups.num_row_groups):
            self._ends.append((self._ends[-1] if self._ends else 0) + groups.row_group(group).num_rows)
        self._group = -1
        self._batches: Iterator[Any] = iter(())
        self._start, self._values = 0, pa.array([], pa.null())  # rows in hand
        self._broken: dict[int, OSError] = {}  # row group -> what its bytes raised

    def entries(self, split: Split | None) -> Iterator[Entry]:
        """One entry per row."""
        yield from self.layout.entries(self._facts(), lambda index: f"{self.name}#{index}", split)

    def _facts(self) -> Iterator[dict[str, Any]]:
        if not self.layout.facts:
            yield from ({} for _ in range(self._file.metadata.num_rows))
            return
        try:
            for batch in self._file.iter_batches(FACT_ROWS, columns=self.layout.facts):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self.name} has damaged labels ({one_line(error)}): fetch it again") from None

    def content(self, index: int) -> bytes:
        """Encoded image of a row. Raises OSError where the cell holds none or its row group is damaged."""
        if not self._start <= index < self._start + len(self._values):
            self._move(index)
        return encoded(self._values[index - self._start].as_py())

    def _move(self, index: int) -> None:
        group = next(number for number, end in enumerate(self._ends) if index < end)
        if group in self._broken:
            raise self._broken[group]
        if group != self._group or index < self._start:
            self._group, self._values = group, pa.array([], pa.null())
            self._start = self._ends[group - 1] if group else 0
            self._batches = self._file.iter_batches(IMAGE_ROWS, row_groups=[group], columns=[self.layout.image])
        try:
            while index >= self._start + len(self._values):
                self._start += len(self._values)
                self._values = pa.array([], pa.null())
                self._values = next(self._batches).column(0)
        except (pa.ArrowException, OSError, StopIteration) as error:
            self._broken[group] = OSError(f"damaged part of {self.name}: {one_line(error)}")
            raise self._broken[group] from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

"""Parquet files with a column of images, one file or a folder of them; also what `datasets` and Spark write.

Images are never held together: one file is open at a time, and batches of a few rows are read in the order of the
entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from aigc_core.config import Reading
from aigc_core.data.sources.archives import stand_in
from aigc_core.data.sources.base import Entry, OpenSource, closed_on_error, one_line, own_splits, readers
from aigc_core.data.sources.folder import walk
from aigc_core.data.sources.kinds import PARQUET, START_BYTES, is_hidden, suffix_of
from aigc_core.data.sources.other_kind import advice
from aigc_core.data.sources.tables.columns import Column
from aigc_core.data.sources.tables.rows import IMAGE_ROWS, read_tables
from aigc_core.data.sources.tally import Tally
from aigc_core.errors import SourceError

#: Folders in which Spark and Delta Lake keep what is no data.
NOT_DATA = {"_temporary", "_spark_metadata", "_delta_log"}
#: The folder name in which Hive keeps rows whose value is null.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
#: What files that are no Parquet begin with, and what to do.
OTHER_FILES = {
    b"PARE": "it is encrypted: decrypt it first",
    b"ARROW1": "it is an Arrow file: write it with pyarrow.parquet",
}


@readers.register("parquet")
def open_parquet(path: Path, options: Reading) -> OpenSource:
    """List the rows of Parquet files; keys are `file#row`.

    The split comes from a column, else from a word such as train, test or validation in the name of the file or of a
    folder. Folders such as `label=cat` are columns. Raises SourceError for a file that is no Parquet, and where no
    file has images.
    """
    tally = Tally()
    places, refused, skipped = _files(path, tally)
    if not places and not refused:
        raise SourceError(
            f"source.path {str(path)!r} holds no .parquet file: "
            + (
                advice(path, "parquet")
                or "name a file or a folder of them (`source.kind: hf` reads what `save_to_disk` wrote)"
            )
        )
    slot = _Slot()
    files = [_File(place, name, slot) for name, place in places.items()]
    if not refused and not any(file.rows for file in files):
        raise SourceError(f"source.path {str(path)!r} holds {len(files)} Parquet files without a single row")
    with closed_on_error(slot.close):
        entries, read = read_tables(files, options.columns, tally)
    entries += [Entry(name, refused=reason) for name, reason in refused.items()]
    return OpenSource(own_splits(entries), read, skipped, slot.close, tally.notices())


def _files(path: Path, tally: Tally) -> tuple[dict[str, Path], dict[str, str], dict[str, int]]:
    """Parquet files by name, those that may not be read with the reason, and counts of other files by suffix."""
    if path.is_file():
        return {path.name: path}, {}, {}
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name a .parquet file or a folder of them")
    found = walk(path)
    names, others = [], Counter[str]()
    for name in sorted(found.names):
        suffix = suffix_of(name)
        if is_hidden(name) or not NOT_DATA.isdisjoint(name.split("/")):
            others["hidden"] += 1
        elif suffix in PARQUET:
            names.append(name)
        else:
            others[suffix or "no suffix"] += 1
    for folder in sorted({name.partition("_delta_log/")[0] for name in found.names if "_delta_log/" in name}):
        tally.add("stale_rows", folder or path.name)
    refused = {name: found.refused[name] for name in names if name in found.refused}
    return {name: path / name for name in names if name not in refused}, refused, dict(others)


def _hive(name: str) -> dict[str, str | None]:
    """The columns that folders such as `label=cat` stand for."""
    pairs = [part.split("=", 1) for part in PurePosixPath(name).parts[:-1] if "=" in part]
    return {key: None if value == HIVE_NULL else unquote(value) for key, value in pairs}


def _why(path: Path, error: Exception) -> str:
    """Why a file is no Parquet, in the words of the person who can mend it where that shows at its ends."""
    try:
        with path.open("rb") as file:
            begin = file.read(START_BYTES)
            file.seek(max(0, path.stat().st_size - 4))
            end = file.read()
    except OSError as unreadable:
        return one_line(unreadable)
    if not begin:
        return "it holds no bytes: fetch it again"
    if begin.startswith(b"PAR1") and end != b"PAR1":
        return "its end is missing: fetch it again"
    other = next((why for what, why in OTHER_FILES.items() if begin.startswith(what)), None)
    return stand_in(begin) or other or f"{one_line(error)}: fetch it again"


class _Slot:
    """Holds the one file that is open for its images."""

    def __init__(self) -> None:
        self._file: _File | None = None

    def hold(self, file: _File) -> None:
        """Make `file` the one, and close another."""
        if self._file is not file:
            self.close()
            self._file = file

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
        self._file = None


class _File:
    """One Parquet file, read forwards; going back begins its row group again."""

    def __init__(self, path: Path, name: str, slot: _Slot) -> None:
        self.name, self.constants = name, _hive(name)
        self._path, self._slot = path, slot
        self._ends: list[int] = []  # of the row groups
        try:
            with pq.ParquetFile(path) as file:
                self.schema = file.schema_arrow
                for group in range(file.metadata.num_row_groups):
                    self._ends.append((self._ends[-1] if self._ends else 0) + file.metadata.row_group(group).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{name} is not a readable Parquet file: {_why(path, error)}") from None
        self.rows = self._ends[-1] if self._ends else 0
        self._file: Any = None  # opened by the first image
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group, self._start, self._values = -1, 0, pa.array([], pa.null())  # rows in hand
        self._broken: dict[int, OSError] = {}  # row group -> what its bytes raised

    def batches(self, columns: list[Column], rows: int) -> Iterator[pa.RecordBatch]:
        """These columns, at most so many rows at a time. Raises SourceError where they are damaged."""
        try:
            with pq.ParquetFile(self._path, buffer_size=1 << 16, pre_buffer=False) as file:
                yield from file.iter_batches(rows, columns=[column.path for column in columns])
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{self.name} has labels that cannot be read ({one_line(error)}): fetch it again, or decrypt it"
            ) from None

    def cell(self, column: Column, index: int) -> pa.Array:
        """Image cell of a row, as an array of length 1. Raises OSError where its row group is damaged."""
        self._slot.hold(self)
        if not self._start <= index < self._start + len(self._values):
            self._move(column, index)
        return self._values.slice(index - self._start, 1)

    def _move(self, column: Column, index: int) -> None:
        group = next(number for number, end in enumerate(self._ends) if index < end)
        if group in self._broken:
            raise self._broken[group]
        try:
            if group != self._group or index < self._start:
                self._begin(column, group)
            while index >= self._start + len(self._values):
                self._start += len(self._values)
                self._values = pa.array([], pa.null())
                self._values = column.of(next(self._batches))
        except (pa.ArrowException, OSError, StopIteration) as error:
            self._broken[group] = OSError(f"damaged part of {self.name}: {one_line(error)}")
            raise self._broken[group] from None

    def _begin(self, column: Column, group: int) -> None:
        if self._file is None:
            self._file = pq.ParquetFile(self._path, buffer_size=1 << 16, pre_buffer=False)
        self._group, self._values = group, pa.array([], pa.null())
        self._start = self._ends[group - 1] if group else 0
        self._batches = self._file.iter_batches(IMAGE_ROWS, row_groups=[group], columns=[column.path])

    def close(self) -> None:
        """Close the file; the next image opens it again."""
        if self._file is not None:
            self._file.close()
        self._file, self._batches = None, iter(())
        self._group, self._start, self._values = -1, 0, pa.array([], pa.null())

"""Hugging Face data sets: a folder that `save_to_disk` wrote, or a name on the Hub, which is streamed.

A stream has no list of its rows. It is gone through twice: once for labels and captions, so that the sample is
drawn as for every source, and once for the images. Nothing is kept on disk, and no code of a data set is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from aigc_core.config import Reading
from aigc_core.data.sources.base import OpenSource, one_line, own_splits, readers
from aigc_core.data.sources.tables.columns import Column
from aigc_core.data.sources.tables.rows import read_tables
from aigc_core.data.sources.tally import Tally
from aigc_core.errors import SourceError


@readers.register("hf")
def open_hf(path: Path, options: Reading) -> OpenSource:
    """List the rows of all splits, or of `options.split`; keys are `split#row`.

    Raises SourceError for a folder that `save_to_disk` did not write, a split that does not exist, a table without
    images, and a name that cannot be reached.
    """
    opened = _opened(options.name, lambda: _stream(options)) if options.name else _from_disk(path)
    streamed = options.split if options.name else None  # the Hub gave this split alone
    parts = opened if isinstance(opened, dict) else {streamed or str(opened.split or "all"): opened}
    if options.split is not None:
        if options.split not in parts:
            raise SourceError(f"source.split = {options.split!r} does not exist: choose one of {', '.join(parts)}")
        parts = {options.split: parts[options.split]}
    tally = Tally()
    entries, read = read_tables([_Table(table, name, options) for name, table in parts.items()], options.columns, tally)
    return OpenSource(own_splits(entries), read, notices=tally.notices())


def _from_disk(path: Path) -> Any:
    if not any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        raise SourceError(
            f"source.path {str(path)!r} is no folder that `save_to_disk` wrote: name such a folder, or a data set "
            "on the Hub in source.name (`source.kind: parquet` reads Parquet files)"
        )
    try:
        return _loaded(path)
    except Exception as error:  # a damaged folder fails in many ways
        raise SourceError(f"source.path {str(path)!r} cannot be loaded ({one_line(error)}): save it again") from None


def _loaded(path: Path) -> Any:
    """The data set, or its splits by name."""
    if not (path / "dataset_dict.json").is_file():
        return _loaded_split(path)
    names = _plain_names(json.loads((path / "dataset_dict.json").read_text())["splits"])
    return {name: _loaded_split(path / name) for name in names}


def _loaded_split(path: Path) -> Any:
    """One split. `datasets` writes no file for a split without rows, and cannot load that."""
    import datasets

    if _plain_names(file["filename"] for file in json.loads((path / "state.json").read_text())["_data_files"]):
        return datasets.load_from_disk(str(path))
    features = datasets.DatasetInfo.from_directory(str(path)).features
    return datasets.Dataset.from_dict({column: [] for column in features}, features=features)


def _plain_names(names: Iterable[str]) -> list[str]:
    """The names, none of which may lead out of the folder."""
    names = list(names)
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{name!r} leads out of the folder")
    return names


def _stream(options: Reading) -> Any:
    import datasets

    return datasets.load_dataset(
        options.name, options.config, revision=options.revision, split=options.split, streaming=True
    )


def _opened(name: str, reach: Callable[[], Any]) -> Any:
    """What `reach` gives; whatever the Hub's client raises becomes one sentence."""
    try:
        return reach()
    except Exception as error:  # no network, no such name, a licence that was not accepted: many kinds
        raise SourceError(
            f"source.name {name!r} cannot be read from the Hugging Face Hub ({one_line(error)}): check the name and the "
            "network, or save the data set with `save_to_disk` elsewhere and name that folder in source.path"
        ) from None


class _Table:
    """One split, on disk or streamed."""

    def __init__(self, table: Any, name: str, options: Reading) -> None:
        self.name, self._hub = name, options.name
        self.constants: dict[str, str | None] = {}
        if self._hub and table.features is None:
            table = _opened(self._hub, table._resolve_features)  # asks the first rows for their types
        self.schema: pa.Schema = table.features.arrow_schema
        self.rows = None if self._hub else len(table)
        self._table = table
        self._images: Any = None  # the column of images, encoded
        self._stream: Iterator[Any] = iter(())
        self._next = 0

    def batches(self, columns: list[Column], rows: int) -> Iterator[pa.Table]:
        """These columns, at most so many rows at a time."""
        chosen = self._table.select_columns([column.name for column in columns])
        batches = iter(chosen.with_format("arrow").iter(rows))
        while (batch := self._reached(lambda: next(batches, None))) is not None:
            yield batch

    def cell(self, column: Column, index: int) -> pa.Array:
        """The image cell of a row, as an array of length 1. Raises OSError for a damaged row."""
        if self._images is None:
            self._images = self._select(column)
        if self._hub:
            return self._streamed(column, index)
        try:
            return column.of(self._images[index : index + 1])
        except Exception as error:  # damaged Arrow files fail in many ways; each costs its row
            raise OSError(f"damaged row: {one_line(error)}") from None

    def _select(self, column: Column) -> Any:
        images = self._table.select_columns([column.name])
        # What is stored is handed out, and nothing is decoded.
        return images.decode(False) if self._hub else images.with_format("arrow")

    def _streamed(self, column: Column, index: int) -> pa.Array:
        if index < self._next or self._next == 0:
            self._stream, self._next = iter(self._images), 0
        row: Any = None
        while self._next <= index:
            row = self._reached(lambda: next(self._stream, None))
            self._next += 1
        if row is None:
            raise SourceError(f"source.name {self._hub!r} has become shorter while it was read: run it again")
        try:
            return column.of(pa.table({column.name: pa.array([row[column.name]])}))
        except pa.ArrowException as error:
            raise OSError(f"a value of no known kind: {one_line(error)}") from None

    def _reached(self, step: Callable[[], Any]) -> Any:
        return _opened(self._hub, step) if self._hub else step()

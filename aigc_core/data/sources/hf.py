"""Hugging Face data sets: a folder that `save_to_disk` wrote, or a name on the Hub, which is streamed.

A stream has no list of its rows. It is gone through twice: once for labels and captions, so that the sample is
drawn as for every source, and once for the images. Nothing is kept on disk, and no code of a data set is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aigc_core.config import Reading
from aigc_core.data.sources.base import Entry, OpenSource, one_line, own_splits, readers
from aigc_core.data.sources.columns import Layout, encoded, find_columns
from aigc_core.data.splits import SPLIT_NAMES
from aigc_core.errors import SourceError

BATCH_ROWS = 1000


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
    tables = {name: _Table(table, name, options) for name, table in parts.items()}
    entries = [entry for table in tables.values() for entry in table.entries()]

    def read(entry: Entry) -> bytes:
        name, _, index = entry.key.rpartition("#")
        return encoded(tables[name].cell(int(index)))

    return OpenSource(own_splits(entries), read)


def _from_disk(path: Path) -> Any:
    import datasets

    if not any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        raise SourceError(
            f"source.path {str(path)!r} is no folder that `save_to_disk` wrote: name such a folder, or a data set "
            "on the Hub in source.name"
        )
    try:
        return datasets.load_from_disk(str(path))
    except Exception as error:  # a damaged folder fails in many ways
        raise SourceError(f"source.path {str(path)!r} cannot be loaded ({one_line(error)}): save it again") from None


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
        import datasets

        self.name, self.hub = name, options.name
        if self.hub and table.features is None:
            table = _opened(self.hub, table._resolve_features)  # asks the first rows for their types
        self.layout: Layout = find_columns(table.features.arrow_schema, options.columns, f"the split {name!r}")
        self._facts = table.select_columns(self.layout.facts)
        images = table.select_columns([self.layout.image])
        if isinstance(table.features[self.layout.image], datasets.Image):
            images = images.cast_column(self.layout.image, datasets.Image(decode=False))
        self._images = images
        self._rows: Iterator[Any] = iter(())
        self._next = 0
        self._count = None if self.hub else len(table)

    def entries(self) -> Iterator[Entry]:
        """One entry per row."""
        rows = self._listed() if self.layout.facts or self._count is None else ({} for _ in range(self._count))
        yield from self.layout.entries(rows, lambda index: f"{self.name}#{index}", SPLIT_NAMES.get(self.name))

    def _listed(self) -> Iterator[dict[str, Any]]:
        # Without facts the images themselves are counted.
        table = (self._facts if self.layout.facts else self._images).with_format("arrow")
        batches = iter(table.iter(BATCH_ROWS if self.layout.facts else 16))
        while (batch := self._reached(lambda: next(batches, None))) is not None:
            yield from batch.select(self.layout.facts).to_pylist() if self.layout.facts else [{}] * batch.num_rows

    def cell(self, index: int) -> Any:
        """The image cell of a row: bytes, or a mapping with `bytes`."""
        if not self.hub:
            try:
                return self._images[index][self.layout.image]
            except Exception as error:  # damaged Arrow files fail in many ways; each costs its row
                raise OSError(f"damaged row: {one_line(error)}") from None
        if index < self._next or self._next == 0:
            self._rows, self._next = iter(self._images), 0
        row: Any = None
        while self._next <= index:
            row = self._reached(lambda: next(self._rows, None))
            self._next += 1
        if row is None:
            raise SourceError(f"source.name {self.hub!r} has become shorter while it was read: run it again")
        return row[self.layout.image]

    def _reached(self, step: Callable[[], Any]) -> Any:
        return _opened(self.hub, step) if self.hub else step()

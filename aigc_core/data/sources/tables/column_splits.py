"""What the columns of all tables of a source say of splits, row by row, and which of them are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import pyarrow as pa

from aigc_core.data.sources.base import Entry
from aigc_core.data.sources.split_values import SplitColumn, by_name
from aigc_core.data.sources.tables.columns import Column
from aigc_core.data.sources.tables.facts import as_text, splits
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import held_out_first
from aigc_core.records import Split


class ColumnSplits:
    """Columns called like a split, which count as soon as one value says one, and those of `Layout.maybe_splits`, which
    count only where all of their values do. A column that a person chose counts whatever it says."""

    def __init__(self, chosen: str | None) -> None:
        self._unknown: dict[str, Tally] = {}  # of columns called like a split
        self._read = {chosen}  # of these
        self._maybe: dict[str, SplitColumn] = {}

    def named(self, column: Column, values: pa.Array) -> list[Split | None]:
        """What each value of a column that is called like a split says."""
        unknown = self._unknown.setdefault(column.path, Tally())
        said = splits(values, column.classes, lambda value: unknown.add("split_values_unknown", value))
        if any(said):
            self._read.add(column.path)
        return said

    def see(self, column: Column, values: pa.Array, keys: Sequence[str]) -> None:
        """Note what the values of a column of `Layout.maybe_splits` say of the rows with these keys."""
        if column.name not in self._maybe and (new := by_name(column.name)):
            self._maybe[column.name] = new
        known = self._maybe[column.name]
        for value, key in zip(as_text(values, column.classes), keys, strict=True):
            if known.refuted:
                return
            known.see(value or "", key)

    def applied(self, entries: list[Entry], tally: Tally) -> list[Entry]:
        """The entries with what columns of `see` say beside; what anything holds out is held out.

        `tally` receives which columns were read because of their values, and which were not.
        """
        for path, unknown in self._unknown.items():
            if path in self._read:
                tally.merge(unknown)
            else:
                tally.add("columns_not_used", path, int(bool(unknown.counts)))
        said = []
        for column in self._maybe.values():
            tally.add("split_guessed" if column.says_splits() else "columns_not_used", column.name)
            said += [column.rows] if column.says_splits() else []
        if not said:
            return entries
        return [
            replace(entry, split=reduce(held_out_first, (rows.get(entry.key) for rows in said), entry.split))
            for entry in entries
        ]

"""What the columns of all tables of a source say of splits, row by row, and which of them are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import pyarrow as pa

from aigc_core.data.sources.base import Entry
from aigc_core.data.sources.split_values import SplitColumn, by_name, say_splits
from aigc_core.data.sources.tables.columns import Column
from aigc_core.data.sources.tables.facts import as_text, splits
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import held_out_first
from aigc_core.records import Split


class ColumnSplits:
    """Columns called like a split, which count as soon as one value says one, and those of `Layout.maybe_splits`, which
    count only where all of their values do: `phase` in tables without a column called like a split that counts, `is_test`
    in all. A column that a person chose counts whatever it says."""

    def __init__(self, chosen: str | None) -> None:
        self._unknown: dict[str, Tally] = {}  # of columns called like a split
        self._read = {chosen}  # of these
        #: By name, then by the column called like a split beside them.
        self._maybe: dict[str, dict[str, SplitColumn]] = {}

    def named(self, column: Column, values: pa.Array) -> list[Split | None]:
        """What each value of a column that is called like a split says."""
        unknown = self._unknown.setdefault(column.path, Tally())
        said = splits(values, column.classes, lambda value: unknown.add("split_values_unknown", value))
        if any(said):
            self._read.add(column.path)
        return said

    def see(self, column: Column, values: pa.Array, keys: Sequence[str], beside: str) -> None:
        """Note what the values of a column of `Layout.maybe_splits` say of the rows with these keys.

        `beside` is the path of the table's column that is called like a split, "" where there is none.
        """
        tables = self._maybe.setdefault(column.name, {})
        if beside not in tables and (new := by_name(column.name)):
            tables[beside] = new
        known = tables[beside]
        for value, key in zip(as_text(values, column.classes), keys, strict=True):
            if known.refuted:
                return
            known.see(value or "", key)

    def applied(self, entries: list[Entry], tally: Tally, names: Tally) -> list[Entry]:
        """The entries with what columns of `see` say beside; what anything holds out is held out.

        `tally` receives which columns were read because of their values, and which were not; and, where no column called
        like a split was read, what `names` holds of the names of the tables that have one.
        """
        if self._read.isdisjoint(self._unknown):
            tally.merge(names)
        for path, unknown in self._unknown.items():
            if path in self._read:
                tally.merge(unknown)
            else:
                tally.add("columns_not_used", path, int(bool(unknown.counts)))
        said = [rows for name in self._maybe for rows in self._guessed(name, tally)]
        if not said:
            return entries
        return [
            replace(entry, split=reduce(held_out_first, (rows.get(entry.key) for rows in said), entry.split))
            for entry in entries
        ]

    def _guessed(self, name: str, tally: Tally) -> list[dict[str, Split]]:
        """What the columns of `see` with one name say where they count, if all of their values there are words for splits."""
        tables = self._maybe[name]
        counting = [column for beside, column in tables.items() if column.beside or beside not in self._read]
        says = say_splits(counting)
        tally.add("split_guessed", name, int(says))
        tally.add("columns_not_used", name, int(not says or len(counting) < len(tables)))
        return [column.rows for column in counting] if says else []

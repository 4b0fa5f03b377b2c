"""The columns of one table beside images that say the split by their values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aigc_core.data.sources.metadata.roles import Facts, Roles
from aigc_core.data.sources.split_values import SplitColumn, flagged, say_splits, word, worded
from aigc_core.data.splits import held_out_first


class SplitColumns:
    """The columns of one table that may say splits, row by row.

    Beside a column called like a split that says one, those alone count that are called like `is_test`.
    """

    def __init__(self, roles: Roles) -> None:
        self._label = roles.label
        self._named = False  # whether a column called like a split says one
        self._columns = {place: flagged(name) or worded(name) for place, name in roles.unread.items()}
        if roles.label is not None:
            # Classes may be called `test` and `val`, but hardly like both kinds of split.
            self._columns[roles.label] = SplitColumn("the label", word, 2, 2)

    def see(self, cells: Sequence[Any], row: str, *, named: bool) -> None:
        """Note what the cells of one row of the table say of the source's row; empty cells say nothing.

        `named` says that the column called like a split says one of the row.
        """
        self._named |= named
        for place, column in list(self._columns.items()):
            column.see(_plain_value(cells[place]), row)
            if column.refuted:
                del self._columns[place]

    def add(self, told: dict[str, Facts]) -> dict[int, str]:
        """Add the splits to the facts; columns that say some are returned, by place."""
        found = {
            place: column
            for place, column in self._columns.items()
            if say_splits([column]) and (column.beside or not self._named)
        }
        for place, column in found.items():
            for row, split in column.rows.items():
                if row in told:
                    facts = told[row]._replace(split=held_out_first(told[row].split, split))
                    told[row] = facts._replace(label=None) if place == self._label else facts
        return {place: column.name for place, column in found.items()}


def _plain_value(cell: object) -> str:
    """A cell as text; nothing for null and NaN."""
    missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
    return "" if missing else str(cell).strip()

"""Columns that say the split under an unusual name: their values tell.

Such are columns with no value but words for splits, and columns such as `is_test` whose values are yes and no.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aigc_core.data.sources.column_names import plain
from aigc_core.data.sources.metadata.roles import Facts, Roles, held_out_first
from aigc_core.data.splits import SPLIT_NAMES, cell_split, is_split_word
from aigc_core.records import Split

#: Names that need no second value: in a table of test rows all of them say `test`.
_LIKELY = frozenset({"phase", "set", "data_set", "usage"})
_YES = frozenset({"1", "1.0", "true", "yes", "y", "t"})
_NO = frozenset({"0", "0.0", "false", "no", "n", "f"})


@dataclass
class _Column:
    """One column that may say splits, while no value speaks against it."""

    name: str
    read: Callable[[str], Split | None]
    least: int  # different values that it has to have
    kinds: int = 1  # different splits that it has to name
    values: set[str] = field(default_factory=set)
    rows: dict[str, Split] = field(default_factory=dict)

    def says_splits(self) -> bool:
        """Whether there are held-out rows, and different values."""
        said = set(self.rows.values())
        return "test" in said and len(said) >= self.kinds and len(self.values) >= self.least


class SplitColumns:
    """The columns of one table that may say splits, row by row."""

    def __init__(self, roles: Roles) -> None:
        self._label = roles.label
        flags = {place: word for place, name in roles.unread.items() if (word := _flag_of(name))}
        # `is_valid` may also mean that a file is no broken one: then all of its values may be yes.
        self._columns = {
            place: _Column(roles.unread[place], partial(_flag, word=word), 2 if word == "valid" else 1)
            for place, word in flags.items()
        }
        for place, name in roles.unread.items() if roles.split is None else ():
            if place not in flags:
                self._columns[place] = _Column(name, _word, 1 if plain(name) in _LIKELY else 2)
        if roles.split is None and roles.label is not None:
            # Classes may be called `test` and `val`, but hardly like both kinds of split.
            self._columns[roles.label] = _Column("the label", _word, 2, 2)

    def see(self, cells: Sequence[Any], row: str) -> None:
        """Note what the cells of one row of the table say of the source's row; empty cells say nothing."""
        for place, column in list(self._columns.items()):
            value = _plain_value(cells[place])
            split = column.read(value) if value else None
            if split is not None:
                column.values.add(value)
                column.rows[row] = held_out_first(column.rows.get(row), split) or split
            elif value:
                del self._columns[place]

    def add(self, told: dict[str, Facts]) -> dict[int, str]:
        """Add the splits to the facts; columns that say some are returned, by place."""
        found = {place: column for place, column in self._columns.items() if column.says_splits()}
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


def _word(value: str) -> Split | None:
    return cell_split(value) if is_split_word(value) else None


def _flag_of(name: str) -> str | None:
    """The word for a split in a name such as `is_test`."""
    first, _, word = plain(name).partition("_")
    return word if first == "is" and word in SPLIT_NAMES else None


def _flag(value: str, word: str) -> Split | None:
    """What yes or no says in a column such as `is_test`: what is not for training is held out."""
    small = value.casefold()
    if small not in _YES | _NO:
        return None
    return "test" if (SPLIT_NAMES[word] == "test") == (small in _YES) else "train"

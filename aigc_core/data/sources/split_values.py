"""Columns that say the split under a name that is none of a split's own: their values tell.

Such are columns with no value but words for splits, and columns such as `is_test` whose values are yes and no.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from aigc_core.data.sources.column_names import MAYBE_SPLIT, SPLIT, plain
from aigc_core.data.splits import SPLIT_NAMES, cell_split, held_out_first, is_split_word
from aigc_core.records import Split

_YES = frozenset({"1", "1.0", "true", "yes", "y", "t"})
_NO = frozenset({"0", "0.0", "false", "no", "n", "f"})
_IS = re.compile(r"is_?(.+)")
#: Names that speak of splits, so that one word for them may be all that a column says.
_NAMES = MAYBE_SPLIT.union(SPLIT)


@dataclass
class SplitColumn:
    """One column that may say splits, while no value speaks against it."""

    name: str
    read: Callable[[str], Split | None]
    least: int = 1  # different values that it has to have
    kinds: int = 1  # different splits that it has to name
    beside: bool = False  # it also counts where another column that is called like a split says splits
    refuted: bool = False
    values: set[str] = field(default_factory=set)
    rows: dict[str, Split] = field(default_factory=dict)

    def see(self, value: str, row: str) -> None:
        """Note what a cell says of the source's row; an empty one says nothing."""
        split = self.read(value) if value else None
        if split is not None:
            self.values.add(value)
            self.rows[row] = held_out_first(self.rows.get(row), split) or split
        elif value:
            self.refuted = True


def say_splits(columns: Sequence[SplitColumn]) -> bool:
    """Whether every value is a word for a split, and there are held-out rows, and different values.

    Columns of one name in several tables are judged as one; none say nothing.
    """
    said = {split for column in columns for split in column.rows.values()}
    values = {value for column in columns for value in column.values}
    return "test" in said and all(
        not column.refuted and len(said) >= column.kinds and len(values) >= column.least for column in columns
    )


def flagged(name: str) -> SplitColumn | None:
    """The column if its name is such as `is_test`."""
    match = _IS.fullmatch(plain(name))
    word = match[1] if match else ""
    if word not in SPLIT_NAMES:
        return None
    # `is_valid` may also mean that a file is no broken one: then all of its values may be yes.
    return SplitColumn(name, partial(_flag, word=word), 2 if word == "valid" else 1, beside=True)


def worded(name: str) -> SplitColumn:
    """The column as one whose values may be words for splits; a name that hardly speaks of splits needs two of them."""
    return SplitColumn(name, word, 1 if plain(name) in _NAMES else 2)


def by_name(name: str) -> SplitColumn | None:
    """The column if its name is one that a column of splits may have, as `phase`, `subset` and `is_test` are."""
    return flagged(name) or (worded(name) if plain(name) in _NAMES else None)


def word(value: str) -> Split | None:
    """The split that a value says if it says nothing else."""
    return cell_split(value) if is_split_word(value) else None


def _flag(value: str, word: str) -> Split | None:
    """What yes or no says in a column such as `is_test`: what is not for training is held out."""
    small = value.casefold()
    if small not in _YES | _NO:
        return None
    return "test" if (SPLIT_NAMES[word] == "test") == (small in _YES) else "train"

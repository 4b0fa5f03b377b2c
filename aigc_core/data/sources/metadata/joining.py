"""The rows of one table meet the files that they name; what does not meet is counted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from aigc_core.data.sources.metadata.meeting import AMBIGUOUS, FileNames
from aigc_core.data.sources.metadata.roles import Facts, Roles, as_text, caption
from aigc_core.data.sources.metadata.split_columns import SplitColumns
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import cell_split, held_out_first, split_name
from aigc_core.records import Split

#: Rows that decide which of several columns names the files.
SAMPLE_ROWS = 100
#: What a table of one split may be called besides the split.
_TABLE_WORDS = frozenset(
    {"labels", "label", "annotations", "metadata", "captions", "gt", "x", "y", "id", "ids", "list", "lists", "rows", "names",
     "filenames", "filelist", "paths", "index", "csv", "df"}
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table that names files in one of the columns `roles.images`."""

    name: str
    rows: Iterator[tuple[int, list[Any]]]  # with their number in the file, as many cells as the header has
    roles: Roles
    unit: str = "line"  # what the number counts

    def where(self, number: int) -> str:
        """A row's place for a person."""
        return f"{self.name} {self.unit} {number}"


class _Claim(NamedTuple):
    """How a row of the table came to a file; `cell` is empty where several names claim it."""

    cell: str
    how: str
    number: int


def join(table: Table, names: FileNames, tally: Tally) -> tuple[dict[str, Facts], set[int]]:
    """Facts of the rows that the table names, and the places of columns that are read without a usual name.

    Of several rows for one file the first counts. A name that differs from the file's counts only where no other name in
    the table fits the same file. Columns that say splits by their values are read too, and told.
    """
    first = list(itertools.islice(table.rows, SAMPLE_ROWS))
    image = _image_column(table, first, names)
    claims: dict[str, _Claim] = {}
    told: dict[str, Facts] = {}
    named, guessed = _named_split(table.name)
    splits = SplitColumns(table.roles)
    for number, cells in itertools.chain(first, table.rows):
        cell = _name(cells[image])
        row, how = names.meet(cell, table.name) if cell else (None, "")
        if row is None:
            tally.add("rows_without_file", f"{table.where(number)}: {cell or 'no name'}")
            continue
        split = _own_split(cells, table, number, tally)
        facts = _facts(cells, table, number, split or named, tally)
        _claim(_Claim(cell, how, number), row, facts, claims, told, table, tally)
        splits.see(cells, row, named=split is not None)
    read = splits.add(told)
    for column in read.values():
        tally.add("split_guessed", f"{table.name}: {column}")
    if guessed and told:
        tally.add("table_held_out", table.name)
    for row, claim in claims.items():
        if claim.how and claim.cell:
            tally.add("names_met_loosely", f"{table.where(claim.number)}: {claim.cell} is {row}, {claim.how}")
    return told, set(read)


def _claim(
    new: _Claim, row: str, facts: Facts, claims: dict[str, _Claim], told: dict[str, Facts], table: Table, tally: Tally
) -> None:
    """Give the file `row` the facts of one row of the table, unless another row has the better right to it."""
    old = claims.get(row)
    if row == AMBIGUOUS or (old and new.how and old.cell != new.cell):
        tally.add("ambiguous_names", f"{table.where(new.number)}: {new.cell}")
        if old and old.how:
            _withdraw(old, row, told, table, tally)
            claims[row] = _Claim("", old.how, old.number)
        return
    if old and old.how and not new.how:
        _withdraw(old, row, told, table, tally)
    elif old:
        tally.add("listed_twice", f"{table.where(new.number)}: {new.cell}", int(told[row] != facts))
        told[row] = told[row]._replace(split=held_out_first(told[row].split, facts.split))
        return
    claims[row], told[row] = new, facts


def _withdraw(claim: _Claim, row: str, told: dict[str, Facts], table: Table, tally: Tally) -> None:
    told.pop(row, None)
    if claim.cell:
        tally.add("ambiguous_names", f"{table.where(claim.number)}: {claim.cell}")


def _name(cell: object) -> str:
    return str(cell) if isinstance(cell, str | int) and not isinstance(cell, bool) else ""


def _image_column(table: Table, sample: list[tuple[int, list[Any]]], names: FileNames) -> int:
    """Of the columns that may name files the one that meets most of them, the surer name where they are equal."""
    if len(table.roles.images) == 1:
        return table.roles.images[0]
    met = {
        place: sum(
            bool(cell := _name(cells[place])) and names.meet(cell, table.name)[0] is not None for _, cells in sample
        )
        for place in table.roles.images
    }
    return max(table.roles.images, key=lambda place: met[place])


def _named_split(name: str) -> tuple[Split | None, bool]:
    """The split of all rows of `train.csv` or `test_labels.csv`, and whether further words make it a guess.

    With words that are not known, as in `lung_test.csv`, a table holds out its rows, but does not train on them.
    """
    found = split_name(name.rpartition("/")[2].rpartition(".")[0])
    if found is None:
        return None, False
    if all(word in _TABLE_WORDS for word in found.rest.casefold().split("_") if word):
        return found.split, False
    return ("test", True) if found.holds_out else (None, False)


def _facts(cells: list[Any], table: Table, number: int, split: Split | None, tally: Tally) -> Facts:
    roles, where = table.roles, table.where(number)
    label = None if roles.label is None else as_text(cells[roles.label], where, tally)
    text = None if roles.text is None else caption(cells[roles.text], where, tally)
    return Facts(label, text, split)


def _own_split(cells: list[Any], table: Table, number: int, tally: Tally) -> Split | None:
    """What a row's cell in the column that is called like a split says."""
    if table.roles.split is None:
        return None
    where = table.where(number)
    value = as_text(cells[table.roles.split], where, tally)
    split = None if value is None else cell_split(value)
    if value is not None and split is None:
        tally.add("unknown_split", f"{where}: {value}")
    return split

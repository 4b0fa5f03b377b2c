"""Labels, captions and splits that lie beside images: in tables, and in files of the same name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from aigc_core.data.sources.archives import Files
from aigc_core.data.sources.kinds import PARQUET, Sorted, suffix_of
from aigc_core.data.sources.metadata import records, text
from aigc_core.data.sources.metadata.beside import read_beside
from aigc_core.data.sources.metadata.joining import Table, join
from aigc_core.data.sources.metadata.meeting import FileNames
from aigc_core.data.sources.metadata.roles import Facts, find_roles
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import split_name
from aigc_core.errors import SourceError

#: More .json or .txt files than these are of one image each, and are not looked into as tables.
MOST_LOOSE = 20
#: What tables of labels are called: such a .json file is looked into always, and such a .csv that cannot be read stops the run.
USUAL_TABLES = frozenset(
    {"dataset", "metadata", "labels", "label", "annotations", "captions", "train", "test", "val", "valid", "validation"}
)
#: First lines of a text that tell whether it is a list of files.
LIST_LINES = 3

__all__ = ["Facts", "read_metadata"]


def read_metadata(files: Files, found: Sorted, root: Path | None, tally: Tally) -> dict[str, Facts]:
    """Facts of rows by their name. Files that say nothing of a row are added to `found.skipped`.

    A table counts more than a file beside an image, and of several tables the first by name. Raises SourceError for a
    table that cannot be read, if it is called metadata, or is called like one and names a column of files.
    """
    beside = sorted((name for name in found.beside if name not in files.refused), key=files.order)
    facts, used = read_beside(beside, found.rows, files.read, tally) if beside else ({}, set[str]())
    candidates = _candidates(found.tables, used)
    loose = [name for name in found.beside if name not in used and suffix_of(name) == ".txt"]
    if len(loose) > MOST_LOOSE:
        loose = [name for name in loose if split_name(_stem(name))][:MOST_LOOSE]
    names = FileNames(found.rows, root) if candidates or loose else None
    told: dict[str, Facts] = {}
    columns: set[str] = set()
    folders: set[str] = set()  # of tables that name files
    for name in candidates if names else ():
        own = _read_table(name, files, names, columns, tally) if names else None
        if own is None:
            continue
        used.add(name)
        folders |= {name.rpartition("/")[0]} if own else set()
        for row, said in own.items():
            told[row] = _joined(told[row], said, "listed_twice", row, tally) if row in told else said
    if names:
        _name_lists(loose, files, names, tally)
    for row in found.rows if folders else ():
        if row not in told and row not in files.refused and _lies_below(row, folders):
            tally.add("files_without_row", row)
    for name in {*found.tables, *found.beside} - used:
        found.skipped[suffix_of(name)] += 1
    for row, said in told.items():
        facts[row] = _joined(said, facts[row], "facts_beside_and_in_table", row, tally) if row in facts else said
    return facts


def _joined(first: Facts, second: Facts, code: str, row: str, tally: Tally) -> Facts:
    """Facts of two places, of which the first counts; where they differ that is counted under `code`."""
    tally.add(code, row, int(first.contradicts(second)))
    return first.joined(second)


def _lies_below(row: str, folders: set[str]) -> bool:
    while row:
        row = row.rpartition("/")[0]
        if row in folders:
            return True
    return False


def _candidates(tables: Iterable[str], used: set[str]) -> list[str]:
    """Files that may be tables, by name; of many .json files those alone that are called like one."""
    names = sorted(name for name in tables if name not in used)
    objects = [name for name in names if suffix_of(name) == ".json"]
    few = len(objects) <= MOST_LOOSE
    return [name for name in names if few or suffix_of(name) != ".json" or _stem(name) in USUAL_TABLES]


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0].casefold()


def _read_table(name: str, files: Files, names: FileNames, columns: set[str], tally: Tally) -> dict[str, Facts] | None:
    """Facts by row of one table; null where it is none, or names no file though nobody calls it metadata."""
    meant = _stem(name) == "metadata" and suffix_of(name) != ".json"
    part = Tally()
    content = b""
    try:
        if "submission" in _stem(name):
            raise SourceError(f"{name} holds what is to be predicted, by its name")
        if name in files.refused:
            raise SourceError(f"{name} is {files.refused[name]}: replace it with a plain file")
        content = files.read(name)
        table = _opened(name, content, names, part)
    except (OSError, SourceError) as error:
        sentence = error if isinstance(error, SourceError) else SourceError(f"{name} cannot be read: {error}")
        usual = _stem(name) in USUAL_TABLES and suffix_of(name) in (".csv", ".tsv")
        if meant or (usual and text.meant_as_table(content)):
            raise sentence from None
        tally.add("table_not_read", str(sentence))
        return None
    if table is None:
        tally.add("empty_table", name)
        return {} if meant else None
    own, read = join(table, names, part)
    unmet = part.counts["rows_without_file"] + part.counts["ambiguous_names"]
    if not own and not unmet:
        tally.add("empty_table", name)
    elif not own and not meant and not part.counts["ambiguous_names"]:
        tally.add("table_not_read", f"{name}: no row of it names a file of the source")
    elif own and not any(map(any, own.values())):
        tally.add("table_not_read", f"{name}: it names files, but no label, caption or split of them")
    if own or meant or part.counts["ambiguous_names"]:
        tally.merge(part)
    if not own and not meant:
        return None
    _name_columns(table, read, columns, tally)
    return own


def _name_columns(table: Table, read: set[int], columns: set[str], tally: Tally) -> None:
    """Tell each column that is not read once, whichever tables have it."""
    unread = dict.fromkeys(column for place, column in table.roles.unread.items() if place not in read)
    new = [column for column in unread if column not in columns]
    columns.update(new)
    for column in new:
        tally.add("columns_not_read", f"{table.name}: {column}")


def _opened(name: str, content: bytes, names: FileNames, tally: Tally) -> Table | None:
    """The table in a file, by its suffix; null where it is empty. Raises SourceError where it cannot be read."""
    suffix = suffix_of(name)
    if suffix in (".csv", ".tsv"):
        return _opened_text(name, content, names, tally)
    if suffix in PARQUET:
        header, rows, unit = *records.read_parquet(name, content), "row"
    elif suffix == ".json":
        header, rows, unit = *records.read_json(name, content), "entry"
    else:
        header, rows, unit = *records.read_jsonl(name, content, tally), "line"
    roles = find_roles(header)
    if header and not roles.images:
        raise SourceError(f"{name} has no column file_name: its columns are {', '.join(header)}")
    return Table(name, rows, roles, unit) if header else None


def _opened_text(name: str, content: bytes, names: FileNames, tally: Tally) -> Table | None:
    lines, delimiter = text.lines_of(name, content, tally), text.delimiter_of(name)
    columns: list[str] = []

    def is_row(line: str) -> bool:
        images = find_roles(columns).images
        return text.looks_like_row(line, delimiter, len(columns), images, lambda cell: names.meet(cell, name))

    rows = text.read_rows(name, lines, delimiter, columns, is_row, tally)
    header = next((cells for _, cells in rows if not text.is_separator_line(cells)), [])
    columns += [cell.strip() for cell in header]
    roles = find_roles(columns)
    if columns and not roles.images:
        if other := text.other_delimiter(lines, delimiter):
            raise SourceError(f"{name} has {other} between its columns: save it with {text.DELIMITERS[delimiter]}")
        raise SourceError(f"{name} has no column file_name: its columns are {', '.join(columns)}")

    def fit(number: int, cells: list[str]) -> list[str]:
        return text.fitted(cells, len(columns), roles.text, delimiter, f"{name} line {number}", tally)

    return Table(name, ((number, fit(number, cells)) for number, cells in rows), roles) if columns else None


def _name_lists(texts: Iterable[str], files: Files, names: FileNames, tally: Tally) -> None:
    """Tell of texts that are tables by their first line, or lists of files without a header."""
    for name in texts:
        try:
            content = b"" if name in files.refused else files.read(name)
        except OSError:
            continue
        lines = [line for line in io.StringIO(content.decode("utf-8", "replace")) if line.strip()][:LIST_LINES]
        first = re.split(r"[\s,;|]+", "".join(lines[:1]).strip())[:MOST_LOOSE]
        if text.meant_as_table(content):
            tally.add("table_not_read", f"{name} is a table: call it .csv and put commas between its columns")
        elif any(names.meet(word, name)[0] for word in first if "." in word or "/" in word) or _are_ids(lines, names):
            tally.add("table_not_read", f"{name} lists files without a header: write it as a .csv with file_name,label")


def _are_ids(lines: Sequence[str], names: FileNames) -> bool:
    """Whether the first lines name files anywhere without a suffix, alone or with one more word, as VOC's `val.txt` does."""
    rows = [line.split() for line in lines]
    return bool(rows) and all(len(words) <= 2 and names.meet(words[0], "")[0] is not None for words in rows)

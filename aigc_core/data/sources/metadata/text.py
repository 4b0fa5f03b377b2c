"""Tables as text, .csv and .tsv: rows with the line that they begin on, and what was wrong with them.

A broken row never moves the others: a quote that is not closed ends where the next row begins, and what a row has too
much or too little of is counted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence

from aigc_core.data.sources.archives import stand_in
from aigc_core.data.sources.base import MAX_BYTES
from aigc_core.data.sources.kinds import IMAGES, suffix_of
from aigc_core.data.sources.metadata.roles import find_roles
from aigc_core.data.sources.tally import Tally
from aigc_core.errors import SourceError

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
#: Bytes in which zeros tell of two-byte letters, and the share of them from which on they do.
PROBE_BYTES = 1000
ZERO_SHARE = 0.2

#: A row with the number of the line that it begins on, from 1.
Row = tuple[int, list[str]]


def decoded(name: str, content: bytes) -> str:
    """The text of a table. Raises SourceError where it is no UTF-8."""
    if advice := stand_in(content[:PROBE_BYTES]):
        raise SourceError(f"{name} is no table: {advice}")
    zeros = content[:PROBE_BYTES].count(0)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or zeros > ZERO_SHARE * len(content[:PROBE_BYTES]):
        raise SourceError(f"{name} is written in UTF-16: save it in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{name} is not in UTF-8 (byte 0x{content[error.start]:02x} in line {line}): save it in UTF-8"
        ) from None


def lines_of(name: str, content: bytes, tally: Tally) -> list[str]:
    """The lines of a table, each with its end as one `\\n`, without zero bytes. Raises SourceError where it is no UTF-8."""
    lines = list(io.StringIO(decoded(name, content), newline=None))
    for number, line in enumerate(lines) if b"\0" in content else ():
        if "\0" in line:
            tally.add("nul_bytes", f"{name} line {number + 1}")
            lines[number] = line.replace("\0", "")
    return lines


def delimiter_of(name: str) -> str:
    """Between the cells of a table of this name: a tab in a .tsv, else a comma."""
    return "\t" if suffix_of(name) == ".tsv" else ","


def other_delimiter(lines: Sequence[str], own: str) -> str | None:
    """What stands between the columns in place of `own`, in a word, where the first line names a file column with it."""
    first = next((line for line in lines if line.strip()), "")
    return next(
        (word for sign, word in DELIMITERS.items() if sign != own and find_roles(first.split(sign)).images), None
    )


def meant_as_table(content: bytes) -> bool:
    """Whether the first line of a text that cannot be read names a file column in whatever letters and delimiter."""
    start = content[: 4 * PROBE_BYTES]
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "latin-1"
    first = start.decode(encoding, "ignore").replace("\0", "").lstrip("\ufeff\u00ef\u00bb\u00bf\r\n").splitlines()[:1]
    return any(find_roles(line.split(sign)).images for line in first for sign in DELIMITERS)


def read_rows(
    name: str, lines: Sequence[str], delimiter: str, columns: Sequence[str], is_row: Callable[[str], bool], tally: Tally
) -> Iterator[Row]:
    """The rows of a table, its header too; lines without a letter are none.

    `columns` is the header, as soon as the caller knows it. A quote that is still open where a line begins for which `is_row`
    holds is closed before that line, and one that is never closed at the end of its own line.
    """
    place = 0
    while place < len(lines):
        reader = csv.reader((lines[at] for at in range(place, len(lines))), delimiter=delimiter)
        base, begin, place = place, place, len(lines)
        while (cells := _next(name, reader)) is not None:
            end = base + reader.line_num
            stop = _stop(name, lines, begin, end, delimiter, is_row)
            if stop is not None:
                tally.add("unclosed_quote", f"{name} line {begin + 1}")
                cells, place = _closed(name, lines[begin:stop], delimiter, len(columns)), stop
            if any(cell.strip() for cell in cells):
                yield begin + 1, cells
            if stop is not None:
                break
            begin = end


def _next(name: str, reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, of whatever length; null after the last one. The limit of the csv module is left as it was."""
    before = csv.field_size_limit(MAX_BYTES)
    try:
        return next(reader, None)
    except csv.Error as error:
        raise SourceError(f"{name} is not a readable table ({error})") from None
    finally:
        csv.field_size_limit(before)


def _stop(
    name: str, lines: Sequence[str], begin: int, end: int, delimiter: str, is_row: Callable[[str], bool]
) -> int | None:
    """The line before which a row has to end that goes from `begin` to `end`; null where it is whole."""
    inner = next((at for at in range(begin + 1, end) if is_row(lines[at])), None)
    if inner is None and end == len(lines) and _is_open(name, lines[begin:end], delimiter):
        return begin + 1
    return inner


def _is_open(name: str, lines: Sequence[str], delimiter: str) -> bool:
    """Whether a quote is open at the end of these lines: a line after them then belongs to the same row."""
    reader = csv.reader([*lines, "."], delimiter=delimiter)
    last: list[str] | None = None
    while (cells := _next(name, reader)) is not None:
        last = cells
    return last != ["."]


def _closed(name: str, lines: Sequence[str], delimiter: str, columns: int) -> list[str]:
    """One row whose last quote is open; where the quote holds whole cells it counts for nothing."""
    text = "".join(lines).rstrip("\n")
    cells = _next(name, csv.reader(io.StringIO(f'{text}"', newline=""), delimiter=delimiter)) or []
    return cells if len(cells) >= columns else [cell.strip('" ') for cell in text.split(delimiter)]


def looks_like_row(
    line: str, delimiter: str, columns: int, images: Sequence[int], meet: Callable[[str], tuple[str | None, str]]
) -> bool:
    """Whether a line inside a quote is a row of its own: it names a file where the table does.

    `meet` says which row of the source a cell names, and how. Where that is not as the file is written, or the file does
    not exist, the line must have as many cells as the header: a caption may begin a line with a word and a comma.
    """
    cells = line.rstrip("\n").split(delimiter)
    for place in images if len(cells) > 1 else ():
        cell = cells[place].strip(' "') if place < len(cells) else ""
        row, how = meet(cell) if cell else (None, "")
        whole = len(cells) == columns and bool(row or suffix_of(cell) in IMAGES)
        if whole or (row and not how):
            return True
    return False


def fitted(cells: list[str], columns: int, text: int | None, delimiter: str, where: str, tally: Tally) -> list[str]:
    """The cells of a row, as many as there are columns, without blanks around them.

    What a row has too much, because its caption holds delimiters without quotes, is part of the caption in column `text`.
    """
    while len(cells) > columns and not cells[-1].strip():
        cells = cells[:-1]
    extra = len(cells) - columns
    if extra > 0:
        tally.add("cut_rows" if text is None else "long_rows", where)
        if text is not None:
            cells = [*cells[:text], delimiter.join(cells[text : text + extra + 1]), *cells[text + extra + 1 :]]
    elif extra < 0:
        tally.add("short_rows", where)
    return [cell.strip() for cell in cells[:columns]] + [""] * -extra


def is_separator_line(cells: Sequence[str]) -> bool:
    """Whether a row is Excel's `sep=;`, which stands before the header."""
    return len(cells) <= 2 and bool(re.fullmatch(r"sep=.?", cells[0].strip(), re.IGNORECASE))

"""Rows of one or several tables with a column of images: Parquet files, or the splits of a Hugging Face data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from aigc_core.config import Columns
from aigc_core.data.sources.alike_names import tell_alike
from aigc_core.data.sources.base import Entry
from aigc_core.data.sources.split_words import file_splits, tell_held_out
from aigc_core.data.sources.tables import kinds
from aigc_core.data.sources.tables.cells import Form, form_of, read_cell
from aigc_core.data.sources.tables.column_splits import ColumnSplits
from aigc_core.data.sources.tables.columns import Column, Layout, described, find_columns, no_images
from aigc_core.data.sources.tables.facts import Seen, captions, class_names
from aigc_core.data.sources.tables.part import Part, Table
from aigc_core.data.sources.tally import Tally
from aigc_core.errors import SourceError
from aigc_core.records import Split

#: Images held at once.
IMAGE_ROWS = 32
#: Rows of labels and captions read at once.
FACT_ROWS = 4096
#: Fewer rows may well be one of each class.
FEW_ROWS = 20
#: The notice for each way of holding images that is not plain bytes.
_FORMS = {"text": "images_as_text", "numbers": "images_as_numbers", "list": "images_in_lists"}
#: What an error calls them.
_SPOKEN = {"text": "base64 text", "numbers": "lists of numbers", "list": "lists of images"}


def read_tables(
    tables: Iterable[Table], wanted: Columns | None, tally: Tally
) -> tuple[list[Entry], Callable[[Entry], bytes]]:
    """The rows of all tables that hold images, and how the bytes of one are read; keys are `table#row`.

    A table without images is left out where others have some. `tally` receives what is left out or guessed.
    Raises SourceError where no table has a column of images, not one cell of them holds an image, or they are text or
    numbers and `wanted` does not name their column.
    """
    parts = _agreed(_with_images(tables, wanted, tally), tally)
    _tell(parts, tally)
    names = Tally()  # what is told of the names of tables with a column called like a split, if that says none
    named = _named_splits(parts, tally, names)
    entries: list[Entry] = []
    columns = ColumnSplits(wanted.split if wanted else None)
    for part in parts:
        own = list(_entries(part, named[part.table.name], columns, tally))
        _tell_rows(part, len(own), tally)
        entries += own
    entries = columns.applied(entries, tally, names)
    tell_held_out(entries, tally)
    _tell_labels(entries, tally)
    by_name = {part.table.name: part for part in parts}

    def read(entry: Entry) -> bytes:
        name, _, index = entry.key.rpartition("#")
        part = by_name[name]
        content, form = read_cell(part.table.cell(part.layout.image, int(index)))
        if form in _SPOKEN and not (wanted and wanted.image):  # a stream, or bytes that are text in a later table
            raise OSError(_ask_for_name(part.table, part.layout, _SPOKEN[form]))
        return content

    return entries, read


def _with_images(tables: Iterable[Table], wanted: Columns | None, tally: Tally) -> list[Part]:
    """The tables with a column of images. One whose column is text that nowhere encodes an image has none.

    Raises SourceError where no image can be read, and where text or numbers are images only if they are named so.
    """
    parts: list[Part] = []
    without: list[Table] = []
    unreadable = ""  # why, of the first table in which no image can be read
    unnamed = ""  # of the first table with images that are decoded only where their column is named
    readable = False
    for table in tables:
        layout = find_columns(table.schema, wanted, table.name, table.constants)
        if layout is None:
            without.append(table)
            continue
        form: Form | None = form_of(layout.image.kind)
        if not (readable and form == "bytes"):
            form, why = _looked_at(table, layout)
            readable = readable or form is not None
            unreadable = unreadable or why
        if form in _SPOKEN and not (wanted and wanted.image):
            unnamed = unnamed or _ask_for_name(table, layout, _SPOKEN[form])
        if form is None and kinds.is_text(layout.image.kind) and table.rows:
            without.append(table)
        else:
            parts.append(Part(table, layout, form))
    if unreadable and not readable:
        raise SourceError(unreadable)
    if unnamed:
        raise SourceError(unnamed)
    if without and not parts:
        raise no_images(without[0].schema, wanted, without[0].name)
    for table in without:
        tally.add("tables_without_images", f"{table.name} ({described(table.schema, 5)})")
    return parts


def _looked_at(table: Table, layout: Layout) -> tuple[Form | None, str]:
    """How the first readable image of a table is held; or why none can be read, where there are rows.

    A stream is not read for it.
    """
    if table.rows is None:
        return form_of(layout.image.kind), ""
    why = ""
    for index in range(table.rows):
        try:
            return read_cell(table.cell(layout.image, index))[1], ""
        except OSError as error:
            why = why or str(error)
    return None, why and (
        f"{table.name}: not one cell of the column {layout.image.path!r} holds an image ({why}): save the encoded bytes "
        f"in a column and name it in source.columns.image; {described(table.schema)}"
    )


def _ask_for_name(table: Table, layout: Layout, held: str) -> str:
    """Text and numbers may be anything: they are decoded as images where somebody says that they are."""
    column = layout.image.path
    return (
        f"{table.name}: the column {column!r} holds {held} instead of encoded images: set source.columns.image to "
        f"{column!r} to have it decoded, or to the column that holds the images; {described(table.schema)}"
    )


def _tell(parts: list[Part], tally: Tally) -> None:
    """Counts columns that are not used, each once."""
    lists = {
        "columns_not_used": [name for part in parts for name in part.layout.unused],
        "image_columns_not_used": [name for part in parts for name in part.layout.other_images],
        "label_columns_not_used": [name for part in parts for name in part.layout.other_labels],
        "column_guessed": [name for part in parts for name in part.layout.guessed],
    }
    for code, names in lists.items():
        for name in dict.fromkeys(names):
            tally.add(code, name)


def _tell_rows(part: Part, rows: int, tally: Tally) -> None:
    """Counts rows by the form of their images, and a table that has none."""
    if part.form in _FORMS:
        tally.add(_FORMS[part.form], part.table.name, rows)
    if not rows:
        tally.add("tables_without_rows", part.table.name)


def _tell_labels(entries: list[Entry], tally: Tally) -> None:
    """Counts labels where most rows have one of their own: they are numbers to predict, or names, rather than classes; and
    those that are hardly told apart."""
    rows = Counter(entry.label for entry in entries if entry.label is not None)
    if rows.total() >= FEW_ROWS and 2 * len(rows) > rows.total():
        tally.add("labels_mostly_differ", ", ".join(repr(label) for label in list(rows)[:3]), len(rows))
    else:
        tell_alike(rows, tally)


def _agreed(parts: list[Part], tally: Tally) -> list[Part]:
    """The parts, where numbers without class names take those of the other tables if these have one list alone.

    Counts every table that has other columns, or another list of class names, than the first.
    """
    lists = {classes: part for part in reversed(parts) if (classes := part.classes)}
    agreed = []
    for part in parts:
        label = part.layout.label
        if len(lists) == 1 and label and label.classes is None and kinds.is_number(label.kind):
            ((classes, other),) = lists.items()
            if other.layout.label and other.layout.label.path == label.path:
                tally.add("class_names_borrowed", part.table.name)
                told = {"_type": "ClassLabel", "names": list(classes)}
                part = replace(part, layout=replace(part.layout, label=replace(label, feature=told)))
        agreed.append(part)
    for part in agreed[1:]:
        if differences := _differences(part, agreed[0]):
            tally.add("tables_disagree", f"{part.table.name} ({'; '.join(differences)})")
        elif part.classes != agreed[0].classes:
            tally.add("class_lists_differ", part.table.name)
    return agreed


def _differences(part: Part, first: Part) -> list[str]:
    """What a table has for the same purpose as another one, where it is not of the same name and kind."""
    found = []
    for role in ("image", "label", "text", "split"):
        own, other = (_said(getattr(item.layout, role)) for item in (part, first))
        if own != other:
            found.append(f"{role}: {own} instead of {other}")
    return found


def _said(column: Column | None) -> str:
    if column is None:
        return "none"
    known = {
        "lists": kinds.is_list,
        "structs": kinds.is_struct,
        "numbers": kinds.is_number,
        "text": kinds.is_text,
        "bytes": kinds.is_bytes,
    }
    found = (name for name, fits in known.items() if fits(column.kind))
    return f"{column.path} of {'class names' if column.classes else next(found, kinds.storage(column.kind))}"


def _named_splits(parts: list[Part], tally: Tally, names: Tally) -> dict[str, Split | None]:
    """The splits that the tables' names say. `names` receives what is told of tables with a column called like a split:
    where it says one, nothing is wrong with a name."""
    with_column = [part.table.name for part in parts if part.layout.split]
    others = [part.table.name for part in parts if not part.layout.split]
    return file_splits(with_column, names) | file_splits(others, tally)


def _entries(part: Part, split: Split | None, columns: ColumnSplits, tally: Tally) -> Iterator[Entry]:
    """One entry per row; `split` holds where no column says more."""
    layout, name, start = part.layout, part.table.name, 0
    for count, batch in _batches(part):
        seen = _teller(tally, name, start)
        none: list[None] = [None] * count
        label, text, said = (
            None if column is None else _values(part, column, batch, count)
            for column in (layout.label, layout.text, layout.split)
        )
        labels = class_names(label, part.classes, seen) if label is not None else none
        texts = captions(text, seen) if text is not None else none
        own = columns.named(layout.split, said) if said is not None and layout.split else none
        keys = [f"{name}#{start + index}" for index in range(count)]
        for column in layout.maybe_splits:
            beside = layout.split.path if layout.split else ""
            columns.see(column, _values(part, column, batch, count), keys, beside)
        for index in range(count):
            yield Entry(keys[index], labels[index], texts[index], own[index] or split)
        start += count


def _batches(part: Part) -> Iterator[tuple[int, pa.RecordBatch | pa.Table | None]]:
    columns = [column for column in part.layout.facts if not column.constant]
    if not columns and part.table.rows is not None:
        yield part.table.rows, None
        return
    rows = FACT_ROWS if columns else IMAGE_ROWS  # a stream without other columns is counted by its images
    for batch in part.table.batches(columns or [part.layout.image], rows):
        yield batch.num_rows, batch


def _values(part: Part, column: Column, batch: pa.RecordBatch | pa.Table | None, count: int) -> pa.Array:
    if column.constant:
        return pa.array([part.table.constants[column.name]] * count, pa.string())
    return column.of(batch)


def _teller(tally: Tally, name: str, start: int) -> Seen:
    return lambda code, index, count: tally.add(code, f"{name}#{start + index}", count)

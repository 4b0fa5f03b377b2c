"""Sprite sheets: a grid is cut from every image of a source, and each cell becomes a row of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from aigc_core.config import Reading, Sheet
from aigc_core.data.sources.base import Entry, OpenSource, closed_on_error, readers
from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.modalities.image import Pixels
from aigc_core.records import row_id


def open_cut(kind: str, path: Path, options: Reading) -> OpenSource:
    """List one source, cut into cells where `options.sheet` says so."""
    opened = readers[kind](path, options)
    with closed_on_error(opened.close):
        return cut(opened, options.sheet) if options.sheet else opened


def cut(source: OpenSource, sheet: Sheet) -> OpenSource:
    """The cells of every image, row by row, as PNG; keys are `file#row,column`.

    Each image is decoded once here, to know its grid, and once when its cells are read; one is held at a time.
    Pixels right of and below the last whole cell are no rows: the `op` of the cells says how many they are. Cells of
    one colour that follow the last filled cell pad the sheet; they are counted in `skipped`. An image that cannot
    be decoded, or is smaller than one cell, stays one row as it is.
    """
    skipped: Counter[str] = Counter(source.skipped)
    entries: list[Entry] = []
    for entry in track(source.entries, "cutting sheets", transient=True):
        pixels = _pixels(source, entry)
        if pixels is None or pixels.shape[0] < sheet.height or pixels.shape[1] < sheet.width:
            skipped["images without a whole cell, read uncut"] += 1
            entries.append(entry)
            continue
        cells, padding = _cells(entry, pixels, sheet)
        entries += cells
        skipped["padding cells at the end of a sheet"] += padding
    held: list[tuple[str, Pixels]] = []  # the sheet that was read last

    def read(entry: Entry) -> bytes:
        if entry.op is None:
            return source.read(entry)
        key, _, place = entry.key.rpartition("#")
        if not held or held[0][0] != key:
            held[:] = [(key, _decoded(source, replace(entry, key=key)))]
        row, column = (int(part) for part in place.split(","))
        return image.encode_png(_cell(held[0][1], sheet, row, column))

    return replace(
        source, entries=entries, read=read, skipped={what: count for what, count in skipped.items() if count}
    )


def _pixels(source: OpenSource, entry: Entry) -> Pixels | None:
    content, _ = source.fetch(entry)
    try:
        return image.decode(content or b"").pixels
    except DecodeError:
        return None  # it becomes a row that is quarantined for the same reason


def _decoded(source: OpenSource, entry: Entry) -> Pixels:
    try:
        return image.decode(source.read(entry)).pixels
    except DecodeError as error:
        raise OSError(f"the sheet changed while it was read: {error}") from None


def _cell(pixels: Pixels, sheet: Sheet, row: int, column: int) -> Pixels:
    top, left = row * sheet.height, column * sheet.width
    found = pixels[top : top + sheet.height, left : left + sheet.width]
    if found.shape[:2] != (sheet.height, sheet.width):
        raise OSError("the sheet became smaller while it was read")
    return found


def _cells(entry: Entry, pixels: Pixels, sheet: Sheet) -> tuple[list[Entry], int]:
    """Rows of one sheet, and how many cells of one colour pad its end."""
    rows, columns = pixels.shape[0] // sheet.height, pixels.shape[1] // sheet.width
    right, below = pixels.shape[1] - columns * sheet.width, pixels.shape[0] - rows * sheet.height
    left_over = f"; {right} px at the right and {below} px below left over" if right or below else ""
    op = f"cut {sheet.width}x{sheet.height} of a grid of {rows} rows, {columns} columns{left_over}"
    places = [(row, column) for row in range(rows) for column in range(columns)]
    flat = list(_flat(_cell(pixels, sheet, row, column) for row, column in places))
    last = max((place for place, empty in enumerate(flat) if not empty), default=len(flat) - 1)
    parent = row_id(entry.key)
    kept = [replace(entry, key=f"{entry.key}#{row},{column}", parent=parent, op=op) for row, column in places]
    return kept[: last + 1], len(places) - last - 1


def _flat(cells: Iterator[Pixels]) -> Iterator[bool]:
    """For each cell whether it is one colour, or transparent all over."""
    for cell in cells:
        transparent = cell.shape[2] == 4 and not cell[..., 3].any()
        yield transparent or bool(np.all(cell == cell[:1, :1]))

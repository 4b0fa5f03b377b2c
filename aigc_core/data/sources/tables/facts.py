"""Labels, captions and splits of rows, from columns of any Arrow type that can hold them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from aigc_core.data.sources.tables import kinds
from aigc_core.data.splits import cell_split
from aigc_core.records import Split

#: Told (code of a notice, position in the array, count) for each value that is not taken as it is.
Seen = Callable[[str, int, int], None]


def class_names(array: pa.Array, classes: Sequence[str] | None, seen: Seen) -> list[str | None]:
    """One class name per value, or null.

    Whole floats lose their `.0`; null, NaN and empty text are no label; a list of one is its element, a longer one
    no label. `classes` names integers, where -1 is how test sets hide a label.
    """
    array = kinds.plain(array)
    told: set[int] = set()

    def tell(code: str, index: int) -> None:
        if code != "labels_from_lists":  # its element may still be null
            told.add(index)
        seen(code, index, 1)

    names = _names(array, classes, tell)
    for index, name in enumerate(names):
        if name is None and index not in told:
            seen("rows_without_label", index, 1)
    return names


def _names(array: pa.Array, classes: Sequence[str] | None, tell: Callable[[str, int], None]) -> list[str | None]:
    kind = array.type
    if kinds.is_list(kind):
        return _names(_only_elements(array, tell), classes, tell)
    if classes is not None and (kinds.is_number(kind) or pa.types.is_boolean(kind)):
        return [_class_of(value, classes, index, tell) for index, value in enumerate(array.to_pylist())]
    if pa.types.is_integer(kind) or kinds.is_text(kind):
        values = array.cast(pa.string()).to_pylist()
    elif pa.types.is_floating(kind):
        shortest = array.cast(pa.string()).to_pylist()  # of a 32-bit 0.1 Python would say 0.10000000149011612
        values = [_number(value, text) for value, text in zip(array.to_pylist(), shortest, strict=True)]
    elif kinds.is_bytes(kind):
        values = [_decoded(value, index, tell) for index, value in enumerate(array.to_pylist())]
    elif pa.types.is_decimal(kind):
        values = [None if value is None else _number(value, f"{value.normalize():f}") for value in array.to_pylist()]
    else:
        values = [None if value is None else str(value) for value in array.to_pylist()]
    return [sys.intern(value) if value and not value.isspace() else None for value in values]


def _number(value: Any, text: str) -> str | None:
    if value is None or not math.isfinite(value):
        return None
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else text


def _class_of(value: Any, classes: Sequence[str], index: int, tell: Callable[[str, int], None]) -> str | None:
    if value is None or not math.isfinite(value) or value == -1:
        return None
    if value != int(value) or not 0 <= value < len(classes):
        tell("labels_out_of_range", index)
        return None
    return classes[int(value)]


def _decoded(value: bytes | None, index: int, tell: Callable[[str, int], None]) -> str | None:
    try:
        return None if value is None else value.rstrip(b"\0").decode()  # fixed widths are filled up with zeros
    except UnicodeDecodeError:
        tell("labels_not_text", index)
        return None


def _only_elements(array: pa.Array, tell: Callable[[str, int], None]) -> pa.Array:
    """The elements of lists of one; null for empty and for longer lists."""
    found = []
    for index, values in enumerate(array.to_pylist()):
        if values:
            tell("labels_from_lists" if len(values) == 1 else "labels_in_lists", index)
        found.append(values[0] if values and len(values) == 1 else None)
    return pa.array(found, kinds.element(array.type))


def captions(array: pa.Array, seen: Seen) -> list[str | None]:
    """One caption per value, or null where it is null or empty; of a list the first that is not."""
    array = kinds.plain(array)
    found: list[str | None] = []
    for index, value in enumerate(array.to_pylist()):
        texts = [_text(item) for item in (value if isinstance(value, list) else [value])]
        filled = [text for text in texts if text]
        if len(filled) > 1:
            seen("captions_left_out", index, len(filled) - 1)
        found.append(filled[0] if filled else None)
    return found


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def as_text(array: pa.Array, classes: Sequence[str] | None) -> list[str | None]:
    """Each value as text, or null, as `class_names` has it."""
    return _names(kinds.plain(array), classes, lambda *_: None)


def splits(array: pa.Array, classes: Sequence[str] | None, unknown: Callable[[str], None]) -> list[Split | None]:
    """The split that each value says, or null; `unknown` is told values that say none."""
    values = as_text(array, classes)
    said = {value: None if value is None else cell_split(value) for value in set(values)}
    for value in values:
        if said[value] is None:
            unknown(repr(value[:60]) if value else "null")
    return [said[value] for value in values]

"""Which column of a table is the image, the label, the caption and the split.

Hugging Face's `datasets` writes the features of a table into its Arrow schema (metadata key `huggingface`); where
they are, they decide. Without them the usual names and the types do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aigc_core.config import Columns
from aigc_core.data.sources.base import MAX_BYTES, Entry
from aigc_core.data.splits import SPLIT_NAMES
from aigc_core.errors import SourceError
from aigc_core.records import Split

USUAL = {
    "image": ("image", "img", "picture", "png", "jpg", "jpeg", "webp", "content", "bytes", "data"),
    "label": ("label", "labels", "class", "category", "fine_label", "target", "y"),
    "text": ("text", "caption", "captions", "description", "prompt"),
    "split": ("split", "subset", "partition"),
}
SPLIT_VALUES: dict[str, Split] = {**SPLIT_NAMES, "reference": "reference"}


@dataclass(frozen=True)
class Layout:
    """Columns by what they are for; null where there is none."""

    image: str
    label: str | None
    text: str | None
    split: str | None
    classes: list[str] | None  # names of the integers in `label`

    @property
    def facts(self) -> list[str]:
        """The columns without the image."""
        return [name for name in (self.label, self.text, self.split) if name is not None]

    def entries(
        self, rows: Iterable[dict[str, Any]], key: Callable[[int], str], split: Split | None
    ) -> Iterator[Entry]:
        """One entry per row of facts; `split` holds where no column says more."""
        for index, row in enumerate(rows):
            named = SPLIT_VALUES.get(str(row[self.split]).lower()) if self.split else None
            yield Entry(key(index), self._label(row), self._text(row), named or split)

    def _label(self, row: dict[str, Any]) -> str | None:
        value = row[self.label] if self.label else None
        if value is None:
            return None
        if self.classes is None or not isinstance(value, int):
            return str(value)
        return self.classes[value] if 0 <= value < len(self.classes) else None  # -1 is how test sets hide a label

    def _text(self, row: dict[str, Any]) -> str | None:
        return (row[self.text] or None) if self.text else None


def encoded(value: Any) -> bytes:
    """The bytes in one cell of an image column. Raises OSError where there are none."""
    held = value.get("bytes") if isinstance(value, dict) else value
    if held is None:
        named = isinstance(value, dict) and value.get("path")
        raise OSError("the cell names a file instead of holding its bytes" if named else "null in the image column")
    if len(held) > MAX_BYTES:
        raise OSError(f"{len(held):,} bytes are more than {MAX_BYTES:,}")
    return bytes(held)


def find_columns(schema: pa.Schema, wanted: Columns | None, where: str) -> Layout:
    """The layout of a table with this schema.

    Raises SourceError, naming the columns, where no image column is found or a wanted column does not exist.
    """
    chosen = wanted or Columns()
    features = _features(schema)
    fits = {"image": _holds_bytes, "label": _names_a_class, "text": _is_text, "split": _is_text}
    found: dict[str, str | None] = {}
    for role, fit in fits.items():
        asked = getattr(chosen, role)
        if asked is not None and (asked not in schema.names or not fit(schema.field(asked).type)):
            raise SourceError(f"{where}: source.columns.{role} = {asked!r} is no such column: {_described(schema)}")
        usable = [field.name for field in schema if fit(field.type)]
        typed = [name for name in usable if features.get(name, {}).get("_type") == _TYPED.get(role)]
        usual = [name for name in USUAL[role] if name in usable]
        only = usable if role == "image" and len(usable) == 1 else []
        found[role] = asked or next(iter([*(n for n in usual if n in typed), *typed, *usual, *only]), None)
    if found["image"] is None:
        raise SourceError(
            f"{where} has no column of encoded images: name it in source.columns.image; {_described(schema)}"
        )
    label = found["label"]
    classes = features.get(label or "", {}).get("names")
    return Layout(found["image"], label, found["text"], found["split"], classes)


_TYPED = {"image": "Image", "label": "ClassLabel"}


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Hugging Face's features by column; empty where there are none."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return {name: item for name, item in told["info"]["features"].items() if isinstance(item, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _names_a_class(kind: pa.DataType) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _described(schema: pa.Schema) -> str:
    return "its columns are " + ", ".join(f"{field.name} ({field.type})" for field in schema)

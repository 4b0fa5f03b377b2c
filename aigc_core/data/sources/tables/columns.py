"""Which column of a table is the image, the label, the caption and the split.

Hugging Face's `datasets` writes the features of a table into its Arrow schema (metadata key `huggingface`); where
they name images and classes, they decide. Without them the usual names do: a column is no caption, label or split
for its type alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.config import Columns
from aigc_core.data.sources.column_names import LABEL, SPLIT, TEXT, plain
from aigc_core.data.sources.split_values import by_name
from aigc_core.data.sources.tables import kinds
from aigc_core.data.sources.tables.features import features, inside
from aigc_core.errors import SourceError

#: The usual names in the order in which they are preferred, in small letters.
USUAL = {
    "image": (
        "image", "img", "picture", "photo", "png", "jpg", "jpeg", "webp", "images", "image_bytes", "img_bytes",
        "image_base64", "image_b64", "pixels", "pixel_values", "content", "bytes", "data",
    ),
    "label": (*LABEL, "y"),
    "text": TEXT,
    "split": SPLIT,
}  # fmt: skip
#: Names that speak of anything: text in such a column is hardly an image.
VAGUE = {"content", "bytes", "data"}
#: Bytes of fixed width up to this are digests, not images.
DIGEST_BYTES = 64


@dataclass(frozen=True)
class Column:
    """One column, or one field of a column of structs."""

    name: str
    kind: pa.DataType
    field: str | None = None
    feature: Any = None  # what Hugging Face says of it
    constant: bool = False  # it stands in the names of folders, not in the file

    @property
    def path(self) -> str:
        """The name as Parquet and params.yaml write it."""
        return self.name if self.field is None else f"{self.name}.{self.field}"

    @property
    def usual(self) -> str:
        """The name as it is looked up among the usual ones."""
        return plain(self.field or self.name)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the integers of a ClassLabel, also of one inside a list."""
        found = inside(self.feature)
        names = found.get("names") if found.get("_type") == "ClassLabel" else None
        return tuple(str(name) for name in names) if isinstance(names, list) else None

    @property
    def typed_image(self) -> bool:
        """Whether Hugging Face's features call it an image."""
        return bool(inside(self.feature).get("_type") == "Image")

    @property
    def is_told(self) -> bool:
        """Whether its own name or Hugging Face's features say what it is for."""
        return self.field is None and (_is_usual(self) or self.typed_image or self.classes is not None)

    def of(self, batch: pa.RecordBatch | pa.Table) -> pa.Array:
        """Its values in a batch that holds it, in their storage type."""
        values = batch.column(batch.schema.names.index(self.name))
        return kinds.plain(values if self.field is None else pc.struct_field(kinds.plain(values), self.field))


@dataclass(frozen=True)
class Layout:
    """Columns by what they are for; null where there is none. The rest names columns that are not used."""

    image: Column
    label: Column | None
    text: Column | None
    split: Column | None
    maybe_splits: tuple[Column, ...]  # they say the split if all of their values do
    unused: tuple[str, ...]
    other_images: tuple[str, ...]
    other_labels: tuple[str, ...]
    guessed: tuple[str, ...]  # taken without a usual name or a word of Hugging Face's

    @property
    def facts(self) -> list[Column]:
        """The columns without the image."""
        return [column for column in (self.label, self.text, self.split, *self.maybe_splits) if column is not None]


def find_columns(schema: pa.Schema, wanted: Columns | None, where: str, constants: Iterable[str] = ()) -> Layout | None:
    """The layout of a table with this schema, or null where it has no column of images.

    `constants` names columns that stand in the names of folders; a column of the file goes before one of the same
    name. Raises SourceError, naming the columns, where a wanted column other than the image does not exist.
    """
    chosen = wanted or Columns()
    columns = _columns(schema, constants)
    image = _asked(chosen.image, columns, holds_images) if chosen.image else next(iter(_images(columns)), None)
    if image is None:
        return None
    found: dict[str, Column | None] = {}
    for role, ranked in _ranked(columns, image).items():
        asked = getattr(chosen, role)
        found[role] = _asked(asked, columns, _FITS[role]) if asked else next(iter(ranked), None)
        if asked and found[role] is None:
            raise SourceError(f"{where}: source.columns.{role} = {asked!r} is no such column: {described(schema)}")
    used = [image, *found.values()]
    rest = [] if chosen.split else [column for column in columns if column not in used]
    maybe = [column for column in rest if _may_say_split(column)]
    guesses = (None if chosen.image else image, None if chosen.label else found["label"])
    return Layout(
        image,
        found["label"],
        found["text"],
        found["split"],
        tuple(maybe),
        guessed=tuple(column.path for column in guesses if column and not column.is_told),
        **_left([*used, *maybe], columns, schema),
    )


def _left(used: Iterable[Column | None], columns: list[Column], schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """What is not used, by the names of Layout; with its type where the name is usual and the type is why."""
    taken = [column for column in used if column is not None]
    names = {column.name for column in taken}
    rest = [column for column in columns if column.name not in names]
    images = [column for column in rest if column.typed_image or _is_held(column)]
    usual = [column for column in _by_name([*rest, *_nested(rest)], "label") if names_a_class(column.kind)]
    labels = [*usual, *(column for column in rest if column.classes and not _is_usual(column))]
    named = {column.name for column in (*images, *labels)}
    unused = [f"{c.path} ({kinds.storage(c.kind)})" if _is_usual(c) else c.path for c in rest if c.name not in named]
    again = [name for name, count in Counter(schema.names).items() if count > 1]
    return {
        "unused": (*unused, *_other_fields(taken, columns), *(f"{name}, of which the first is read" for name in again)),
        "other_images": tuple(column.path for column in images),
        "other_labels": tuple(column.path for column in labels if column not in images),
    }


def _other_fields(used: list[Column], columns: list[Column]) -> list[str]:
    """Fields that are not used of structs of which others are, and which are not used as a whole."""
    paths = {column.path for column in used}
    split_up = {column.name for column in used if column.field} - paths
    fields = [child.path for column in columns if column.name in split_up for child in _children(column)]
    return [path for path in fields if path not in paths]


def _nested(columns: list[Column]) -> list[Column]:
    """Single values in structs that can name a class."""
    return [child for column in columns for child in _children(column) if kinds.is_scalar(child.kind)]


def no_images(schema: pa.Schema, wanted: Columns | None, where: str) -> SourceError:
    """The error for a table in which `find_columns` finds no images."""
    if wanted and wanted.image:
        return SourceError(f"{where}: source.columns.image = {wanted.image!r} is no such column: {described(schema)}")
    return SourceError(f"{where} has no column of encoded images: name it in source.columns.image; {described(schema)}")


def described(schema: pa.Schema, limit: int = 40) -> str:
    """The first columns with their types."""
    named = [f"{field.name} ({kinds.storage(field.type)})" for field in schema]
    more = [f"and {len(named) - limit} more"] if len(named) > limit else []
    return "its columns are " + (", ".join([*named[:limit], *more]) or "none")


def holds_images(kind: pa.DataType) -> bool:
    """Whether cells can be images: bytes, text, a struct of bytes and a path, lists of numbers, or lists of one of these."""
    cell = _cell(kind)
    numbers = kinds.is_list(kind) and pa.types.is_integer(kinds.innermost(kind)) and kinds.depth(kind) <= 3
    return kinds.is_bytes(cell) or kinds.is_text(cell) or pa.types.is_null(cell) or numbers


def _cell(kind: pa.DataType) -> pa.DataType:
    """What holds the bytes in a cell: the field `bytes` of a struct, else its `path`; the element of a list."""
    kind = kinds.storage(kind)
    if kinds.depth(kind) == 1:
        kind = kinds.element(kind)
    if not pa.types.is_struct(kind):
        return kind
    names = [kind.field(place).name for place in range(kind.num_fields)]
    inner = next((name for name in ("bytes", "path") if name in names), None)
    return pa.struct([]) if inner is None else kinds.storage(kind.field(inner).type)


def _columns(schema: pa.Schema, constants: Iterable[str]) -> list[Column]:
    """All columns; of two with one name the first."""
    told = features(schema)
    columns: dict[str, Column] = {}
    for field in schema:
        columns.setdefault(field.name, Column(field.name, field.type, feature=told.get(field.name)))
    for name in constants:
        columns.setdefault(name, Column(name, pa.string(), constant=True))
    return list(columns.values())


def _children(column: Column) -> list[Column]:
    """The fields of a struct."""
    kind = kinds.storage(column.kind)
    if not pa.types.is_struct(kind):
        return []
    told = column.feature if isinstance(column.feature, Mapping) else {}
    fields = [kind.field(place) for place in range(kind.num_fields)]
    return [Column(column.name, field.type, field.name, told.get(field.name)) for field in fields]


def _asked(path: str, columns: list[Column], fits: Any) -> Column | None:
    everything = [*columns, *(child for column in columns for child in _children(column))]
    return next((column for column in everything if column.path == path and fits(column.kind)), None)


def _images(columns: list[Column]) -> list[Column]:
    """Columns that can be the image, the best first."""
    able = [column for column in columns if holds_images(column.kind) and not column.constant]
    usual = _by_name(able, "image")
    typed = [column for column in able if column.typed_image]
    held = [column for column in usual if _is_held(column)]
    only = [column for column in able if _is_held(column) and not _is_usual(column)]
    other = [column for column in usual if column.usual not in VAGUE or kinds.depth(column.kind) > 1]
    return [*(c for c in usual if c in typed), *typed, *held, *(only if len(only) == 1 else []), *other]


def _is_held(column: Column) -> bool:
    """Whether the bytes themselves stand in the cells, and may be those of an image."""
    cell = _cell(column.kind)
    digest = pa.types.is_fixed_size_binary(cell) and cell.byte_width <= DIGEST_BYTES
    return not kinds.is_list(column.kind) and kinds.is_bytes(cell) and not digest


def _ranked(columns: list[Column], image: Column) -> dict[str, list[Column]]:
    """Columns that can be label, caption and split, the best first."""
    rest = [column for column in columns if column.name != image.name]
    usual = {role: _by_name([c for c in rest if fits(c.kind)], role) for role, fits in _FITS.items()}
    typed = [
        c
        for c in rest
        if c.classes and names_a_class(c.kind) and c not in (*usual["text"], *usual["split"]) and not _may_say_split(c)
    ]
    inner = _by_name(_nested(columns), "label")
    named = [c for c in usual["label"] if c in typed]
    return {**usual, "label": [*named, *typed, *usual["label"], *(inner if len(inner) == 1 else [])]}


def _may_say_split(column: Column) -> bool:
    """Whether a column has a name that one of splits may have, single values, and no class name that says none."""
    known = by_name(column.name)
    classes = column.classes or ()
    return known is not None and kinds.is_scalar(column.kind) and all(known.read(name) for name in classes)


def names_a_class(kind: pa.DataType) -> bool:
    """Whether cells can name a class: single values, or lists of them."""
    return kinds.is_scalar(kind) or (kinds.depth(kind) == 1 and kinds.is_scalar(kinds.element(kind)))


def _is_caption(kind: pa.DataType) -> bool:
    words = kinds.element(kind) if kinds.depth(kind) == 1 else kinds.storage(kind)
    return kinds.is_text(words) or kinds.is_bytes(words) or bool(pa.types.is_null(words))


#: Whether a column of a type can serve.
_FITS = {"label": names_a_class, "text": _is_caption, "split": kinds.is_scalar}


def _by_name(columns: list[Column], role: str) -> list[Column]:
    """The columns with a usual name, in the order of these names, single values before lists."""
    named = [column for name in USUAL[role] for column in columns if column.usual == name]
    return sorted(named, key=lambda column: role != "image" and kinds.is_list(column.kind))


def _is_usual(column: Column) -> bool:
    return any(column.usual in names for names in USUAL.values())

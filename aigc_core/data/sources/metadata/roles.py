"""Which column of a table names the file, the label, the caption and the split, by the names that people give them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aigc_core.data.sources.column_names import LABEL, SPLIT, TEXT, plain
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import held_out_first
from aigc_core.records import Split

#: Usual names in small letters, the surest first.
USUAL: dict[str, tuple[str, ...]] = {
    "image": (
        "file_name", "filename", "file", "image", "image_path", "path", "img", "image_file", "image_filename", "image_name",
        "file_path", "filepath", "img_path", "img_name", "img_file", "image_id", "id",
    ),
    "label": LABEL,
    "text": TEXT,
    "split": SPLIT,
}  # fmt: skip
#: Columns that number rows, as pandas writes them.
_NUMBERING = re.compile(r"|index|unnamed:_\d+")


class Facts(NamedTuple):
    """What a table or a file beside it says of one image; null where it says nothing."""

    label: str | None = None
    text: str | None = None
    split: Split | None = None

    def joined(self, other: Facts) -> Facts:
        """What either says; where both do this one counts, but that a row which one of them holds out is held out."""
        return Facts(
            other.label if self.label is None else self.label,
            other.text if self.text is None else self.text,
            held_out_first(self.split, other.split),
        )

    def contradicts(self, other: Facts) -> bool:
        """Whether both say something of the label, the caption or the split, and not the same."""
        return any(a is not None and b is not None and a != b for a, b in zip(self, other, strict=True))


@dataclass(frozen=True)
class Roles:
    """Places of the columns that are read. `images` are those that may name files, the surest first."""

    images: list[int]
    label: int | None
    text: int | None
    split: int | None
    unread: dict[int, str]  # names by place


def find_roles(header: Sequence[str]) -> Roles:
    """The roles of columns with these names; case, blanks and hyphens do not matter."""
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        places.setdefault(plain(name), place)
    found = {role: [places[name] for name in names if name in places] for role, names in USUAL.items()}
    label, text, split = (next(iter(found[role]), None) for role in ("label", "text", "split"))
    known = {*found["image"], label, text, split}
    unread = {
        place: name for place, name in enumerate(header) if place not in known and not _NUMBERING.fullmatch(plain(name))
    }
    return Roles(found["image"], label, text, split, unread)


def as_text(value: object, where: str, tally: Tally) -> str | None:
    """A cell as text: letters as they are, numbers and `true` as JSON writes them; null for nothing and for lists."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # JSON may hold halves of letters
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    tally.add("values_not_read", where)
    return None


def caption(value: object, where: str, tally: Tally) -> str | None:
    """A caption as `as_text` has it; of a list of captions the first."""
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        tally.add("more_captions", where, int(len(value) > 1))
        value = value[0]
    return as_text(value, where, tally)

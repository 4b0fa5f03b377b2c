"""What every section of params.yaml is built from: types with their ranges, and the refusal of what no field can mean."""

from __future__ import annotations

import difflib
import functools
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

#: Counts are held in 32 bits by files and by networks; weights and rates in 32-bit floating point, whose end is 3e38.
LARGEST_COUNT = 2**31 - 1
LARGEST_NUMBER = 1e30

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=LARGEST_NUMBER)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
#: Units or channels of a layer: a wider one has more weights than a machine has memory.
Width = Annotated[int, Field(ge=1, le=16384)]
#: A class name; YAML reads 7 as a number, the tables hold "7".
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
#: A list of class names, or the half of the sorted classes that the stage takes by default.
Classes = Literal["auto"] | list[ClassName]

#: What YAML 1.1 reads as a truth value where it stands without quotes.
TRUTHS = {True: ("on", "yes", "true"), False: ("off", "no", "false")}
#: Characters of a text: no path, name or label is longer.
LONGEST_TEXT = 4096
#: Lists within lists that are looked into; no field has more.
DEPTH = 3


class Section(BaseModel):
    """A part of params.yaml. Frozen; unknown keys, numbers without an end and entries that a list has twice are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        accepted, sections = _of_field(cls, str(info.field_name))
        if sections:
            items = value if isinstance(value, list) else [value]  # a section judges what it holds itself
            _refuse_texts([item for item in items if not isinstance(item, dict)])
            return value
        _refuse_texts(value)
        return _words(value, accepted)

    @field_validator("*", mode="after")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if isinstance(value, list):
            items = [
                str(item.model_dump(exclude_defaults=True) if isinstance(item, Section) else item) for item in value
            ]
            twice, times = Counter(items).most_common(1)[0] if items else ("", 0)
            if times > 1:
                raise ValueError(f"it lists {twice} twice: leave one of them out")
        return value


@functools.cache
def _of_field(section: type[Section], name: str) -> tuple[tuple[Any, ...], bool]:
    """What a field accepts, and whether it holds sections."""
    accepted = tuple(_accepted(section.model_fields[name].annotation))
    return accepted, any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in accepted)


def _accepted(annotation: Any) -> Iterator[Any]:
    """The types and the words that an annotation is made of, through lists, alternatives and literals."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _accepted(part)


def _refuse_texts(value: Any, depth: int = DEPTH) -> None:
    """Raise ValueError for a text, anywhere in a value, that is no path, name or label."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("it is empty: write a value, or null where there may be none")
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"it has {len(value):,} characters, more than {LONGEST_TEXT:,}")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
            raise ValueError("it holds a control character: leave that out")
    elif depth and isinstance(value, list | dict):
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _refuse_texts(item, depth - 1)


def _words(value: Any, accepted: Sequence[Any], depth: int = DEPTH) -> Any:
    """The value with the word that the field has for a truth value. Raises ValueError where it is a number or a name."""
    if depth and isinstance(value, list):
        return [_words(item, accepted, depth - 1) for item in value]
    if depth and isinstance(value, dict):
        return {key: _words(item, accepted, depth - 1) for key, item in value.items()}
    if not isinstance(value, bool) or bool in accepted:
        return value
    words = [word for word in TRUTHS[value] if word in accepted]
    if words:
        return words[0]
    if str in accepted:
        told = ", ".join(f"`{word}`" for word in TRUTHS[value])
        raise ValueError(f"YAML reads {told} as a truth value: put the name into quotes")
    if int in accepted or float in accepted:
        raise ValueError("it is a truth value: write a number")
    return value


def meant(written: str, known: Sequence[str]) -> str:
    """`did you mean 'NAME'? ` with the nearest of the known names and a blank behind it, or nothing where none is near."""
    close = difflib.get_close_matches(written[:LONGEST_TEXT], known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""

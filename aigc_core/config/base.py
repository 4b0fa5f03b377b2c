"""What every section of params.yaml is built from: types with their ranges, and the refusal of unknown keys."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
#: A class name; YAML reads 7 as a number, the tables hold "7".
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
#: A list of class names, or the half of the sorted classes that the stage takes by default.
Classes = Literal["auto"] | list[ClassName]


class Section(BaseModel):
    """A part of params.yaml. Frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def meant(written: str, known: Sequence[str]) -> str:
    """`did you mean 'NAME'? ` with the nearest of the known names and a blank behind it, or nothing where none is near."""
    close = difflib.get_close_matches(written, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""

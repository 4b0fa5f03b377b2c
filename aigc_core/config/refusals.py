"""What is wrong with a configuration, as one sentence for every field that is wrong."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from aigc_core.config.base import meant

#: pydantic's complaints about the kind of a value that name classes of this program, in words about params.yaml.
KINDS = {
    "model_type": "it has to be names with values",
    "dict_type": "it has to be names with values",
    "list_type": "it has to be a list, for example [a, b]",
    "recursion_loop": "it holds itself",
}
#: Complaints whose last part is a name that is not among the known or not there.
NAMELESS = ("extra_forbidden", "missing", "invalid_key")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
_short.maxlevel = 3


@dataclass(frozen=True)
class Complaint:
    """One of pydantic's errors: the names and places down to the field, what is wrong, and whether other kinds were tried."""

    place: tuple[str, ...]
    kind: str
    given: Any
    text: str
    alternative: bool


def explain(errors: Sequence[Any], raw: dict[str, Any], root: type[BaseModel]) -> str:
    """All errors of pydantic about `raw`, which was to become a `root`, each as: which parameter, which value, what to do."""
    found = [_complaint(error, raw, root) for error in errors]
    deepest = [one for one in found if not (one.alternative and any(_below(other, one) for other in found))]
    told: dict[tuple[str, ...], list[Complaint]] = {}
    for one in deepest:
        told.setdefault(one.place, []).append(one)
    return "; ".join(_sentence(place, own) for place, own in told.items())


def _below(inner: Complaint, outer: Complaint) -> bool:
    """Whether `inner` says more exactly what is wrong with a value of several possible kinds."""
    return len(inner.place) > len(outer.place) and inner.place[: len(outer.place)] == outer.place


def _complaint(error: Any, raw: Any, root: type[BaseModel]) -> Complaint:
    place, rest, alternative = [], raw, False
    for number, part in enumerate(error["loc"], 1):
        inside = (isinstance(rest, dict) and part in rest) or (isinstance(rest, list) and isinstance(part, int))
        if inside:
            rest = rest[part]
        if inside or (number == len(error["loc"]) and error["type"] in NAMELESS):
            place.append(_plain(part))
        else:
            alternative = True  # the name of one of several kinds that a value may have
    return Complaint(tuple(place), error["type"], error["input"], _text(error, place, root), alternative)


def _text(error: Any, place: list[str], root: type[BaseModel]) -> str:
    """What is wrong, and what to do."""
    if error["type"] == "extra_forbidden":
        known = _known_names(place[:-1], root)
        return meant(place[-1], known).rstrip() or f"known here: {', '.join(known)}"
    if error["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", error["ctx"]["expected"])
        return f"{meant(str(error['input']), allowed) if isinstance(error['input'], str) else ''}it may be {', '.join(allowed)}"
    return KINDS.get(error["type"], str(error["msg"]).removeprefix("Value error, "))


def _sentence(place: tuple[str, ...], complaints: list[Complaint]) -> str:
    """One sentence about a field; of a value with several possible kinds all of them."""
    name, first = ".".join(place), complaints[0]
    if first.kind == "extra_forbidden":
        return f"params.yaml: unknown parameter {name!r}; {first.text}"
    texts = list(dict.fromkeys(one.text for one in complaints))
    return f"params.yaml: {name} = {shown(first.given)} is refused: {', or: '.join(texts)}"


def shown(value: Any) -> str:
    """A value as it is quoted in a sentence: escaped, and cut where it is long."""
    try:
        return str(_short.repr(value))
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"


def _plain(part: Any) -> str:
    """A name or a place in a list, as text without control characters."""
    text = str(part)
    return text if text.isprintable() and len(text) <= _short.maxstring else shown(text)[1:-1]


def _known_names(location: list[str], root: type[BaseModel]) -> list[str]:
    model = root
    for part in location:
        if part.isdigit():
            continue  # a place in a list: the list's own annotation said what its items are
        found = _model_in(model.model_fields[part].annotation) if part in model.model_fields else None
        if found is None:
            return []
        model = found
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation names, also among alternatives and in lists of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)

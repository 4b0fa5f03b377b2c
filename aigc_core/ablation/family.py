"""Which family a study is about: a verdict on data is worth having for the model that is handed out."""

from __future__ import annotations

from dataclasses import dataclass

from aigc_core.files import read_json
from aigc_core.paths import FAMILIES, Paths

AUTO = "auto"
#: Taken until an evaluation says which family is released: of the graph's two, the GAN's samples come nearer to real images
#: on all sets of docs/log.md, so that it is the one that a release takes where it passes the memorization gate.
UNTIL_EVALUATED = "gan"


@dataclass(frozen=True)
class Family:
    """The family of a study; `released` is False where an evaluation says that another one, or none, is released."""

    name: str
    released: bool
    why: str  # one sentence


def choose_family(wanted: str, paths: Paths) -> Family:
    """`wanted` is a family, or `auto` for the released one: of those that passed the memorization gate the nearest to real."""
    found = {name: facts for name in FAMILIES if (facts := _evaluation(paths, name)) is not None}
    passed = {name: distance for name, (free, distance) in found.items() if free}
    if passed:
        released = min(passed, key=passed.__getitem__)
        name = released if wanted == AUTO else wanted
        return Family(name, name == released, f"the {released.upper()} is the family that is released")
    if len(found) == len(FAMILIES):
        name = min(found, key=lambda one: found[one][1]) if wanted == AUTO else wanted
        return Family(name, False, "no family is released: the memorization gate withholds all of them")
    name = UNTIL_EVALUATED if wanted == AUTO else wanted
    missing = ", ".join(one.upper() for one in FAMILIES if one not in found)
    return Family(name, True, f"not evaluated yet: {missing}; which family is released is not known")


def evaluated_distance(paths: Paths, family: str) -> float | None:
    """Distance over the floor of the evaluated model of a family, at its full budget; None where there is none."""
    found = _evaluation(paths, family)
    return None if found is None else found[1]


def _evaluation(paths: Paths, family: str) -> tuple[bool, float] | None:
    """Whether the memorization gate let the family pass, and its distance over the floor; None where it was not evaluated."""
    place = paths.evaluation(family)
    try:
        passed = read_json(place / "details" / "memorization.json")["passed"]
        return bool(passed), float(read_json(place / "metrics.json")["fd_over_floor"])
    except FileNotFoundError:
        return None

"""What is asked of the detectors, and whether it is met."""

from __future__ import annotations

from dataclasses import dataclass

from defects.kinds import DAMAGE, MOVED
from defects.scoring import TOGETHER, Figures

_CERTAIN = ("corrupt", "zero_bytes", "wrong_type", "too_small", "odd_aspect", "blank", "copy")
_DAMAGED = ("dark", "bright", "blurry_15", "blurry_2", "noisy_10", "noisy_20")
#: Kind to the lowest mean that is asked of each figure.
BARS: dict[str, dict[str, float]] = {
    **{key: {"recall": 1.0, "precision": 0.99} for key in _CERTAIN},
    **{key: {"recall": 0.95} for key in _DAMAGED},
    **{key: {"recall": 0.95} for key in TOGETHER["near"]},
    "near": {"precision": 0.97},
    **{key: {"recall": 0.9} for key in MOVED},
    "stranger": {"ap": 0.8},
    "flip": {"precision": 0.6},
}
#: Largest share of untouched rows that one quarantining reason may name, and that may be warned of in all.
QUARANTINED = 0.002
WARNED = 0.015
#: Largest share of pairs that differ in colour alone that may be called copies.
ALIKE_COLOURS = 0.01
SHORT = {"recall": "R", "precision": "P", "ap": "AP"}


@dataclass(frozen=True)
class Bar:
    """One thing that is asked: what was found, the bound, and how far it is missed (0 where it is met, at most 1)."""

    name: str
    value: float
    bound: float
    missed: float

    @property
    def met(self) -> bool:
        """Whether it is met."""
        return self.missed <= 0

    def words(self) -> str:
        """Name, value and bound, for a summary."""
        return f"{self.name} {self.value:.3f} ({self.bound:g})"


def of_kind(kind: str, figures: Figures) -> list[Bar]:
    """The bars of one kind. A detector that could not fire misses each of them."""
    found = []
    for key, bound in BARS.get(kind, {}).items():
        value = figures[key] if figures[key] == figures[key] else 0.0
        gap = 1 - value / bound if figures["fired"] else max(1 - value / bound, 1e-9)
        # A mean of ones may fall short of one by rounding.
        found.append(Bar(f"{kind} {SHORT[key]}", value, bound, 0.0 if figures["fired"] and gap < 1e-9 else gap))
    return found


def of_set(figures: Figures) -> list[Bar]:
    """The bars of a whole set."""
    found = []
    shares = figures["untouched"]
    for reason, own in shares["reasons"].items():
        if own["action"] == "quarantine":
            found.append(_at_most(f"untouched quarantined as {reason}", own["quarantined"], QUARANTINED))
    found.append(_at_most("untouched rows warned of", shares["any"], WARNED))
    if figures["colours"]["pairs"]:
        found.append(
            _at_most("pairs that differ in colour alone called copies", figures["colours"]["alike"], ALIKE_COLOURS)
        )
    found.append(_at_most("kinds of valid odd files lost", len(figures["valid"]["lost"]), 0))
    lost = sum(abs(c["files"] - c.get("kept", 0) - c.get("quarantined", 0)) for c in figures["counts"])
    found.append(_at_most("rows neither kept nor quarantined", lost, 0))
    return found


def _at_most(name: str, value: float, bound: float) -> Bar:
    return Bar(name, value, bound, 1 - bound / value if value > bound else 0.0)


def all_of(figures: Figures) -> list[Bar]:
    """Every bar of a set, by kind and of the whole."""
    return [bar for kind, own in figures["kinds"].items() for bar in of_kind(kind, own)] + of_set(figures)


def order(kinds: list[str]) -> list[str]:
    """Kinds as tables list them: those that are counted together before their parts."""
    place = [*DAMAGE, "copy", "near", *TOGETHER["near"], "moved", *TOGETHER["moved"], "conflict", "stranger", "flip"]
    return sorted(kinds, key=place.index)

"""Which two results may stand side by side, and how large their differences are.

Two numbers compare when they were made with the same test images, by the same instrument in as many dimensions, from
as many samples, and from images that were decoded and resized in the same way. Everything else that two models
differ in is what a comparison is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aigc_core.errors import DataError
from aigc_core.files import digest

#: Key of facts.json to what it is in a sentence.
IDENTITY = {
    "reference_hash": "test images",
    "extractor_hash": "feature extractor",
    "fd_dimensions": "feature dimensions",
    "n": "number of samples",
    "resize": "resizing",
}
#: Keys of metrics.json that measure nothing of a model: a count, a verdict, and the accuracy of naming the commonest class.
NO_MEASURE = ("n", "memorization_passed", "cas_chance")
#: Suffixes that stand beside a metric and are none themselves.
BESIDE = ("_real", "_floor", "_floor_std", "_low", "_high", "_over_floor", "_dimensions", "_limit", "_unseen")


def identity(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a result must share with another, from its facts.json."""
    return {key: facts.get(key) for key in IDENTITY}


def identity_digest(facts: Mapping[str, Any]) -> str:
    """Sixteen hex digits: equal where two results compare."""
    return digest(identity(facts))[:16]


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What two facts.json differ in, each as `test images (reference_hash): ab12... and cd34...`."""
    ours, theirs = identity(first), identity(second)
    return [
        f"{what} ({key}): {_short(ours[key])} and {_short(theirs[key])}"
        for key, what in IDENTITY.items()
        if ours[key] != theirs[key]
    ]


def refuse_unlike(named: Mapping[str, Mapping[str, Any]], remedy: str) -> None:
    """Raise DataError where the facts of two of the named results differ in what they must share.

    `remedy` ends the sentence: what to run so that they agree.
    """
    first, *others = named
    for other in others:
        found = differences(named[first], named[other])
        if found:
            listed = "; ".join(found)
            raise DataError(f"{first} and {other} cannot stand side by side, they differ in {listed}: {remedy}")


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) > 32 else text


@dataclass(frozen=True)
class Difference:
    """One metric of two results. `share` is (second - first) in multiples of what real images get, None without that."""

    name: str
    first: float
    second: float
    real: float | None
    share: float | None
    #: Whether the intervals overlap; None where there are none.
    overlap: bool | None


def compare(first: Mapping[str, float], second: Mapping[str, float]) -> list[Difference]:
    """Every metric that both hold, in the order of the first. Distances are taken in multiples of their floor."""
    found = []
    for name, value in first.items():
        if name in NO_MEASURE or name not in second or any(name.endswith(suffix) for suffix in BESIDE):
            continue
        real = first.get(f"{name}_floor", first.get(f"{name}_real"))
        share = (second[name] - value) / abs(real) if real else None
        found.append(Difference(name, value, second[name], real, share, _overlap(name, first, second)))
    return found


def _overlap(name: str, first: Mapping[str, float], second: Mapping[str, float]) -> bool | None:
    low, high = f"{name}_low", f"{name}_high"
    if any(key not in values for key in (low, high) for values in (first, second)):
        return None
    return first[low] <= second[high] and second[low] <= first[high]


def refuse_families(evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise DataError where evaluated families (name to a mapping with its `facts`) were not measured alike."""
    stages = " and ".join(f"`aigc evaluate {family}`" for family in evaluations)
    refuse_unlike(
        {family: found["facts"] for family, found in evaluations.items()}, f"run {stages} again, or `dvc repro`"
    )

"""Draft the gate's numbers from data that a person trusts: as it is, with room for chance and a margin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aigc_core.config import Expectations

#: Standard normal quantile of the room for chance: 99.5 % one-sided.
Z = 2.576


def upper_share(count: float, rows: int) -> float:
    """Upper Wilson bound (1927) of a share in [0, 1]; never 0, because none in n rows does not mean never."""
    share, z2 = count / rows, Z * Z
    centre = share + z2 / (2 * rows)
    spread = Z * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows * rows))
    return min(1.0, (centre + spread) / (1 + z2 / rows))


def draft(facts: Mapping[str, Any], read: int, largest_aspect: float, margin: float, present: Expectations) -> Any:
    """The section `expectations` of params.yaml for this data, as a mapping.

    `facts` are those of the gate, `read` the rows read; counts may fall and shares rise by `margin` (0.1 is a tenth).
    What only a person can choose (drift, ranges, leaks) stays as it is in `present`.
    """

    def low(value: float) -> float:
        return _floor(value * (1 - margin))

    def high(share: float, rows: int) -> float:
        return min(1.0, _ceil(upper_share(share * rows, max(rows, 1)) * (1 + margin)))

    kept = int(facts["rows_kept"])
    outside = [value for name, value in facts.items() if name.startswith("outside_") and value is not None]
    fresh = {
        "min_rows": max(1, int(kept * (1 - margin))),
        "min_classes": int(facts["classes"]),
        "min_rows_per_class": max(1, int(facts["smallest_class"] * (1 - margin))),
        "min_class_share_ratio": low(facts["class_share_ratio"]),
        "min_split_share": low(facts["smallest_split_share"]),
        "min_channels_share": low(facts["channels_share"]),
        "max_unlabelled_share": high(facts["unlabelled_share"], kept),
        "max_aspect": _ceil(max(1.0, largest_aspect) * (1 + margin)),
        "max_share": {
            name.removeprefix("share_"): high(value, read) for name, value in facts.items() if name.startswith("share_")
        },
    }
    whole = present.model_dump() | fresh
    whole["ranges"] |= {"max_outside_share": high(max(outside), kept)} if outside else {}
    return {name: whole[name] for name in present.model_dump()}


def _floor(value: float) -> float:
    return math.floor(value * 1000) / 1000


def _ceil(value: float) -> float:
    return math.ceil(value * 1000) / 1000

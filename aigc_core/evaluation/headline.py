"""The ten numbers of an evaluation that DVC compares between versions; metrics.json has all of them. Pure functions, no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aigc_core.evaluation.comparability import identity_digest

#: In the order in which they are looked for.
NUMBERS = (
    "fd_over_floor",
    "fd",
    "fd_low",
    "fd_high",
    "fd_floor",
    "coverage",
    "density",
    "cas",
    "cas_real",
    "copy_rate",
    "copy_rate_unseen",
    "memorization_passed",
)


def headline(metrics: Mapping[str, float], facts: Mapping[str, Any]) -> dict[str, float | str]:
    """The headline of one model, from its metrics and the facts of how they were measured.

    `measured_as` is the same text where two results may be compared, and another where they may not; a number that was not
    measured (without labels there is no cas) is left out.
    """
    numbers = {name: metrics[name] for name in NUMBERS if name in metrics}
    return {**numbers, "measured_as": identity_digest(facts)[:12]}

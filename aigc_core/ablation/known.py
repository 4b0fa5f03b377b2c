"""What the finished cells of a plan say before a study is read: the spread over seeds, and how far the full recipe is.

Only for planning: verdicts come from the study.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aigc_core.ablation.pairs import PAIRED
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.statistics import upper_spread

Line = dict[str, Any]
#: Fewer pairs than this do not tell a spread.
LEAST_PAIRS = 3
#: A spread of few seeds is itself uncertain: plans go by the value that it is below in four cases of five.
UPPER = 0.8


def known_spread(plan: Plan, known: dict[str, Line]) -> float | None:
    """Standard deviation of paired differences of log fd between full and the arms beside it, pooled over arms, at its upper
    80 % bound (chi-squared); None where no arm has LEAST_PAIRS pairs."""
    kinds = {arm["name"]: arm["kind"] for arm in plan.arms}
    values = _distances(plan, known)
    full = values.get("full", {})
    squares, freedom = 0.0, 0
    for arm, other in values.items():
        pairs = [math.log(full[seed] / other[seed]) for seed in full if seed in other]
        if kinds[arm] in PAIRED and len(pairs) >= LEAST_PAIRS:
            squares += float(np.var(pairs, ddof=1)) * (len(pairs) - 1)
            freedom += len(pairs) - 1
    return upper_spread(math.sqrt(squares / freedom), freedom, UPPER) if freedom else None


def distance_of(plan: Plan, known: dict[str, Line]) -> float | None:
    """Mean distance of the full recipe in floors over its finished cells at the study's steps; None before the first."""
    found = list(_distances(plan, known, "fd_floor").get("full", {}).values())
    return float(np.mean(found)) if found else None


def _distances(plan: Plan, known: dict[str, Line], unit: str | None = None) -> dict[str, dict[int, float]]:
    """Arm to seed to the distance of its finished cell, over another figure of the cell where one is named."""
    values: dict[str, dict[int, float]] = {}
    for planned in plan.cells:
        figures = known.get(planned["cell"], {}).get("metrics") or {}
        below = figures.get(unit, 0.0) if unit else 1.0
        if figures.get(plan.primary, 0.0) > 0 and below > 0:
            values.setdefault(planned["arm"], {})[planned["seed"]] = figures[plan.primary] / below
    return values

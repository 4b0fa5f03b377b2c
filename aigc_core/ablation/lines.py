"""Finished cells as lines of a study: what the plan says of each arm beside the figures of its cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aigc_core.ablation.cells import CELL_SCHEMA
from aigc_core.ablation.plan import Plan

Line = dict[str, Any]


def collect(plan: Plan, wanted: list[Line], done: Mapping[str, Line]) -> list[Line]:
    """One line per planned cell that is wanted: the arm's facts, the cell's figures, and its seconds for display."""
    arms = {arm["name"]: arm for arm in plan.arms}
    lines = []
    for planned in wanted:
        cell, arm = done[planned["cell"]], arms[planned["arm"]]
        lines.append({
            **dict.fromkeys(CELL_SCHEMA.names), **{name: planned[name] for name in ("cell", "arm", "seed", "steps", "rows")}, "kind": arm["kind"], "decision": arm["decision"],
            "share": arm["share"], "rows_touched": arm["rows_touched"], **cell["metrics"], "error": cell["error"],
            "seconds": cell["seconds"]["all"],
        })  # fmt: skip
    return lines

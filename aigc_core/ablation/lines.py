"""Finished cells as lines of a study: what the plan says of each arm beside the figures of its cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aigc_core.ablation.cells import CELL_SCHEMA, LATER
from aigc_core.ablation.plan import Plan
from aigc_core.files import read_json
from aigc_core.paths import Paths

Line = dict[str, Any]


def cell_file(paths: Paths, cell: str) -> Path:
    """Where a cell lies."""
    return paths.work / "ablation" / "cells" / f"{cell}.json"


def known_cells(plan: Plan, paths: Paths) -> dict[str, Line]:
    """The plan's finished cells by digest."""
    return finished(plan.cells, paths)


def finished(wanted: list[dict[str, Any]], paths: Paths) -> dict[str, Line]:
    """Those of the planned cells that are finished, by digest. A file that is no cell is as good as absent."""
    found: dict[str, Line] = {}
    for cell in {line["cell"] for line in wanted}:
        try:
            line = read_json(cell_file(paths, cell))
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(line, dict) and line.get("cell") == cell:
            found[cell] = line
    return found


def later_arms(arms: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of the arms, as plan.json holds them, that are run after the others."""
    return {str(arm["name"]) for arm in arms if arm["kind"] in LATER}


def first_cells(plan: Plan) -> list[Line]:
    """The plan's cells at the study's own steps."""
    later = later_arms(plan.arms)
    return [line for line in plan.cells if line["arm"] not in later]


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

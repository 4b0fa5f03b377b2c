"""Which cells of a plan are run: those at the study's steps, then those at the full budget of the decision that leads.

A plan holds the cells at the full budget of every decision, because which one leads is known only when the others are done.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aigc_core.ablation.cells import CONFIRMATION, to_frame
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.stopping import seeds_used
from aigc_core.errors import DataError

Line = dict[str, Any]


def first_cells(plan: Plan) -> list[Line]:
    """The plan's cells at the study's own steps."""
    later = _at_full_budget(plan)
    return [line for line in plan.cells if line["arm"] not in later]


def confirming_cells(plan: Plan, decisions: Collection[str]) -> list[Line]:
    """The plan's cells at the full budget: of the full recipe and without each of these decisions; none without any."""
    later = _at_full_budget(plan)
    wanted = {name for name, decision in later.items() if decision is None or decision in decisions}
    return [line for line in plan.cells if line["arm"] in wanted] if decisions else []


def expected_cells(plan: Plan, known: Collection[str] = ()) -> list[Line]:
    """Cells that a study comes to, as far as can be told before it ran: one decision is taken for the one that leads.

    It is the one of whose cells the most are `known` (by digest), else the first. Where `known` is a mapping to the finished
    cells, seeds beyond the look at which they end a study are left out.
    """
    decisions = [decision for decision in _at_full_budget(plan).values() if decision is not None]
    done = {name: sum(line["cell"] in known for line in confirming_cells(plan, [name])) for name in decisions}
    likely = max(decisions, key=done.__getitem__, default=None)
    lines = [*first_cells(plan), *(confirming_cells(plan, [likely]) if likely is not None else [])]
    used = seeds_used(plan, known)
    return [line for line in lines if line["seed"] in used]


def leading(plan: Plan, lines: list[Line]) -> list[str]:
    """The decision that leads the headline, by the finished `lines` at the study's own steps; see `Study.leader`."""
    from aigc_core.ablation.study import Study  # here, because worker processes need neither this nor pandas

    try:
        found = Study(plan.to_dict(), to_frame(lines)).leader
    except DataError:  # no cell of the full recipe was finished
        return []
    return [] if found is None else [found]


def _at_full_budget(plan: Plan) -> dict[str, str | None]:
    """Arms at the full budget, with their decisions."""
    return {arm["name"]: arm["decision"] for arm in plan.arms if arm["kind"] == CONFIRMATION}

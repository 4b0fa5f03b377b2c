"""Which cells of a plan are run: those at the study's steps, then the later ones of the decision that leads.

A plan holds the cells at the full budget and under other training recipes of every decision, because which one leads is known
only when the others are done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aigc_core.ablation.cells import CONFIRMATION, LATER, VARIATION, to_frame
from aigc_core.ablation.lines import collect
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.stopping import seeds_used
from aigc_core.errors import DataError

Line = dict[str, Any]
#: Kind of later cells to the decisions that they are run of.
Leading = dict[str, list[str]]


def first_cells(plan: Plan) -> list[Line]:
    """The plan's cells at the study's own steps."""
    later = _later(plan)
    return [line for line in plan.cells if line["arm"] not in later]


def later_cells(plan: Plan, leading: Leading) -> list[Line]:
    """The plan's later cells: of the full recipe and without each of these decisions; none of a kind without any."""
    wanted = {
        name for name, (kind, decision) in _later(plan).items()
        if leading.get(kind) and (decision is None or decision in leading[kind])
    }  # fmt: skip
    return [line for line in plan.cells if line["arm"] in wanted]


def expected_cells(plan: Plan, known: Mapping[str, Line] | Collection[str] = ()) -> list[Line]:
    """Cells that a study comes to: by the finished lines in `known` where they tell which decision leads.

    As long as they do not, one is taken for it: the one of whose cells the most are `known` (by digest), else the first. Seeds
    beyond the look at which finished lines end a study are left out.
    """
    used = seeds_used(plan, known)
    first = [line for line in first_cells(plan) if line["seed"] in used]
    if isinstance(known, Mapping) and all(line["cell"] in known for line in first):
        later = later_cells(plan, leading(plan, collect(plan, first, known)))
        return [*first, *(line for line in later if line["seed"] in used)]
    decisions = list(dict.fromkeys(one for _, one in _later(plan).values() if one is not None))
    done = {
        name: sum(line["cell"] in known for line in later_cells(plan, {key: [name] for key in LATER}))
        for name in decisions
    }
    likely = max(decisions, key=done.__getitem__, default=None)
    later = later_cells(plan, {key: [likely] for key in LATER}) if likely is not None else []
    return [*first, *(line for line in later if line["seed"] in used)]


def leading(plan: Plan, lines: list[Line]) -> Leading:
    """The decision that leads the headline, by the finished `lines` at the study's own steps; see `Study.leader`.

    It is looked at again at the full budget, and under other training recipes where it has a sign to keep.
    """
    from aigc_core.ablation.study import Study  # here, because worker processes need neither this nor pandas

    try:
        found = Study(plan.to_dict(), to_frame(lines)).leader
    except DataError:  # no cell of the full recipe was finished
        return {}
    if found is None:
        return {}
    return {CONFIRMATION: [found.decision], VARIATION: [found.decision] if found.told else []}


def _later(plan: Plan) -> dict[str, tuple[str, str | None]]:
    """Arms that are run after the others: their kind and decision."""
    return {arm["name"]: (arm["kind"], arm["decision"]) for arm in plan.arms if arm["kind"] in LATER}

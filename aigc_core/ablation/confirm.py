"""Which cells of a plan are run: those at the study's steps, then the later ones of the decision that leads.

A plan holds the cells at the full budget and under other training recipes of every decision, because which one leads is known
only when the others are done.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from aigc_core.ablation.cells import CONFIRMATION, LATER, VARIATION
from aigc_core.ablation.lines import Line, first_cells
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.stopping import ended

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study

#: Kind of later cells to the decisions that they are run of.
Leading = dict[str, list[str]]


def later_cells(plan: Plan, leading: Leading) -> list[Line]:
    """The plan's later cells: of the full recipe and without each of these decisions; none of a kind without any."""
    wanted = {
        name for name, (kind, decision) in _later(plan).items()
        if leading.get(kind) and (decision is None or decision in leading[kind])
    }  # fmt: skip
    return [line for line in plan.cells if line["arm"] in wanted]


def expected_cells(plan: Plan, known: Mapping[str, Line] = MappingProxyType({})) -> list[Line]:
    """Cells that a study comes to: by the finished lines in `known` (by digest) where they tell which decision leads.

    As long as they do not, one is taken for it: the one of whose cells the most are `known`, else the first. Seeds
    beyond the look at which finished lines end a study are left out.
    """
    end, first = ended(plan, known), first_cells(plan)
    if end is not None:
        used, study = end
        return [line for line in [*first, *later_cells(plan, leading(study))] if line["seed"] in used]
    decisions = list(dict.fromkeys(one for _, one in _later(plan).values() if one is not None))
    done = {
        name: sum(line["cell"] in known for line in later_cells(plan, {key: [name] for key in LATER}))
        for name in decisions
    }
    likely = max(decisions, key=done.__getitem__, default=None)
    return [*first, *(later_cells(plan, {key: [likely] for key in LATER}) if likely is not None else [])]


def leading(study: Study | None) -> Leading:
    """The decision that leads the headline, by what the study's own steps say; see `Study.leader`.

    It is looked at again at the full budget, and under other training recipes where it has a sign to keep.
    """
    found = None if study is None else study.leader
    if found is None:
        return {}
    return {CONFIRMATION: [found.decision], VARIATION: [found.decision] if found.told else []}


def _later(plan: Plan) -> dict[str, tuple[str, str | None]]:
    """Arms that are run after the others: their kind and decision."""
    return {arm["name"]: (arm["kind"], arm["decision"]) for arm in plan.arms if arm["kind"] in LATER}

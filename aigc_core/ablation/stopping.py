"""When a study with declared looks has its answers, and what its stop saved.

It stops at the first look at which every decision is told or equivalent and every sweep has a cut that is told from random rows. A
study that cannot be believed (void) goes on: more seeds may clear it. Nothing is remembered of a stop: it follows from
the cells, so that a study that was interrupted goes on to the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aigc_core.ablation.cells import to_frame
from aigc_core.ablation.lines import Line, collect, first_cells, later_arms
from aigc_core.ablation.looks import stages_of
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.statistics import ALPHA
from aigc_core.errors import DataError

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study


def stages(plan: Plan) -> Iterator[list[int]]:
    """The seeds that each look adds to those before it; all of them at once where no looks were declared."""
    before = 0
    for seeds in stages_of({"settings": plan.settings, "seeds": plan.seeds}) or (len(plan.seeds),):
        yield plan.seeds[before:seeds]
        before = seeds


def judged(plan: Plan, lines: list[Line]) -> Study | None:
    """What the finished `lines` at the study's own steps say; None where no cell of the full recipe was finished."""
    from aigc_core.ablation.study import Study  # here, because worker processes need neither this nor pandas

    try:
        return Study(plan.to_dict(), to_frame(lines))
    except DataError:
        return None


def answered(study: Study) -> bool:
    """Whether every question of a study has its answer; a study without any question has none."""
    from aigc_core.ablation.verdicts import NO_VERDICT, OPEN, PRIMARY

    words = []
    for decision in study.decisions:
        effect = study.effects.get((decision, PRIMARY))
        words.append(effect.verdict if effect else study.failures(decision).verdict or NO_VERDICT)
    swept = {arm["decision"] for arm in study.plan.get("arms", ()) if "cut" in arm}
    if study.void or not (words or swept):
        return False
    # Of a sweep whose cuts all failed there is nothing among `sweeps`: that is no answer.
    return not set(words) & set(OPEN) and swept == {one.reason for one in study.sweeps if one.answered}


def ended(plan: Plan, known: Mapping[str, Line]) -> tuple[list[int], Study | None] | None:
    """Seeds that a study came to and what its own steps say, by the finished lines in `known` (by digest); None before its end."""
    used: list[int] = []
    for seeds in stages(plan):
        used += seeds
        wanted = [line for line in first_cells(plan) if line["seed"] in used]
        if any(line["cell"] not in known for line in wanted):
            return None
        study = judged(plan, collect(plan, wanted, known))
        if len(used) == len(plan.seeds) or (study is not None and answered(study)):
            break
    return used, study


def in_words(study: Study) -> dict[str, Any] | None:
    """At which look a study ended, with the trainings that were not run and one sentence; None where it was judged once."""
    look = study.look
    if not look.stages:
        return None
    later = later_arms(study.plan.get("arms", ()))
    planned = {line["cell"] for line in study.plan.get("cells", ()) if line["arm"] not in later}
    ran = set(study.cells.loc[~study.cells["arm"].isin(later), "cell"])
    saved = len(planned - ran)
    which = f"look {look.number} of {len(look.stages)} ({look.seeds} of {look.stages[-1]} seeds)"
    if look.stopped:
        text = f"Stopped at {which}: every question had its answer, so that {saved:,} of {len(planned):,} trainings were not run."
    else:
        text = f"Ran to its last look, {which}."
    text += (
        f" The looks were declared beforehand: p is scaled to the level of this one ({look.level():.2g} in the place of {ALPHA:g}), and "
        "the intervals hold 95 % over all looks together."
    )
    return {"number": look.number, "of": len(look.stages), "seeds": look.seeds, "planned": look.stages[-1], "saved": saved,
            "trainings": len(planned), "level": look.level(), "stopped": look.stopped, "sentence": text}  # fmt: skip

"""When a study with declared looks has its answers, and what its stop saved.

It stops at the first look at which every decision is told or equivalent and every sweep has a cut that is told from random rows. A
study that cannot be believed (void) goes on: more seeds may clear it. Nothing is remembered of a stop: it follows from
the cells, so that a study that was interrupted goes on to the same result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aigc_core.ablation.cells import LATER, to_frame
from aigc_core.ablation.lines import collect
from aigc_core.ablation.looks import open_questions, stages_of
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.statistics import ALPHA
from aigc_core.errors import DataError

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study

Line = dict[str, Any]


def stages(plan: Plan) -> Iterator[list[int]]:
    """The seeds that each look adds to those before it; all of them at once where no looks were declared."""
    before = 0
    for seeds in stages_of({"settings": plan.settings, "seeds": plan.seeds}) or (len(plan.seeds),):
        yield plan.seeds[before:seeds]
        before = seeds


def settled(plan: Plan, lines: list[Line]) -> bool:
    """Whether the finished `lines` at the study's own steps leave nothing open."""
    from aigc_core.ablation.study import Study  # here, because worker processes need neither this nor pandas

    try:
        return answered(Study(plan.to_dict(), to_frame(lines)))
    except DataError:  # no cell of the full recipe was finished
        return False


def answered(study: Study) -> bool:
    """Whether every question of a study has its answer; a study without any question has none."""
    from aigc_core.ablation.cuts import sweeps
    from aigc_core.ablation.verdicts import NO_VERDICT, PRIMARY

    words = []
    for decision in study.decisions:
        effect = study.effects.get((decision, PRIMARY))
        words.append(effect.verdict if effect else study.failures(decision).verdict or NO_VERDICT)
    swept = {arm["decision"] for arm in study.plan.get("arms", ()) if "cut" in arm}
    if study.void or not (words or swept):
        return False
    # Of a sweep whose cuts all failed there is nothing among `sweeps`: that is no answer.
    return not open_questions(words) and swept == {one.reason for one in sweeps(study) if one.answered}


def seeds_used(plan: Plan, known: Collection[str]) -> set[int]:
    """Seeds that a study comes to, as far as finished cells tell; `known` holds them by digest, with their lines if it is a mapping."""
    used: list[int] = []
    for seeds in stages(plan):
        used += seeds
        wanted = [line for line in plan.cells if line["seed"] in used and not _later(plan, line)]
        if (
            len(used) == len(plan.seeds)
            or not isinstance(known, Mapping)
            or any(line["cell"] not in known for line in wanted)
        ):
            break
        if settled(plan, collect(plan, wanted, known)):
            return set(used)
    return set(plan.seeds)


def _later(plan: Plan, line: Line) -> bool:
    return any(arm["name"] == line["arm"] and arm["kind"] in LATER for arm in plan.arms)


def in_words(study: Study) -> dict[str, Any] | None:
    """At which look a study ended, with the trainings that were not run and one sentence; None where it was judged once."""
    look = study.look
    if not look.stages:
        return None
    later = {arm["name"] for arm in study.plan.get("arms", ()) if arm["kind"] in LATER}
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

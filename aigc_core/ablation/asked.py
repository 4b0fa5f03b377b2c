"""Which studies were run on this data before: asking the same question again, otherwise, is another chance to be wrong.

The file lies beside the cells and is no out. A plan, its cells and its verdicts do not depend on it, so that equal data and
parameters make equal outs; what it says is shown on the terminal and on the page under .work alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aigc_core.ablation.cells import CUT, TREATMENT
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.statistics import ALPHA
from aigc_core.files import read_json, write_json
from aigc_core.paths import Paths

#: Earlier plans that are named one by one.
SHOWN = 3
#: Before the reason of a sweep, in the list of what was asked.
SWEEP = "the sweep of "


def record(plan: Plan, paths: Paths) -> None:
    """Note that a plan is run; the same plan is noted once."""
    known = _known(paths)
    if plan.digest not in {line["plan"] for line in known}:
        write_json(_file(paths), [*known, {**_entry(plan), "date": datetime.now(UTC).date().isoformat()}])


def earlier(plan: Plan, paths: Paths) -> dict[str, list[dict[str, Any]]]:
    """Decision to the plans that asked it of the same images with other seeds, steps or another family, oldest first.

    Decisions that nobody asked before are left out, and so are plans that differ in nothing else. A sweep of a reason is a question
    like a decision, which other shares ask otherwise. Declared looks of one study are one look: their levels see to that.
    """
    own, known = _entry(plan), _known(paths)
    found: dict[str, list[dict[str, Any]]] = {}
    for decision in own["decisions"]:
        seen = [_way(own, decision)]
        for line in known:
            way = _way(line, decision)
            if line["data"] == own["data"] and decision in line["decisions"] and way not in seen:
                seen.append(way)
                found.setdefault(decision, []).append(line)
    return found


def in_words(plan: Plan, paths: Paths) -> list[str]:
    """One sentence per decision that was asked before."""
    told = []
    for decision, lines in earlier(plan, paths).items():
        ways = [_in_words(one) for one in lines]
        more = f" and {len(ways) - SHOWN} more" if len(ways) > SHOWN else ""
        told.append(
            f"{decision} was asked of these images before ({'; '.join(ways[-SHOWN:])}{more}): {chance(len(lines) + 1)}"
        )
    return told


def chance(looks: int) -> str:
    """What so many looks at one question do to the chance of a false verdict, were they independent."""
    return (
        f"with {looks} looks at a decision that does nothing, one of them calls it an effect in up to "
        f"{100 * (1 - (1 - ALPHA) ** looks):.0f} % of cases, not {100 * ALPHA:.0f} %"
    )


def _in_words(line: dict[str, Any]) -> str:
    looks = f", looks after {', '.join(map(str, line['looks']))}" if line.get("looks") else ""
    return f"{len(line['seeds'])} seeds at {line['steps']:,} steps of the {line['model'].upper()}{looks}"


def _entry(plan: Plan) -> dict[str, Any]:
    decisions = [str(arm["decision"]) for arm in plan.arms if arm["kind"] == TREATMENT]
    cuts = [arm["cut"] for arm in plan.arms if arm["kind"] == CUT]
    reasons = dict.fromkeys(cut["reason"] for cut in cuts)
    shares = {SWEEP + reason: [cut["share"] for cut in cuts if cut["reason"] == reason] for reason in reasons}
    return {"plan": plan.digest, "data": plan.dataset["ingested"], "decisions": [*decisions, *shares], "model": plan.model,
            "steps": plan.steps, "seeds": plan.seeds, "looks": plan.settings["ablation"]["looks"], "shares": shares}  # fmt: skip


def _way(line: dict[str, Any], decision: str) -> tuple[Any, ...]:
    """In which way a question was asked; lines of before there were looks and sweeps have none."""
    looks, shares = line.get("looks", ()), line.get("shares", {}).get(decision, ())
    return line["model"], line["steps"], tuple(line["seeds"]), tuple(looks), tuple(shares)


def _file(paths: Paths) -> Path:
    return paths.work / "ablation" / "asked.json"


def _known(paths: Paths) -> list[dict[str, Any]]:
    try:
        return list(read_json(_file(paths)))
    except FileNotFoundError:
        return []

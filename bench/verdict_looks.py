"""Part `looks` of bench/verdict_simulations.py: studies that may stop after 4, 8 and 12 of 20 seeds, beside 20 seeds each time.

A study stops at the first look at which every decision is told or equivalent, as the product does. Effects are in standard
deviations of a paired difference. Legend: R = studies, k = arms beside the full recipe, n = seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from verdict_judged import effects_of, say

from aigc_core.ablation import verdicts as v
from aigc_core.ablation.looks import ONCE, Look

STAGES = (4, 8, 12, 20)
SD = math.sqrt(2)
#: Effects of the decisions that have one, in sd; every one of several decisions has it.
EFFECTS = (1.0, 1.5, 2.0)
FALSE_BAR = 0.05
#: What a ROPE of 10 % is in sd where that is 0.1 in the logarithm.
SMALLEST = math.log1p(0.1) / 0.1 * SD
Array = np.ndarray
Errors = Callable[[str, int, int, int, int], Array]


@dataclass(frozen=True)
class Outcome:
    """How one study ended."""

    seeds: int
    words: tuple[str, ...]  # of its decisions

    @property
    def told(self) -> int:
        """Decisions that are said to pay or to hurt."""
        return sum(word in (v.PAYS, v.HURTS) for word in self.words)


def run(values: Array, decisions: int, stages: tuple[int, ...] = STAGES, smallest: float | None = None) -> Outcome:
    """One study (1 + k, n), the full recipe first: looked at after the stages, or with one of them judged once."""
    for seeds in stages:
        look = Look(stages, seeds) if len(stages) > 1 else ONCE
        words = tuple(one.verdict for one in effects_of(values[:, :seeds], decisions, smallest, look))
        if not set(words) & set(v.OPEN):
            break
    return Outcome(seeds, words)


def looks(studies: int, seed: int, errors: Errors, kinds: tuple[str, ...], layouts: tuple[tuple[int, int], ...], console: Console) -> None:  # fmt: skip
    """False verdicts per study where nothing has an effect; seeds and power where decisions have one; false equivalence."""
    table = Table(title=f"any false verdict in a study of nothing, looks at {STAGES}, {studies} studies each")
    for name in ("decisions", *kinds, "normal, equivalent stops too", "judged once", "stopped before the end"):
        table.add_column(name, justify="right")
    worst, error = 0.0, 2 * math.sqrt(FALSE_BAR * (1 - FALSE_BAR) / studies)
    for decisions, arms in layouts:
        found = {kind: [run(one, decisions) for one in errors(kind, studies, arms, STAGES[-1], seed)] for kind in kinds}
        plain = errors("normal", studies, arms, STAGES[-1], seed)
        rope = [run(one, decisions, smallest=SMALLEST) for one in plain]
        once = [run(one, decisions, STAGES[-1:]) for one in plain]
        rates = {name: _false(own) for name, own in (*found.items(), ("rope", rope), ("once", once))}
        worst = max(worst, *(rate for name, rate in rates.items() if name != "once"))
        early = float(np.mean([one.seeds < STAGES[-1] for one in found["normal"]]))
        table.add_row(str(decisions), *(f"{rate:.3f}" for rate in rates.values()), f"{early:.3f}")
    console.print(table)
    say(console, worst <= FALSE_BAR + error, f"false verdicts per study at most {worst:.3f}, bar {FALSE_BAR:.0%} within chance ({error:.3f})")  # fmt: skip
    _power(studies, seed, errors, layouts, console)
    _equivalent(studies, seed, errors, layouts, console)


def _false(outcomes: list[Outcome]) -> float:
    return float(np.mean([one.told > 0 for one in outcomes]))


def _power(studies: int, seed: int, errors: Errors, layouts: tuple[tuple[int, int], ...], console: Console) -> None:
    table = Table(title=f"every decision has the effect, looks at {STAGES}, {studies} studies each")
    for name in ("decisions", "effect, sd", "mean seeds", "of", "decisions told", "told by 20 seeds judged once"):
        table.add_column(name, justify="right")
    for decisions, arms in layouts:
        for effect in EFFECTS:
            values = errors("normal", studies, arms, STAGES[-1], seed + 1)
            values[:, 1 : decisions + 1] += effect * SD
            found = [run(one, decisions) for one in values]
            once = [run(one, decisions, STAGES[-1:]) for one in values]
            power = [np.mean([one.told / decisions for one in own]) for own in (found, once)]
            table.add_row(str(decisions), f"{effect:g}", f"{np.mean([one.seeds for one in found]):.1f}", str(STAGES[-1]), *(f"{one:.3f}" for one in power))  # fmt: skip
    console.print(table)


def _equivalent(studies: int, seed: int, errors: Errors, layouts: tuple[tuple[int, int], ...], console: Console) -> None:  # fmt: skip
    """How often the first decision, whose effect is the smallest that matters, is called equivalent; the others have none."""
    table = Table(title=f"`equivalent` of an effect that is just as large as matters (10 %, sd 0.1), {studies} studies each")  # fmt: skip
    for name in ("decisions", "with looks", "judged once", "mean seeds"):
        table.add_column(name, justify="right")
    worst = 0.0
    for decisions, arms in layouts:
        values = errors("normal", studies, arms, STAGES[-1], seed + 2)
        values[:, 1] += SMALLEST
        found = [run(one, decisions, smallest=SMALLEST) for one in values]
        once = [run(one, decisions, STAGES[-1:], SMALLEST) for one in values]
        shares = [float(np.mean([one.words[0] == v.EQUIVALENT for one in own])) for own in (found, once)]
        worst = max(worst, shares[0])
        table.add_row(str(decisions), *(f"{one:.3f}" for one in shares), f"{np.mean([one.seeds for one in found]):.1f}")
    console.print(table)
    say(console, worst <= FALSE_BAR, f"`equivalent` of an effect that matters: at most {worst:.3f}, bar {FALSE_BAR:g}")

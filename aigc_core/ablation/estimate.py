"""What a study will cost on this machine and what it could see, before it runs; and which study fits a time.

Times come from cells that ran here before, else from a short timed run. They are never part of an out.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from aigc_core.ablation import cells as columns
from aigc_core.ablation.arms import Recipe
from aigc_core.ablation.plan import Layout, Plan
from aigc_core.ablation.runner import Line, known_cells, one_thread
from aigc_core.ablation.statistics import ALPHA, smallest_visible
from aigc_core.ablation.versions import ArmWriter
from aigc_core.ablation.worker import Bench, arm_images, train
from aigc_core.config import Ablation
from aigc_core.errors import ConfigError
from aigc_core.models.zoo import SampleModel
from aigc_core.paths import Paths

WARM_STEPS, PILOT_STEPS = 5, 40
#: A worker's own imports and a study's floors, in seconds: said as part of the estimate, not measured.
START_S = 10.0
#: Fewer pairs than this do not tell a spread.
LEAST_PAIRS = 3
#: A budget never leads to fewer seeds or steps than these; below, it is refused.
LEAST_SEEDS, LEAST_STEPS = 3, 100


@dataclass(frozen=True)
class Cost:
    """Seconds on one core of this machine."""

    step: float  # of training
    judge: float  # of loading and evaluating one cell
    measured: str  # in words

    def cell(self, steps: int) -> float:
        """One cell."""
        return steps * self.step + self.judge


@dataclass(frozen=True)
class Outlook:
    """What the plan's reader wants to know."""

    cost: Cost
    processes: int
    to_run: int
    known: int
    spread: float  # of paired differences, in floors
    spread_from: str
    visible: float  # smallest effect that these seeds see with power .8, in floors

    def seconds(self, steps: int) -> float:
        """Wall-clock time of what is left to run."""
        return START_S + math.ceil(self.to_run / self.processes) * self.cost.cell(steps) if self.to_run else 0.0


def past_cost(plan: Plan, paths: Paths) -> Cost | None:
    """The median of the plan's own cells that ran here; None before the first. Cells of other data cost something else."""
    done = [line for line in known_cells(plan, paths).values() if line["error"] is None]
    if not done:
        return None
    step = np.median([line["seconds"]["train"] / line["steps"] for line in done])
    judge = np.median([line["seconds"]["judge"] + line["seconds"]["load"] for line in done])
    return Cost(float(step), float(judge), f"{len(done)} cells that ran on this machine")


def pilot(layout: Layout, paths: Paths, bench: Bench) -> Cost:
    """Train a few steps of the full recipe and judge once, with one thread as a cell has it."""
    plan = layout.plan
    seed = plan.seeds[0]
    writer = ArmWriter(layout.pool, paths, plan.config, plan.code)
    arm = next(arm for arm in layout.arms if arm.recipe == Recipe())
    with one_thread():
        began = time.perf_counter()
        data = arm_images(writer.write(arm, layout.selections[arm.name, seed], seed), tuple(layout.pool.classes))
        load = time.perf_counter() - began
        marks = []
        for steps in (WARM_STEPS, WARM_STEPS + PILOT_STEPS):
            began = time.perf_counter()
            trainer = train(data, bench, seed, steps)
            marks.append(time.perf_counter() - began)
        began = time.perf_counter()
        bench.yardstick.judge(SampleModel(trainer.model.spec, {}, trainer.model).sample)
        judge = time.perf_counter() - began
    return Cost(max(marks[1] - marks[0], 1e-6) / PILOT_STEPS, judge + load, f"a timed run of {PILOT_STEPS} steps")


def known_spread(plan: Plan, known: dict[str, Line]) -> float | None:
    """Spread of paired differences between full and the treatments, in floors, where enough cells are known."""
    arms = {arm["name"]: arm["kind"] for arm in plan.arms}
    values: dict[str, dict[int, float]] = {}
    for planned in plan.cells:
        line = known.get(planned["cell"])
        floor = line["metrics"].get(columns.METRICS[1], 0.0) if line else 0.0
        if line and floor > 0:
            values.setdefault(planned["arm"], {})[planned["seed"]] = line["metrics"][plan.primary] / floor
    full = values.pop("full", {})
    variances = []
    for arm, other in values.items():
        pairs = [full[seed] - other[seed] for seed in full if seed in other]
        if arms[arm] == columns.TREATMENT and len(pairs) >= LEAST_PAIRS:
            variances.append(float(np.var(pairs, ddof=1)))
    return float(np.sqrt(np.mean(variances))) if variances else None


def look_ahead(plan: Plan, paths: Paths, settings: Ablation, cost: Cost, processes: int) -> Outlook:
    """The outlook of a plan at a cost."""
    known = known_cells(plan, paths)
    left = len({line["cell"] for line in plan.cells} - known.keys())
    spread = known_spread(plan, known)
    told = "assumed: ablation.planning_spread" if spread is None else "of the cells that are done"
    spread = settings.planning_spread if spread is None else spread
    return Outlook(cost, processes, left, len(known), spread, told, visible(spread, len(plan.seeds), plan))


def visible(spread: float, seeds: int, plan: Plan) -> float:
    """Smallest effect in floors that so many seeds see with power .8, corrected for the decisions that are measured."""
    asked = sum(arm["kind"] == columns.TREATMENT for arm in plan.arms)
    return smallest_visible(seeds, spread, ALPHA / max(1, asked))


def seconds_of(text: str) -> float:
    """A budget such as 90s, 10m or 1.5h. Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError(f"--budget {text!r} is no time: write it as 90s, 10m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def fit_budget(plan: Plan, known: Collection[str], cost: Cost, processes: int, budget: float) -> tuple[int, int]:
    """Seeds and steps whose study fits `budget` seconds: as many of the plan's seeds as possible, then fewer steps.

    Cells that are `known` cost nothing; with fewer steps all cells are new. Raises ConfigError where the smallest study
    does not fit.
    """

    def rounds(seeds: int, done: Collection[str]) -> int:
        kept = set(plan.seeds[:seeds])
        left = {line["cell"] for line in plan.cells if line["seed"] in kept}.difference(done)
        return math.ceil(len(left) / processes)

    fewest = min(LEAST_SEEDS, len(plan.seeds))
    for seeds in range(len(plan.seeds), fewest - 1, -1):
        waiting = rounds(seeds, known)
        if not waiting or START_S + waiting * cost.cell(plan.steps) <= budget:
            return seeds, plan.steps
    waiting = rounds(fewest, ())
    room = (budget - START_S) / waiting - cost.judge
    fewer, fewest_steps = int(room / cost.step) if room > 0 else 0, min(LEAST_STEPS, plan.steps)
    if fewer < fewest_steps:
        least = START_S + min(waiting * cost.cell(fewest_steps), rounds(fewest, known) * cost.cell(plan.steps))
        raise ConfigError(
            f"--budget: {budget:.0f} s are too few for {len(plan.arms)} arms x {fewest} seeds; the smallest study of these arms takes "
            f"about {least:.0f} s on this machine: allow more time or list fewer decisions and sizes"
        )
    return fewest, fewer


def in_words(plan: Plan, outlook: Outlook) -> dict[str, Any]:
    """The outlook as the lines of a table."""
    seeds = len(plan.seeds)
    enough = outlook.visible <= plan.smallest_effect
    return {
        "cells": f"{len(plan.arms)} arms x {seeds} seeds; {outlook.known} are done, {outlook.to_run} are left",
        "time left": f"about {clock(outlook.seconds(plan.steps))} with {outlook.processes} processes ({outlook.cost.measured})",
        "training": f"{plan.model}, {plan.steps:,} steps, {plan.samples_seen:,} samples seen by every arm",
        "judged by": f"{plan.test_rows:,} held-out images; {plan.test_twins} twins of training rows are left out",
        "could see": (
            f"effects from {outlook.visible:.2f} floors with power .8 (spread {outlook.spread:.2f}, {outlook.spread_from}); "
            f"{'enough' if enough else 'not enough'} for ablation.smallest_effect = {plan.smallest_effect:g}"
        ),
    }


def clock(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""What a study will cost on this machine and what it could see, before it runs; and which study fits a time.

Times come from cells that ran here before, else from a short timed run. They are never part of an out.
"""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aigc_core.ablation import cells as columns
from aigc_core.ablation.confirm import expected_cells, later_cells
from aigc_core.ablation.family import evaluated_distance
from aigc_core.ablation.headline import FAR
from aigc_core.ablation.known import distance_of, known_spread
from aigc_core.ablation.lines import Line, known_cells
from aigc_core.ablation.looks import Look, stages_of
from aigc_core.ablation.pairs import PAIRED
from aigc_core.ablation.plan import Layout, Plan
from aigc_core.ablation.recipes import Recipe
from aigc_core.ablation.runner import one_thread
from aigc_core.ablation.spread import borrowed
from aigc_core.ablation.statistics import MOST_SEEDS, seeds_needed, smallest_visible
from aigc_core.ablation.variations import variation_of
from aigc_core.ablation.versions import ArmWriter
from aigc_core.ablation.worker import Bench, arm_images, train
from aigc_core.config import Ablation
from aigc_core.errors import ConfigError
from aigc_core.models.zoo import SampleModel
from aigc_core.paths import Paths

WARM_STEPS, PILOT_STEPS = 5, 40
#: A worker's own imports and a study's floors, in seconds: said as part of the estimate, not measured.
START_S = 10.0
#: No change of a distance is larger than this, in log: below it `expm1` is a number that can be shown.
MOST_LOG = 5.0
#: A budget never leads to fewer seeds or steps than these; below, it is refused.
LEAST_SEEDS, LEAST_STEPS = 4, 100


@dataclass(frozen=True)
class Cost:
    """Seconds on one core of this machine."""

    step: float  # of training
    judge: float  # of loading and evaluating one cell whose samples also teach a classifier
    brief: float  # of loading and evaluating one of the others
    measured: str  # in words

    def cell(self, line: Line) -> float:
        """One planned cell."""
        return float(line["steps"] * self.step + (self.judge if line["cas"] else self.brief))

    def wall(self, lines: Iterable[Line], processes: int) -> float:
        """Cells side by side: each round takes as long as its longest cell."""
        return sum(sorted((self.cell(line) for line in lines), reverse=True)[::processes])


@dataclass(frozen=True)
class Outlook:
    """What the plan's reader wants to know."""

    cost: Cost
    processes: int
    left: list[Line]  # planned cells that are to be run
    known: int
    spread: float  # of paired differences of log fd
    spread_from: str
    visible: float  # smallest relative change that these seeds see with power 0.8
    seeds: int  # that would see the smallest effect that matters
    distance: float | None  # of the full recipe in floors: of cells that are done, else of the evaluated model

    @property
    def seconds(self) -> float:
        """Wall-clock time of what is left to run."""
        return START_S + self.cost.wall(self.left, self.processes) if self.left else 0.0


def past_cost(plan: Plan, paths: Paths) -> Cost | None:
    """The medians of the plan's own cells that ran here; None before the first. Cells of other data cost something else."""
    done = [line for line in known_cells(plan, paths).values() if line["error"] is None]
    if not done:
        return None
    # A training at the full budget goes on from a shorter one, so that its seconds are not those of all of its steps.
    whole = [line for line in done if line["steps"] == plan.steps] or done
    step = float(np.median([line["seconds"]["train"] / line["steps"] for line in whole]))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for line in done:
        seconds["cas" in line["metrics"]].append(line["seconds"]["judge"] + line["seconds"]["load"])
    # Where one kind has not run yet it is taken to cost what the other does: too much rather than too little for the brief ones.
    judge, brief = (float(np.median(seconds[cas] or seconds[not cas])) for cas in (True, False))
    return Cost(step, judge, brief, f"{_counted(len(done), 'cell', 'cells')} that ran on this machine")


def pilot(layout: Layout, paths: Paths, bench: Bench) -> Cost:
    """Train a few steps of the full recipe and judge them both ways, with one thread as a cell has it."""
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
        judged = []
        for cas in (False, True):
            began = time.perf_counter()
            bench.yardstick.judge(SampleModel(trainer.model.spec, {}, trainer.model).sample, cas=cas)
            judged.append(time.perf_counter() - began + load)
    step = max(marks[1] - marks[0], 1e-6) / PILOT_STEPS
    return Cost(step, judged[1], judged[0], f"a timed run of {PILOT_STEPS} steps")


def look_ahead(plan: Plan, paths: Paths, settings: Ablation, cost: Cost, processes: int) -> Outlook:
    """The outlook of a plan at a cost."""
    known = known_cells(plan, paths)
    left = _left(plan, expected_cells(plan, known), known)
    measured = known_spread(plan, known)
    told = f"assumed: ablation.planning_spread = {settings.planning_spread:g}"
    spread = settings.planning_spread
    if measured is not None:
        spread, told = measured, "the upper end of what the finished cells show"
    seeds = seeds_needed(math.log1p(plan.smallest_effect), spread, _level(plan), per_seed=_per_seed(plan))
    distance = distance_of(plan, known)
    distance = evaluated_distance(paths, plan.model) if distance is None else distance
    return Outlook(
        cost,
        processes,
        left,
        len(known),
        spread,
        told,
        visible(spread, len(plan.seeds), plan),
        seeds,
        distance,
    )


def _left(plan: Plan, expected: list[Line], known: Collection[str], steps: int | None = None) -> list[Line]:
    """Those of the `expected` cells that are to be run, each once, with the steps that it is trained for in `steps`.

    `steps` replaces those of the plan. At the full budget they count from where the shorter training of the same rows and
    seed ends, if that one is run too.
    """
    steps, found = steps or plan.steps, dict[str, Line]()
    shorter: set[str] = set()
    full_budget = {arm["name"] for arm in plan.arms if arm["kind"] == columns.CONFIRMATION}
    for line in expected:
        if line["cell"] in known:
            continue
        if line["steps"] == plan.steps:
            shorter.add(line["training"])
        done = steps if line["training"] in shorter and line["steps"] > plan.steps else 0
        whole = line["steps"] if line["arm"] in full_budget else round(line["steps"] * steps / plan.steps)
        found[line["cell"]] = {**line, "steps": max(0, whole - done)}
    return list(found.values())


def visible(spread: float, seeds: int, plan: Plan) -> float:
    """Smallest relative change that so many seeds see with power 0.8, corrected for the decisions that are measured."""
    freedom = _per_seed(plan) * (seeds - 1)
    return math.expm1(min(smallest_visible(seeds, spread, _level(plan), freedom=freedom), MOST_LOG))


def _level(plan: Plan) -> float:
    """Level of p for one of the decisions that are measured, at the last of the declared looks."""
    stages = stages_of({"settings": plan.settings, "seeds": plan.seeds})
    return Look(stages, len(plan.seeds)).level(sum(arm["kind"] == columns.TREATMENT for arm in plan.arms))


def _per_seed(plan: Plan) -> float:
    """Degrees of freedom that come with every seed after the first: the arms of a study share their spread."""
    kinds = [arm["kind"] for arm in plan.arms]
    return borrowed(sum(kind in PAIRED for kind in kinds), sum(kind == columns.TREATMENT for kind in kinds))


def seconds_of(text: str) -> float:
    """A budget such as 90s, 10m or 1.5h. Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError(f"--budget {text!r} is no time: write it as 90s, 10m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def fit_budget(
    plan: Plan, expected: list[Line], known: Collection[str], cost: Cost, processes: int, budget: float
) -> tuple[int, int]:
    """Seeds and steps whose study fits `budget` seconds: as many of the plan's seeds as possible, then fewer steps.

    `expected` are the cells that it comes to. Those that are `known` (by digest) cost nothing; with fewer steps all cells
    are new. There are never fewer than LEAST_SEEDS seeds, unless the plan itself has fewer. Raises ConfigError where the smallest study does not fit.
    """

    def wall(seeds: int, done: Collection[str], steps: int) -> float:
        kept = set(plan.seeds[:seeds])
        left = [line for line in _left(plan, expected, done, steps) if line["seed"] in kept]
        return START_S + cost.wall(left, processes) if left else 0.0

    fewest = min(LEAST_SEEDS, len(plan.seeds))
    for seeds in range(len(plan.seeds), fewest - 1, -1):
        if wall(seeds, known, plan.steps) <= budget:
            return seeds, plan.steps
    fewest_steps = min(LEAST_STEPS, plan.steps)
    fewer = bisect_right(range(plan.steps + 1), budget, key=lambda steps: wall(fewest, (), steps)) - 1
    if fewer < fewest_steps:
        smallest = min(wall(fewest, (), fewest_steps), wall(fewest, known, plan.steps))
        raise ConfigError(
            f"--budget: {budget:.0f} s are too few for {len(first_arms(plan))} arms x {fewest} seeds; the smallest study of these "
            f"arms takes about {smallest:.0f} s on this machine: allow more time"
            f"{_without_later(plan)} or list fewer decisions and sizes"
        )
    return fewest, fewer


def _without_later(plan: Plan) -> str:
    kinds = {arm["kind"] for arm in plan.arms}
    names = {columns.CONFIRMATION: "confirm", columns.VARIATION: "variations"}
    asked = [f"ablation.{name} to 0" for kind, name in names.items() if kind in kinds]
    return f", set {' and '.join(asked)}" if asked else ""


def first_arms(plan: Plan) -> list[dict[str, Any]]:
    """The arms at the study's own steps."""
    return [arm for arm in plan.arms if arm["kind"] not in columns.LATER]


def in_words(plan: Plan, outlook: Outlook) -> dict[str, Any]:
    """The outlook as the lines of a table."""
    enough = outlook.visible <= plan.smallest_effect
    needed = f"about {outlook.seeds}" if outlook.seeds < MOST_SEEDS else f"more than {MOST_SEEDS:,}"
    lines = {
        "cells": f"{len(first_arms(plan))} arms x {len(plan.seeds)} seeds{_later(plan)}; {outlook.known} cells are done, "
        f"{len(outlook.left)} are left{_shared(plan)}",
        "time left": f"about {clock(outlook.seconds)} with {_counted(outlook.processes, 'process', 'processes')} ({outlook.cost.measured})",
        "training": f"{plan.model.upper()}, {plan.steps:,} steps, {plan.samples_seen:,} samples seen by every arm; {plan.family_why}",
        "judged by": f"{plan.test_rows:,} held-out images; {_counted(plan.test_twins, 'twin of training rows is', 'twins of training rows are')} left out",
        "could see": (
            f"changes of the distance from {100 * outlook.visible:.0f} % with power 0.8 (spread {outlook.spread:.2f}, "
            f"{outlook.spread_from}); ablation.smallest_effect = {100 * plan.smallest_effect:g} % would be seen by {needed} seeds"
            f"{'' if enough else ', more than there are'}"
        ),
    }
    looks = plan.settings["ablation"]["looks"]
    if looks:
        after = ", ".join(map(str, looks))
        lines["looks"] = (
            f"after {after} and {len(plan.seeds)} seeds; it stops where every question has its answer, so that this is the most that it costs"
        )
    far = outlook.distance is not None and outlook.distance > FAR
    return lines | ({"warning": far_from_real(plan, outlook.distance or 0.0)} if far else {})


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _shared(plan: Plan) -> str:
    """How many cells are another one as well, in words: arms whose rows of a seed are the same share it."""
    lines = expected_cells(plan)
    shared = len(lines) - len({line["cell"] for line in lines})
    return (
        f" ({_counted(shared, 'cell is', 'cells are')} another one as well: two arms have the same rows)"
        if shared
        else ""
    )


def _later(plan: Plan) -> str:
    """The later cells in words."""
    recipes = len({variation_of(arm["name"]) for arm in plan.arms if arm["kind"] == columns.VARIATION})
    where = {
        columns.CONFIRMATION: f"at {plan.confirm_steps or 0:,} steps",
        columns.VARIATION: f"under each of {recipes} other training recipes",
    }
    seeds = {kind: len({line["seed"] for line in later_cells(plan, {kind: plan.decisions})}) for kind in columns.LATER}
    told = [f"{_counted(count, 'seed', 'seeds')} {where[kind]}" for kind, count in seeds.items() if count]
    return f", then {' and '.join(told)} with and without the decision that leads" if told else ""


def far_from_real(plan: Plan, distance: float) -> str:
    """What a full recipe means that is far from real images, and what would help."""
    return (
        f"the full recipe stands at {distance:.0f} times what real images get: what data does to a model that is this far away says "
        f"little of a good one; more steps would help (ablation.steps, {plan.steps:,} now), or another family (ablation.model, "
        f"{plan.model} now)"
    )


def clock(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

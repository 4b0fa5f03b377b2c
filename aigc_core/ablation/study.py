"""A finished study: cells in, ledger, checks and headline out. No file is read or written here, and nothing is trained.

    Study(plan, cells).ledger      one line per decision and metric
    Study(plan, cells).headline    what to do, in one sentence

`plan` is a mapping as plan.json holds it; `cells` has the columns of cells.CELL_SCHEMA and may have `seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from aigc_core.ablation import cells as c
from aigc_core.ablation import display, ledger, scaling, verdicts
from aigc_core.ablation import statistics as s
from aigc_core.ablation.headline import Finding, Headline, headline
from aigc_core.ablation.scaling import Band, Fit, Worth
from aigc_core.ablation.statistics import Array, Estimate
from aigc_core.ablation.verdicts import METRICS, PRIMARY, Control, Effect, Memory
from aigc_core.errors import DataError
from aigc_core.records import Check

FULL = "full"
#: Floors of one study come from one yardstick; they may differ by rounding only.
SAME_FLOOR = 1e-9


class Study:
    """What the cells of a plan say. Raises DataError where there is nothing to compare, or two yardsticks were used."""

    def __init__(self, plan: Mapping[str, Any], cells: pd.DataFrame) -> None:
        missing = [name for name in c.CELL_SCHEMA.names if name not in cells.columns]
        if missing:
            raise DataError(f"these are no cells of a study: the columns {', '.join(missing)} are missing")
        self.plan = dict(plan)
        self.cells = cells.sort_values(["arm", "seed"], kind="stable").reset_index(drop=True)
        self.smallest = float(self.plan["smallest_effect"])
        self.finished = self.cells[self.cells["error"].isna() & self.cells[PRIMARY].notna()]
        full = self.finished[self.finished["arm"] == FULL]
        if full.empty:
            raise DataError(
                "no cell of the full recipe (arm `full`) was finished, so that there is nothing to compare with: "
                f"{self._first_error()}"
            )
        self.floor = self._one_floor()
        self.rows = int(full["rows"].max())

    def _first_error(self) -> str:
        errors = self.cells.loc[self.cells["arm"] == FULL, "error"].dropna()
        return str(errors.iloc[0]) if len(errors) else "run `aigc ablate`"

    def _one_floor(self) -> float:
        floors = self.finished["fd_floor"].to_numpy(np.float64)
        low, high = float(floors.min()), float(floors.max())
        if not low > 0:
            raise DataError(
                f"the floor of fd is {low:g}, so that nothing can be counted in floors: the held-out images are all alike to "
                "the extractor; give the source test images that differ"
            )
        if high - low > SAME_FLOOR * high:
            raise DataError(
                f"the cells were held to different yardsticks: their fd_floor reaches from {low:g} to {high:g}; "
                "delete .work/ablation/cells and run `aigc ablate` again"
            )
        return low

    @cached_property
    def decisions(self) -> list[str]:
        """Decisions with at least one cell of their own arm, in the plan's order."""
        named = [str(name) for name in self.cells.loc[self.cells["kind"] == c.TREATMENT, "decision"].dropna().unique()]
        order = {name: index for index, name in enumerate(self.plan.get("decisions", []))}
        return sorted(named, key=lambda name: (order.get(name, len(order)), name))

    @cached_property
    def _lines(self) -> dict[str, list[dict[Any, Any]]]:
        """Finished cells by arm, in the order of their seeds."""
        found: dict[str, list[dict[Any, Any]]] = {}
        for line in self.finished.to_dict("records"):
            found.setdefault(str(line["arm"]), []).append(line)
        return found

    def values(self, arm: str, metric: str = PRIMARY) -> dict[int, float]:
        """Seed to finished value of an arm, as far as there is one; fd in floors."""
        unit = self.floor if metric == PRIMARY else 1.0
        lines = self._lines.get(arm, [])
        return {int(line["seed"]): float(line[metric]) / unit for line in lines if not pd.isna(line[metric])}

    def array(self, arm: str) -> Array:
        """fd of an arm in floors (n,), by its seeds."""
        return np.array(list(self.values(arm).values()), dtype=np.float64)

    def arm_of(self, kind: str, decision: str | None = None) -> str | None:
        """The name of the arm of a kind (of a decision), None where no such arm was run."""
        lines = self.cells[self.cells["kind"] == kind]
        if decision is not None:
            lines = lines[lines["decision"] == decision]
        return None if lines.empty else str(lines["arm"].iloc[0])

    def _pair(self, other: str, metric: str, base: str = FULL) -> tuple[Array, Array]:
        """Raw values (n,) of `base` and of another arm on the seeds that both finished."""
        here, there = self.values(base, metric), self.values(other, metric)
        shared = [seed for seed in here if seed in there]
        return np.array([here[seed] for seed in shared]), np.array([there[seed] for seed in shared])

    def gains(self, other: str, metric: str = PRIMARY, base: str = FULL) -> Array:
        """Gains (n,) of `base` over another arm, one per seed that both finished; above zero is better."""
        here, there = self._pair(other, metric, base)
        return np.asarray(METRICS[metric] * (here - there))

    def _lost(self, other: str, metric: str) -> int:
        """Seeds of an arm that have no pair."""
        return int((self.cells["arm"] == other).sum()) - len(self._pair(other, metric)[0])

    @cached_property
    def effects(self) -> dict[tuple[str, str], Effect]:
        """(decision, metric) to its judged effect; what no seed finished is left out of the dictionary only."""
        found: dict[tuple[str, str], Effect] = {}
        for metric, sign in METRICS.items():
            measured = {}
            for decision in self.decisions:
                arm = self.treatment(decision)
                full, without = self._pair(arm, metric)
                if len(full):
                    lost, asked = self._lost(arm, metric), len(self.decisions)
                    measured[decision] = verdicts.measure(metric, sign * full, sign * without, lost, asked)
            judged = verdicts.judge(list(measured.values()))
            found |= {(decision, metric): one for decision, one in zip(measured, judged, strict=True)}
        for decision in [name for name, metric in found if metric == PRIMARY]:
            found[decision, PRIMARY] = verdicts.with_copying(found[decision, PRIMARY], self.memory[decision])
        return found

    def treatment(self, decision: str) -> str:
        """The arm without a decision of `decisions`."""
        arm = self.arm_of(c.TREATMENT, decision)
        assert arm is not None, decision  # noqa: S101  (decisions come from these very arms)
        return arm

    @cached_property
    def memory(self) -> dict[str, list[Memory]]:
        """Decision to what it did to the figures of memorization; empty where the cells do not have them."""
        found = {}
        for decision in self.decisions:
            arm = self.treatment(decision)
            pairs = {name: self._pair(arm, name) for name in verdicts.MEMORY}
            found[decision] = verdicts.memory({name: pair for name, pair in pairs.items() if len(pair[0])})
        return found

    @cached_property
    def controls(self) -> dict[str, Estimate]:
        """Decision to its gain over the equal-count random control, in floors; see `control_gains`."""
        gains = {decision: self.control_gains(decision) for decision in self.decisions}
        return {decision: s.mean_interval(own) for decision, own in gains.items() if len(own)}

    def control_gains(self, decision: str) -> Array:
        """Gains (n,) of a decision over chance, above zero where the decision chose better; empty without a control.

        Where it removes rows: the full recipe against as many rows removed at random. Where it brought rows in: these rows
        without as many others against all others without these.
        """
        control = self.arm_of(c.RANDOM_CONTROL, decision)
        if control is None:
            return np.empty(0)
        if self.brings_rows(decision):
            return self.gains(self.treatment(decision), base=control)
        return self.gains(control)

    def brings_rows(self, decision: str) -> bool:
        """Whether the recipe without the decision has fewer rows than with it."""
        lines = self.cells[self.cells["arm"] == self.arm_of(c.TREATMENT, decision)]
        return not lines.empty and int(lines["rows"].max()) < self.rows

    @cached_property
    def gates(self) -> list[Control]:
        """The two questions that decide whether anything is believed."""
        placebo, planted = self.arm_of(c.PLACEBO), self.arm_of(c.POSITIVE_CONTROL)
        return [
            verdicts.placebo_quiet(self.gains(placebo) if placebo else np.empty(0)),
            verdicts.control_seen(self.gains(planted) if planted else np.empty(0)),
        ]

    @property
    def void(self) -> list[str]:
        """Why nothing of the study may be believed; empty where it may."""
        return [gate.failure for gate in self.gates if not gate.passed]

    @cached_property
    def checks(self) -> list[Check]:
        """The gates, and whether every cell was finished, as checks for Dagster and the page."""
        found = [
            Check(gate.name, verdicts.QUESTIONS[gate.name], "error", gate.passed, gate.observed, gate.expected)
            for gate in self.gates
        ]
        name, failed = "every_cell_finished", len(self.cells) - len(self.finished)
        last = Check(name, verdicts.QUESTIONS[name], "warning", failed == 0, f"{failed} failed", "0 failed cells")
        return [*found, last]

    @property
    def _copies(self) -> int:
        """Augmented copies of every image in the full recipe, and in a part of it."""
        return next((int(arm["copies"]) for arm in self.plan.get("arms", ()) if arm["name"] == FULL), 0)

    @cached_property
    def curve_points(self) -> pd.DataFrame:
        """Finished cells of the sizes and of the full recipe: share, rows, seed, fd in floors; one line each.

        `rows` are images here: an augmented copy is no further one.
        """
        lines = self.finished[self.finished["kind"].isin([c.SIZE, c.BASELINE])]
        lines = lines.drop_duplicates(["share", "seed"])
        points = lines[["share", "seed"]].assign(
            rows=lines["rows"] // (1 + self._copies), fd=lines[PRIMARY] / self.floor
        )
        return points.sort_values(["share", "seed"], kind="stable").reset_index(drop=True)

    @cached_property
    def fit(self) -> Fit:
        """The scaling curve of the full recipe in floors, on the seeds that finished every size."""
        points = self.curve_points
        table = points.pivot(index="seed", columns="share", values="fd").dropna()
        rows = points.groupby("share")["rows"].mean()
        return scaling.fit_curve(rows.to_numpy(np.float64), table.to_numpy(np.float64))

    @cached_property
    def distance(self) -> Band:
        """How far the full recipe is from real data, in floors."""
        found = s.mean_interval(self.array(FULL))
        return Band(found.mean, found.low, found.high)

    def worth(self, decision: str) -> Worth | None:
        """The decision's effect on fd in images; None where it has no effect that was measured, or there is no curve."""
        effect = self.effects.get((decision, PRIMARY))
        if (
            self.void
            or self.fit.curves is None
            or effect is None
            or effect.verdict not in (verdicts.PAYS, verdicts.HURTS)
        ):
            return None
        return scaling.worth(self.fit, Band(effect.gain.mean, effect.gain.low, effect.gain.high))

    @cached_property
    def headline(self) -> Headline:
        """Collect, clean, augment or stop, or that the data cannot tell."""
        findings = [
            Finding(name, self.effects[name, PRIMARY]) for name in self.decisions if (name, PRIMARY) in self.effects
        ]
        return headline(self.void, findings, self.fit, self.distance, self.smallest, self._notes())

    def _notes(self) -> list[str]:
        """Evidence that fd does not see, and cells that failed."""
        notes = [
            ledger.upper(verdicts.sentence(decision, effect, self.smallest))
            for (decision, metric), effect in self.effects.items()
            if metric != PRIMARY and effect.verdict in (verdicts.PAYS, verdicts.HURTS) and not self.void
        ]
        failed = len(self.cells) - len(self.finished)
        return [
            *notes,
            *([f"{failed} of {len(self.cells)} cells failed and are listed with their reason."] if failed else []),
        ]

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One line per decision and metric; a void study has the verdict `void` throughout, beside its numbers."""
        return pd.DataFrame([ledger.line(self, decision, metric) for decision in self.decisions for metric in METRICS])

    def to_dict(self, timing: bool = False) -> dict[str, Any]:
        """Everything that is shown, JSON-serialisable, NaN as None; equal cells give equal dictionaries.

        `timing` adds the seconds, which differ from run to run: for pages under .work/ only.
        """
        return display.study_dict(self, timing)

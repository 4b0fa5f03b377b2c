"""A finished study: cells in, ledger, checks and headline out. No file is read or written here, and nothing is trained.

    Study(plan, cells).ledger      one line per decision and metric
    Study(plan, cells).headline    what to do, in one sentence

`plan` is a mapping as plan.json holds it; `cells` has the columns of cells.CELL_SCHEMA and may have `seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from aigc_core.ablation import budgets, controls, cuts, display, gates, ledger, memory, scaling, verdicts, words
from aigc_core.ablation import cells as c
from aigc_core.ablation import statistics as s
from aigc_core.ablation.budgets import Confirmation
from aigc_core.ablation.cells import FULL, FULL_BUDGET
from aigc_core.ablation.cuts import Sweep
from aigc_core.ablation.failures import LESS_WITHOUT, UNTRAINABLE, Failures
from aigc_core.ablation.gates import Control
from aigc_core.ablation.headline import Finding, Headline, headline, leader
from aigc_core.ablation.looks import Look, stages_of
from aigc_core.ablation.memory import Memory
from aigc_core.ablation.pairs import Pairs, in_order, one_floor, rounding
from aigc_core.ablation.scaling import Band, Fit, Worth
from aigc_core.ablation.statistics import Estimate
from aigc_core.ablation.variations import VARIATIONS, Robustness, vary
from aigc_core.ablation.verdicts import METRICS, PRIMARY, Effect
from aigc_core.ablation.words import Scale
from aigc_core.errors import DataError
from aigc_core.records import Check


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
        self.floor = one_floor(self.finished)
        self.rows = int(full["rows"].max())
        self.pairs = Pairs(self.cells, self.floor)

    def _first_error(self) -> str:
        errors = self.cells.loc[self.cells["arm"] == FULL, "error"].dropna()
        return str(errors.iloc[0]) if len(errors) else "run `aigc ablate`"

    @property
    def test_rows(self) -> int | None:
        """Held-out images, where the plan says how many."""
        return self.plan.get("test_rows")

    @cached_property
    def look(self) -> Look:
        """Which of the declared looks the cells have reached, and so at which level they are judged."""
        return Look(stages_of(self.plan), self.cells.loc[self.cells["arm"] == FULL, "seed"].nunique())

    @cached_property
    def decisions(self) -> list[str]:
        """Decisions with at least one cell of their own arm, in the plan's order."""
        named = self.cells.loc[self.cells["kind"] == c.TREATMENT, "decision"].dropna().unique()
        return in_order([str(name) for name in named], self.plan.get("decisions", []))

    def failures(self, decision: str) -> Failures:
        """How often trainings fail without the decision and with it."""
        arms = self.plan.get("arms", ())
        lacking = [arm["name"] for arm in arms if decision in arm.get("recipe", {}).get("off", ())]
        return self.pairs.failures(
            decision, self.pairs.treatment(decision), lacking, self.look.level(len(self.decisions))
        )

    @cached_property
    def effects(self) -> dict[tuple[str, str], Effect]:
        """(decision, metric) to its judged effect; what no seed finished is left out of the dictionary only.

        Holm over the decisions on the primary metric, which alone confirms; over decisions and metrics on the others.
        """
        keys = [(decision, metric) for metric in METRICS for decision in self.decisions]
        found = {key: one for key in keys if (one := self._measured(*key)) is not None}
        others = [key for key in found if key[1] != PRIMARY]
        found |= dict(zip(others, verdicts.judge([found[key] for key in others], look=self.look), strict=True))
        primary = [key for key in found if key[1] == PRIMARY]
        judged = verdicts.judge([found[key] for key in primary], self.scale.log, self.look)
        for key, effect in zip(primary, judged, strict=True):
            copied = verdicts.with_copying(effect, self.memory[key[0]])
            found[key] = verdicts.with_failures(copied, self.failures(key[0]))
        return found

    def _measured(self, decision: str, metric: str) -> Effect | None:
        arm = self.pairs.treatment(decision)
        full, without = self.pairs.signed(arm, metric)
        if not len(full):
            return None
        primary = metric == PRIMARY
        asked = len(self.decisions) * (1 if primary else len(METRICS) - 1)
        least = 0.0 if primary else rounding(self.test_rows)
        pool = self.pairs.pool(metric)
        return verdicts.measure(metric, full, without, self.pairs.lost(arm, metric), asked, pool, least, self.look)

    @cached_property
    def memory(self) -> dict[str, list[Memory]]:
        """Decision to what it did to the figures of memorization; empty where the cells do not have them."""
        found = {}
        for decision in self.decisions:
            arm = self.pairs.treatment(decision)
            pairs = {name: self.pairs.raw(arm, name) for name in memory.MEMORY}
            figures = {name: pair for name, pair in pairs.items() if len(pair[0])}
            found[decision] = memory.memory(figures, self.plan.get("unseen_rows") or self.test_rows)
        return found

    @cached_property
    def controls(self) -> dict[str, tuple[Estimate, float]]:
        """Decision to its gain on fd over single random sets of as many rows, and the p of that over the decisions."""
        gains = {decision: self.pairs.control_gains(decision) for decision in self.decisions}
        level = self.look.confidence
        found = {decision: controls.against_sets(own, level) for decision, own in gains.items() if len(own)}
        adjusted = s.holm([one.p for one in found.values()], self.look.times)
        return {name: (one, p) for (name, one), p in zip(found.items(), adjusted, strict=True)}

    def rows_like_these(self, decision: str) -> Estimate | None:
        """The gain on fd with an interval for other rows of the same kind; None without a random control."""
        effect, control = self.effects.get((decision, PRIMARY)), self.pairs.arm_of(c.RANDOM_CONTROL, decision)
        if effect is None or control is None:
            return None
        return controls.rows_like_these(effect.gain, self.pairs.gains(control), self.look.confidence)

    @cached_property
    def gates(self) -> list[Control]:
        """The two questions that decide whether anything is believed."""
        pool, log = self.pairs.pool(PRIMARY), Scale(self.smallest).log
        placebo, planted = (self.pairs.arm_of(kind) for kind in (c.PLACEBO, c.POSITIVE_CONTROL))
        quiet = self.pairs.gains(placebo) if placebo else np.empty(0)
        seen = self.pairs.gains(planted) if planted else np.empty(0)
        return [gates.placebo_quiet(quiet, pool, log), gates.control_seen(seen, pool, words.planted_words(planted))]

    @cached_property
    def scale(self) -> Scale:
        """What sizes are compared with: the smallest gain that matters, and planted damage where it was seen."""
        planted = self.gates[1]
        name = words.planted_words(self.pairs.arm_of(c.POSITIVE_CONTROL))
        if planted.state != gates.SEEN or planted.gain is None:
            return Scale(self.smallest, name)
        return Scale(self.smallest, name, planted.gain.mean)

    @property
    def blind(self) -> str:
        """What a verdict of no measurable effect has to add where planted damage was not seen either."""
        state = self.gates[1].state
        if state == gates.SEEN:
            return ""
        return f"; this study {'did not see' if state == gates.NOT_SEEN else 'cannot say that it sees'} {self.scale.planted} either"

    @property
    def void(self) -> list[str]:
        """Why nothing of the study may be believed; empty where it may."""
        return [gate.failure for gate in self.gates if gate.void]

    @cached_property
    def checks(self) -> list[Check]:
        """The gates, and whether every cell was finished, as checks for Dagster and the page."""
        found = [
            Check(gate.name, verdicts.QUESTIONS[gate.name], "error" if gate.void else "warning", gate.passed, gate.observed, gate.expected)
            for gate in self.gates
        ]  # fmt: skip
        name, failed = "every_cell_finished", len(self.cells) - len(self.finished)
        last = Check(name, verdicts.QUESTIONS[name], "warning", failed == 0, f"{failed} failed", "0 failed cells")
        return [*found, last]

    @cached_property
    def curve_points(self) -> pd.DataFrame:
        """Finished cells of the sizes and of the full recipe: share, rows, seed, fd in floors; one line each.

        `rows` are images here: an augmented copy is no further one.
        """
        copies = next((int(arm["copies"]) for arm in self.plan.get("arms", ()) if arm["name"] == FULL), 0)
        lines = self.finished[self.finished["kind"].isin([c.SIZE, c.BASELINE])].drop_duplicates(["share", "seed"])
        points = lines[["share", "seed"]].assign(rows=lines["rows"] // (1 + copies), fd=lines[PRIMARY] / self.floor)
        return points.sort_values(["share", "seed"], kind="stable").reset_index(drop=True)

    @cached_property
    def fit(self) -> Fit:
        """The scaling curve of the full recipe in floors, on the seeds that finished every size."""
        points = self.curve_points
        table = points.pivot(index="seed", columns="share", values="fd").dropna()
        rows = points.groupby("share")["rows"].mean()
        return scaling.fit_curve(rows.to_numpy(np.float64), table.to_numpy(np.float64), least=1.0)

    @cached_property
    def distance(self) -> Band:
        """How far the full recipe is from real data, in floors."""
        found = s.mean_interval(self.pairs.array(FULL))
        return Band(found.mean, found.low, found.high)

    def worth(self, decision: str) -> Worth | None:
        """The decision's effect on fd in images; None where it has no effect that was measured, or there is no curve."""
        effect = self.effects.get((decision, PRIMARY))
        if self.void or self.fit.curves is None or effect is None:
            return None
        return scaling.worth(self.fit, effect.gain) if effect.verdict in (verdicts.PAYS, verdicts.HURTS) else None

    @cached_property
    def confirmations(self) -> dict[str, Confirmation]:
        """Decision to its gain at the full budget beside that of the proxy; empty where nothing was confirmed."""
        found = {}
        for decision in self.decisions:
            arm, effect = self.pairs.arm_of(c.CONFIRMATION, decision), self.effects.get((decision, PRIMARY))
            gains = self.pairs.gains(arm, base=FULL_BUDGET) if arm else np.empty(0)
            if arm and effect and len(gains):
                full = self.pairs.pool(PRIMARY).interval(gains)
                steps = (self._steps(FULL), self._steps(arm))
                found[decision] = budgets.compare(decision, steps, effect.gain, full)
        return found

    @cached_property
    def robustness(self) -> dict[str, Robustness]:
        """Decision to whether its gain keeps its sign under other training recipes; empty where none was tried."""
        found, tried = {}, set(self.cells["arm"])
        for decision in self.decisions:
            effect = self.effects.get((decision, PRIMARY))
            asked = [one for one in VARIATIONS if one.without(decision) in tried]
            if effect and asked:
                pool = self.pairs.pool(PRIMARY)
                pairs = [self.pairs.gains(one.without(decision), base=one.base or FULL) for one in asked]
                gains = [pool.interval(own) if len(own) else None for own in pairs]
                varied = [vary(one, effect.gain, gain) for one, gain in zip(asked, gains, strict=True)]
                found[decision] = Robustness(decision, effect.gain, tuple(varied))
        return found

    @cached_property
    def sweeps(self) -> list[Sweep]:
        """Every reason of which a cut was finished, with its cuts."""
        return cuts.sweeps(self)

    def _steps(self, arm: str) -> int:
        return int(self.cells.loc[self.cells["arm"] == arm, "steps"].max())

    @cached_property
    def headline(self) -> Headline:
        """Collect, clean, augment or stop, or that the data cannot tell."""
        needed = [name for name in self.decisions if self.failures(name).verdict in (UNTRAINABLE, LESS_WITHOUT)]
        found = headline(self.void, self._findings, needed, self.fit, self.distance, self.scale, self._notes())
        if self.plan.get("family_released", True):
            return found
        about = f"This is about the {str(self.plan['model']).upper()}: {self.plan['family_why']}."
        return replace(found, sentence=f"{about} {found.sentence}")

    @property
    def leader(self) -> Finding | None:
        """The decision that is asked again at the full budget and under other training recipes; None where nothing was measured, or nothing may be believed."""
        return None if self.void else leader(self._findings, self.scale)

    @cached_property
    def _findings(self) -> list[Finding]:
        return [
            Finding(name, self.effects[name, PRIMARY], self.confirmations.get(name), self.robustness.get(name))
            for name in self.decisions
            if (name, PRIMARY) in self.effects
        ]

    def _notes(self) -> list[str]:
        """Evidence that fd does not see, what the controls say, and cells that failed."""
        notes = [
            words.upper(words.sentence(decision, effect, self.scale))
            for (decision, metric), effect in self.effects.items()
            if metric != PRIMARY and effect.verdict in (verdicts.PAYS, verdicts.HURTS) and not self.void
        ]
        if self.plan.get("family_released") and "family_why" in self.plan:
            notes.append(f"{words.upper(self.plan['family_why'])}.")
        notes += [f"{words.upper(gate.failure)}." for gate in self.gates if not gate.passed and not gate.void]
        failed = len(self.cells) - len(self.finished)
        if failed:
            notes.append(f"{failed} of {len(self.cells)} cells failed and are listed with their reason.")
        return notes

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One line per decision and metric; a void study has the verdict `void` throughout, beside its numbers."""
        return pd.DataFrame([ledger.line(self, decision, metric) for decision in self.decisions for metric in METRICS])

    def to_dict(self, timing: bool = False) -> dict[str, Any]:
        """Everything that is shown, JSON-serialisable, NaN as None; equal cells give equal dictionaries.

        `timing` adds the seconds, which differ from run to run: for pages under .work/ only.
        """
        return display.study_dict(self, timing)

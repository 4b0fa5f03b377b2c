"""Finished cells by arm and seed, and the differences between arms on the seeds that both finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from aigc_core.ablation import cells as c
from aigc_core.ablation import spread
from aigc_core.ablation.cells import FULL
from aigc_core.ablation.failures import Failures
from aigc_core.ablation.spread import Pool
from aigc_core.ablation.statistics import Array
from aigc_core.ablation.verdicts import METRICS, PRIMARY
from aigc_core.errors import DataError

#: Arms that are paired with the full recipe by seed: all of them tell the spread of such a difference.
PAIRED = (c.TREATMENT, c.RANDOM_CONTROL, c.PLACEBO, c.POSITIVE_CONTROL)
#: Floors of one study come from one yardstick; they may differ by rounding only.
SAME_FLOOR = 1e-9
#: Distances in floors are not told apart below this.
LEAST_FLOORS = 1e-3


class Pairs:
    """Cells (a DataFrame with the columns of CELL_SCHEMA) to be compared; `floor` is what real images get in fd."""

    def __init__(self, cells: pd.DataFrame, floor: float) -> None:
        self.cells, self.floor = cells, floor
        self.finished = cells[cells["error"].isna() & cells[PRIMARY].notna()]
        self._pools: dict[str, Pool] = {}

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

    def raw(self, other: str, metric: str, base: str = FULL) -> tuple[Array, Array]:
        """Values (n,) of `base` and of another arm on the seeds that both finished; fd in floors."""
        here, there = self.values(base, metric), self.values(other, metric)
        shared = [seed for seed in here if seed in there]
        return np.array([here[seed] for seed in shared]), np.array([there[seed] for seed in shared])

    def signed(self, other: str, metric: str, base: str = FULL) -> tuple[Array, Array]:
        """The same, so that higher is better and a difference is a gain: minus the logarithm of fd, shares as they are."""
        sides = self.raw(other, metric, base)
        here, there = (_signed(side, metric) for side in sides)
        return here, there

    def gains(self, other: str, metric: str = PRIMARY, base: str = FULL) -> Array:
        """Gains (n,) of `base` over another arm, one per seed that both finished; above zero is better."""
        here, there = self.signed(other, metric, base)
        return here - there

    def lost(self, other: str, metric: str) -> int:
        """Seeds of an arm that have no pair."""
        return int((self.cells["arm"] == other).sum()) - len(self.raw(other, metric)[0])

    def pool(self, metric: str) -> Pool:
        """What all arms that are paired with the full recipe say of the spread of a gain."""
        if metric not in self._pools:
            paired = self.cells[self.cells["kind"].isin(PAIRED)]
            names = [FULL, *sorted(str(arm) for arm in paired["arm"].unique())]
            decisions = paired.loc[paired["kind"] == c.TREATMENT, "arm"].nunique()
            self._pools[metric] = self.shared(names, decisions, metric)
        return self._pools[metric]

    def shared(self, names: Sequence[str], asked: int, metric: str = PRIMARY) -> Pool:
        """What arms say together of the spread of a gain over the first of them; `asked` of them are questions."""
        seeds = list(self.values(names[0], metric))
        values = [self.values(arm, metric) for arm in names]
        table = np.array([[own.get(seed, math.nan) for seed in seeds] for own in values], dtype=np.float64)
        return spread.pool(_signed(table, metric), asked)

    def treatment(self, decision: str) -> str:
        """The arm without a decision that has one."""
        arm = self.arm_of(c.TREATMENT, decision)
        assert arm is not None, decision  # noqa: S101  (decisions come from these very arms)
        return arm

    def brings_rows(self, decision: str) -> bool:
        """Whether the recipe without the decision has fewer rows than with it."""
        lines = self.cells[self.cells["arm"] == self.arm_of(c.TREATMENT, decision)]
        full = self.finished.loc[self.finished["arm"] == FULL, "rows"].max()
        return not lines.empty and bool(lines["rows"].max() < full)

    def control_gains(self, decision: str) -> Array:
        """Gains (n,) of a decision over chance, above zero where the decision chose better; empty without a control.

        Where it removes rows: the full recipe against as many rows removed at random. Where it brought rows in: these rows
        without as many others against all others without these.
        """
        control = self.arm_of(c.RANDOM_CONTROL, decision)
        if control is None:
            return np.empty(0)
        return self.gains(self.treatment(decision), base=control) if self.brings_rows(decision) else self.gains(control)

    def floors(self, decision: str) -> float:
        """Mean difference of fd in floors, without the decision minus with it; NaN where no seed finished both."""
        full, without = self.raw(self.treatment(decision), PRIMARY)
        return float((without - full).mean()) if len(full) else math.nan

    def failures(self, decision: str, arm: str, lacking: Sequence[str], level: float) -> Failures:
        """Failed cells of the arm without a decision, and of all arms of full size that have it.

        `lacking` are arms without it; one that lacks another decision too says nothing of this one. `level` is that of the test.
        """
        have = self.cells["kind"].isin([c.BASELINE, *PAIRED]) & (self.cells["decision"] != decision)
        without, with_it = self.cells["arm"] == arm, have & ~self.cells["arm"].isin([arm, *lacking])
        failed = ~self.cells.index.isin(self.finished.index)
        counts = [int(chosen.sum()) for chosen in (failed & without, without, failed & with_it, with_it)]
        return Failures(counts[0], counts[1], counts[2], counts[3], level)


def _signed(values: Array, metric: str) -> Array:
    # A distance of nothing has no logarithm; no distance below a thousandth of the floor can be told.
    return -np.log(np.maximum(values, LEAST_FLOORS)) if metric == PRIMARY else np.asarray(METRICS[metric] * values)


def one_floor(finished: pd.DataFrame) -> float:
    """What real images get in fd, of finished cells. Raises DataError where it is nothing, or cells were held to several."""
    floors = finished["fd_floor"].to_numpy(np.float64)
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


def rounding(rows: int | None) -> float:
    """Standard deviation of a difference of two shares of so many rows, from their rounding alone; 0 where unknown."""
    return 1 / (rows * math.sqrt(6)) if rows else 0.0


def in_order(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Names in a given order, those that it does not have at the end by name."""
    places = {name: index for index, name in enumerate(order)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))

"""Training rows in the order of a quality rule's measure, and the cuts that shares of them make.

A rule of the section `quality` cuts where its threshold lies. A sweep asks where it should: the worst rows by the rule's measure are
left out, at several shares of the training rows, because nobody knows the units of all measures. Its baseline has the
rows that the rule itself takes out, or the worst of them would be gone before the first cut.

A fitted rule says how far a row lies from the reference rows. Rows are ordered by that distance in units in which the reference's
median lies at 0 and the rule's threshold at 1, so that reasons with several statistics, and classes with tails of their own,
have one order: the one in which a threshold that falls takes rows out.

Legend: N = rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.config import Quality
from aigc_core.data.splits import unit_hash
from aigc_core.errors import DataError
from aigc_core.paths import Paths
from aigc_core.quality import rules
from aigc_core.quality.calibration import Tail
from aigc_core.quality.reasons import LABEL_SUSPECT
from aigc_core.quality.verdicts import Graded, fit_graded

Values = npt.NDArray[np.float64]
#: Digits of a measure that are shown: what decides are the rows, not these.
DIGITS = 4
#: A cut takes out no more than this many times the rows that were asked for, where more are equal.
MOST = 2.0


@dataclass(frozen=True)
class Order:
    """How bad training rows are by one reason's measure; `why` says so where nothing orders them."""

    reason: str
    badness: dict[str, float]  # id -> higher is worse; without the rows that the rule passes over
    measures: dict[str, tuple[str, float]]  # id -> column that decides, and its value
    why: str = ""


@dataclass(frozen=True)
class Cut:
    """The worst rows of a baseline, as far as a threshold can part them from the others."""

    reason: str
    share: float  # that was asked for
    ids: frozenset[str]
    of: int  # rows of the baseline
    measure: str  # column of the last row that is left out
    value: float  # its value there: the threshold

    def facts(self) -> dict[str, object]:
        """For plan.json."""
        value = float(f"{self.value:.{DIGITS}g}")
        return {"reason": self.reason, "share": self.share, "rows": len(self.ids), "of": self.of, "measure": self.measure,
                "value": value}  # fmt: skip


def cut(order: Order, baseline: Sequence[str], share: float) -> Cut:
    """The worst `share` of a baseline's rows; of rows that are equal all are left out or none, whichever is nearer.

    Raises DataError where nothing orders the rows, the share is no row, or no threshold cuts about there.
    """
    if order.why:
        raise DataError(f"{order.reason} orders no rows of this data: {order.why}")
    wanted = round(share * len(baseline))
    if not wanted:
        raise DataError(f"{share:g} of {len(baseline):,} training rows is no row: take a larger share")
    known = sorted(
        (identity for identity in baseline if identity in order.badness), key=lambda one: -order.badness[one]
    )
    if len(known) <= wanted:
        raise DataError(
            f"{order.reason} has a measure of {len(known):,} training rows alone, {wanted:,} would be left out"
        )
    edge = order.badness[known[wanted - 1]]
    below = sum(order.badness[one] > edge for one in known[:wanted])
    above = wanted + sum(order.badness[one] == edge for one in known[wanted:])
    count = below if below and wanted - below < above - wanted else above
    if count > MOST * wanted or count == len(known):
        raise DataError(
            f"no threshold of {order.reason} leaves out about {wanted:,} rows: {above - below:,} rows are equal there "
            f"({_named(*order.measures[known[wanted - 1]])})"
        )
    return Cut(order.reason, share, frozenset(known[:count]), len(baseline), *order.measures[known[count - 1]])


def _named(measure: str, value: float) -> str:
    return f"{measure} {value:.{DIGITS}g}"


def at_random(baseline: Sequence[str], count: int, key: str) -> frozenset[str]:
    """As many rows that chance leaves out; fewer of them are among those of more."""
    return frozenset(sorted(baseline, key=lambda identity: unit_hash(f"{key}:{identity}"))[:count])


def read_orders(
    reasons: Collection[str], train: pa.Table, every: pa.Table, quality: Quality, paths: Paths
) -> dict[str, Order]:
    """The orders of training rows by these reasons. `every` are all rows of the version, of which `train` are some."""
    facts = pq.read_table(paths.measures / "part-0.parquet").drop_columns(["content_hash"])
    rows = every.join(facts, "id")
    learned = paths.measures / "learned.parquet"
    if learned.exists():
        rows = rows.join(pq.read_table(learned), "id")
    rows = rows.sort_by("id")
    on = {reason: getattr(quality, reason).model_copy(update={"action": "warn"}) for reason in reasons}
    made = fit_graded(rows, quality.model_copy(update=on))  # a rule that is off can be asked about too
    mine = pc.is_in(rows["id"], value_set=train["id"].combine_chunks()).to_numpy(zero_copy_only=False)
    return {reason: _order(reason, rows, made, mine) for reason in reasons}


def _order(reason: str, rows: pa.Table, made: Graded, mine: npt.NDArray[np.bool_]) -> Order:
    """The order of the rows where `mine` (N,) is true."""
    parts = _parts(reason, rows, made)
    if not parts:
        return Order(reason, {}, {}, rules.TOO_FEW)
    stack = np.stack([np.where(np.isnan(bad), -np.inf, bad) for bad, _, _ in parts])
    worst = stack.max(0)
    decides = stack.argmax(0)
    badness, measures = {}, {}
    ids = rows["id"].to_pylist()
    for place in np.flatnonzero(mine & (worst > -np.inf)).tolist():
        _, names, values = parts[int(decides[place])]
        badness[ids[place]] = float(worst[place])
        measures[ids[place]] = (names if isinstance(names, str) else names[place], float(values[place]))
    return Order(reason, badness, measures, "" if badness else "no row has its measure")


def _parts(reason: str, rows: pa.Table, made: Graded) -> list[tuple[Values, list[str] | str, Values]]:
    """Per statistic of the reason: badness (N,), the column, its values (N,)."""
    if reason == LABEL_SUSPECT:
        if "label_probability" not in rows.column_names:
            return []
        given = rows["label_probability"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        return [(-given, "label_probability", given)]
    found = [(-one.values, one.measures, one.values) for one in made.absolute if one.reason == reason]
    for fit in made.tails:
        if fit.statistic.reason == reason and fit.tail is not None:
            values = made.columns[fit.statistic.column]
            found.append((np.where(made.blank, np.nan, _beyond(fit, made)), fit.statistic.column, values))
    return found


def _beyond(fit: rules.Fitted, made: Graded) -> Values:
    """How far out rows (N,) lie: 0 at the reference's median of their kind, 1 at the rule's threshold."""
    assert fit.tail is not None  # noqa: S101  (asked by the caller)
    statistic = fit.statistic.forward(made.columns)
    found = _distance(statistic, fit.tail)
    for label, kind in fit.kinds.items():
        own = made.labels == label
        found[own] = _distance(statistic[own], kind)
    return found


def _distance(statistic: Values, tail: Tail) -> Values:
    middle = float(tail.body[len(tail.body) // 2])
    return np.asarray((statistic - middle) / (tail.threshold - middle), np.float64)

"""What a sweep says: the gain of every cut, that of as many random rows beside it, and which cut is best told from them.

Legend: n = seeds that the arms finished. Gains are (n,), logarithms of ratios of distances; above zero, leaving the rows out is
better. A cut is held against single random sets (controls.against_sets), and p is corrected over all cuts of a study (Holm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from aigc_core.ablation import cells as c
from aigc_core.ablation import controls, words
from aigc_core.ablation import statistics as s
from aigc_core.ablation.spread import Pool
from aigc_core.ablation.statistics import Estimate
from aigc_core.ablation.verdicts import PRIMARY

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study


@dataclass(frozen=True)
class Told:
    """One cut beside as many random rows."""

    arm: str
    share: float  # that was asked for
    rows: int  # that were left out
    of: int
    measure: str  # column by which, and its value in the last row that was left out
    value: float
    gain: Estimate  # of the cut over the uncut baseline
    random: Estimate | None  # of leaving out as many random rows; None where no pair was finished, as the next is
    over: Estimate | None  # of the cut over single random sets
    lost: int  # seeds without a pair
    adjusted: float = 1.0  # p of `over`, Holm over the cuts of the study

    @property
    def told(self) -> bool:
        """Whether it is told from leaving out as many random rows, whichever is better."""
        return self.over is not None and self.adjusted < s.ALPHA


@dataclass(frozen=True)
class Sweep:
    """The cuts of one reason, the smallest first."""

    reason: str
    cuts: list[Told]
    asked: int  # cuts of the whole study
    void: bool

    @property
    def best(self) -> Told | None:
        """Of the cuts that are told to be better than random rows the one with the largest gain over the baseline."""
        better = [one for one in self.cuts if one.told and one.over is not None and one.over.mean > 0]
        return max(better, key=lambda one: one.gain.mean, default=None)

    @property
    def answered(self) -> bool:
        """Whether any cut is told."""
        return any(one.told for one in self.cuts)

    @property
    def sentence(self) -> str:
        """Which cut is best told, or that none is."""
        text = _sentence(self)
        return f"Void, the study cannot be believed. What it would have said: {text}" if self.void else text


def sweeps(study: Study) -> list[Sweep]:
    """Every reason of which a cut was finished, in the order of the plan."""
    found, pools = dict[str, list[Told]](), dict[str, Pool]()
    for arm in study.plan.get("arms", ()):
        if "cut" in arm:
            reason = str(arm["decision"])
            if reason not in pools:
                pools[reason] = _pool(study, reason)
            one = _told(study, arm["cut"], arm["name"], pools[reason])
            found.setdefault(reason, []).extend([one] if one else [])
    every = [one for own in found.values() for one in own]
    ps = s.holm([float("nan") if one.over is None else one.over.p for one in every], study.look.times)
    adjusted = {one.arm: p for one, p in zip(every, ps, strict=True)}
    return [
        Sweep(reason, [replace(one, adjusted=adjusted[one.arm]) for one in own], len(every), bool(study.void))
        for reason, own in found.items()
        if own
    ]


def _pool(study: Study, reason: str) -> Pool:
    """The spread that all arms of a sweep share, each paired with its baseline."""
    own = study.cells[study.cells["kind"].isin([c.CUT, c.RANDOM_CUT]) & (study.cells["decision"] == reason)]
    asked, names = own.loc[own["kind"] == c.CUT, "arm"].nunique(), sorted(str(name) for name in own["arm"].unique())
    return study.pairs.shared([f"uncut_{reason}", *names], asked)


def _told(study: Study, facts: dict[str, Any], arm: str, pool: Pool) -> Told | None:
    pairs, base, chance = study.pairs, f"uncut_{facts['reason']}", f"random_{arm}"
    gains = pairs.gains(base, base=arm)
    if not len(gains):
        return None
    level = study.look.confidence
    random, over = pairs.gains(base, base=chance), pairs.gains(chance, base=arm)
    return Told(
        arm, facts["share"], facts["rows"], facts["of"], facts["measure"], facts["value"], pool.interval(gains, level=level),
        pool.interval(random, level=level) if len(random) else None,
        controls.against_sets(over, level) if len(over) else None, int((study.cells["arm"] == arm).sum()) - len(over),
    )  # fmt: skip


def _sentence(sweep: Sweep) -> str:
    best, name = sweep.best, sweep.reason
    worse = [one for one in sweep.cuts if one.told and one.over is not None and one.over.mean < 0]
    if best is None and not worse:
        shares = ", ".join(f"{100 * one.share:g}" for one in sweep.cuts)
        least = min((one.adjusted for one in sweep.cuts if one.adjusted == one.adjusted), default=1.0)
        return (
            f"No cut by {name} is told from leaving out as many random rows (the worst {shares} % of the training rows; the smallest p, "
            f"adjusted for {sweep.asked} cut{'s' if sweep.asked > 1 else ''}, is {least:.2f})."
        )
    parts = []
    if best is not None and best.over is not None:
        parts.append(
            f"The cut by {name} that is best told leaves out the worst {_what(best)}: {words.measured(best.gain, PRIMARY)} than with "
            f"them, and {words.measured(best.over, PRIMARY)} than without as many random rows"
        )
        if best.gain.mean <= 0:
            parts.append("leaving out none is better still")
    if worse:
        shares = ", ".join(f"{100 * one.share:g} %" for one in worse)
        parts.append(f"leaving out the worst {shares} by {name} is worse than leaving out as many random rows")
    return f"{words.upper('; '.join(parts))}."


def _what(cut: Told) -> str:
    return f"{100 * cut.share:g} % ({cut.rows:,} of {cut.of:,} rows, threshold {cut.measure} {cut.value:g})"


def lines(found: Sequence[Sweep]) -> list[dict[str, Any]]:
    """Sweeps as the page, the ledger and the platforms show them: estimates of log ratios, above zero where leaving the rows out is better."""
    return [
        {"reason": one.reason, "sentence": one.sentence, "best": None if one.best is None else one.best.share,
         "cuts": [{**asdict(cut), "told": cut.told and not one.void} for cut in one.cuts]}
        for one in found
    ]  # fmt: skip


def table(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One flat line per cut of `lines`."""
    flat = []
    for sweep in found:
        for cut in sweep["cuts"]:
            line = {"reason": sweep["reason"], **{name: cut[name] for name in ("share", "rows", "measure", "value")}}
            for name in ("gain", "random", "over"):
                line |= {f"{name}_{end}": (cut[name] or {}).get(end) for end in ("mean", "low", "high")}
            flat.append({**line, "p_holm": cut["adjusted"], "told": cut["told"], "lost": cut["lost"]})
    return flat

"""From paired gains to words: pays, hurts, no measurable effect, copying, and when nothing may be said.

A gain is signed so that above zero is better with the decision than without it. The distance (fd) is in multiples of
the real-vs-real floor; coverage, cas and agreement in shares; figures of memorization in their own unit.

Legend: n = seeds that both arms finished. Gains are (n,), one per seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aigc_core.ablation import statistics as s
from aigc_core.ablation.statistics import Array, Chance, Estimate

PAYS, HURTS, NO_EFFECT, COPYING = "pays", "hurts", "no measurable effect", "copying"
NO_VERDICT, VOID = "no verdict", "void"

#: Metrics of the ledger, the primary one first, and the sign that makes higher better.
PRIMARY = "fd"
METRICS: Mapping[str, float] = {"fd": -1.0, "coverage": 1.0, "cas": 1.0, "agreement": 1.0}
#: Memorization: the sign that makes higher better, and the value on whose worse side samples are nearer to training rows
#: than held-out rows are. C_T is a z score (Meehan et al. 2020, eq. 3), auth_gap is AuthPct (Alaa et al. 2022) minus that of
#: held-out rows, copy_rate is calibrated to 1 % on held-out rows.
MEMORY: Mapping[str, tuple[float, float]] = {"c_t": (1.0, 0.0), "auth_gap": (1.0, 0.0), "copy_rate": (-1.0, 0.01)}
#: The figure that makes a gain `copying`.
DECIDES = "copy_rate"
#: Level at which the null and the positive control are read.
CONTROL_LEVEL = 0.99

#: Decisions whose name needs another subject in a sentence.
TITLES = {"fix_labels": "fixing labels", "half_the_data": "the second half of the data", "pretrain": "pre-training",
          "curate": "curation", "deduplicate": "deduplication", "augment": "augmentation"}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """What a decision did to one metric."""

    metric: str
    gain: Estimate
    chance: Chance  # P(better with than without)
    unpaired: float  # standard deviation of a gain if the seeds were not paired
    lost: int  # seeds of which an arm has no finished cell
    visible: float  # smallest effect that would have been seen with power .8, after the correction for `asked`
    asked: int = 1  # decisions that were asked about
    adjusted: float = math.nan  # Holm-adjusted p over the decisions
    verdict: str = NO_VERDICT


def measure(metric: str, with_it: Array, without: Array, lost: int, asked: int) -> Effect:
    """Paired gains (n,) of one decision on one metric, not yet judged; both arms are signed, higher is better.

    Raises ValueError where no seed finished both.
    """
    gains = with_it - without
    found = s.mean_interval(gains)
    unpaired = math.sqrt(float(with_it.var(ddof=1) + without.var(ddof=1))) if len(gains) > 1 else math.nan
    visible = s.smallest_visible(found.n, found.spread, s.ALPHA / max(asked, 1))
    return Effect(metric, found, s.chance_better(gains), unpaired, lost, visible, asked)


def judge(effects: Sequence[Effect]) -> list[Effect]:
    """Verdicts on one metric of all decisions together: Holm over them, then the sign of the mean."""
    adjusted = s.holm([effect.gain.p for effect in effects])
    return [replace(one, adjusted=p, verdict=_word(one.gain.mean, p)) for one, p in zip(effects, adjusted, strict=True)]


def _word(mean: float, p: float) -> str:
    if math.isnan(p):
        return NO_VERDICT
    if p >= s.ALPHA:
        return NO_EFFECT
    return PAYS if mean > 0 else HURTS


@dataclass(frozen=True)
class Memory:
    """What a decision did to one figure of memorization, and where the figure stands with the decision on."""

    metric: str
    change: Estimate  # signed: below zero is worse with the decision
    level: Estimate  # signed and from the value of no copying: below zero is the side of copying
    adjusted: float = math.nan  # p of the change, Holm over the figures

    def speaks_of_copying(self) -> bool:
        """Significantly worse with the decision, and on the side of copying there.

        Worse alone is not enough: samples of a better model are nearer to every real image, training rows included.
        """
        return self.adjusted < s.ALPHA and self.change.mean < 0 and self.level.high < 0


def memory(figures: Mapping[str, tuple[Array, Array]]) -> list[Memory]:
    """Figure name to its raw values (n,) with and without the decision, as `Memory`, Holm over the figures."""
    found = []
    for name, (with_it, without) in figures.items():
        sign, neutral = MEMORY[name]
        change, level = s.mean_interval(sign * (with_it - without)), s.mean_interval(sign * (with_it - neutral))
        found.append(Memory(name, change, level))
    adjusted = s.holm([one.change.p for one in found])
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def with_copying(effect: Effect, figures: Sequence[Memory]) -> Effect:
    """A gain in fd that came with copies is no gain: its verdict becomes COPYING.

    The copy rate alone decides. C_T and auth_gap also fall whenever samples get better or smoother: on digits, removing
    planted blanks lowers C_T from -3.3 to -4.7 without a single copy. They are said beside the verdict.
    """
    copied = effect.verdict == PAYS and any(one.metric == DECIDES and one.speaks_of_copying() for one in figures)
    return replace(effect, verdict=COPYING) if copied else effect


def title(decision: str) -> str:
    """A decision as the subject of a sentence; a user's own name stays as it is."""
    return TITLES.get(decision, decision)


def amount(value: float, metric: str, sign: bool = True) -> str:
    """A number with its unit: fd in floors, shares in percentage points, others as they are."""
    if math.isnan(value):
        return "unknown"
    unit = " floors" if metric == PRIMARY else " points" if metric in METRICS else ""
    return f"{figure(value, metric, sign)}{unit}"


def figure(value: float, metric: str, sign: bool = True) -> str:
    """The bare number of `amount`."""
    scale, form = (1, ".2f") if metric == PRIMARY else (100, ".1f") if metric in METRICS else (1, ".3g")
    plus, shown = "+" if sign else "", scale * value
    text = f"{shown:{plus}z{form}}"  # z: no minus before a zero
    # The end of an interval that leaves out 0 must not read as 0.
    return f"{shown:{plus}.1g}" if float(text) == 0 and abs(shown) >= 0.001 else text


def interval(estimate: Estimate, metric: str) -> str:
    """The interval in words; without one, why."""
    if math.isnan(estimate.low):
        return f"{estimate.n} seed, no interval"
    return f"95 % interval {figure(estimate.low, metric)} to {figure(estimate.high, metric)}, {estimate.n} seeds"


def brief(estimate: Estimate, metric: str) -> str:
    """`+0.42 (+0.20 to +0.64)`: the mean with its interval where there is one, without units."""
    mean = figure(estimate.mean, metric)
    if math.isnan(estimate.low):
        return mean
    return f"{mean} ({figure(estimate.low, metric)} to {figure(estimate.high, metric)})"


def sentence(decision: str, effect: Effect, smallest: float, figures: Sequence[Memory] = ()) -> str:
    """What one metric says of a decision. `smallest` is the smallest effect that matters, in floors; fd alone knows it."""
    name, gain = title(decision), effect.gain
    measured = f"{amount(gain.mean, effect.metric)} of {effect.metric} ({interval(gain, effect.metric)})"
    if effect.verdict == COPYING:
        worse = ", ".join(one.metric for one in figures if one.speaks_of_copying())
        text = f"{name} buys {measured} by copying: {worse} became worse with it, on the side of copying"
    elif effect.verdict == PAYS:
        nearer = ", ".join(one.metric for one in figures if one.speaks_of_copying())
        text = f"{name} pays: {measured}{_too_small(effect, smallest, 'gains')}"
        if nearer:
            text += f"; {nearer} became worse with it, as better or smoother samples make it too: no rise of the copy rate is seen"
    elif effect.verdict == HURTS:
        text = f"{name} hurts: {measured}{_too_small(effect, smallest, 'costs')}"
    elif effect.verdict == NO_EFFECT:
        text = f"{name} has no measurable effect: {measured}{_corrected(effect)}; {_blindness(effect, smallest)}"
    else:
        text = f"{name}: no verdict, {measured}: at least two seeds have to finish both arms"
    return f"{text}.{_lost(effect.lost)}"


def _too_small(effect: Effect, smallest: float, verb: str) -> str:
    if effect.metric != PRIMARY or abs(effect.gain.mean) >= smallest:
        return ""
    return f"; it {verb} less than the {smallest:g} floors that were called the smallest that matters"


def _corrected(effect: Effect) -> str:
    """Why an interval that leaves out 0 is no verdict: it is that of one decision alone."""
    if not effect.gain.excludes_zero():
        return ""
    return f", which leaves out 0 alone but not as one of {effect.asked} decisions (p adjusted for them {effect.adjusted:.2f})"


def _blindness(effect: Effect, smallest: float) -> str:
    """What could have been seen, and whether that is enough to rule out what matters."""
    seen = (
        f"an effect of {amount(effect.visible, effect.metric, sign=False)} would have been seen four times out of five"
    )
    if effect.metric != PRIMARY:
        return seen
    if -smallest < effect.gain.low and effect.gain.high < smallest:
        return f"{seen}, and one of {smallest:g} floors or more is ruled out"
    if effect.visible > smallest:
        needed = s.seeds_needed(smallest, effect.gain.spread, s.ALPHA / effect.asked)
        many = f"about {needed}" if needed < s.MOST_SEEDS else f"more than {s.MOST_SEEDS:,}"
        return f"{seen}, so that one of {smallest:g} floors could have been missed: {many} seeds would see it"
    return seen


def _lost(lost: int) -> str:
    if not lost:
        return ""
    return f" {lost} seed{'s' if lost > 1 else ''} could not be paired because a cell failed, which is worth a look of its own."


def against_random(decision: str, control: Estimate | None, brings: bool = False) -> str:
    """The equal-count random control in words; empty where there was none.

    `control` is the gain over it in floors; `brings` says that the decision brings rows in instead of removing some.
    """
    if control is None:
        return ""
    measured = f"{amount(control.mean, PRIMARY)} ({interval(control, PRIMARY)})"
    if brings:
        return _against_others(control, measured)
    if math.isnan(control.low):
        return f"Against removing as many rows at random: {measured}."
    if control.low > 0:
        return f"Which rows {title(decision)} removes matters: {measured} against removing as many at random."
    if control.high < 0:
        return f"Removing as many rows at random is better than {title(decision)}: {measured}."
    return f"It cannot be told from removing as many rows at random: {measured}."


def _against_others(control: Estimate, measured: str) -> str:
    if math.isnan(control.low):
        return f"Against as many other rows: {measured}."
    if control.low > 0:
        return f"Its rows are worth more than as many others: {measured}."
    if control.high < 0:
        return f"Its rows are worth less than as many others: {measured}."
    return f"Its rows cannot be told from as many others: {measured}."


#: What every study is asked before it is believed; dvc.yaml declares these checks.
QUESTIONS = {
    "placebo_quiet": "Does leaving out a few rows that chance chose show no difference?",
    "positive_control_seen": "Is planted damage (blank images) seen?",
    "every_cell_finished": "Was every cell of the study finished?",
}


@dataclass(frozen=True)
class Control:
    """Whether the study may be believed: the answer to one of QUESTIONS."""

    name: str
    passed: bool
    observed: str
    expected: str
    failure: str  # the sentence if it did not pass


def placebo_quiet(gains: Array) -> Control:
    """The placebo: gains (n,) of full over a few rows less, in floors, may not differ from 0 at 99 %."""
    name = "placebo_quiet"
    expected = "99 % interval of the difference holds 0"
    if len(gains) < 2:
        reason = "the placebo has fewer than two finished seeds, so that nothing says how loud this study is by itself"
        return Control(name, False, f"finished seeds: {len(gains)}", expected, reason)
    found = s.mean_interval(gains, CONTROL_LEVEL)
    observed = f"{found.mean:+z.2f} floors ({found.low:+z.2f} to {found.high:+z.2f})"
    reason = f"leaving out a few rows at random differs by {observed}: whatever differs here is not the decision"
    return Control(name, not found.excludes_zero(), observed, expected, reason)


def control_seen(gains: Array) -> Control:
    """The positive control: gains (n,) of full over planted blanks, in floors, have to be above zero at 99 %."""
    name = "positive_control_seen"
    expected = "99 % interval of the damage lies above 0"
    if len(gains) < 2:
        reason = (
            "the positive control has fewer than two finished seeds, so that nothing says that this study sees anything"
        )
        return Control(name, False, f"finished seeds: {len(gains)}", expected, reason)
    found = s.mean_interval(np.asarray(gains), CONTROL_LEVEL)
    observed = f"{found.mean:+z.2f} floors ({found.low:+z.2f} to {found.high:+z.2f})"
    reason = f"planted blanks were not seen ({observed}): what this study does not see may still be there"
    return Control(name, found.low > 0, observed, expected, reason)

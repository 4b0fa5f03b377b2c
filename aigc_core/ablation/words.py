"""What is said of an effect: amounts, intervals and one sentence per decision and metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aigc_core.ablation import statistics as s
from aigc_core.ablation import verdicts as v
from aigc_core.ablation.failures import LESS_WITH, Failures
from aigc_core.ablation.memory import Memory
from aigc_core.ablation.statistics import Estimate
from aigc_core.ablation.verdicts import METRICS, PRIMARY, Effect
from aigc_core.report.ratios import ratio

#: Decisions whose name needs another subject in a sentence.
TITLES = {"fix_labels": "fixing labels", "half_the_data": "the second half of the data", "pretrain": "pre-training",
          "curate": "curation", "deduplicate": "deduplication", "augment": "augmentation"}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """What sizes are compared with: the smallest gain that matters (relative), and planted damage where it was seen."""

    smallest: float
    planted: str = ""  # "2 % blank images"
    cost: float = math.nan  # log ratio of the planted damage; NaN where it was not seen

    @property
    def log(self) -> float:
        """The smallest gain that matters in the unit of gains on fd."""
        return math.log1p(self.smallest)

    @property
    def percent(self) -> str:
        """`10 %`."""
        return f"{100 * self.smallest:g} %"

    def beside(self, gain: float) -> str:
        """`, about 3.0 times what 2 % blank images cost`; empty where no planted damage was seen."""
        if math.isnan(self.cost) or self.cost <= 0:
            return ""
        return f", about {abs(gain) / self.cost:.1f} times what {self.planted} cost"


def title(decision: str) -> str:
    """A decision as the subject of a sentence; a user's own name stays as it is."""
    return TITLES.get(decision, decision)


def planted_words(arm: str | None) -> str:
    """`2 % blank images`, from the name of the arm that they are planted in; None where there is no such arm."""
    return "blank images" if arm is None else f"{arm.removeprefix('blanks_')} % blank images"


def upper(text: str) -> str:
    """The text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def times(gain: float) -> str:
    """A log ratio as a number of at least 1: `1.36`, `23.1`."""
    return ratio(math.exp(abs(gain)))


def nearer(gain: float) -> str:
    """A log ratio in words: `1.36 times nearer to real images`, `1.20 times farther from real images`."""
    return f"{times(gain)} times {'farther from' if gain < 0 else 'nearer to'} real images"


def amount(value: float, metric: str, sign: bool = True) -> str:
    """A gain with its unit: fd as a ratio of distances, shares in percentage points, others as they are."""
    if math.isnan(value):
        return "unknown"
    if metric == PRIMARY:
        return nearer(value)
    return f"{figure(value, metric, sign)}{' points' if metric in METRICS else ''}"


def figure(value: float, metric: str, sign: bool = True) -> str:
    """The bare number of `amount`; a gain on fd as the ratio, below 1 where the decision costs."""
    if metric == PRIMARY:
        return ratio(math.exp(value))
    scale, form = (100, ".1f") if metric in METRICS else (1, ".3g")
    plus, shown = "+" if sign else "", scale * value
    text = f"{shown:{plus}z{form}}"  # z: no minus before a zero
    # The end of an interval that leaves out 0 must not read as 0.
    return f"{shown:{plus}.1g}" if float(text) == 0 and abs(shown) >= 0.001 else text


def interval(estimate: Estimate, metric: str) -> str:
    """The interval in words; without one, why."""
    if math.isnan(estimate.low):
        return f"{estimate.n} seed, no interval" if estimate.n == 1 else f"{estimate.n} seeds, no interval"
    return f"95 % interval {reach(estimate.low, estimate.high, metric)}, {estimate.n} seeds"


def reach(low: float, high: float, metric: str) -> str:
    """Two ends in words: `1.03 to 1.81`, and on fd `1.05 times farther to 1.31 times nearer` where they differ in sign."""
    if metric != PRIMARY:
        return f"{figure(low, metric)} to {figure(high, metric)}"
    if low < 0 < high:
        return f"{times(low)} times farther to {times(high)} times nearer"
    return f"{times(low)} to {times(high)}" if low >= 0 else f"{times(high)} to {times(low)}"


def brief(estimate: Estimate, metric: str) -> str:
    """`1.36 (1.03 to 1.81)`: the number with its interval where there is one, without units."""
    mean = figure(estimate.mean, metric)
    if math.isnan(estimate.low):
        return mean
    return f"{mean} ({figure(estimate.low, metric)} to {figure(estimate.high, metric)})"


def measured(estimate: Estimate, metric: str) -> str:
    """`1.36 times nearer to real images (95 % interval 1.03 to 1.81, 5 seeds)`."""
    name = "" if metric == PRIMARY else f" of {metric}"
    return f"{amount(estimate.mean, metric)}{name} ({interval(estimate, metric)})"


def sentence(
    decision: str,
    effect: Effect,
    scale: Scale,
    figures: Sequence[Memory] = (),
    failures: Failures | None = None,
    blind: str = "",
) -> str:
    """What one metric says of a decision; fd alone knows a smallest gain. `blind` is said where nothing is measurable."""
    name, told = title(decision), measured(effect.gain, effect.metric)
    if failures and failures.verdict and effect.verdict == failures.verdict:
        return f"{_failing(name, failures)}; of the pairs that are left: {told}."
    text = {
        v.COPYING: lambda: _copying(name, told, figures),
        v.COPYING_WITHOUT: lambda: (
            f"without {name} fd is better by copying: {told}, and the copy rate is worse without it"
        ),
        v.PAYS: lambda: f"{name} pays: {told}{_size(effect, scale)}{_nearer_to_training(figures)}",
        v.HURTS: lambda: f"{name} hurts: {told}{_size(effect, scale)}",
        v.EQUIVALENT: lambda: f"{name} is equivalent to leaving it out: {told}; {_inside(effect, scale)}",
        v.NO_EFFECT: lambda: (
            f"{name} has no measurable effect: {told}{_corrected(effect)}; {_blindness(effect, scale)}{blind}"
        ),
    }.get(effect.verdict, lambda: f"{name}: no verdict, {told}: {_unknown(effect)}")()
    return f"{text}.{_lost(effect.lost)}"


def failing(decision: str, failures: Failures) -> str:
    """The sentence on a decision whose trainings fail, where no pair was finished at all."""
    return f"{_failing(title(decision), failures)}."


def _failing(name: str, failures: Failures) -> str:
    if failures.verdict == LESS_WITH:
        return f"training is less reliable with {name}: {failures.words()}"
    if failures.without == failures.of_without:
        return f"the model cannot be trained without {name}: {failures.words()}"
    return f"training is less reliable without {name}: {failures.words()}"


def _copying(name: str, told: str, figures: Sequence[Memory]) -> str:
    worse = ", ".join(one.metric for one in figures if one.speaks_of_copying())
    return f"{name} buys {told} by copying: {worse} became worse with it, on the side of copying"


def _nearer_to_training(figures: Sequence[Memory]) -> str:
    worse = ", ".join(one.metric for one in figures if one.speaks_of_copying())
    if not worse:
        return ""
    return (
        f"; {worse} became worse with it, as better or smoother samples make it too: no rise of the copy rate is seen"
    )


def _size(effect: Effect, scale: Scale) -> str:
    """How large a significant effect is beside what matters, and beside planted damage."""
    if effect.metric != PRIMARY:
        return ""
    if abs(effect.gain.mean) < scale.log:
        return f"; that is less than the {scale.percent} that were called the smallest that matters"
    return scale.beside(effect.gain.mean)


def _unknown(effect: Effect) -> str:
    if effect.gain.n < 2:
        return "at least two seeds have to finish both arms"
    return "all seeds differ by the very same amount, so that nothing says how certain it is"


def _corrected(effect: Effect) -> str:
    """Why an interval that leaves out 0 is no verdict: it is that of one question alone."""
    if not effect.gain.excludes_zero():
        return ""
    what = "decisions" if effect.metric == PRIMARY else "questions"
    return f", which leaves out 0 alone but not as one of {effect.asked} {what} (p adjusted for them {effect.adjusted:.2f})"


def _inside(effect: Effect, scale: Scale) -> str:
    asked = f", adjusted for {effect.asked} decisions," if effect.asked > 1 else ""
    return f"the 90 % interval{asked} lies within {scale.percent} on both sides, the smallest change that matters"


def _blindness(effect: Effect, scale: Scale) -> str:
    """What could have been seen, and how many seeds would see what matters."""
    if effect.metric != PRIMARY:
        return f"an effect of {amount(effect.visible, effect.metric, sign=False)} would have been seen four times out of five"
    seen = f"a change by {times(effect.visible)} times would have been seen four times out of five"
    if effect.visible <= scale.log:
        return seen
    bound = s.upper_spread(effect.gain.spread, effect.gain.freedom)
    needed = s.seeds_needed(scale.log, bound, effect.level, per_seed=effect.per_seed)
    many = f"about {needed}" if needed < s.MOST_SEEDS else f"more than {s.MOST_SEEDS:,}"
    return f"{seen}, so that one of {scale.percent} could have been missed: {many} seeds would see it"


def _lost(lost: int) -> str:
    if not lost:
        return ""
    return f" {lost} seed{'s' if lost > 1 else ''} could not be paired because a cell failed."


def against_random(decision: str, control: Estimate, adjusted: float, brings: bool = False) -> str:
    """The equal-count random control in words.

    `control` is the gain over single random sets (see controls.py), `adjusted` its p over the decisions; `brings` says
    that the decision brings rows in instead of removing some.
    """
    told, better = measured(control, PRIMARY), adjusted < s.ALPHA
    if brings:
        if math.isnan(control.low):
            return f"Against as many other rows: {told}."
        if better:
            return f"Its rows are worth {'more' if control.mean > 0 else 'less'} than as many others: {told}."
        return f"Its rows cannot be told from as many others: {told}."
    if math.isnan(control.low):
        return f"Against removing as many rows at random: {told}."
    if better and control.mean > 0:
        return f"Which rows {title(decision)} removes matters: {told} against removing as many at random."
    if better:
        return f"Removing as many rows at random is better than {title(decision)}: {told}."
    return f"It cannot be told from removing as many rows at random: {told}."

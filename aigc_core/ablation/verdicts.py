"""From paired gains to a word: pays, hurts, equivalent, no measurable effect, copying.

A gain is signed so that above zero is better with the decision than without it. On the distance (fd) it is the logarithm
of the ratio `fd without / fd with`, a number without unit that can be compared between data sets; coverage, cas and
agreement are shares.

Legend: n = seeds that both arms finished. Gains are (n,), one per seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aigc_core.ablation import memory as m
from aigc_core.ablation import statistics as s
from aigc_core.ablation.failures import Failures
from aigc_core.ablation.looks import ONCE, Look
from aigc_core.ablation.memory import Memory
from aigc_core.ablation.spread import ALONE, Pool
from aigc_core.ablation.statistics import Array, Chance, Estimate

PAYS, HURTS, EQUIVALENT, NO_EFFECT = "pays", "hurts", "equivalent", "no measurable effect"
#: A better distance that came with copies: with the decision, or without it.
COPYING, COPYING_WITHOUT = "copying", "copying without it"
NO_VERDICT, VOID = "no verdict", "void"
#: Verdicts that answer nothing: a study goes on to its next look.
OPEN = (NO_EFFECT, NO_VERDICT)

#: Metrics of the ledger, the primary one first, and the sign that makes higher better. The primary one alone confirms;
#: the others are corrected together, over decisions and metrics.
PRIMARY = "fd"
METRICS: Mapping[str, float] = {"fd": -1.0, "coverage": 1.0, "cas": 1.0, "agreement": 1.0}

#: What every study is asked before it is believed; dvc.yaml declares these checks.
QUESTIONS = {
    "placebo_quiet": "Does leaving out a random few of the rows matter less than what is asked?",
    "positive_control_seen": "Is planted damage (blank images) seen?",
    "every_cell_finished": "Was every cell of the study finished?",
}


@dataclass(frozen=True)
class Effect:
    """What a decision did to one metric."""

    metric: str
    gain: Estimate
    chance: Chance  # P(better with than without)
    own_spread: float  # standard deviation of these gains alone; that of `gain` may be the pooled one
    unpaired: float  # standard deviation of a gain if the seeds were not paired
    lost: int  # seeds of which an arm has no finished cell
    visible: float  # smallest effect that would have been seen with power 0.8, after the correction for `asked`
    per_seed: float = 1.0  # degrees of freedom of the spread that come with every seed
    asked: int = 1  # questions over which p is adjusted
    level: float = s.ALPHA  # two-sided level of p for one of them, at the look that the study stands at
    adjusted: float = math.nan  # Holm-adjusted p
    verdict: str = NO_VERDICT


def measure(
    metric: str,
    with_it: Array,
    without: Array,
    lost: int,
    asked: int,
    pool: Pool = ALONE,
    least: float = 0.0,
    look: Look = ONCE,
) -> Effect:
    """Paired gains (n,) of one decision on one metric, not yet judged; both arms are signed, higher is better.

    `pool` is the spread of the study's arms, `least` the least that a spread can be (rounding of shares), `look` says at
    which level the study is judged. Raises ValueError where no seed finished both.
    """
    gains, level = with_it - without, look.level(asked)
    found = pool.interval(gains, least, look.confidence)
    alone = s.mean_interval(gains)
    unpaired = math.sqrt(float(with_it.var(ddof=1) + without.var(ddof=1))) if len(gains) > 1 else math.nan
    visible = math.nan
    if found.n > 1 and found.freedom > 0:
        bound = s.upper_spread(found.spread, found.freedom)
        visible = s.smallest_visible(found.n, bound, level, freedom=found.freedom)
    per_seed = found.freedom / (found.n - 1) if found.freedom > 0 else 1.0
    chance = s.chance_better(gains)
    return Effect(metric, found, chance, alone.spread, unpaired, lost, visible, per_seed, max(asked, 1), level)


def judge(effects: Sequence[Effect], smallest: float | None = None, look: Look = ONCE) -> list[Effect]:
    """Verdicts on effects that are asked together: Holm over them at the level of the look, then the sign of the mean.

    `smallest` is the smallest gain that matters, in the unit of the gains: where it is given, an effect that is
    not significant and whose 90 % interval (adjusted, at a look as far as its level) lies within it on both sides is
    `equivalent`.
    """
    adjusted = s.holm([effect.gain.p for effect in effects], look.times)
    return [replace(one, adjusted=p, verdict=_word(one, p, smallest)) for one, p in zip(effects, adjusted, strict=True)]


def _word(effect: Effect, p: float, smallest: float | None) -> str:
    if math.isnan(p):
        return NO_VERDICT
    if p < s.ALPHA:
        return PAYS if effect.gain.mean > 0 else HURTS
    if smallest is not None:
        low, high = effect.gain.within(1 - 2 * effect.level)
        if -smallest < low and high < smallest:
            return EQUIVALENT
    return NO_EFFECT


def with_copying(effect: Effect, figures: Sequence[Memory]) -> Effect:
    """A distance that is better by copies is not better: COPYING, or COPYING_WITHOUT where the other arm copies."""
    if effect.verdict == PAYS and m.copied(figures):
        return replace(effect, verdict=COPYING)
    if effect.verdict == HURTS and m.copied(figures, without=True):
        return replace(effect, verdict=COPYING_WITHOUT)
    return effect


def with_failures(effect: Effect, failures: Failures) -> Effect:
    """Where one side fails more often, that is the conclusion: the pairs that are left are the survivors'."""
    return replace(effect, verdict=failures.verdict) if failures.verdict else effect

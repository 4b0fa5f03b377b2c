"""The two questions that decide whether a study is believed: a placebo that has to be quiet, and planted damage.

Gains are logarithms of ratios of distances, above zero where the full recipe is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aigc_core.ablation import words
from aigc_core.ablation.spread import Pool
from aigc_core.ablation.statistics import Array, Estimate
from aigc_core.ablation.verdicts import PRIMARY

#: Level at which a study is called void; the planted damage is seen at that of the verdicts.
VOID_LEVEL = 0.99
SEEN, NOT_SEEN, BETTER, UNKNOWN = "seen", "not seen", "made better", "unknown"


@dataclass(frozen=True)
class Control:
    """The answer to one of verdicts.QUESTIONS."""

    name: str
    passed: bool
    void: bool  # whether nothing of the study may be believed
    observed: str
    expected: str
    failure: str  # the sentence if it did not pass
    state: str = ""  # of planted damage: SEEN, NOT_SEEN, BETTER, UNKNOWN
    gain: Estimate | None = None


def placebo_quiet(gains: Array, pool: Pool, smallest: float) -> Control:
    """The placebo: gains (n,) of the full recipe over the same without a fixed random few of its rows.

    Void only where the 99 % interval lies wholly beyond the smallest gain that matters (a log ratio): then any few rows
    matter as much as what is asked.
    """
    name, expected = "placebo_quiet", f"99 % interval reaches into a change of {100 * math.expm1(smallest):.3g} %"
    if len(gains) < 2:
        reason = f"the placebo has {len(gains)} finished pairs, so that nothing says what a few random rows matter here"
        return Control(name, False, False, f"finished pairs: {len(gains)}", expected, reason)
    found = pool.interval(gains)
    low, high = found.within(VOID_LEVEL)
    loud = low > smallest or high < -smallest
    told = _observed(found, low, high)
    reason = f"leaving out a random few of the rows alone changes the distance: {told}. Any few rows matter as much as what is asked"
    return Control(name, not loud, loud, told, expected, reason, gain=found)


def control_seen(gains: Array, pool: Pool, planted: str) -> Control:
    """The positive control: gains (n,) of the full recipe over the same with planted blanks (`planted` in words).

    Not seen leaves significant verdicts as they are: what is seen beside it is there. Significantly better with
    blanks planted is a budget or an instrument that cannot judge.
    """
    name, expected = "positive_control_seen", "95 % interval of the damage lies above 1 times"
    if len(gains) < 2:
        reason = (
            f"{planted} were planted in {len(gains)} finished pairs, so that nothing says whether this study sees them"
        )
        return Control(name, False, False, f"finished pairs: {len(gains)}", expected, reason, UNKNOWN)
    found = pool.interval(gains)
    low, high = found.within(VOID_LEVEL)
    if high < 0:
        told = _observed(found, low, high)
        reason = f"{planted} made the distance better ({told}): this budget cannot judge"
        return Control(name, False, True, told, expected, reason, BETTER, found)
    told = f"the full recipe is {words.measured(found, PRIMARY)}"
    reason = f"{planted} were not seen ({told}): what this study does not see may still be there"
    state = SEEN if found.low > 0 else NOT_SEEN
    return Control(name, state == SEEN, False, told, expected, reason, state, found)


def _observed(found: Estimate, low: float, high: float) -> str:
    if math.isnan(low):
        return words.measured(found, PRIMARY)
    return f"the full recipe is {words.nearer(found.mean)} (99 % interval {words.reach(low, high, PRIMARY)})"

"""Does the leading decision keep its sign under other training recipes?

Which of two data sets is better can turn with the learning rate of the models that are trained to find out, and with how often each row
is seen. A decision that leads, if its effect is told, is therefore asked again at a third and at three times the learning rate, and with
equal passes over the rows in the place of equal steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aigc_core.ablation.statistics import Estimate, difference

#: Whether the sign of the gain is kept: told to be, told to have turned, open, or without a finished pair of trainings.
KEEPS, TURNS, OPEN, FAILED = "keeps", "turns", "open", "failed"
#: The conclusions.
ROBUST, DEPENDS, UNSURE = "keeps its sign", "depends on the training recipe", "cannot tell"
#: Level of the intervals: a kept sign takes every variation, a turned one any of three.
SURE = 0.99


@dataclass(frozen=True)
class Variation:
    """A training recipe beside the study's own."""

    name: str  # of its arms: NAME and NAME_without_X
    words: str
    rate: float = 1.0  # factor of the learning rate
    equal_passes: bool = False  # as many passes over the rows as the full recipe, not as many steps

    @property
    def base(self) -> str | None:
        """The arm that the one without the decision is paired with; None where it is the study's own full recipe."""
        return None if self.equal_passes else self.name

    def without(self, decision: str) -> str:
        """The arm without a decision."""
        return f"{self.name}_without_{decision}"

    def steps(self, steps: int, rows: int, full_rows: int) -> int:
        """Training steps of an arm with so many rows, where the full recipe of `full_rows` rows has `steps`."""
        return max(1, round(steps * rows / full_rows)) if self.equal_passes else steps


VARIATIONS = (
    Variation("third_rate", "at 1/3 of the learning rate", 1 / 3),
    Variation("triple_rate", "at 3 times the learning rate", 3.0),
    Variation("equal_passes", "at equal passes over the rows", equal_passes=True),
)


def variation_of(arm: str) -> Variation | None:
    """The variation that an arm is trained in, by the arm's name; None for the study's own training recipe."""
    found = (one for one in VARIATIONS if arm == one.name or arm.startswith(one.without("")))
    return next(found, None)


@dataclass(frozen=True)
class Varied:
    """The gain on fd (log ratio) of a decision under one variation; None where no pair of trainings was finished."""

    variation: Variation
    gain: Estimate | None
    state: str


@dataclass(frozen=True)
class Robustness:
    """What all variations say of one decision."""

    decision: str
    own: Estimate  # the gain under the study's own recipe
    varied: tuple[Varied, ...]

    @property
    def conclusion(self) -> str:
        """ROBUST only where every variation keeps the sign; DEPENDS where one turns it; else UNSURE."""
        states = {one.state for one in self.varied}
        if states == {KEEPS}:
            return ROBUST
        return DEPENDS if TURNS in states else UNSURE

    def of(self, state: str) -> list[Varied]:
        """The variations that are in a state."""
        return [one for one in self.varied if one.state == state]


def vary(variation: Variation, own: Estimate, gain: Estimate | None) -> Varied:
    """Whether a gain keeps the sign of the study's own gain.

    It keeps it where its 99 % interval lies on the same side of zero. It turns it where the mean lies on the other side, and its own
    interval does too, or that of its difference from the study's own gain excludes zero.
    """
    if gain is None:
        return Varied(variation, None, FAILED)
    side = math.copysign(1.0, own.mean)
    sure = [_excludes_zero(one) for one in (gain, difference(own, gain))]
    if side * gain.mean > 0:
        return Varied(variation, gain, KEEPS if sure[0] else OPEN)
    return Varied(variation, gain, TURNS if any(sure) else OPEN)


def _excludes_zero(found: Estimate) -> bool:
    low, high = found.within(SURE)
    return low > 0 or high < 0

"""What a decision did to the figures of memorization, and when a gain in distance is a gain by copies.

Legend: n = seeds that both arms finished.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aigc_core.ablation import statistics as s
from aigc_core.ablation.statistics import Array, Estimate

#: The sign that makes higher better, and the value on whose worse side samples are nearer to training rows than held-out
#: rows are. C_T is a z score (Meehan et al. 2020, eq. 3), auth_gap is AuthPct (Alaa et al. 2022) minus that of held-out
#: rows, copy_rate is calibrated to 1 % on held-out rows.
MEMORY: Mapping[str, tuple[float, float]] = {"c_t": (1.0, 0.0), "auth_gap": (1.0, 0.0), "copy_rate": (-1.0, 0.01)}
#: The figure that makes a gain `copying`. The others also fall whenever samples get better or smoother: on digits,
#: removing planted blanks lowers C_T from -3.3 to -4.7 without a single copy. They are said and decide nothing.
DECIDES = "copy_rate"
#: Standard deviations by which the rate of real images may lie above its nominal value: the threshold comes from the
#: held-out rows of the study, and all seeds share it.
REACH = 2.0


@dataclass(frozen=True)
class Memory:
    """What a decision did to one figure, and where the figure stands in both arms. All signed, higher is better."""

    metric: str
    change: Estimate  # below zero is worse with the decision
    level: Estimate  # with the decision, from the value of no copying: below zero is the side of copying
    level_without: Estimate  # the same without it
    adjusted: float = math.nan  # p of the change, Holm over the figures

    def speaks_of_copying(self) -> bool:
        """Significantly worse with the decision, and on the side of copying there.

        Worse alone is not enough: samples of a better model are nearer to every real image, training rows included.
        """
        return self.adjusted < s.ALPHA and self.change.mean < 0 and self.level.high < 0

    def speaks_of_copying_without(self) -> bool:
        """The mirror image: significantly worse without the decision, and on the side of copying there."""
        return self.adjusted < s.ALPHA and self.change.mean > 0 and self.level_without.high < 0


def memory(figures: Mapping[str, tuple[Array, Array]], rows: int | None = None) -> list[Memory]:
    """Figure name to its raw values (n,) with and without the decision, as `Memory`, Holm over the figures.

    `rows` are the held-out rows that the copy rate is calibrated on; None takes its nominal value as exact.
    """
    found = []
    for name, (with_it, without) in figures.items():
        sign, neutral = MEMORY[name]
        if name == DECIDES and rows:
            neutral += REACH * math.sqrt(neutral * (1 - neutral) / rows)
        change = s.mean_interval(sign * (with_it - without))
        level, level_without = (s.mean_interval(sign * (side - neutral)) for side in (with_it, without))
        found.append(Memory(name, change, level, level_without))
    adjusted = s.holm([one.change.p for one in found])
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def copied(figures: Sequence[Memory], *, without: bool = False) -> bool:
    """Whether the figure that decides speaks of copying with the decision, or `without` it."""
    own = [one for one in figures if one.metric == DECIDES]
    return any(one.speaks_of_copying_without() if without else one.speaks_of_copying() for one in own)

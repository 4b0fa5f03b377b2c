"""Looks that were declared before a study ran: after which seeds it is judged and may stop, and at which level.

A study that is judged after 4, 8, 12 and 20 seeds, each time at 5 %, calls an effect of nothing in far more than 5 % of cases.
What may be spent on false verdicts by each look is therefore set beforehand: at a share t of the seeds the two-sided
2 - 2 Phi(z / sqrt(t)) with z the normal quantile of the whole level (Lan and DeMets 1983, eq. for O'Brien and Fleming's boundary),
next to nothing at first and nearly all at the end. The levels of the looks follow from the joint distribution of the means at
the looks, by recursion over their densities (Armitage, McPherson and Rowe 1969).

Legend: K = looks, G = nodes of the quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from aigc_core.ablation.statistics import ALPHA, LEVEL, Array

#: Nodes of the Gauss-Legendre quadrature over what lies between the bounds of a look, and how far out it reaches in standard
#: deviations: what lies beyond is no part of any level that is printed.
NODES, REACH = 400, 9.0
#: No bound lies farther out, in standard deviations, and no level is smaller: beyond it float64 has no number.
FARTHEST, LEAST = 37.0, 1e-300


@dataclass(frozen=True)
class Look:
    """Where a study stands: `seeds` of its seeds are judged, at one of the declared looks. Without `stages` it is judged once."""

    stages: tuple[int, ...] = ()  # numbers of seeds after which it looks, the last one all of them
    seeds: int = 0

    @property
    def number(self) -> int:
        """Which of the looks it is, from 1: the last that so many seeds have reached."""
        return max(1, sum(stage <= self.seeds for stage in self.stages))

    @property
    def stopped(self) -> bool:
        """Whether seeds were left out because every question had its answer."""
        return bool(self.stages) and self.seeds < self.stages[-1]

    def level(self, asked: int = 1) -> float:
        """Two-sided level of p at this look for one of `asked` questions (Bonferroni)."""
        share = ALPHA / max(asked, 1)
        if not self.stages:
            return share
        return local_levels(share, tuple(stage / self.stages[-1] for stage in self.stages[: self.number]))[-1]

    @property
    def confidence(self) -> float:
        """Level of the intervals that match a test at `level()`: over all looks together they hold 95 %."""
        return 1 - self.level() if self.stages else LEVEL

    def times(self, asked: int) -> float:
        """What a p is multiplied by, so that it is compared with ALPHA: `asked` where there is one look (as Holm does)."""
        if not self.stages:
            return float(asked)
        return ALPHA / max(self.level(asked), LEAST)


#: A study that is judged once.
ONCE = Look()


@lru_cache(maxsize=256)
def local_levels(alpha: float, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Two-sided levels (K,) of the first K looks, at these shares of the seeds; up to the share 1 they make `alpha` together."""
    from scipy.optimize import brentq  # here, because worker processes need no level

    whole = -float(ndtri(alpha / 2))
    unit, weights = np.polynomial.legendre.leggauss(NODES)
    places, mass = np.zeros(1), np.ones(1)  # of the mean's score times sqrt(share), not stopped so far
    before, spent, levels = 0.0, 0.0, []
    for share in shares:
        step, total = math.sqrt(share - before), 2 * float(ndtr(-whole / math.sqrt(share)))
        bound = float(brentq(_excess, 0.0, FARTHEST, (places, mass, step, total - spent), xtol=1e-12))
        levels.append(2 * float(ndtr(-bound / math.sqrt(share))))
        reach = min(bound, REACH * math.sqrt(share))
        inside = reach * unit
        density = np.exp(-0.5 * np.square((inside[:, None] - places) / step)) / (step * math.sqrt(2 * math.pi))
        places, mass = inside, reach * weights * (density @ mass)
        before, spent = share, total
    return tuple(levels)


def _excess(bound: float, places: Array, mass: Array, step: float, wanted: float) -> float:
    """Chance beyond what is wanted of leaving the bounds in one step, from `places` (G,) with chances `mass` (G,)."""
    return float(mass @ (ndtr((places - bound) / step) + ndtr((-bound - places) / step))) - wanted


def stages_of(plan: Mapping[str, Any]) -> tuple[int, ...]:
    """Numbers of seeds after which a study of this plan (as plan.json holds it) looks, the last one all of them; empty for one look."""
    declared: Sequence[int] = plan.get("settings", {}).get("ablation", {}).get("looks", ())
    return (*declared, len(plan["seeds"])) if declared else ()

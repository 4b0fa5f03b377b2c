"""Random sets of rows: whether a decision's own rows matter, and what other rows like them would have bought.

In every seed the random control removes another random set, while the decision removes the same one. Many seeds tell
well what these rows do, and never more about other rows than one set can tell.

Legend: n = seeds that the arms finished. Gains are (n,), logarithms of ratios of distances.
"""

from __future__ import annotations

import math

from aigc_core.ablation import statistics as s
from aigc_core.ablation.statistics import Array, Estimate


def against_sets(gains: Array, level: float = s.LEVEL) -> Estimate:
    """Gains over a random set per seed, held against the spread of single sets: error = spread x sqrt(1 + 1 / n).

    The plain error of the mean would shrink with the seeds although the decision has one set of rows only: of rows that
    are like all others it then says "worth more" the more often, the more seeds there are.
    """
    found = s.mean_interval(gains, level)
    if math.isnan(found.error):
        return found
    error = found.spread * math.sqrt(1 + 1 / found.n)
    return s.estimate(found.mean, error, found.freedom, found.spread, found.n, level)


def rows_like_these(gain: Estimate, random: Array, level: float = s.LEVEL) -> Estimate | None:
    """The gain with an interval for other rows of the same kind; None where fewer than two random sets were finished.

    One set of rows is known: its gain lies as far from that of its kind as the gains of single random sets lie from
    each other (`random`, gains of the full recipe over one without a random set, a set per seed).
    """
    if len(random) < 2:
        return None
    spread = float(random.std(ddof=1))
    error = math.sqrt(max(spread**2, gain.spread**2 / gain.n))
    return s.estimate(gain.mean, error, len(random) - 1.0, spread, gain.n, level)

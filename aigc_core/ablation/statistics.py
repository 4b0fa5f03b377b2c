"""What a handful of seeds allows to be said: intervals, chances, corrections, and what could not have been seen.

Everything is on small samples (3 to 20 seeds), so that t quantiles are used throughout: at five seeds a t interval
covers 94 % where a bootstrap covers 84 %. Only scipy.special is imported, because every cell's process pays for imports.

Legend: n = seeds, k = arms, m = decisions. Arrays are float64; nothing here knows what a metric is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import nctdtr, ndtri, stdtr, stdtrit

Array = npt.NDArray[np.float64]

#: Level of the intervals, error rate of the verdicts, power of what "could have been seen".
LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
#: Nobody counts further than this.
MOST_SEEDS = 1000
#: Bisection stops at this share of the bracket; far below anything that is printed.
PRECISION = 1e-10


@dataclass(frozen=True)
class Estimate:
    """A mean with its t interval, in the unit of the values; `spread` is their standard deviation (n - 1).

    With one value there is no interval: low, high, spread and p are NaN.
    """

    mean: float
    low: float
    high: float
    spread: float
    n: int
    p: float  # two-sided, of a mean of zero

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where there is none."""
        return self.low > 0 or self.high < 0


def t_quantile(freedom: float, probability: float) -> float:
    """Quantile of Student's t."""
    return float(stdtrit(freedom, probability))


def mean_interval(values: Sequence[float] | Array, level: float = LEVEL) -> Estimate:
    """Mean of n values with a t interval; of paired differences this is the paired comparison.

    Raises ValueError for no values. Where all values are equal the interval is that one point.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) == 0:
        raise ValueError("a mean needs at least one value")
    mean = float(sample.mean())
    if len(sample) == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1, math.nan)
    spread = float(sample.std(ddof=1))
    error = spread / math.sqrt(len(sample))
    return _estimate(mean, error, len(sample) - 1, spread, len(sample), level)


def welch_interval(first: Sequence[float] | Array, second: Sequence[float] | Array, level: float = LEVEL) -> Estimate:
    """Difference of means, first minus second, of two independent samples (Welch 1947); n is the smaller count.

    `spread` is that of a difference of one value of each. Raises ValueError where a sample is empty.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(a), len(b)) == 0:
        raise ValueError("a comparison needs at least one value on each side")
    mean, n = float(a.mean() - b.mean()), min(len(a), len(b))
    if n == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1, math.nan)
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = float(parts.sum())
    counts = np.array([len(a) - 1, len(b) - 1])
    freedom = total**2 / float((parts**2 / counts).sum()) if total > 0 else float(counts.sum())
    spread = math.sqrt(float(a.var(ddof=1) + b.var(ddof=1)))
    return _estimate(mean, math.sqrt(total), freedom, spread, n, level)


def _estimate(mean: float, error: float, freedom: float, spread: float, n: int, level: float) -> Estimate:
    if error <= abs(mean) * 1e-12:  # equal but for rounding
        return Estimate(mean, mean, mean, spread, n, 1.0 if mean == 0 else 0.0)
    reach = t_quantile(freedom, (1 + level) / 2) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Estimate(mean, mean - reach, mean + reach, spread, n, p)


@dataclass(frozen=True)
class Chance:
    """A probability with its interval, all in [0, 1]."""

    value: float
    low: float
    high: float


def chance_better(gains: Sequence[float] | Array, level: float = LEVEL) -> Chance:
    """P(better): the share of n paired gains above zero, a tie counting half, with Wilson's interval (1927).

    Bouthillier et al. 2021 (Accounting for variance in machine learning benchmarks) recommend it beside a mean: a
    small but certain gain and a large but rare one differ here. Raises ValueError for no gains.
    """
    sample = np.asarray(gains, dtype=np.float64)
    if len(sample) == 0:
        raise ValueError("P(better) needs at least one pair")
    n, share = len(sample), float((sample > 0).mean() + 0.5 * (sample == 0).mean())
    z2 = float(ndtri((1 + level) / 2)) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Chance(share, max(0.0, middle - reach), min(1.0, middle + reach))


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order (Holm 1979): reject below alpha, and the family's error rate is alpha.

    A NaN stays NaN and does not count as a question that was asked.
    """
    asked = sorted((p, index) for index, p in enumerate(ps) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(ps), 0.0
    for rank, (p, index) in enumerate(asked):
        highest = max(highest, min(1.0, (len(asked) - rank) * p))
        adjusted[index] = highest
    return adjusted


def power_of(effect: float, spread: float, n: int, alpha: float = ALPHA) -> float:
    """Chance that n paired differences with this mean and spread give p < alpha (two-sided, noncentral t)."""
    if n < 2 or spread <= 0:
        raise ValueError(f"power needs at least two pairs and a spread above zero, not {n} and {spread:g}")
    shift = abs(effect) / spread * math.sqrt(n)
    bound = t_quantile(n - 1, 1 - alpha / 2)
    return float(1 - nctdtr(n - 1, shift, bound) + nctdtr(n - 1, shift, -bound))


def smallest_visible(n: int, spread: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The effect that n pairs of this spread see with the given power, in the unit of `spread`; NaN for n < 2.

    A spread of zero sees everything: 0.
    """
    if n < 2 or math.isnan(spread):
        return math.nan
    if spread == 0:
        return 0.0
    high = 1.0
    while power_of(high, 1.0, n, alpha) < power:
        high *= 2
    low = 0.0
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(middle, 1.0, n, alpha) < power else (low, middle)
    return high * spread


def seeds_needed(
    effect: float, spread: float, alpha: float = ALPHA, power: float = POWER, most: int = MOST_SEEDS
) -> int:
    """Fewest seeds that see `effect` with the given power; `most` where even those are too few, 2 without any spread."""
    if spread <= 0:
        return 2
    return next((n for n in range(2, most) if power_of(effect, spread, n, alpha) >= power), most)


@dataclass(frozen=True)
class Rank:
    """Mean rank over the seeds (1 is best) with its t interval, cut to [1, k]; NaN bounds for one seed."""

    mean: float
    low: float
    high: float


def ranks(table: Array, level: float = LEVEL) -> list[Rank]:
    """One Rank for each column of (n seeds, k arms); higher values are better, ties share their mean rank."""
    better = (table[:, :, None] < table[:, None, :]).sum(2)
    equal = (table[:, :, None] == table[:, None, :]).sum(2)
    places = better + (equal + 1) / 2
    found = [mean_interval(column, level) for column in places.T]
    k = float(table.shape[1])
    return [Rank(one.mean, float(np.clip(one.low, 1, k)), float(np.clip(one.high, 1, k))) for one in found]

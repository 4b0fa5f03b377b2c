"""What a handful of seeds allows to be said: intervals, chances, corrections, and what could not have been seen.

Everything is on small samples (3 to 20 seeds), so that t quantiles are used throughout: at five seeds a t interval
covers 94 % where a bootstrap covers 84 %. Only scipy.special is imported, because every cell's process pays for imports.

Legend: n = seeds, k = arms, m = decisions. Arrays are float64; nothing here knows what a metric is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, nctdtr, ndtri, stdtr, stdtrit

Array = npt.NDArray[np.float64]

#: Level of the intervals, error rate of the verdicts, power of what "could have been seen".
LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
#: Chance that the bound of a spread, with which power is told, lies above the true one. With it an effect that "would have
#: been seen four times out of five" is seen in 78 to 89 % of second studies (docs/verdicts.md).
SPREAD_LEVEL = 0.7
#: Nobody counts further than this.
MOST_SEEDS = 1000
#: Bisection stops at this share of the bracket; far below anything that is printed.
PRECISION = 1e-10


@dataclass(frozen=True)
class Estimate:
    """A mean with its t interval, in the unit of the values; `spread` is the standard deviation of one value.

    With one value, or values without any spread, there is no interval: low, high and p are NaN (and p is 1 where the
    mean is exactly zero without spread).
    """

    mean: float
    low: float
    high: float
    spread: float
    n: int
    p: float  # two-sided, of a mean of zero
    error: float = math.nan  # standard error of the mean
    freedom: float = math.nan  # degrees of freedom of that error

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where there is none."""
        return self.low > 0 or self.high < 0

    def within(self, level: float) -> tuple[float, float]:
        """The interval at another level; NaN where there is none."""
        if math.isnan(self.low):
            return math.nan, math.nan
        reach = t_quantile(self.freedom, (1 + level) / 2) * self.error
        return self.mean - reach, self.mean + reach


def t_quantile(freedom: float, probability: float) -> float:
    """Quantile of Student's t."""
    return float(stdtrit(freedom, probability))


def mean_interval(values: Sequence[float] | Array, level: float = LEVEL) -> Estimate:
    """Mean of n values with a t interval; of paired differences this is the paired comparison.

    Raises ValueError for no values.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) == 0:
        raise ValueError("a mean needs at least one value")
    mean = float(sample.mean())
    if len(sample) == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1, math.nan)
    spread = float(sample.std(ddof=1))
    return estimate(mean, spread / math.sqrt(len(sample)), len(sample) - 1, spread, len(sample), level)


def freedom_of(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent error variances, each with its own (Satterthwaite 1946)."""
    total = sum(part for part, _ in parts)
    return total**2 / sum(part**2 / own for part, own in parts) if total > 0 else sum(own for _, own in parts)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """The second mean minus the first (Welch 1947); without an interval where one of the two has none."""
    mean, n = second.mean - first.mean, min(first.n, second.n)
    if math.isnan(first.error) or math.isnan(second.error):
        return Estimate(mean, math.nan, math.nan, math.nan, n, math.nan)
    parts = [(one.error**2, one.freedom) for one in (first, second)]
    error, spread = math.sqrt(sum(part for part, _ in parts)), math.hypot(first.spread, second.spread)
    return estimate(mean, error, freedom_of(parts), spread, n)


def estimate(mean: float, error: float, freedom: float, spread: float, n: int, level: float = LEVEL) -> Estimate:
    """A mean whose standard error is known from elsewhere, with its t interval."""
    if error <= abs(mean) * 1e-12:  # equal but for rounding: nothing says how certain that is
        p = 1.0 if mean == 0 else math.nan
        return Estimate(mean, math.nan, math.nan, spread, n, p)
    reach = t_quantile(freedom, (1 + level) / 2) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Estimate(mean, mean - reach, mean + reach, spread, n, p, error, freedom)


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


def holm(ps: Sequence[float], times: Callable[[int], float] = float) -> list[float]:
    """Adjusted p values in the given order (Holm 1979): reject below alpha, and the family's error rate is alpha.

    A NaN stays NaN and does not count as a question that was asked. `times` is what the smallest p of so many questions is
    multiplied by: their number, or more at an early look (`Look.times`).
    """
    asked = sorted((p, index) for index, p in enumerate(ps) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(ps), 0.0
    for rank, (p, index) in enumerate(asked):
        highest = max(highest, min(1.0, times(len(asked) - rank) * p))
        adjusted[index] = highest
    return adjusted


def more_failures(failed: int, of: int, others_failed: int, others: int) -> float:
    """Chance of at least `failed` failures among `of` cells, were failures spread by chance (Fisher's exact test, one-sided)."""
    total, all_ = failed + others_failed, of + others
    ways = sum(math.comb(total, k) * math.comb(all_ - total, of - k) for k in range(failed, min(total, of) + 1))
    return ways / math.comb(all_, of)


def upper_spread(spread: float, freedom: float, level: float = SPREAD_LEVEL) -> float:
    """The bound above which a true spread does not lie with this chance, given what was measured with `freedom`.

    An effect that is told from a spread of few seeds as if it were the true one is seen less often than it promises.
    """
    return spread * math.sqrt(freedom / float(chdtri(freedom, level)))


def power_of(effect: float, spread: float, n: int, alpha: float = ALPHA, freedom: float | None = None) -> float:
    """Chance that n paired differences with this mean and spread give p < alpha (two-sided, noncentral t).

    `freedom` is that of the spread which the test will use, n - 1 where it is that of the pairs alone.
    """
    if n < 2 or spread <= 0:
        raise ValueError(f"power needs at least two pairs and a spread above zero, not {n} and {spread:g}")
    free = n - 1.0 if freedom is None else freedom
    shift = abs(effect) / spread * math.sqrt(n)
    bound = t_quantile(free, 1 - alpha / 2)
    below, other = float(nctdtr(free, shift, bound)), float(nctdtr(free, shift, -bound))
    # Far from zero scipy has no number for a tail; it is then smaller than any that is printed.
    return 1 - (0.0 if math.isnan(below) else below) + (0.0 if math.isnan(other) else other)


def smallest_visible(
    n: int, spread: float, alpha: float = ALPHA, power: float = POWER, freedom: float | None = None
) -> float:
    """The effect that n pairs of this spread see with the given power, in the unit of `spread`; NaN for n < 2.

    A spread of zero sees everything: 0.
    """
    if n < 2 or math.isnan(spread):
        return math.nan
    if spread == 0:
        return 0.0
    high = 1.0
    while power_of(high, 1.0, n, alpha, freedom) < power:
        high *= 2
    low = 0.0
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(middle, 1.0, n, alpha, freedom) < power else (low, middle)
    return high * spread


def seeds_needed(
    effect: float,
    spread: float,
    alpha: float = ALPHA,
    power: float = POWER,
    most: int = MOST_SEEDS,
    per_seed: float = 1.0,
) -> int:
    """Fewest seeds that see `effect` with the given power; `most` where even those are too few, 2 without any spread.

    `per_seed` degrees of freedom come with every seed after the first: more than one where arms share a spread.
    """
    if spread <= 0:
        return 2
    counts = range(2, most)
    return next((n for n in counts if power_of(effect, spread, n, alpha, per_seed * (n - 1)) >= power), most)


@dataclass(frozen=True)
class Rank:
    """Mean rank over the seeds (1 is best) with its t interval, cut to [1, k]; NaN bounds where there is none."""

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

"""How quality grows with the number of training rows: a + b n^-c, a forecast, and what a gain is worth in images.

The form is that of Hestness et al. 2017 and Rosenfeld et al. 2020, with a >= 0 what more rows of the same kind never
buy. Fitted on relative residuals, because the spread of a distance grows with it.

Legend: n = training rows, k = sizes, r = seeds, d = draws. Distances are in the unit that is handed in, lower is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aigc_core.ablation.statistics import LEVEL, Array, Estimate, mean_interval

#: Fewer sizes than this leave a curve of three numbers too free: dots only.
MIN_SIZES = 5
#: Bounds of the exponent: below, nothing is told from a straight line over log n; above, nothing is gained later.
EXPONENTS = (0.05, 3.0)
#: The forecast is for this multiple of the largest size; a curve is not asked beyond it.
MULTIPLE = 2
#: Exponents tried in each round of the search, rounds, and draws behind an interval.
TRIED, ROUNDS, DRAWS = 33, 4, 400


@dataclass(frozen=True)
class Curves:
    """d curves a + b (n / largest)^-c; the first is the estimate, the others are draws around it. Arrays (d,)."""

    a: Array
    b: Array
    c: Array
    largest: float

    def at(self, rows: float | Array) -> Array:
        """Values (d,) or (d, len(rows))."""
        ratio = np.asarray(rows, dtype=np.float64) / self.largest
        if ratio.ndim == 0:
            return np.asarray(self.a + self.b * ratio**-self.c)
        return np.asarray(self.a[:, None] + self.b[:, None] * ratio[None] ** -self.c[:, None])

    def rows_for(self, values: Array) -> Array:
        """Rows (d,) at which each curve has its value; infinity where it never gets there, 0 where a flat curve lies below it."""
        with np.errstate(divide="ignore", over="ignore"):
            ratio = np.where(values > self.a, self.b / np.maximum(values - self.a, 1e-300), np.inf)
            return np.asarray(self.largest * ratio ** (1 / self.c))


@dataclass(frozen=True)
class Band:
    """An estimate with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A fitted curve, or the reason why there is none (`curves` is None then)."""

    curves: Curves | None
    refusal: str
    sizes: list[int]
    seeds: int
    least: float = 0.0  # no forecast lies below it, unless the largest size already does
    level: float = LEVEL

    @property
    def too_few(self) -> bool:
        """Whether fewer sizes were measured than a curve takes."""
        return len(set(self.sizes)) < MIN_SIZES

    def forecast(self, multiple: float) -> Band:
        """The distance at `multiple` times the largest size. Raises ValueError where nothing was fitted."""
        curves = self._known()
        return self._band(self._at(multiple * curves.largest))

    def gain(self, multiple: float) -> Band:
        """The logarithm of (distance at the largest size / distance there), >= 0 by the form of the curve."""
        curves = self._known()
        return self._band(np.log(curves.at(curves.largest) / self._at(multiple * curves.largest)))

    def _at(self, rows: float | Array) -> Array:
        """Values (d,) or (d, len(rows)), not below `least`."""
        curves = self._known()
        values, bound = curves.at(rows), np.minimum(self.least, curves.at(curves.largest))
        return np.asarray(np.maximum(values.T, bound).T)

    def band(self, rows: Array) -> tuple[Array, Array, Array]:
        """Estimate, low and high (len(rows),) for drawing."""
        values = self._at(rows)
        return values[0], *self._ends(values)

    def _band(self, values: Array) -> Band:
        low, high = self._ends(values[:, None])
        return Band(float(values[0]), float(low[0]), float(high[0]))

    def _ends(self, values: Array) -> tuple[Array, Array]:
        """Low and high (m,) from values (d, m): the union of the draws' quantiles and of their mirror image.

        Either alone is short on one side where the truth lies on an edge of the form (a = 0), and then a forecast would
        call a bubble what is none; a distance, and a gain of one, cannot be below zero.
        """
        low, high = np.quantile(values, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        low, high = np.minimum(low, 2 * values[0] - high), np.maximum(high, 2 * values[0] - low)
        return np.clip(np.minimum(low, values[0]), 0, None), np.maximum(high, values[0])

    def _known(self) -> Curves:
        if self.curves is None:
            raise ValueError(f"no curve was fitted: {self.refusal}")
        return self.curves


def fit_curve(rows: Array, table: Array, seed: int = 0, draws: int = DRAWS, least: float = 0.0) -> Fit:
    """Fit to a table (r seeds, k sizes) of distances at `rows` (k,) training rows; seeds share their chance over sizes.

    The interval comes from refitting to `draws` multivariate t draws (r - 1 degrees of freedom) of the k means with
    the covariance of the seeds: for anything linear in the means that is exactly the t interval, and a plain bootstrap of
    five seeds would cover too little. Fewer than five sizes or two seeds, or means that the curve misses by more than
    their own intervals, give a Fit that says so. `least` is what a forecast does not go below.
    """
    order = np.argsort(rows)
    rows, table = np.asarray(rows, dtype=np.float64)[order], np.asarray(table, dtype=np.float64)[:, order]
    sizes, (seeds, count) = [int(row) for row in rows], table.shape
    if len(set(sizes)) < MIN_SIZES:
        reason = f"a curve needs at least {MIN_SIZES} sizes and this study has {len(set(sizes))}: dots only"
        return Fit(None, reason, sizes, seeds)
    if seeds < 2:
        have = "1 seed has" if seeds else "no seed has"
        return Fit(None, f"{have} all sizes and a curve needs at least 2: dots only", sizes, seeds)
    means = table.mean(0)
    noise = _t_draws(table, draws, np.random.default_rng(seed))
    curves = _fit_many(rows, np.concatenate([means[None], means[None] + noise]), means)
    missed = _missed(table, curves.at(rows)[0], count)
    if missed is not None:
        reason = (
            f"a + b n^-c misses the mean of the seeds at {sizes[missed]} rows by more than its interval: no forecast"
        )
        return Fit(None, reason, sizes, seeds)
    return Fit(curves, "", sizes, seeds, least)


def _t_draws(table: Array, draws: int, chance: np.random.Generator) -> Array:
    """(draws, k) errors of the column means: multivariate t with the covariance of the r rows over r."""
    seeds = len(table)
    centred = (table - table.mean(0)) / math.sqrt(seeds * (seeds - 1))
    normal = chance.standard_normal((draws, seeds)) @ centred
    return np.asarray(normal / np.sqrt(chance.chisquare(seeds - 1, (draws, 1)) / (seeds - 1)))


def _missed(table: Array, fitted: Array, count: int) -> int | None:
    """The first size whose mean's interval (Bonferroni over the k sizes) leaves the curve out."""
    for index in range(count):
        found = mean_interval(table[:, index] - fitted[index], 1 - (1 - LEVEL) / count)
        # A table without any spread has intervals of no width; rounding is no misfit.
        if found.excludes_zero() and abs(found.mean) > 1e-6 * abs(fitted[index]):
            return index
    return None


def _fit_many(rows: Array, targets: Array, scale: Array) -> Curves:
    """Least squares of (target - curve) / scale for each line of `targets` (d, k), a and b >= 0, c within EXPONENTS.

    For a given exponent the problem is linear in a and b and solved exactly; the exponent is found by trying a grid on
    the log scale, and finer grids around the best, for all lines at once.
    """
    ratio, weight = rows / rows.max(), 1 / np.maximum(np.abs(scale), 1e-12)
    low = np.full(len(targets), math.log(EXPONENTS[0]))
    high = np.full(len(targets), math.log(EXPONENTS[1]))
    for _ in range(ROUNDS):
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, TRIED)[None]
        a, b, loss = _solve(ratio, weight, targets, np.exp(grid))
        best, lines = loss.argmin(1), np.arange(len(targets))
        chosen = (a[lines, best], b[lines, best], np.exp(grid[lines, best]))
        low, high = grid[lines, np.maximum(best - 1, 0)], grid[lines, np.minimum(best + 1, TRIED - 1)]
    return Curves(*chosen, float(rows.max()))


def _solve(ratio: Array, weight: Array, targets: Array, exponents: Array) -> tuple[Array, Array, Array]:
    """a, b and the loss (d, g) for exponents (d, g): the better of the inner solution and the two edges a = 0, b = 0."""
    basis = ratio[None, None] ** -exponents[..., None] * weight  # (d, g, k)
    ones, goal = np.broadcast_to(weight, basis.shape), (targets * weight)[:, None, :]
    oo, ob, bb = (ones * ones).sum(-1), (ones * basis).sum(-1), (basis * basis).sum(-1)
    og, bg = (ones * goal).sum(-1), (basis * goal).sum(-1)
    spread = np.maximum(oo * bb - ob * ob, 1e-300)
    a, b = (bb * og - ob * bg) / spread, (oo * bg - ob * og) / spread
    flat, steep = np.maximum(og / oo, 0), np.maximum(bg / bb, 0)
    candidates = [(np.maximum(a, 0), np.maximum(b, 0)), (flat, np.zeros_like(flat)), (np.zeros_like(steep), steep)]
    losses = np.stack([np.square(goal - x[..., None] * ones - y[..., None] * basis).sum(-1) for x, y in candidates])
    best = losses.argmin(0)
    return (
        np.choose(best, [x for x, _ in candidates]),
        np.choose(best, [y for _, y in candidates]),
        np.choose(best, list(losses)),
    )


@dataclass(frozen=True)
class Worth:
    """What an effect is worth in training images, by the horizontal shift along the curve.

    `images` >= 0 is the amount, NaN where there is no answer, with its 95 % interval (below 0: worth the other way);
    `bound` says whether the amount is exact ("") or lies "beyond" what the curve was measured or may be asked for.
    """

    images: float
    low: float
    high: float
    bound: str
    sentence: str


def worth(fit: Fit, gain: Estimate, seed: int = 0) -> Worth:
    """Images that a gain (the logarithm of a ratio of distances) at the largest size is worth.

    A decision that helps: without it the model is as good as one on n' < n rows with it, and it is worth n - n'. One that
    hurts: dropping it buys what n' - n more rows would. Below the smallest size, and beyond MULTIPLE times the largest,
    the curve is not believed: the answer is then "more than". The interval moves along every drawn curve by an effect
    drawn beside it, so that it holds what is not known of both.
    """
    if fit.curves is None:
        return Worth(math.nan, math.nan, math.nan, "", f"not told in images: {fit.refusal}")
    curves = fit.curves
    if curves.b[0] <= 0:
        return Worth(math.nan, math.nan, math.nan, "", "not told in images: the curve is flat, more rows buy nothing")
    n, floor, ceiling = curves.largest, float(min(fit.sizes)), MULTIPLE * curves.largest
    gains = np.full(len(curves.a), gain.mean)
    if not math.isnan(gain.error):
        gains[1:] += gain.error * np.random.default_rng(seed).standard_t(gain.freedom, len(gains) - 1)
    shifts = n - np.clip(curves.rows_for(curves.at(n) * np.exp(gains)), floor, ceiling)
    signed = float(shifts[0])
    low, high = (float(end) for end in np.quantile(shifts, [(1 - fit.level) / 2, (1 + fit.level) / 2]))
    low, high = min(low, signed), max(high, signed)
    beyond = signed >= n - floor or signed <= n - ceiling
    lower, upper = (low, high) if signed >= 0 else (-high, -low)
    words = _worth_words(signed, (lower, upper), n, beyond)
    return Worth(abs(signed), lower, upper, "beyond" if beyond else "", words)


def _worth_words(signed: float, ends: tuple[float, float], n: float, beyond: bool) -> str:
    about = f"about {abs(signed):,.0f} ({ends[0]:,.0f} to {ends[1]:,.0f})"
    amount = f"more than {abs(signed):,.0f}" if beyond else about
    if signed >= 0:
        left = f"{'fewer than ' if beyond else ''}{n - signed:,.0f}"
        return f"worth {amount} images: without it, {n:,.0f} images do what {left} do with it"
    return f"dropping it is worth {amount} more images"

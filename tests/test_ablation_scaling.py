"""The scaling curve: found where there is one, refused where there is none, with an interval that covers."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from aigc_core.ablation.scaling import fit_curve, worth
from aigc_core.ablation.statistics import Estimate, estimate

ROWS = np.array([90.0, 160, 285, 500, 890])


def curve(rows, a=1.5, b=0.8, c=0.7):
    return a + b * (np.asarray(rows) / ROWS[-1]) ** -c


def sure(gain, error=1e-6):
    """A gain (log ratio) that is known well."""
    return estimate(gain, error, 20.0, error * 4, 16)


def noisy(seed, seeds=5, spread=0.03, **shape):
    chance = np.random.default_rng(seed)
    common = chance.normal(0, spread / 2, (seeds, 1))
    return curve(ROWS, **shape) * (1 + common + chance.normal(0, spread, (seeds, len(ROWS))))


def test_an_exact_curve_is_found_again():
    found = fit_curve(ROWS[::-1].copy(), np.tile(curve(ROWS[::-1]), (3, 1)))
    assert found.curves is not None
    assert float(found.curves.a[0]) == pytest.approx(1.5, abs=0.01)
    assert float(found.curves.c[0]) == pytest.approx(0.7, abs=0.01)
    assert found.forecast(2).value == pytest.approx(float(curve(2 * ROWS[-1])), rel=1e-3)
    assert found.gain(4).value == pytest.approx(math.log(curve(ROWS[-1]) / curve(4 * ROWS[-1])), rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_least_squares_fit_of_scipy(seed):
    table = noisy(seed)
    means, found = table.mean(0), fit_curve(ROWS, table)

    def residuals(p):
        return (p[0] + p[1] * (ROWS / ROWS[-1]) ** -p[2]) / means - 1

    starts = [optimize.least_squares(residuals, (1, 1, c), bounds=([0, 0, 0.05], [9, 9, 3])) for c in (0.2, 0.7, 2)]
    ours = np.array([found.curves.a[0], found.curves.b[0], found.curves.c[0]])
    assert np.square(residuals(ours)).sum() <= 2 * min(one.cost for one in starts) * (1 + 1e-4)


@pytest.mark.parametrize("shape", [{}, {"a": 0.0, "b": 2.0, "c": 0.4}, {"a": 2.0, "b": 0.05, "c": 1.0}])
def test_the_interval_of_the_forecast_covers_the_truth(shape):
    truth, trials, hits = float(curve(2 * ROWS[-1], **shape)), 80, 0
    fitted = 0
    for seed in range(trials):
        found = fit_curve(ROWS, noisy(seed, **shape), draws=150)
        if found.curves is not None:
            fitted += 1
            band = found.forecast(2)
            hits += band.low <= truth <= band.high
    assert fitted > 0.9 * trials
    # The form bends the interval at its edges; it may be wide, but not narrower than it says by more than chance.
    assert stats.binomtest(hits, fitted, 0.93, alternative="less").pvalue > 0.01


def test_more_noise_and_fewer_seeds_make_it_wider():
    def width(**options):
        bands = [fit_curve(ROWS, noisy(seed, **options), draws=100).forecast(2) for seed in range(8)]
        return np.median([band.high - band.low for band in bands])

    assert width(spread=0.01) < width(spread=0.05)
    assert width(seeds=20) < width(seeds=4)


def test_what_cannot_be_fitted_says_why():
    assert "this study has 4" in fit_curve(ROWS[:4], noisy(0)[:, :4]).refusal
    assert "1 seed" in fit_curve(ROWS, noisy(0)[:1]).refusal
    bump = noisy(0, spread=0.002)
    bump[:, 2] *= 1.5
    refused = fit_curve(ROWS, bump)
    assert refused.curves is None
    assert "misses" in refused.refusal
    with pytest.raises(ValueError, match="misses"):
        refused.forecast(2)
    assert "not told in images" in worth(refused, sure(0.1)).sentence


def test_no_seed_with_all_sizes_is_said_in_words():
    found = fit_curve(np.array([1.0, 2, 3, 4, 5]), np.empty((0, 5)))
    assert found.refusal.startswith("no seed has all sizes")


def test_equal_tables_give_equal_intervals():
    assert fit_curve(ROWS, noisy(3)).gain(2) == fit_curve(ROWS, noisy(3)).gain(2)


def test_an_effect_is_worth_the_rows_between_two_points_of_the_curve():
    found = fit_curve(ROWS, np.tile(curve(ROWS), (3, 1)))
    helps = worth(found, sure(math.log(curve(500) / curve(890)), 0.02))
    assert helps.images == pytest.approx(390, rel=0.01)
    assert helps.low < 390 < helps.high
    assert helps.bound == ""
    assert "without it, 890 images do what 500" in helps.sentence
    hurts = worth(found, sure(-math.log(curve(890) / curve(1700))))
    assert hurts.images == pytest.approx(810, rel=0.01)
    assert hurts.sentence.startswith("dropping it is worth about")


def test_beyond_the_curve_the_answer_is_more_than():
    found = fit_curve(ROWS, np.tile(curve(ROWS), (3, 1)))
    assert worth(found, sure(3.0)).sentence.startswith("worth more than 800 images")
    impossible = worth(found, sure(-1.2))
    assert (impossible.bound, impossible.images) == ("beyond", 890)
    flat = fit_curve(ROWS, np.full((3, 5), 2.0))
    assert math.isnan(worth(flat, sure(0.1)).images)
    assert "flat" in worth(flat, sure(0.1)).sentence


def test_no_forecast_goes_below_what_real_images_get():
    table = np.tile(curve(ROWS, a=0.1, b=1.0, c=1.0), (3, 1))
    assert fit_curve(ROWS, table).forecast(2).value == pytest.approx(0.6, abs=0.01)
    bounded = fit_curve(ROWS, table, least=1.0)
    assert bounded.forecast(2).value == pytest.approx(1.0)
    assert bounded.gain(2).value == pytest.approx(math.log(1.1), abs=0.01)
    drawn = bounded.band(2 * ROWS[-1:])
    assert [float(line[0]) for line in drawn] == pytest.approx([1.0, 1.0, 1.0])


def test_where_a_flat_curve_is_possible_a_decision_that_helps_is_not_worth_less_than_nothing():
    found = fit_curve(ROWS, np.tile(curve(ROWS), (3, 1)))
    draws = np.arange(len(found.curves.b)) % 10 == 1  # a tenth of them
    flat = replace(found, curves=replace(found.curves, b=np.where(draws, 0.0, found.curves.b)))
    gained = worth(flat, sure(0.2))
    assert gained.images == pytest.approx(worth(found, sure(0.2)).images)
    assert gained.low > 0


@pytest.mark.parametrize("shape", [{}, {"a": 0.5, "b": 1.8, "c": 0.3}])
def test_worth_in_images_covers_the_truth(shape):
    """The curve is measured, and so is the effect: both errors are in the interval."""
    true_rows, hits, told = 600.0, 0, 0
    gain = math.log(float(curve(true_rows, **shape) / curve(ROWS[-1], **shape)))
    for seed in range(60):
        found = fit_curve(ROWS, noisy(seed, **shape), draws=150)
        if found.curves is None:
            continue
        told += 1
        error = 0.03
        effect = estimate(float(np.random.default_rng([seed, 1]).normal(gain, error)), error, 8.0, error, 5)
        answer = worth(found, effect)
        hits += answer.low <= ROWS[-1] - true_rows <= answer.high
    assert stats.binomtest(hits, told, 0.93, alternative="less").pvalue > 0.01


def test_an_effect_of_one_seed_is_worth_a_number_without_the_effects_own_error():
    found = fit_curve(ROWS, np.tile(curve(ROWS), (3, 1)))
    single = Estimate(math.log(curve(500) / curve(890)), math.nan, math.nan, math.nan, 1, math.nan)
    assert worth(found, single).images == pytest.approx(390, rel=0.01)

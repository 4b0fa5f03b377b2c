"""The spread that arms share: what it is, what it may not do, and how often a verdict from it is wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from aigc_core.ablation import spread
from aigc_core.ablation import statistics as s
from aigc_core.ablation.controls import against_sets, rows_like_these

K = 6


def table(seed, n, wide=1.0, arms=K, seeds_alike=0.0):
    """Values of the full recipe and of `arms` more without any effect; the first of these spreads `wide` times as much."""
    chance = np.random.default_rng(seed)
    values = chance.normal(0, 1, (arms + 1, n))
    values[1] *= wide
    return values + chance.normal(0, seeds_alike, n)


def test_the_shared_spread_is_that_of_all_arms_whatever_their_means_and_the_seeds_are():
    values = table(0, 200, seeds_alike=5.0) + np.arange(K + 1)[:, None]
    found = spread.pool(values, 2)
    assert found.spread == pytest.approx(math.sqrt(2), rel=0.1)
    assert found.arms == K
    assert found.freedom == pytest.approx(199 * (2 + (K - 2) / 2))


def test_the_residual_is_that_of_a_two_way_analysis_of_variance():
    values = table(1, 4)
    centred = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    assert spread._residual(values) == pytest.approx(np.square(centred).sum() / (K * 3))
    hole = values.copy()
    hole[2, 1] = math.nan
    assert 0 < spread._residual(hole) < 3


def test_missing_cells_and_single_arms_are_no_obstacle():
    values = table(2, 5)
    values[3, 2:] = math.nan
    values[4] = math.nan
    found = spread.pool(values, 3)
    assert found.arms == K - 1
    assert found.spread > 0
    single = spread.pool(values[:2], 1)
    assert single.spread == pytest.approx((values[1] - values[0]).std(ddof=1))
    assert single.freedom == 4
    assert spread.pool(values[:1], 0) == spread.ALONE


def test_an_arm_that_spreads_more_keeps_its_own_spread_and_borrows_little():
    found = spread.Pool(1.0, 20.0, 6)
    wide, calm = np.array([-6.0, 0.5, 6.0]), np.array([0.1, 0.11, 0.09])
    own = found.interval(wide)
    assert own.spread == pytest.approx(wide.std(ddof=1))
    assert 2 < own.freedom < 2.1
    assert found.interval(calm).spread == 1.0
    assert found.interval(calm).freedom == 20.0
    assert found.interval(calm, least=3.0).spread == 3.0
    assert math.isnan(found.interval(np.array([0.3])).low)
    alone = spread.ALONE.interval(wide)
    assert (alone.low, alone.high, alone.p) == pytest.approx(
        (s.mean_interval(wide).low, s.mean_interval(wide).high, s.mean_interval(wide).p)
    )


def test_an_arm_whose_trainings_go_astray_does_not_blind_the_others():
    values = table(3, 4)
    calm = spread.pool(values, 3)
    values[2] += np.array([0.0, 60.0, 0.0, 40.0])
    found = spread.pool(values, 3)
    assert found.arms == K - 1
    assert found.spread < 2 * calm.spread
    assert found.interval(values[2] - values[0]).spread > 20


@pytest.mark.parametrize(("n", "wide"), [(3, 1.0), (5, 1.0), (3, 3.0), (5, 3.0)])
def test_false_verdicts_are_rare_also_where_one_arm_spreads_three_times_as_much(n, wide):
    wrong, studies, decisions = 0, 1500, 3
    for seed in range(studies):
        values = table(seed, n, wide)
        shared = spread.pool(values, decisions)
        gains = values[1:] - values[0]
        wrong += min(s.holm([shared.interval(own).p for own in gains[:decisions]])) < s.ALPHA
    assert stats.binomtest(wrong, studies, 0.06, alternative="greater").pvalue > 0.01


def test_single_sets_are_held_against_the_spread_of_single_sets():
    gains = np.array([0.5, 0.2, 0.4, 0.3, 0.35])
    strict, plain = against_sets(gains), s.mean_interval(gains)
    assert strict.mean == plain.mean
    assert strict.error == pytest.approx(plain.error * math.sqrt(6))
    assert math.isnan(against_sets(gains[:1]).low)


def test_rows_like_these_are_known_as_badly_as_random_sets_differ():
    gain = s.mean_interval(np.array([0.31, 0.3, 0.29, 0.3, 0.3]))
    found = rows_like_these(gain, np.array([0.1, -0.1, 0.2, -0.2, 0.0]))
    assert found.mean == gain.mean
    assert found.error == pytest.approx(np.std([0.1, -0.1, 0.2, -0.2, 0.0], ddof=1))
    assert rows_like_these(gain, np.array([0.1])) is None

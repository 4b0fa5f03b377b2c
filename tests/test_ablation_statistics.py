"""Small-sample statistics: against scipy.stats, against enumeration, and by how often they are wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from aigc_core.ablation import statistics as s

SAMPLE = [0.3, -0.1, 0.55, 0.2, 0.41]
OTHER = [0.1, 0.7, -0.6, 0.2]


def test_a_mean_has_the_interval_and_p_of_a_t_test():
    found, oracle = s.mean_interval(SAMPLE, 0.99), stats.ttest_1samp(SAMPLE, 0)
    low, high = oracle.confidence_interval(0.99)
    assert (found.low, found.high, found.p) == pytest.approx((low, high, oracle.pvalue))
    assert found.spread == pytest.approx(np.std(SAMPLE, ddof=1))
    assert not found.excludes_zero()
    assert s.mean_interval(SAMPLE, 0.5).excludes_zero()


def test_two_samples_have_the_interval_and_p_of_welch():
    oracle = stats.ttest_ind(SAMPLE, OTHER, equal_var=False)
    found = s.difference(s.mean_interval(OTHER), s.mean_interval(SAMPLE))
    low, high = oracle.confidence_interval(0.95)
    assert found.freedom == pytest.approx(oracle.df)
    assert (found.low, found.high, found.p) == pytest.approx((low, high, oracle.pvalue))


def test_what_few_or_equal_values_allow():
    single = s.mean_interval([0.4])
    assert single.mean == 0.4
    assert math.isnan(single.low)
    assert not single.excludes_zero()
    assert s.mean_interval([0.0, 0.0, 0.0]).p == 1.0
    constant = s.mean_interval([0.2, 0.2, 0.2])
    assert constant.mean == pytest.approx(0.2)
    assert all(math.isnan(value) for value in (constant.low, constant.high, constant.p)), "no spread is no certainty"
    assert not constant.excludes_zero()
    with pytest.raises(ValueError, match="at least one value"):
        s.mean_interval([])


@pytest.mark.parametrize("n", [3, 5])
def test_intervals_cover_what_they_promise_and_are_wrong_as_often_as_they_promise(n):
    chance, hits, rejections, draws = np.random.default_rng(7), 0, 0, 2000
    for _ in range(draws):
        a, b = chance.normal(0.3, 1, n), chance.normal(0, 1, n)
        found = s.mean_interval(a - b)
        hits += found.low <= 0.3 <= found.high
        null = s.mean_interval(b)
        rejections += null.p < 0.05
    assert stats.binomtest(hits, draws, 0.95).pvalue > 0.01
    assert stats.binomtest(rejections, draws, 0.05).pvalue > 0.01


def test_chance_better_counts_ties_half_and_has_wilsons_interval():
    found = s.chance_better([0.1, 0.0, -0.2, 0.4])
    assert found.value == pytest.approx(2.5 / 4)
    found = s.chance_better([1, 1, 1, -1, 1])
    low, high = stats.binomtest(4, 5).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))
    assert s.chance_better([1.0] * 5).high == pytest.approx(1)


def test_holm_by_hand_and_by_its_promise():
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([0.5, 0.9]) == [1.0, 1.0]
    with_hole = s.holm([0.02, math.nan, 0.03])
    assert with_hole[0] == pytest.approx(0.04)
    assert math.isnan(with_hole[1])
    chance = np.random.default_rng(3)
    wrong = sum(min(s.holm(list(chance.uniform(size=6)))) < 0.05 for _ in range(2000))
    assert stats.binomtest(wrong, 2000, 0.05, alternative="greater").pvalue > 0.01


def test_the_smallest_visible_effect_is_seen_as_often_as_promised():
    effect, chance = s.smallest_visible(5, 2.0), np.random.default_rng(5)
    seen = sum(s.mean_interval(chance.normal(effect, 2.0, 5)).p < s.ALPHA for _ in range(2000))
    assert stats.binomtest(seen, 2000, s.POWER).pvalue > 0.01
    assert s.smallest_visible(10, 2.0) < effect < s.smallest_visible(3, 2.0)
    assert s.smallest_visible(5, 2.0, alpha=0.05 / 6) > effect
    assert s.smallest_visible(5, 0.0) == 0
    assert math.isnan(s.smallest_visible(1, 1.0))


def test_seeds_needed_is_the_inverse():
    needed = s.seeds_needed(1.0, 1.0)
    assert s.smallest_visible(needed, 1.0) <= 1.0 < s.smallest_visible(needed - 1, 1.0)
    assert s.seeds_needed(1e-6, 1.0, most=30) == 30


def test_an_interval_at_another_level_is_that_of_scipy():
    found, low_high = s.mean_interval(SAMPLE), stats.ttest_1samp(SAMPLE, 0).confidence_interval(0.9)
    assert found.within(0.9) == pytest.approx(tuple(low_high))
    assert all(math.isnan(end) for end in s.mean_interval([0.4]).within(0.9))


@pytest.mark.parametrize(("n", "asked"), [(2, 1), (3, 4), (3, 8), (4, 8), (5, 6)])
def test_power_has_a_number_where_scipy_has_none_for_a_tail(n, asked):
    effect = s.smallest_visible(n, 1.0, 0.05 / asked)
    chance = np.random.default_rng(n)
    normal, root = chance.standard_normal((40_000, 1)), np.sqrt(chance.chisquare(n - 1, (40_000, 1)) / (n - 1))
    seen = np.abs(normal + effect * math.sqrt(n)) / root > stats.t.ppf(1 - 0.025 / asked, n - 1)
    assert seen.mean() == pytest.approx(s.POWER, abs=0.015)
    assert s.power_of(1e4, 1.0, n) == pytest.approx(1)


def test_the_bound_of_a_spread_lies_above_the_true_one_as_often_as_its_level_says():
    chance = np.random.default_rng(2)
    spreads = chance.normal(0, 1.5, (4000, 5)).std(1, ddof=1)
    above = sum(s.upper_spread(float(one), 4) > 1.5 for one in spreads)
    assert stats.binomtest(above, 4000, s.SPREAD_LEVEL).pvalue > 0.01


def test_more_seeds_are_needed_where_no_arm_shares_its_spread():
    assert s.seeds_needed(1.0, 1.0, per_seed=3.0) < s.seeds_needed(1.0, 1.0)


@pytest.mark.parametrize("table", [(3, 5, 0, 25), (2, 3, 1, 15), (5, 5, 0, 5), (0, 5, 3, 20)])
def test_failures_have_the_p_of_fishers_exact_test(table):
    failed, of, others_failed, others = table
    exact = stats.fisher_exact([[failed, of - failed], [others_failed, others - others_failed]], "greater").pvalue
    assert s.more_failures(*table) == pytest.approx(exact)


def test_ranks_put_the_higher_value_first_and_share_ties():
    found = s.ranks(np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 1.0], [2.0, 1.0, 3.0]]))
    assert [rank.mean for rank in found] == pytest.approx([4 / 3, (3 + 2.5 + 3) / 3, (2 + 2.5 + 1) / 3])
    assert all(1 <= rank.low <= rank.mean <= rank.high <= 3 for rank in found)

"""Declared looks: levels that together make 5 %, a study that stops when it has its answers, and no other result after an interruption."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from study_cells import PLAN, cells, on

from aigc_core.ablation import statistics as s
from aigc_core.ablation import verdicts as v
from aigc_core.ablation.looks import Look, local_levels
from aigc_core.ablation.study import Study
from aigc_core.config import parse
from aigc_core.errors import ConfigError

SHARES = (0.2, 0.4, 0.6, 1.0)


def crossing(levels, shares):
    """Chance that a mean of nothing crosses a bound at any look, by the multivariate normal distribution."""
    t = np.array(shares)
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    bounds = norm.isf(np.array(levels) / 2)
    inside = multivariate_normal(cov=correlation, allow_singular=True, seed=0, maxpts=200_000, abseps=1e-6)
    return 1 - inside.cdf(bounds, lower_limit=-bounds)


def test_the_levels_of_the_looks_are_those_of_lan_and_demets():
    levels = local_levels(0.05, SHARES)
    # After 4, 8, 12 and 20 seeds: about 0, 0.0018, 0.0105 and 0.0436, told to the nearest five thousandths.
    assert levels == pytest.approx((0.0, 0.0018, 0.0105, 0.0436), abs=0.0025)
    assert levels[0] == pytest.approx(2 * norm.sf(norm.isf(0.025) / np.sqrt(0.2)))
    for number in (2, 3, 4):
        spent = 2 * norm.sf(norm.isf(0.025) / np.sqrt(SHARES[number - 1]))
        assert crossing(levels[:number], SHARES[:number]) == pytest.approx(spent, abs=2e-5)


@pytest.mark.parametrize("shares", [(1.0,), (0.003, 1.0), (0.5, 0.51, 1.0), tuple(i / 20 for i in range(3, 21))])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12])
def test_all_looks_together_spend_no_more_than_the_level(shares, alpha):
    levels = local_levels(alpha, shares)
    if len(shares) < 4:
        assert crossing(levels, shares) == pytest.approx(alpha, abs=2e-5)
    assert 0.5 * alpha < levels[-1] <= alpha + 1e-9
    if shares == (1.0,):
        assert levels == pytest.approx((alpha,))


def test_a_study_without_looks_is_judged_as_ever():
    once = Look()
    assert (once.level(3), once.confidence, once.times(3), once.stopped) == (s.ALPHA / 3, s.LEVEL, 3, False)


def test_p_is_scaled_so_that_it_is_compared_with_alpha():
    look = Look((4, 8, 12, 20), 8)
    level = local_levels(0.05, SHARES)[1]
    assert (look.number, look.stopped) == (2, True)
    assert s.holm([level], look.times)[0] == pytest.approx(s.ALPHA)
    # Of two the smaller is held to the bound of half the level, which is less than half of the bound.
    half = local_levels(0.025, SHARES)[1]
    assert half < level / 2
    adjusted = s.holm([half, level], look.times)
    assert adjusted == pytest.approx([s.ALPHA, s.ALPHA])
    assert s.holm([1.01 * half, 0.2], look.times)[0] > s.ALPHA
    assert s.holm([0.0, np.nan], Look((3, 1000), 3).times)[0] == 0


def test_the_interval_of_a_look_leaves_out_zero_where_its_test_rejects():
    chance = np.random.default_rng(0)
    look = Look((4, 8, 12, 20), 8)
    for shift in np.linspace(0.2, 2.5, 60):
        gains = shift + chance.normal(0, 1, 8)
        effect = v.judge([v.measure("fd", gains, np.zeros(8), 0, 1, look=look)], look=look)[0]
        assert (effect.adjusted < s.ALPHA) == effect.gain.excludes_zero()
        assert effect.visible > v.measure("fd", gains, np.zeros(8), 0, 1).visible


def declared(frame, looks, seeds):
    plan = {**PLAN, "seeds": list(range(seeds)), "settings": {"ablation": {"looks": looks}}}
    return Study(plan, frame)


def test_a_study_is_judged_at_the_level_of_the_look_that_it_has_reached():
    frame = cells(spread=0.05, seeds=8)
    once = Study({**PLAN, "seeds": list(range(8))}, frame)
    early, last = declared(frame, [4, 8, 12], 20), declared(frame, [4], 8)
    assert (early.look.number, last.look.number) == (2, 2)
    for found in (early, last):
        assert on(found, "curate").p == on(once, "curate").p
        level = found.look.level(3)
        assert found.effects["curate", "fd"].level == level < s.ALPHA / 3
        assert on(found, "curate").low < on(once, "curate").low
    assert early.look.level() < last.look.level()
    assert on(early, "curate").p_holm > on(once, "curate").p_holm


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"looks": [2], "seeds": 10}, "looks"),
        ({"looks": [4, 10], "seeds": 10}, "looks"),
        ({"looks": [8, 4], "seeds": 10}, "looks"),
        ({"looks": [4, 4], "seeds": 10}, "looks"),
        ({"looks": 4, "seeds": 10}, "looks"),
    ],
)
def test_looks_that_are_none_are_refused_in_one_sentence(settings, words):
    with pytest.raises(ConfigError, match=words):
        parse({"ablation": settings})
    assert parse({"ablation": {"looks": [4, 8], "seeds": 10}}).ablation.looks == [4, 8]
    assert parse({}).ablation.looks == []

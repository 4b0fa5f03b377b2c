"""Thresholds from reference rows: the promised false positives on new rows of the same kind, few rows, outliers."""

import numpy as np
import pyarrow as pa
import pytest

from aigc_core.config import Quality
from aigc_core.quality import alike
from aigc_core.quality.calibration import FEW_ROWS, LEAST_ROWS, OUTER, OUTER_FEW, SURE, TAIL, Apart, fit_tail
from aigc_core.quality.duplicates import FLOOR
from aigc_core.records import PAIR_SCHEMA

KINDS = {
    "normal": lambda rng, n: rng.normal(3, 2, n),
    "exponential": lambda rng, n: rng.exponential(1, n),
    "uniform": lambda rng, n: rng.uniform(0, 1, n),
    "heavy": lambda rng, n: rng.standard_t(4, n),
    "lognormal": lambda rng, n: np.exp(0.5 * rng.normal(size=n)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "most"), [(60, 0.02), (400, 0.02), (5000, 0.005)])
def test_new_rows_of_the_same_kind_are_rarely_flagged(kind, rows, most):
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tail = fit_tail(KINDS[kind](rng, rows), 0.001, 0)
        shares.append((KINDS[kind](rng, 20000) > tail.threshold).mean())
    assert np.mean(shares) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_is_not_needlessly_far_out(kind):
    rng = np.random.default_rng(1)
    tail = fit_tail(KINDS[kind](rng, 5000), 0.001, 0)
    many = KINDS[kind](rng, 500_000)
    spread = np.quantile(many, 0.99) - np.median(many)
    assert tail.threshold < np.quantile(many, 0.9999) + 0.5 * spread


@pytest.mark.parametrize(
    ("kind", "share"),
    [*[(kind, share) for kind in ("normal", "exponential") for share in (0.02, 0.05, 0.1, 0.15)], ("uniform", 0.05)],
)
def test_defects_in_the_reference_do_not_switch_the_rule_off(kind, share):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clean = KINDS[kind](rng, 500)
        spread = np.quantile(clean, 0.99) - np.median(clean)
        bad = clean.max() + spread * rng.uniform(1.2, 2, round(500 * share))
        tail = fit_tail(np.concatenate([clean, bad]), 0.001, 0)
        assert (bad > tail.threshold).mean() >= 0.95
        assert (clean > tail.threshold).mean() <= 0.01
        assert tail.apart == pytest.approx(len(bad), abs=6)


def test_a_large_part_of_the_reference_is_a_kind_of_image():
    rng = np.random.default_rng(0)
    two = np.concatenate([rng.normal(0, 1, 300), rng.normal(12, 1, 120)])
    assert fit_tail(two, 0.001, 0).threshold > 12


def test_the_margin_stops_half_way_to_what_an_image_can_be():
    near = fit_tail(np.full(100, 0.9), 0.001, 0.2, limit=1.0)
    assert near.threshold == pytest.approx(0.95)
    assert fit_tail(np.full(100, 0.2), 0.001, 0.2, limit=1.0).threshold == pytest.approx(0.4)


def test_few_rows_give_a_wider_tail_and_say_so():
    rng = np.random.default_rng(3)
    draws = [rng.normal(size=5000) for _ in range(30)]
    few = [fit_tail(draw[:30], 0.001, 0) for draw in draws]
    many = [fit_tail(draw, 0.001, 0) for draw in draws]
    assert np.mean([tail.threshold for tail in few]) > 1.5 * np.mean([tail.threshold for tail in many])
    # Quantiles of an exponential distribution, one row below the limit and on it.
    below, on = (fit_tail(-np.log((np.arange(n) + 0.5) / n), 0.001, 0) for n in (FEW_ROWS - 1, FEW_ROWS))
    assert below.threshold - below.start == pytest.approx(2 * (on.threshold - on.start), rel=0.1)
    assert all(tail.wide for tail in few)
    assert not any(tail.wide for tail in many)


def test_a_share_that_lies_before_the_tail_is_refused_by_the_parameters():
    rule = Quality().dark.model_dump()
    nearly = Quality.model_validate({"dark": rule | {"false_positives": 0.999 * TAIL}}).dark
    assert fit_tail(np.arange(100.0), nearly.false_positives, 0).threshold >= 94
    with pytest.raises(ValueError, match=f"less than {TAIL}"):
        Quality.model_validate({"dark": rule | {"false_positives": TAIL}})


def test_too_few_rows_give_no_tail():
    assert fit_tail(np.arange(LEAST_ROWS - 1.0), 0.001, 0) is None
    assert fit_tail(np.array([*range(LEAST_ROWS - 1), np.nan]), 0.001, 0) is None
    assert fit_tail(np.arange(float(LEAST_ROWS)), 0.001, 0) is not None


def test_a_constant_reference_flags_only_beyond_the_margin():
    tail = fit_tail(np.full(100, 2.0), 0.001, 0.5)
    assert tail.threshold == 2.5
    scores = tail.survival(np.array([2.0, 2.4, 2.6]))
    assert scores[0] > scores[1] > 0.001 > scores[2]


def alike_of(nearest, others=400):
    """Threshold and note where that many reference rows have their nearest picture at these similarities, and the others none."""
    count = len(nearest)
    ids = [f"{n:05d}" for n in range(2 * count + others)]
    splits = ["reference", "train"] * count + ["reference"] * others
    rows = pa.table({"id": ids, "split": splits, "content_hash": ids})
    lines = [(ids[2 * n], ids[2 * n + 1], s, "same") for n, s in enumerate(nearest) if s >= FLOOR]
    table = pa.table([list(column) for column in zip(*lines, strict=True)], schema=PAIR_SCHEMA)
    return alike.threshold(rows, table, Quality().leak)


def test_where_different_pictures_are_not_alike_the_lower_bound_holds_however_many_copies_there_are():
    copies = (1 - np.geomspace(1e-4, 0.02, 60)).tolist()
    for some in (copies[:1], copies[:10], copies):
        assert alike_of(some)[0] == pytest.approx(Quality().leak.min_similarity)


@pytest.mark.parametrize("copies", [0, 10, 100])
def test_the_threshold_lies_between_different_pictures_and_copies(copies):
    different = (1 - np.geomspace(0.016, 0.08, 120)).tolist()
    same = (1 - np.geomspace(1e-4, 0.004, copies)).tolist() if copies else []
    bound, note = alike_of(different + same)
    assert 0.984 < bound <= 0.993
    assert (note["applied"], note["rows"], note["around"]) == (True, 520 + copies, 0)


def test_pictures_that_are_alike_up_to_one_get_the_upper_bound_and_few_rows_too():
    crowded = (1 - np.geomspace(1e-4, 0.08, 4000)[::-1]).tolist()
    assert alike_of(crowded)[0] >= 0.95
    assert alike_of([0.99] * 4, others=0) == (Quality().leak.max_similarity, {"applied": False})


def test_the_score_is_a_share_that_falls_and_crosses_at_the_threshold():
    values = np.random.default_rng(4).normal(size=2000)
    tail = fit_tail(values, 0.002, 0)
    line = np.linspace(-5, 12, 500)
    scores = tail.survival(line)
    assert (np.diff(scores) <= 1e-12).all()
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert ((scores < 0.002) == (line > tail.threshold)).all()
    assert tail.survival(np.array([np.median(values)]))[0] == pytest.approx(0.5, abs=0.02)
    assert tail.survival(np.array([tail.start]))[0] == pytest.approx(TAIL)
    assert np.isnan(tail.survival(np.array([np.nan])))[0]


def test_a_tail_is_not_drawn_beyond_the_farthest_of_many_rows():
    steps = np.concatenate([np.linspace(0, 1, 800), np.linspace(1, 1.2, 100), np.linspace(1.2, 1.6, 50)])
    values = np.concatenate([steps, np.linspace(1.6, 2, 50)])  # its quantile spacings look like a heavy tail
    many = fit_tail(values, 0.001, 0.1)
    assert 2.0 < many.threshold < 2.2
    assert many.survival(np.array([many.threshold]))[0] == pytest.approx(0.001)


def with_rows_beyond(*steps):
    """An exponential distribution that ends where rows begin to stand apart, and a row after each step from there on: steps are
    multiples of the distance from the median to the upper quartile."""
    body = -np.log((np.arange(400) + 0.5) / 400)
    middle, upper = np.quantile(np.append(body, np.full(len(steps), 100)), [0.5, 0.75])
    width = upper - middle
    begin = middle + (OUTER + OUTER_FEW / (len(body) + len(steps)) ** 0.5) * width
    return np.append(np.minimum(body, begin - 0.01 * width), begin + width * np.cumsum(steps))


@pytest.mark.parametrize(("gap", "apart"), [(SURE + 0.05, 20), (SURE - 0.05, 0)])
def test_where_the_widest_gap_parts_nothing_a_nearer_one_may_that_is_wide(gap, apart):
    """Five rows lie so far behind fifteen others that their gap weighs most, and yet they are the end of one tail."""
    values = with_rows_beyond(0.05, 0.01, gap, *[0.04] * 14, 1.0, *[0.04] * 4)
    tail = fit_tail(values, 0.001, 0)
    assert tail.apart == apart
    assert (values > tail.threshold).sum() == apart


@pytest.mark.parametrize(("narrow", "apart"), [(0.2, 5), (0.4, 0)])
def test_a_gap_that_rounding_could_have_made_parts_nothing(narrow, apart):
    values = with_rows_beyond(0.05, 0.01, 0.3, *[0.04] * 4)
    tail = fit_tail(values, 0.001, 0, apart=Apart(narrow=narrow))
    assert tail.apart == apart
    assert (values > tail.threshold).sum() == apart


@pytest.mark.parametrize(("least", "apart"), [(1, 2), (2, 2), (3, 0)])
def test_fewer_rows_than_the_least_are_chance(least, apart):
    assert fit_tail(with_rows_beyond(3.0, 0.1), 0.001, 0, apart=Apart(least=least)).apart == apart
    assert fit_tail(with_rows_beyond(3.0, 0.1), 0.001, 0).apart == 0
    assert fit_tail(with_rows_beyond(3.0, 0.1, 0.1), 0.001, 0).apart == 3


@pytest.mark.parametrize(("gap", "apart"), [(5.0, 3), (1.0, 0)])
def test_a_few_rows_behind_a_tail_stand_apart_where_the_gap_is_far_wider_than_those_of_a_tail(gap, apart):
    assert fit_tail(with_rows_beyond(*[0.1] * 12, gap, 0.1, 0.1), 0.001, 0).apart == apart


def test_the_threshold_keeps_away_from_both_sides_of_the_gap():
    values = with_rows_beyond(8.0, *[0.01] * 9)
    tail = fit_tail(values, 0.001, 0)
    low, high = np.sort(values)[399:401]
    assert tail.apart == 10
    assert low + 0.2 * (high - low) < tail.threshold < high - 0.2 * (high - low)


@pytest.mark.parametrize(("rows", "apart"), [(70, 70), (94, 0)])
def test_more_than_a_fifth_of_the_rows_does_not_stand_apart(rows, apart):
    rng = np.random.default_rng(0)
    tail = fit_tail(np.concatenate([rng.normal(0, 1, 330), rng.normal(12, 1, rows)]), 0.001, 0)
    assert tail.apart == apart
    assert (tail.threshold > 12) == (apart == 0)


def test_rows_within_the_margin_do_not_stand_apart():
    values = np.append(np.linspace(2, 2.04, 100), np.linspace(2.11, 2.12, 5))
    near, far = (fit_tail(values, 0.001, margin) for margin in (0.2, 0.01))
    assert near.apart == (values > near.threshold).sum() == 0
    assert far.apart == 5

"""Thresholds from reference rows: the promised false positives on new rows of the same kind, few rows, outliers."""

import numpy as np
import pyarrow as pa
import pytest

from aigc_core.config import Quality
from aigc_core.quality import alike
from aigc_core.quality.calibration import FEW_ROWS, LEAST_ROWS, TAIL, fit_tail
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
@pytest.mark.parametrize("rows", [60, 400, 5000])
def test_new_rows_of_the_same_kind_are_rarely_flagged(kind, rows):
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tail = fit_tail(KINDS[kind](rng, rows), 0.001, 0)
        shares.append((KINDS[kind](rng, 20000) > tail.threshold).mean())
    assert np.mean(shares) <= 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_is_not_needlessly_far_out(kind):
    rng = np.random.default_rng(1)
    tail = fit_tail(KINDS[kind](rng, 5000), 0.001, 0)
    many = KINDS[kind](rng, 500_000)
    spread = np.quantile(many, 0.99) - np.median(many)
    assert tail.threshold < np.quantile(many, 0.9999) + 0.5 * spread


def test_a_few_per_cent_of_outliers_in_the_reference_hardly_move_the_threshold():
    rng = np.random.default_rng(2)
    clean = rng.normal(0, 1, 3000)
    dirty = np.concatenate([clean[:2940], rng.normal(30, 1, 60)])
    assert fit_tail(dirty, 0.001, 0).threshold < 8
    assert fit_tail(clean, 0.001, 0).threshold < 5


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


def alike_of(scale, others=0, copies=0, pairs=1000):
    """Threshold and note where -log(1 - similarity) of reference rows to their nearest has the quantiles of 1.2 + exponential(scale)."""
    likeness = 1 - np.exp(-1.2 + scale * np.log((np.arange(pairs) + 0.5) / pairs))
    number = 2 * pairs + copies
    hashes = [*range(2 * pairs), *range(copies)]
    ids = [f"{n:05d}" for n in range(number + others)]
    rows = pa.table({"id": ids, "split": ["reference"] * number + ["train"] * others,
                     "content_hash": [str(n) for n in [*hashes, *range(number, number + others)]]})  # fmt: skip
    lines = [(ids[2 * n], ids[2 * n + 1], s, "same") for n, s in enumerate(likeness.tolist()) if s >= FLOOR]
    lines += [(ids[n], ids[2 * pairs + n], 1.0, "same") for n in range(copies)]
    table = pa.table([list(column) for column in zip(*lines, strict=True)], schema=PAIR_SCHEMA)
    return alike.threshold(rows, table, Quality().leak)


def test_copies_must_be_more_alike_than_one_reference_row_in_a_thousand():
    bound, note = alike_of(0.4)
    assert bound == pytest.approx(1 - np.exp(-1.2 - 0.4 * np.log(1000)), abs=0.003)
    assert note == {"applied": True, "rows": 2000, "fitted": round(bound, 6)}


def test_among_ten_times_as_many_rows_copies_must_be_more_alike():
    assert alike_of(0.4, others=18000)[0] == pytest.approx(1 - np.exp(-1.2 - 0.4 * np.log(10000)), abs=0.003)


def test_exact_copies_in_the_reference_say_nothing_of_how_alike_different_rows_are():
    assert alike_of(0.4, copies=100)[0] == pytest.approx(alike_of(0.4)[0], abs=0.0005)


def test_where_few_reference_rows_have_a_pair_the_tail_begins_at_the_least_alike_of_them():
    bound, note = alike_of(0.3)
    assert bound == Quality().leak.min_similarity
    assert note["fitted"] == pytest.approx(0.95, abs=0.01)
    assert alike_of(1.0, pairs=4) == (Quality().leak.max_similarity, {"applied": False})


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
    many, few = fit_tail(values, 0.001, 0.1), fit_tail(values[::2], 0.001, 0.1)
    assert 2.0 < many.threshold < 2.2
    assert few.threshold > 2.5, "of 500 rows one in a thousand is not seen"
    assert many.survival(np.array([many.threshold]))[0] == pytest.approx(0.001)
    polluted = np.concatenate([values[:-10], np.full(10, 50.0)])
    assert fit_tail(polluted, 0.001, 0.1).threshold == pytest.approx(few.threshold, rel=0.2), (
        "a few far defects change little"
    )

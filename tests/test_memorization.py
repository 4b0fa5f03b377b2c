"""The gate: its probabilities against scipy, its figures against their definitions, its verdict on planted cases."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import torch

from aigc_core.config import Config, parse
from aigc_core.errors import ConfigError, DataError
from aigc_core.evaluation.cells import find_centres
from aigc_core.evaluation.exchange import at_most, permuted_c_t
from aigc_core.evaluation.memorization import Limits, Witness, in_words

LIMITS = Limits(**Config().evaluate.memorization.model_dump())
QUICK = dataclasses.replace(LIMITS, permutations=400)


def patches(n, seed, d=24):
    """Bytes on a curved sheet with some noise: near neighbours mean something, as they do among images."""
    chance = np.random.default_rng(seed)
    place = chance.uniform(size=(n, 2))
    waves = np.random.default_rng(5).normal(size=(2, d)) * 4
    return torch.from_numpy(
        (110 + 70 * np.sin(place @ waves) + chance.normal(size=(n, d)) * 8).clip(0, 255).astype(np.uint8)
    )


@pytest.fixture(scope="module")
def witness():
    return Witness(patches(900, 0), patches(400, 1), QUICK, seed=0)


def test_probabilities_are_hypergeometric():
    for found, drawn, marked, total in [(2, 10, 30, 70), (0, 5, 5, 9), (7, 12, 20, 25), (12, 12, 20, 25), (3, 0, 4, 9)]:
        expected = scipy.stats.hypergeom(total, marked, drawn).cdf(found)
        assert at_most(found, drawn, marked, total) == pytest.approx(expected, abs=1e-12)


def test_c_t_is_the_weighted_mann_whitney_z():
    chance = np.random.default_rng(0)
    cell = np.concatenate([chance.integers(0, 3, 150), chance.integers(0, 3, 210)])
    distance = np.concatenate([chance.integers(0, 30, 150), chance.integers(5, 40, 210)]).astype(float)
    total = weight = 0
    for number in range(3):
        ours, theirs = distance[:150][cell[:150] == number], distance[150:][cell[150:] == number]
        tested = scipy.stats.mannwhitneyu(ours, theirs, method="asymptotic", use_continuity=False, alternative="less")
        total += len(theirs) * scipy.stats.norm.ppf(tested.pvalue)
        weight += len(theirs)
    value, p = permuted_c_t(cell, distance, 150, 300, 0)
    assert value == pytest.approx(total / weight, rel=1e-6)
    assert value < -2
    assert p == pytest.approx(1 / 301), "no relabelling is as low"


def test_c_t_without_enough_in_any_cell_finds_nothing():
    assert permuted_c_t(np.arange(40), np.arange(40.0), 20, 300, 0) == (0, 1)


def test_permuted_p_values_are_even_when_nothing_is_copied():
    chance = np.random.default_rng(0)
    ps = [permuted_c_t(chance.integers(0, 2, 80), chance.random(80), 40, 199, seed)[1] for seed in range(150)]
    assert scipy.stats.kstest(ps, "uniform").pvalue > 0.01


def test_centres_find_separate_groups():
    groups = [torch.full((30, 4), value, dtype=torch.uint8) for value in (0, 100, 250)]
    centres = find_centres(torch.cat(groups), 3, 0)
    assert sorted(centres[:, 0].tolist()) == [0, 100, 250]
    assert len(find_centres(torch.cat(groups), 10, 0)) == 3, "no more cells than different images"


def test_a_copier_fails_and_held_out_images_pass(witness):
    chance = np.random.default_rng(0)
    copies = patches(900, 0)[torch.from_numpy(chance.integers(0, 900, 400))]
    found = witness.judge(copies)
    assert not found.passed
    assert len(found.reasons) == 3
    assert found.figures["copy_rate"] == 1
    assert found.figures["auth_pct"] == 0
    assert found.figures["train_share"] == 1
    honest = witness.judge(patches(400, 2))
    assert (honest.passed, honest.reasons) == (True, [])
    assert abs(honest.figures["c_t"]) < 1
    assert honest.figures["copy_rate_real"] == pytest.approx(0.01)
    assert abs(honest.figures["train_share"] - 900 / 1300) < 0.08


def test_a_few_copies_among_honest_samples_are_enough(witness):
    samples = patches(400, 2)
    samples[:32] = patches(900, 0)[:32]
    found = witness.judge(samples)
    assert not found.passed
    assert found.figures["copy_rate"] > 0.07
    assert set(found.closest(32).tolist()) == set(range(32))
    assert (found.answers.nearest[:32] == np.arange(32)).all()
    assert found.answers.distance[:32].max() == 0


def test_honest_samples_fail_no_more_often_than_stated():
    """Strict limits, so that the p-values alone decide; 120 disjoint draws at alpha = .03."""
    strict = dataclasses.replace(
        QUICK, alpha=0.03, max_copy_rate=0.0, min_c_t=0.0, min_auth_gap=0.0, permutations=200, cells=2
    )
    train, pool = patches(200, 0), patches(6000, 3)
    chance, failed = np.random.default_rng(0), 0
    for trial in range(120):
        chosen = torch.from_numpy(chance.permutation(6000)[:160])
        found = Witness(train, pool[chosen[:80]], strict, trial).judge(pool[chosen[80:]])
        failed += not found.passed
    assert scipy.stats.binomtest(failed, 120, 0.03, alternative="greater").pvalue > 0.01


def test_repeated_training_images_count_once(witness):
    twice = Witness(torch.cat([patches(900, 0), patches(900, 0)]), patches(400, 1), QUICK, seed=0)
    samples = patches(900, 0)[:100]
    assert twice.judge(samples).figures == witness.judge(samples).figures
    assert (twice.ask(samples).nearest == np.arange(100)).all()


def test_smooth_samples_are_told_from_copies():
    """The sheet without its noise is nearer to every training image, and to every held-out one as well."""
    chance = np.random.default_rng(4)
    waves = np.random.default_rng(5).normal(size=(2, 24)) * 4
    smooth = torch.from_numpy((110 + 70 * np.sin(chance.uniform(size=(400, 2)) @ waves)).astype(np.uint8))
    found = Witness(patches(900, 0), patches(400, 1), QUICK, seed=0).judge(smooth)
    assert found.figures["c_t"] < LIMITS.min_c_t
    assert abs(found.figures["train_share"] - 900 / 1300) < 0.08
    assert not found.passed


def test_the_verdict_in_words():
    figures = {
        "c_t": -5.0, "c_t_p": 0.0005, "auth_pct": 0.5, "auth_pct_real": 0.5, "auth_gap": 0.0, "auth_gap_p": 0.4,
        "copy_rate": 0.01, "copy_rate_real": 0.01, "copy_rate_p": 0.5, "train_share": 0.52, "train_share_expected": 0.5,
    }  # fmt: skip
    reasons, failed = in_words(figures, LIMITS)
    assert failed
    assert "C_T -5.0 is below -3.0" in reasons[0]
    assert "samples smoother than real ones may be the cause" in reasons[0]
    assert "52% of them have a training image as their nearest real image, and 50% would" in reasons[0]
    reasons, _ = in_words(figures | {"copy_rate": 0.06, "copy_rate_p": 1e-6}, LIMITS)
    assert "smoother" not in " ".join(reasons)
    assert len(reasons) == 2
    assert in_words(figures | {"c_t_p": 0.02}, LIMITS) == ([], False), "chance explains it"
    assert in_words(figures | {"c_t": -2.0}, LIMITS) == ([], False), "inside the limit"


def test_too_little_to_judge_by_is_an_error_with_the_remedy(witness):
    with pytest.raises(DataError, match=r"30 held-out .* raise split\.test"):
        Witness(patches(900, 0), patches(30, 1), QUICK, 0)
    with pytest.raises(DataError, match=r"49 samples .* evaluate\.max_samples"):
        witness.judge(patches(49, 2))
    with pytest.raises(ConfigError, match="at least 600"):
        parse({"evaluate": {"memorization": {"alpha": 0.005, "permutations": 400}}})

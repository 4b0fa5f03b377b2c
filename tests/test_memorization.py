"""The gate: its probabilities against scipy, its figures against their definitions, its verdict on planted cases."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import torch

from aigc_core.config import Config, parse
from aigc_core.errors import ConfigError, DataError, TooFewImagesError
from aigc_core.evaluation import alike
from aigc_core.evaluation.alike import Gallery
from aigc_core.evaluation.cells import find_centres
from aigc_core.evaluation.copying import in_words, remarks
from aigc_core.evaluation.exchange import at_most, c_t, chosen_by_chance
from aigc_core.evaluation.memorization import Limits, Witness
from aigc_core.evaluation.neighbours import nearest_rows

LIMITS = Limits(**Config().evaluate.memorization.model_dump())
SIDE = 8


def patches(n, seed, noise=8):
    """Images (n, 1, 8, 8) on a curved sheet with some noise: near neighbours mean something, as they do among images."""
    chance = np.random.default_rng(seed)
    coarse = np.random.default_rng(5).normal(size=(3, 1, 4, 4)) * 4
    waves = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=SIDE, mode="bicubic").view(3, -1).numpy()
    values = 110 + 70 * np.sin(chance.uniform(size=(n, 3)) @ waves) + chance.normal(size=(n, SIDE * SIDE)) * noise
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8)).view(n, 1, SIDE, SIDE)


TRAIN, HELD = patches(900, 0), patches(400, 1)


@pytest.fixture(scope="module")
def witness():
    return Witness(TRAIN, HELD, LIMITS, seed=0)


# -- probabilities and parts -----------------------------------------------------------------------


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
    value = c_t(cell, distance, 150)
    assert value == pytest.approx(total / weight, rel=1e-6)
    assert value < -2


def test_c_t_without_enough_in_any_cell_finds_nothing():
    assert c_t(np.arange(40), np.arange(40.0), 20) == 0


def test_the_chance_of_being_chosen_is_that_of_drawn_rows():
    chance = np.random.default_rng(0)
    chosen = chance.poisson(0.7, 300).astype(float)
    for seen in (60, 150):
        order = [chance.permutation(chosen)[:seen].sum() for _ in range(4000)]
        expected = np.mean(np.array(order) >= chosen[:seen].sum())
        assert chosen_by_chance(chosen, seen) == pytest.approx(expected, abs=0.05)
    assert chosen_by_chance(np.ones(20), 10) == 1, "nothing tells them apart"
    assert chosen_by_chance(np.r_[np.full(50, 4.0), np.zeros(50)], 50) < 1e-6


def test_centres_find_separate_groups():
    groups = [torch.full((30, 4), value, dtype=torch.uint8) for value in (0, 100, 250)]
    centres = find_centres(torch.cat(groups), 3, 0)
    assert sorted(centres[:, 0].tolist()) == [0, 100, 250]
    assert len(find_centres(torch.cat(groups), 10, 0)) == 3, "no more cells than different images"


# -- distances -------------------------------------------------------------------------------------


def shifted(images):
    """One pixel down and to the right, the border repeated."""
    return torch.nn.functional.pad(images.float(), (1, 0, 1, 0), mode="replicate")[..., :-1, :-1].to(torch.uint8)


def by_definition(one, other):
    """The squared distance of the gallery between two images (C, S, S), written out."""
    wide = np.pad(one.numpy().astype(float), ((0, 0), (1, 1), (1, 1)), mode="edge")
    side, found = one.shape[-1], []
    for image in (wide, wide[..., ::-1]):
        for down in range(3):
            for right in range(3):
                moved = image[:, down : down + side, right : right + side]
                against = other.numpy().astype(float)
                gain = np.clip((moved * against).sum() / max((against**2).sum(), 1e-9), 0.7, 1 / 0.7)
                found.append(((moved - gain * against) ** 2).sum())
    return min(found)


@pytest.mark.parametrize(("side", "channels"), [(6, 1), (12, 3)])
def test_the_gallery_finds_the_nearest_by_its_definition(side, channels, monkeypatch):
    chance = np.random.default_rng(0)
    coarse = torch.from_numpy(chance.integers(0, 256, (70, channels, 3, 3))).float()
    images = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear").to(torch.uint8)
    pool, asked = images[:55], images[55:]
    table = np.array([[by_definition(one, other) for other in pool] for one in asked])
    gallery = Gallery(pool)
    index, squared = gallery.nearest(asked)
    assert np.allclose(squared, table.min(1))
    assert (index == table.argmin(1)).all()
    monkeypatch.setattr(alike, "BLOCK_NUMBERS", 3000)
    monkeypatch.setattr(alike, "QUERY_ROWS", 4)
    again = gallery.nearest(asked)
    assert (again[0] == index).all()
    assert np.allclose(again[1], squared)


def test_shifted_mirrored_and_darker_copies_are_found():
    for changed in (shifted(TRAIN), TRAIN.flip(3), (TRAIN * 0.8).to(torch.uint8)):
        squared = Gallery(TRAIN).nearest(changed[:200])[1]
        assert all(squared[row] <= by_definition(changed[row], TRAIN[row]) + 1e-6 for row in range(40))
        plain = nearest_rows(changed[:200].flatten(1), TRAIN.flatten(1))[1]
        assert np.median(squared) < 0.5 * np.median(plain)
    assert Gallery(TRAIN).nearest(TRAIN[:50])[1].max() == 0, "a copy is at distance 0"
    first = Gallery(torch.cat([TRAIN[:3], TRAIN])).nearest(TRAIN[:3])[0]
    assert first.tolist() == [0, 1, 2], "of equally near ones the first of the pool is taken"


def test_black_images_are_near_black_images():
    pool = torch.cat([TRAIN[:40], torch.zeros_like(TRAIN[:1])])
    index, squared = Gallery(pool).nearest(torch.zeros_like(TRAIN[:2]))
    assert (index.tolist(), squared.tolist()) == ([40, 40], [0, 0])


def test_grey_images_are_copies_of_grey_images_whatever_their_level():
    """A gain is rounded; what that leaves of a distance is none."""
    levels = torch.arange(100, 143, dtype=torch.uint8)
    squared = Gallery(torch.full((1, 1, SIDE, SIDE), 121, dtype=torch.uint8)).nearest(
        levels[:, None, None, None].expand(-1, 1, SIDE, SIDE).contiguous()
    )[1]
    assert squared.tolist() == [0.0] * len(levels)
    almost = torch.full((1, 1, SIDE, SIDE), 121, dtype=torch.uint8)
    almost[..., 0, 0] += 1
    assert Gallery(almost).nearest(torch.full_like(almost, 100))[1][0] > 0.1


# -- the verdict -----------------------------------------------------------------------------------


def test_a_copier_fails_and_held_out_images_pass(witness):
    chance = np.random.default_rng(0)
    found = witness.judge(TRAIN[torch.from_numpy(chance.integers(0, 900, 400))])
    assert not found.passed
    assert len(found.reasons) == 3
    assert found.remarks == []
    assert found.figures["copy_rate"] == 1
    assert found.figures["copy_rate_unseen"] < 0.05
    assert found.figures["closest"] == 1
    assert found.figures["auth_pct"] == 0
    assert found.figures["preference"] == pytest.approx(400.5 / 0.5 * 400 / 900), "a training image each time"
    assert found.figures["c_t"] < -5
    honest = witness.judge(patches(400, 2))
    assert (honest.passed, honest.reasons, honest.remarks) == (True, [], [])
    assert abs(honest.figures["c_t"]) < 1
    assert honest.figures["copy_rate_real"] == pytest.approx(0.01)
    assert 0.7 < honest.figures["preference"] < 1.4


@pytest.mark.parametrize("count", [10, 32])
def test_a_few_copies_among_honest_samples_are_enough(witness, count):
    samples = patches(400, 2)
    samples[:count] = TRAIN[:count]
    found = witness.judge(samples)
    assert not found.passed
    assert found.figures["closest"] >= count / 400
    assert set(found.closest(count).tolist()) == set(range(count))
    assert (found.answers.nearest[:count] == np.arange(count)).all()
    assert found.answers.distance[:count].max() == 0


@pytest.mark.parametrize("change", ["mirror", "shift", "gain"])
def test_a_held_out_image_that_is_a_copy_itself_does_not_hide_copies(change):
    train, held, samples = TRAIN.clone(), HELD.clone(), patches(400, 2)
    # The border is repeated and a gain is rounded: only with an even border, or multiples, nothing is left of a distance.
    train[5, 0, [0, 1, -2, -1]] = train[5, 0, :, [0, 1, -2, -1]] = 100
    train[5] = train[5] // 4 * 4
    held[0] = {"mirror": train[5:6].flip(3), "shift": shifted(train[5:6]), "gain": train[5:6] // 4 * 3}[change][0]
    samples[:10] = train[:10]
    found = Witness(train, held, LIMITS, 0).judge(samples)
    assert not found.passed
    assert (found.figures["held_out"], found.figures["held_out_copies"]) == (399, 1)
    assert found.figures["closest"] >= 10 / 400
    assert Witness(TRAIN, HELD, LIMITS, 0).judge(samples).figures["held_out_copies"] == 0


@pytest.mark.parametrize("twins", [1, 9])
def test_copies_of_images_with_near_twins_are_seen(twins):
    marked = TRAIN[:30]
    chance = torch.Generator().manual_seed(0)
    near = [(marked.int() + torch.randint(-1, 2, marked.shape, generator=chance)).clamp(0, 255) for _ in range(twins)]
    train = torch.cat([TRAIN, *(each.to(torch.uint8) for each in near)])
    samples = patches(400, 2)
    samples[:30] = (marked.int() + torch.randint(-4, 5, marked.shape, generator=chance)).clamp(0, 255).to(torch.uint8)
    found = Witness(train, HELD, LIMITS, 0).judge(samples)
    assert found.figures["copy_rate"] >= 30 / 400
    assert not found.passed


@pytest.mark.parametrize("change", ["shift", "mirror", "dark"])
def test_copies_that_were_moved_or_darkened_are_seen(witness, change):
    samples = TRAIN[:400]
    changed = {"shift": shifted(samples), "mirror": samples.flip(3), "dark": (samples * 0.8).to(torch.uint8)}[change]
    assert not witness.judge(changed).passed


def test_smooth_samples_are_no_copies(witness):
    """The sheet without its noise is nearer to every training image, and to every image never seen as well."""
    found = witness.judge(patches(400, 4, noise=0))
    assert found.figures["c_t"] < -3
    assert found.figures["c_t_unseen"] < -1.5
    # It is the second question that clears them: they are typical, and as often near to images never seen.
    assert found.figures["typical"] > 2
    assert found.figures["copy_over_unseen"] < 1
    assert found.figures["copy_rate_p"] > 0.01
    assert (found.passed, found.reasons) == (True, [])
    assert ["is above its limit" in one for one in found.remarks] == [True, False]
    assert "poor" in found.remarks[1]


@pytest.mark.parametrize("shades", [(), (125,), range(60, 190, 20)])
def test_blurred_samples_are_no_copies_of_images_of_one_colour(shades):
    """A blank image lies far from all others, and what is nearly one colour lies near to it, whoever made it."""
    chance = np.random.default_rng(3)
    textures = torch.from_numpy(chance.integers(0, 256, (900, 3, 12, 12), dtype=np.uint8))
    blanks = torch.tensor(shades, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 12, 12)
    blanks = (blanks + torch.from_numpy(chance.integers(0, 3, blanks.shape, dtype=np.uint8))).contiguous()
    blurred = (
        (textures[650:].float().mean(0) + torch.from_numpy(chance.normal(0, 6, (250, 3, 12, 12)))).clip(0, 255).byte()
    )
    witness = Witness(torch.cat([textures[:400], blanks]), torch.cat([textures[400:650], blanks[:1]]), LIMITS, 0)
    found = witness.judge(blurred)
    assert found.passed
    assert (found.figures["train_plain"], found.figures["held_out_plain"]) == (len(shades), min(1, len(shades)))
    assert found.answers.nearest.max() < 400
    copies = witness.judge(torch.cat([textures[:25], textures[650:875]]))
    assert not copies.passed


def test_images_of_one_colour_each_are_what_there_is_to_copy_where_there_is_nothing_else():
    swatches = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (300, 3, 1, 1), dtype=np.uint8)).expand(
        -1, -1, 8, 8
    )
    assert (
        Witness(swatches[:200].contiguous(), swatches[200:].contiguous(), LIMITS, 0)
        .judge(swatches[:100].contiguous())
        .figures["train_plain"]
        == 0
    )


def test_honest_samples_fail_no_more_often_than_stated():
    """Limits that nothing keeps, so that the p-values alone decide; 60 disjoint draws at alpha 0.03."""
    strict = dataclasses.replace(LIMITS, alpha=0.03, max_copy_rate=0.0, max_closest=0.0, max_preference=1.0, cells=2)
    pool, chance, failed = patches(6000, 3), np.random.default_rng(0), 0
    for trial in range(60):
        chosen = torch.from_numpy(chance.permutation(6000)[:360])
        found = Witness(pool[chosen[:200]], pool[chosen[200:280]], strict, trial).judge(pool[chosen[280:]])
        failed += not found.passed
    assert scipy.stats.binomtest(failed, 60, 0.03, alternative="greater").pvalue > 0.01


def test_repeated_training_images_count_once(witness):
    twice = Witness(torch.cat([TRAIN, TRAIN]), HELD, LIMITS, seed=0)
    assert twice.judge(TRAIN[:100]).figures == witness.judge(TRAIN[:100]).figures
    assert (twice.ask(TRAIN[:100]).nearest == np.arange(100)).all()


CALM = {
    "c_t": -1.0, "c_t_unseen": -1.0, "copy_rate": 0.01, "copy_rate_real": 0.01, "copy_rate_unseen": 0.01,
    "copy_rate_p": 0.5, "copy_over_unseen": 1.0, "closest": 0.0, "closest_unseen": 0.0, "closest_p": 1.0,
    "closest_over_unseen": 1.0, "preference": 1.0, "preference_p": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "numbers"),
    [
        (
            {"copy_rate": 0.079, "copy_rate_p": 1e-6, "copy_rate_unseen": 0.004, "copy_over_unseen": 20.0},
            ["7.9%", "0.4%"],
        ),
        ({"closest": 0.021, "closest_p": 1e-4, "closest_unseen": 0.002, "closest_over_unseen": 3.0}, ["2.1%", "0.2%"]),
        ({"preference": 3.94, "preference_p": 1e-6}, ["3.9 times"]),
    ],
)
def test_each_question_alone_withholds_a_model_and_chance_or_smoothness_does_not(raised, numbers):
    (reason,) = in_words(CALM | raised, LIMITS)
    assert all(number in reason for number in numbers)
    for name in raised:
        calm = {name: CALM[name]}
        if not name.endswith("_unseen"):  # shown, and decided on by its chance
            assert in_words(CALM | raised | calm, LIMITS) == [], name


def test_smooth_samples_are_remarked_where_nothing_was_copied():
    assert remarks(CALM, [], LIMITS) == []
    poor, leaning = (remarks(CALM | {"c_t": -5.0, "c_t_unseen": unseen}, [], LIMITS) for unseen in (-4.8, 0.1))
    assert "poor" in poor[0]
    assert "poor" not in leaning[0]
    assert remarks(CALM | {"c_t": -5.0}, ["It copies."], LIMITS) == []


def test_a_figure_above_its_limit_that_withholds_nothing_is_named_with_the_reason():
    (chance,) = remarks(CALM | {"preference": 36.23, "preference_p": 0.14}, [], LIMITS)
    assert "36.23 is above its limit of 2.50, but chance explains it (p 0.14)" in chance
    (common,) = remarks(CALM | {"copy_rate": 0.079, "copy_rate_p": 1e-6, "copy_over_unseen": 1.2}, [], LIMITS)
    assert "7.9% is above its limit of 3.0%" in common
    assert "chance" not in common


def test_too_little_to_judge_by_is_an_error_with_the_remedy(witness):
    with pytest.raises(DataError, match=r"30 different held-out .* raise split\.test"):
        Witness(TRAIN, patches(30, 1), LIMITS, 0)
    held = patches(55, 1)
    held[:6] = TRAIN[:6]
    with pytest.raises(TooFewImagesError, match=r"49 different held-out .* 6 more are copies"):
        Witness(TRAIN, held, LIMITS, 0)
    with pytest.raises(DataError, match=r"49 samples .* evaluate\.max_samples"):
        witness.judge(patches(49, 2))
    for gone in ("min_c_t", "min_auth_gap", "permutations"):
        with pytest.raises(ConfigError, match=gone):
            parse({"evaluate": {"memorization": {gone: -1}}})


@pytest.mark.parametrize("different", [1, 10])
def test_one_held_out_image_many_times_is_one_image(different):
    with pytest.raises(TooFewImagesError, match=rf"{different} different held-out .* {120 - different} more are equal"):
        Witness(TRAIN, HELD[:different].repeat(120 // different, 1, 1, 1), LIMITS, 0)


def test_repeated_held_out_images_count_once(witness):
    """So often repeated, the held-out image nearest to a training image would set the closest 1 %, and hide copies."""
    assert Witness(TRAIN, HELD[:120], LIMITS, 0).judge(HELD).figures["held_out"] == 120
    nearest = int(witness.ask(HELD).ratio.argmin())
    often = Witness(TRAIN, torch.cat([HELD, HELD[nearest].expand(80, -1, -1, -1)]), LIMITS, 0)
    samples = patches(400, 2)
    once, found = witness.judge(samples).figures, often.judge(samples).figures
    assert (once.pop("held_out_repeated"), found.pop("held_out_repeated")) == (0, 80)
    assert once == found


def test_equal_samples_are_no_further_draws_but_exact_copies_are(witness):
    """An image that happens to lie close to a training image says so once; a training image that comes again says so each time."""
    few = patches(60, 2)
    repeated = few.repeat(7, 1, 1, 1)
    once, often = witness.judge(few).figures, witness.judge(repeated).figures
    assert (often["copy_rate"], often["closest"], often["closest_p"]) == pytest.approx(
        (once["copy_rate"], once["closest"], once["closest_p"])
    )
    samples = patches(400, 2)
    samples[:12] = TRAIN[:1]
    assert not witness.judge(samples).passed

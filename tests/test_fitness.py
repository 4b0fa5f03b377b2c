"""Which extractor may judge: what counts as in order, what labels are worth, and which candidate is taken."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_damages import pictures
from test_features import RECIPE, bars

from aigc_core.errors import ConfigError, DataError
from aigc_core.evaluation import choice, fitness
from aigc_core.evaluation.choice import Rows, Told, choose
from aigc_core.evaluation.extractors.frozen import fit_frame
from aigc_core.evaluation.features import save_extractor
from aigc_core.evaluation.fitness import Fitness, Trial
from aigc_core.report import instrument as words

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(n=240, seed=0, classes=3, shuffled=False):
    pixels, labels = bars(n, seed=seed, classes=classes)
    if shuffled:
        labels = labels[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
    return Rows(pixels, labels, [str(number) for number in range(classes)])


def chosen(learn="auto", recipe=RECIPE, held=None, **made):
    return choose(rows(**made), held or rows(seed=1, **made), recipe, learn, seed=0, device="cpu")


def judge_of(found):
    return found.fitness.get(found.extractor.learnt_from)


def made_up(**distances):
    return Fitness(100, 8, 1.0, distances, {})


def test_pairs_are_counted_from_undamaged_to_strong_and_missed_ones_have_names():
    found = made_up(blur=[2.0, 3.0, 4.0], noise=[0.9, 0.95, 0.9], mixture=[1.5])
    assert (found.ordered, len(found.pairs)) == (5, 7)
    assert found.missed == ["noise: weak farther than undamaged", "noise: strong farther than medium"]
    assert "mixture: samples farther than undamaged" in found.pairs
    assert found.facts()["rises"] == {"blur": [True] * 3, "noise": [False, True, False], "mixture": [True]}
    assert found.share == pytest.approx(5 / 7)
    assert made_up(noise=[1.0, 2.0, 3.0]).ordered == 2, "no farther is not farther"


@pytest.mark.parametrize(("damages", "missed", "fit"), [(6, 1, True), (6, 2, False), (3, 0, True), (3, 1, False)])
def test_one_pair_of_eighteen_may_be_missed(damages, missed, fit):
    lines = {str(number): [2.0, 3.0, 4.0] for number in range(damages)}
    lines |= {str(number): [0.5, 3.0, 4.0] for number in range(missed)}
    assert made_up(**lines).fit is fit


class Blind:
    """An instrument to which every image looks like noise that only its number of images decides."""

    dimensions = 8
    hash = "b" * 64

    def features(self, pixels, dimensions=None):
        return np.random.default_rng(0).normal(size=(len(pixels), dimensions or 8))


def trial(pixels=None, labels=None, **more):
    pixels = pictures(240, 8, 1) if pixels is None else pixels
    labels = np.arange(len(pixels)) % 6 if labels is None else labels
    return Trial(pixels, labels, 0, **{"by_class": True, **more})


def test_the_halves_are_equal_share_no_row_and_have_the_same_classes():
    pixels = torch.arange(241, dtype=torch.uint8)[:, None, None, None].expand(241, 1, 8, 8)
    made = trial(pixels)
    first, second = (set(half[:, 0, 0, 0].tolist()) for half in (made.pixels, made.other))
    assert (len(first), len(second), first & second) == (120, 120, set())
    assert np.ptp(np.bincount(made.groups)) <= 2


@pytest.mark.parametrize(("rows", "side", "taken"), [(900, 8, 400), (300, 8, 150), (900, 128, 160)])
def test_halves_are_cut_to_what_a_distance_needs_and_large_images_to_less(rows, side, taken):
    made = trial(torch.zeros((1, 3, side, side), dtype=torch.uint8).expand(rows, -1, -1, -1))
    assert (len(made.pixels), len(made.other), len(made.groups)) == (taken, taken, taken)


def test_distances_are_stored_with_four_digits():
    found = trial().judge(fit_frame("pixel_pca", pictures(240, 8, 1, seed=5)))
    values = [found.undamaged, *(value for line in found.distances.values() for value in line)]
    assert values == [float(f"{value:.4g}") for value in values]
    assert len(set(values)) == len(values)


def test_an_instrument_that_sees_pixels_is_fit_and_a_blind_one_is_not():
    made = trial()
    seeing = made.judge(fit_frame("pixel_pca", pictures(240, 8, 1, seed=5)))
    assert seeing.fit
    assert len(seeing.pairs) == 19
    assert all(value > seeing.undamaged for values in seeing.distances.values() for value in values)
    blind = made.judge(Blind())
    assert not blind.fit
    assert blind.ordered == 0
    assert made.judge(fit_frame("pixel_pca", pictures(240, 8, 1, seed=5))) == seeing


def test_groups_of_look_alikes_stand_for_classes_that_looks_do_not_tell():
    assert "missing classes" in trial().judge(Blind()).distances
    found = trial(by_class=False).judge(Blind()).distances
    assert "missing groups" in found
    assert "missing classes" not in found
    few = trial(labels=np.arange(240) % 3)
    assert not few.by_class, "of three classes no three numbers can be missing"


def test_a_damage_that_is_none_is_left_out_by_name():
    flat = torch.full((240, 1, 8, 8), 90, dtype=torch.uint8)
    found = trial(flat, by_class=False).judge(Blind())
    assert set(found.left_out) == {"blur", "reduced resolution", "missing groups"}
    assert len(found.pairs) == 3 * 3 + 1
    alone = trial(torch.zeros_like(flat), by_class=False).judge(Blind())
    assert alone.left_out["missing groups"].startswith("there is 1 group of look-alikes")


def test_labels_that_looks_tell_are_learnt_as_before(tmp_path):
    found = chosen()
    assert (found.extractor.learnt_from, found.extractor.classes) == ("labels", ["0", "1", "2"])
    assert found.told.accuracy > 0.9
    assert found.told.chance == pytest.approx(1 / 3, abs=0.01)
    plain = choice.train_extractor(*bars(240), ["0", "1", "2"], RECIPE, seed=0, device="cpu")
    assert save_extractor(found.extractor, tmp_path) == save_extractor(plain, tmp_path), "the same weights"


@pytest.mark.parametrize("fit", [True, False])
def test_labels_in_a_random_order_are_not_learnt_but_views_and_where_those_are_unfit_nothing(monkeypatch, fit):
    monkeypatch.setattr(fitness.Trial, "judge", lambda self, extractor: made_up(blur=[2.0, 3.0, 4.0 if fit else 1.0]))
    found = chosen(shuffled=True)
    assert found.extractor.learnt_from == "views", "the first of equals"
    assert (found.extractor.classes, found.told.by_looks) == ([], False)
    assert list(found.fitness) == (["views"] if fit else ["views", "nothing"])
    said = words.label_words(found.facts())
    assert f"{found.told.accuracy:.1%}" in said
    assert f"{found.told.chance:.1%}" in said


def test_an_adversary_keeps_labels_that_looks_tell_however_unfit_they_are(monkeypatch):
    monkeypatch.setattr(fitness.Trial, "judge", lambda self, extractor: made_up(blur=[0.5, 0.4, 0.3]))
    found = chosen(recipe=replace(RECIPE, perturb=0.1))
    assert (found.extractor.learnt_from, list(found.fitness), judge_of(found).fit) == ("labels", ["labels"], False)


def test_halves_are_made_once_for_all_that_is_tried(monkeypatch):
    made = []
    monkeypatch.setattr(choice, "Trial", lambda *told, **more: made.append(1) or Trial(*told, **more))
    monkeypatch.setattr(fitness.Trial, "judge", lambda self, extractor: made_up(blur=[0.5, 0.4, 0.3]))
    assert len(chosen().fitness) == 3
    assert made == [1]


@pytest.mark.parametrize(("learn", "shuffled", "from_"), [("views", False, "views"), ("labels", True, "labels")])
def test_what_is_learnt_from_can_be_asked_for(learn, shuffled, from_):
    found = chosen(learn, shuffled=shuffled)
    assert found.extractor.learnt_from == from_
    assert list(found.fitness) == [from_]
    assert (found.told is None) == (learn == "views")


def test_labels_that_cannot_be_learnt_are_refused_where_they_are_asked_for():
    pixels, labels = bars()
    one = Rows(pixels, labels * 0, ["a"])
    with pytest.raises(ConfigError, match=r"extractor\.learn = 'labels'"):
        choose(one, one, RECIPE, "labels", seed=0, device="cpu")
    with pytest.raises(ConfigError, match="all labels are 'a'"):
        choose(one, one, RECIPE, "labels", seed=0, device="cpu")
    with pytest.raises(ConfigError, match="no image has a label"):
        choose(replace(one, classes=[]), one, RECIPE, "labels", seed=0, device="cpu")
    adversarial = replace(RECIPE, perturb=0.1)
    with pytest.raises(ConfigError, match=r"perturb = 0\.1, but extractor\.learn = 'views'"):
        chosen("views", recipe=adversarial)
    with pytest.raises(ConfigError, match=r"extractor\.perturb = 0\.1"):
        chosen(recipe=adversarial, shuffled=True)


@pytest.mark.parametrize("value", [0, 255])
def test_reference_images_that_are_all_equal_are_refused(value):
    pixels, labels = bars(60)
    equal = Rows(torch.full_like(pixels, value), labels * 0, [])
    with pytest.raises(DataError, match="60 reference images are all equal"):
        choose(equal, rows(seed=1), RECIPE, "auto", seed=0, device="cpu")


@pytest.mark.parametrize("learn", ["auto", "labels", "views"])
def test_no_reference_images_are_refused_by_name(learn):
    none = Rows(torch.empty((0, 1, 8, 8), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), ["a", "b"])
    with pytest.raises(DataError, match=r"reference split holds no image .* split\.reference"):
        choose(none, rows(seed=1), RECIPE, learn, seed=0, device="cpu")


@pytest.mark.parametrize(
    ("labels", "views", "nothing", "judge", "fit"),
    [
        (5, 0, 0, "labels", True),
        (2, 5, 5, "views", True),
        (2, 1, 5, "nothing", True),
        (2, 1, 2, "labels", False),
        (1, 3, 2, "views", False),
    ],
)
def test_the_first_that_is_fit_judges_and_else_the_best(monkeypatch, labels, views, nothing, judge, fit):
    right = {"labels": labels, "views": views, "nothing": nothing}

    def judged(self, extractor):
        good = right[extractor.learnt_from]
        return made_up(**{str(number): [2.0 if number < good else 0.5] for number in range(5)})

    monkeypatch.setattr(fitness.Trial, "judge", judged)
    found = chosen()
    assert (found.extractor.learnt_from, judge_of(found).fit) == (judge, fit)
    facts = found.facts()
    warning = words.unfit_words(facts)
    assert bool(warning) is not fit
    assert warning in words.damage_words(facts)
    assert (words.WAYS[judge] in words.label_words(facts)) is (judge != "labels")


@pytest.mark.parametrize("learn", ["labels", "views"])
def test_where_one_way_alone_was_asked_for_the_warning_says_that_it_alone_was_tried(monkeypatch, learn):
    monkeypatch.setattr(fitness.Trial, "judge", lambda self, extractor: made_up(blur=[0.5, 0.4, 0.3]))
    only, best = (words.unfit_words(chosen(way).facts()) for way in (learn, "auto"))
    assert f"extractor.learn is {learn}" in only
    assert "extractor.learn" not in best
    assert ("only one" in only, "only one" in best, "best one" in only) == (True, False, False)


def test_few_rows_say_nothing_of_labels_or_instruments():
    held = rows(30, seed=1, shuffled=True)
    found = chosen(held=held, shuffled=True)
    assert found.extractor.learnt_from == "labels"
    assert (judge_of(found), found.facts()["tried"]) == (None, {})
    assert words.unfit_words(found.facts()) == ""
    assert not Told(0.28, 0.125, 2000).by_looks
    assert Told(0.40, 0.10, 2000).by_looks
    assert Told(0.28, 0.125, 49).by_looks


def test_the_same_rows_give_the_same_facts():
    first, second = (json.dumps(chosen(shuffled=True).facts()) for _ in range(2))
    assert first == second

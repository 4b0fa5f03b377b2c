"""The extractor: what it may and may not depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation.classifier import fit_classifier
from aigc_core.evaluation.extractors.frozen import RAW, random_convolutions
from aigc_core.evaluation.features import Recipe, fixed_extractor, load_extractor, save_extractor, train_extractor
from aigc_core.evaluation.fixed import Fixed
from aigc_core.evaluation.robustness import attacked_accuracy

RECIPE = Recipe(dimensions=8, steps=60, batch_size=32, learning_rate=0.003)


def bars(n=120, size=8, channels=1, classes=3, seed=0):
    """Images of a bright bar whose row says the class."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    pixels = torch.randint(0, 60, (n, channels, size, size), generator=chance, dtype=torch.uint8)
    for index, label in enumerate(labels.tolist()):
        row = 1 + label * (size // classes)
        pixels[index, :, row : row + max(1, size // 8)] += 180
    return pixels, labels


@pytest.fixture(scope="module")
def learnt():
    return train_extractor(*bars(), ["a", "b", "c"], RECIPE, seed=0, device="cpu")


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 4), (20, 3), (32, 1)])
def test_it_learns_every_shape_that_models_have(size, channels):
    pixels, labels = bars(size=size, channels=channels)
    model = fit_classifier(pixels, labels, 3, dimensions=8, steps=60, batch_size=32, learning_rate=0.003, seed=0)
    assert attacked_accuracy(model, *bars(size=size, channels=channels, seed=1), radius=0, steps=1) > 0.9
    assert not any("BatchNorm" in type(layer).__name__ for layer in model.modules())


@pytest.mark.parametrize("size", [8, 20])
def test_features_do_not_depend_on_the_batch(size):
    pixels, labels = bars(size=size)
    model = fit_classifier(pixels, labels, 3, dimensions=8, steps=3, batch_size=32, learning_rate=0.003, seed=0)
    whole = model.features(pixels)
    assert torch.allclose(whole, model.features(pixels, batch_size=7), atol=1e-5)
    assert torch.allclose(whole[5:6], model.features(pixels[5:6]), atol=1e-5)


def test_the_same_seed_gives_the_same_bytes(learnt, tmp_path):
    before = torch.random.get_rng_state()
    again = train_extractor(*bars(), ["a", "b", "c"], RECIPE, seed=0, device="cpu")
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator is left alone"
    hashes = []
    for name, extractor in (("one", learnt), ("two", again)):
        (tmp_path / name).mkdir()
        hashes.append(save_extractor(extractor, tmp_path / name))
    assert hashes[0] == hashes[1]
    other = train_extractor(*bars(), ["a", "b", "c"], RECIPE, seed=1, device="cpu")
    assert save_extractor(other, tmp_path / "two") != hashes[0]


def test_the_hash_follows_every_weight(learnt, tmp_path):
    first = save_extractor(learnt, tmp_path)
    with torch.no_grad():
        learnt.model.head.bias[0] += 1e-3
    second = save_extractor(learnt, tmp_path)
    with torch.no_grad():
        learnt.model.head.bias[0] -= 1e-3
    assert first != second


def test_saved_and_loaded_it_measures_the_same(learnt, tmp_path):
    digest = save_extractor(learnt, tmp_path, {"reference_rows": 120})
    loaded = load_extractor(tmp_path)
    pixels, _ = bars(seed=3)
    assert np.array_equal(loaded.features(pixels), learnt.features(pixels))
    assert loaded.hash == digest
    assert loaded.predict(pixels) == learnt.predict(pixels)


def test_changed_weights_are_refused(learnt, tmp_path):
    save_extractor(learnt, tmp_path)
    weights = tmp_path / "extractor.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match="run `aigc extractor` again"):
        load_extractor(tmp_path)
    with pytest.raises(DataError, match="run `aigc extractor` first"):
        load_extractor(tmp_path / "nowhere")


def test_reference_features_have_unit_scale_and_fewer_axes_are_a_projection(learnt):
    features = learnt.features(bars()[0])
    assert np.sqrt(np.mean(features**2)) == pytest.approx(1, rel=1e-5)
    variances = features.var(0)
    assert (np.diff(variances) <= 1e-9).all(), "axes come in order of falling variance"
    assert np.allclose(learnt.features(bars()[0], 3), features[:, :3])


@pytest.mark.parametrize("classes", [["a", "b", "c"], []])
def test_with_one_class_or_none_it_learns_from_the_images(classes, tmp_path):
    pixels, labels = bars()
    blind = train_extractor(pixels[labels == 0], labels[labels == 0], classes, RECIPE, seed=0, device="cpu")
    assert (blind.classes, blind.learnt_from) == ([], "views")
    save_extractor(blind, tmp_path)
    loaded = load_extractor(tmp_path)
    assert loaded.learnt_from == "views"
    assert np.array_equal(loaded.features(pixels), blind.features(pixels))
    with pytest.raises(DataError, match="learnt without labels and cannot name a class"):
        loaded.predict(pixels)


def test_convolutions_and_pixels_weigh_the_same_in_features_that_are_not_learnt():
    fixed = Fixed.fit(bars()[0])
    features = fixed.features(bars()[0]).numpy()
    assert len(fixed.frames) == 2
    sums = [part.var(0).sum() / part.shape[1] for part in np.split(features, [fixed.frames["pixel_pca"].dimensions], 1)]
    assert sums == pytest.approx([1, 1], rel=0.02)


def test_features_that_are_not_learnt_are_saved_with_all_that_decides_them(tmp_path):
    pixels, _ = bars()
    fixed = fixed_extractor(Fixed.fit(pixels), pixels, RECIPE)
    assert (fixed.classes, fixed.learnt_from, fixed.dimensions) == ([], "nothing", 8)
    digest = save_extractor(fixed, tmp_path)
    loaded = load_extractor(tmp_path)
    assert (loaded.learnt_from, loaded.hash) == ("nothing", digest)
    other = bars(seed=4)[0]
    assert np.array_equal(loaded.features(other), fixed.features(other))
    assert np.allclose(loaded.features(other, 3), fixed.features(other)[:, :3])
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(RAW, "random_conv", lambda: random_convolutions(seed=1))
        with pytest.raises(DataError, match="another version of random_conv"):
            load_extractor(tmp_path)
    assert np.sqrt(np.mean(fixed.model.features(pixels).numpy() ** 2) / fixed.scale**2) == pytest.approx(1)
    assert save_extractor(fixed_extractor(Fixed.fit(other), other, RECIPE), tmp_path) != digest
    with pytest.raises(DataError, match="learnt without labels and cannot name a class"):
        loaded.predict(pixels)
    many = fixed_extractor(Fixed.fit(pixels), pixels, replace(RECIPE, dimensions=250))
    assert many.features(other).shape == (120, many.dimensions), "no more than there are"


def test_too_few_images_without_labels_are_refused():
    pixels, labels = bars()
    with pytest.raises(DataError, match="holds 20 images without two classes"):
        train_extractor(pixels[:20], labels[:20] * 0, ["a"], RECIPE, seed=0, device="cpu")


def test_another_shape_is_refused(learnt):
    with pytest.raises(DataError, match="1 x 8 x 8 images and was given 3 x 8 x 8"):
        learnt.features(bars(channels=3)[0])

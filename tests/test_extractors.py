"""Second instruments: frozen, hashed, batch-independent, and honest about files that are missing or foreign."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch_fidelity import feature_extractor_inceptionv3 as home

from aigc_core.errors import DataError
from aigc_core.evaluation import opinions
from aigc_core.evaluation.classifier import Classifier
from aigc_core.evaluation.extractors import catalogue
from aigc_core.evaluation.extractors.base import Images
from aigc_core.evaluation.extractors.dinov2 import Dinov2, open_dinov2, prepare
from aigc_core.evaluation.extractors.frozen import RAW, fit_frame, open_frame, random_convolutions, save_frame
from aigc_core.evaluation.floors import GROUPS
from aigc_core.evaluation.intervals import balanced_groups, jackknife_spread
from aigc_core.evaluation.invariance import fit_invariant, vicreg, view


def pictures(n=200, size=8, channels=1, seed=0, low=0):
    chance = torch.Generator().manual_seed(seed)
    coarse = torch.randint(low, 256, (n, channels, 4, 4), generator=chance).float()
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").to(torch.uint8)


@pytest.mark.parametrize("name", sorted(RAW))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (20, 4)])
def test_a_frame_has_unit_scale_and_does_not_depend_on_the_batch(name, size, channels, monkeypatch):
    reference = pictures(size=size, channels=channels)
    frame = fit_frame(name, reference)
    features = frame.features(reference)
    assert np.abs(features.mean(0)).max() < 1e-6
    assert np.square(features).mean() == pytest.approx(1, rel=0.02)
    assert (np.diff(features.var(0)) <= 1e-9).all(), "axes come in order of falling variance"
    monkeypatch.setattr("aigc_core.evaluation.extractors.frozen.batch_images", lambda size: 7)
    monkeypatch.setattr("aigc_core.evaluation.extractors.frozen.SUMMED", 11)
    assert np.allclose(frame.features(reference), features, atol=1e-5)
    assert np.allclose(fit_frame(name, reference).mean, frame.mean, atol=1e-5)


def test_pixel_pca_is_scikit_learns_pca():
    from sklearn.decomposition import PCA

    reference, other = pictures(), pictures(seed=1)
    theirs = PCA(16).fit(reference.flatten(1).numpy() / 255.0).transform(other.flatten(1).numpy() / 255.0)
    frame = fit_frame("pixel_pca", reference)
    assert np.allclose(np.abs(frame.features(other, 16) * frame.scale), np.abs(theirs), atol=1e-5)


@pytest.mark.parametrize("name", sorted(RAW))
def test_saved_and_opened_it_measures_the_same_and_its_hash_follows_the_frame(name, tmp_path):
    frame = fit_frame(name, pictures())
    digest = save_frame(frame, name, tmp_path)
    opened = open_frame(name, catalogue.Place(tmp_path))
    assert opened.hash == digest
    assert np.array_equal(opened.features(pictures(seed=2)), frame.features(pictures(seed=2)))
    assert save_frame(fit_frame(name, pictures()), name, tmp_path) == digest
    assert save_frame(fit_frame(name, pictures(seed=3)), name, tmp_path) != digest
    with pytest.raises(DataError, match="run `aigc extractor` on this data"):
        fit_frame("pixel_pca", pictures()).features(pictures(channels=3))


def test_other_random_weights_under_an_old_frame_are_refused(tmp_path, monkeypatch):
    save_frame(fit_frame("random_conv", pictures()), "random_conv", tmp_path)
    monkeypatch.setitem(RAW, "random_conv", lambda: random_convolutions(seed=1))
    with pytest.raises(DataError, match="another version"):
        open_frame("random_conv", catalogue.Place(tmp_path))
    with pytest.raises(DataError, match=r"pixel_pca\.safetensors is missing: run `aigc extractor`"):
        open_frame("pixel_pca", catalogue.Place(tmp_path))


# -- without labels --------------------------------------------------------------------------------


def test_vicreg_is_zero_for_equal_spread_independent_codes_only():
    code = torch.randn((4000, 4), generator=torch.Generator().manual_seed(0))
    code = (code - code.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(code.T))).T
    assert float(vicreg(code, code)) == pytest.approx(0, abs=1e-3)
    assert float(vicreg(code, code.flip(0))) > 10, "views that differ"
    assert float(vicreg(code * 0, code * 0)) == pytest.approx(25 * 0.99, rel=0.01), "collapse"
    assert float(vicreg(code[:, [0, 0]], code[:, [0, 0]])) == pytest.approx(2, rel=0.01), "a coordinate said twice"


@pytest.mark.parametrize("channels", [1, 3])
def test_views_keep_shape_and_depend_on_the_generator_alone(channels):
    images = pictures(8, channels=channels).float() / 127.5 - 1
    first, second = (view(images, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == images.shape
    assert not torch.equal(first, view(images, torch.Generator().manual_seed(5)))


def test_without_labels_two_views_come_closer_than_two_images():
    recipe = {"dimensions": 8, "batch_size": 64, "learning_rate": 0.003}
    images, fresh = pictures(160), pictures(100, seed=5).float() / 127.5 - 1
    before = torch.random.get_rng_state()

    def closeness(model):
        chance = torch.Generator().manual_seed(9)
        first, second = (model.embed(view(fresh, chance)) for _ in range(2))
        return float((first - second).square().sum() / (first - second.roll(1, 0)).square().sum())

    learnt = fit_invariant(images, **recipe, steps=120, seed=0)
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator is left alone"
    assert closeness(learnt) < 0.7 * closeness(fit_invariant(images, **recipe, steps=1, seed=0))
    again = fit_invariant(images, **recipe, steps=120, seed=0).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in learnt.state_dict().items())


# -- weights files ---------------------------------------------------------------------------------


def vit_tensors(depth=2, grid=4, registers=0, width=128):
    """A small DINOv2 with random numbers under the published names."""
    chance = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=chance) * 0.1

    found = {
        "cls_token": draw(1, 1, width), "mask_token": draw(1, width), "pos_embed": draw(1, 1 + grid * grid, width),
        "patch_embed.proj.weight": draw(width, 3, 14, 14), "patch_embed.proj.bias": draw(width),
        "norm.weight": 1 + draw(width), "norm.bias": draw(width),
    }  # fmt: skip
    if registers:
        found["register_tokens"] = draw(1, registers, width)
    for index in range(depth):
        at = f"blocks.{index}."
        for name, shape in {"attn.qkv": (3 * width, width), "attn.proj": (width, width),
                            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}.items():  # fmt: skip
            found[f"{at}{name}.weight"], found[f"{at}{name}.bias"] = draw(*shape), draw(shape[0])
        for name in ("norm1", "norm2"):
            found[f"{at}{name}.weight"], found[f"{at}{name}.bias"] = 1 + draw(width), draw(width)
        found[f"{at}ls1.gamma"], found[f"{at}ls2.gamma"] = 1 + draw(width), 1 + draw(width)
    return found


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2_is_timms_with_the_same_tensors(registers):
    theirs = timm.models.VisionTransformer(
        img_size=56, patch_size=14, embed_dim=128, depth=2, num_heads=2, init_values=1.0, num_classes=0,
        reg_tokens=registers, no_embed_class=bool(registers), dynamic_img_size=False,
    ).eval()  # fmt: skip
    tensors = vit_tensors(registers=registers)
    renamed = {name.replace("register_tokens", "reg_token"): value for name, value in tensors.items()}
    renamed.pop("mask_token")
    if registers:  # timm keeps the class token's position inside the token itself
        renamed["cls_token"] = tensors["cls_token"] + tensors["pos_embed"][:, :1]
        renamed["pos_embed"] = tensors["pos_embed"][:, 1:]
    theirs.load_state_dict(renamed)
    images = torch.randn((3, 3, 56, 56), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(Dinov2(tensors).embed(images), theirs(images), atol=1e-4)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_dinov2_reads_both_formats_and_any_image(name, tmp_path):
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(vit_tensors(depth=1, width=64), path)
    opened = open_dinov2(catalogue.Place(tmp_path, weights={"dinov2": path}))
    features = opened.features(pictures(3, size=20, channels=4), 5)
    assert features.shape == (3, 5)
    assert np.isfinite(features).all()
    grey = pictures(2, size=16)
    assert np.array_equal(opened.features(grey), opened.features(grey.expand(-1, 3, -1, -1)))
    assert prepare(grey).shape == (2, 3, 224, 224)


def test_a_weights_file_that_is_none_is_one_sentence(tmp_path):
    foreign = tmp_path / "x.pth"
    foreign.write_bytes(b"nothing")
    lacking = tmp_path / "y.safetensors"
    save_file({"a": torch.zeros(2)}, lacking)
    for path, sentence in ((None, "dinov2 is null"), (tmp_path / "no", "is not a file"), (foreign, "cannot be read"),
                           (lacking, "lacks 'blocks.0.attn.qkv.weight'")):  # fmt: skip
        with pytest.raises(DataError, match=sentence):
            catalogue.instruments["dinov2"].open(catalogue.Place(tmp_path, weights={"dinov2": path}))
    with pytest.raises(DataError, match="is not InceptionV3"):
        catalogue.instruments["inception"].open(catalogue.Place(tmp_path, weights={"inception": foreign}))


@pytest.mark.slow
def test_inception_is_torch_fidelitys_with_the_file_named(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    with monkeypatch.context() as patched:  # random weights in the published format: the file itself is not at hand
        patched.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
        torch.save({}, path)
        empty = home.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    state = {name: torch.rand(value.shape) * 0.05 if value.is_floating_point() else value
             for name, value in empty.state_dict().items()}  # fmt: skip
    torch.save(state, path)
    opened = catalogue.instruments["inception"].open(catalogue.Place(tmp_path, weights={"inception": path}))
    grey = pictures(2, size=16)
    features = opened.features(grey)
    theirs = home.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path)).eval()
    with torch.inference_mode():
        assert np.allclose(features, theirs(grey.expand(-1, 3, -1, -1))[0].numpy(), rtol=1e-5)
    assert features.shape == (2, 2048)
    assert len(opened.hash) == 64


# -- the panel -------------------------------------------------------------------------------------


def images(n, seed, low=0):
    return Images(pictures(n, seed=seed, low=low), torch.arange(n) % 2)


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractor")
    for name in RAW:
        save_frame(fit_frame(name, pictures(200)), name, folder)
    place = catalogue.Place(folder)
    return opinions.SecondOpinions(sorted(RAW), place, images(260, 1), images(200, 2), draws=4, seed=0)


def test_the_panel_puts_real_images_at_the_floor_and_others_far_from_it(panel):
    honest, bright = panel.ask(pictures(200, seed=7)), panel.ask(pictures(200, seed=7, low=128))
    for name in RAW:
        assert 0.5 < honest[name].fd_over_floor < 2
        assert bright[name].fd_over_floor > 10
        assert (honest[name].n, len(honest[name].hash)) == (200, 64)
    assert panel.ask(pictures(200, seed=7)) == honest
    assert set(opinions.as_facts(honest)) == set(RAW)


def test_the_spread_of_a_floor_is_that_of_fresh_images_where_the_pool_is_hardly_larger_than_a_draw(tmp_path):
    """With a pool that is one draw the draws are all the same: their own spread would be 0."""
    for name in RAW:
        save_frame(fit_frame(name, pictures(200)), name, tmp_path)
    place, train, test = catalogue.Place(tmp_path), images(200, 1), images(200, 2)
    found = opinions.SecondOpinions(sorted(RAW), place, train, test, draws=4, seed=0)
    group = balanced_groups(test.labels.numpy(), GROUPS, 0)
    for name, seat in found.seats.items():
        pool = seat.instrument.features(train.pixels, seat.dimensions)
        parts = [seat.fd(pool[group != each], least=1) for each in range(GROUPS)]
        assert seat.floor_std == pytest.approx(np.sqrt(2) * jackknife_spread(parts)), name
        assert seat.floor_std > 0.01 * seat.floor
        assert seat.ask(pictures(200, seed=7)).fd_floor_std == seat.floor_std


def test_too_few_images_for_published_networks_are_refused_before_the_file_is_read(tmp_path):
    with pytest.raises(DataError, match="inception needs at least 2,048 images on each side and there are 200"):
        opinions.SecondOpinions(
            ["inception"], catalogue.Place(tmp_path), images(260, 1), images(200, 2), draws=2, seed=0
        )


def opinion(fd, floor=0.1, spread=0.01, mark="h"):
    return {"hash": mark, "n": 10, "fd": fd, "fd_floor": floor, "fd_floor_std": spread, "fd_over_floor": fd / floor}


def test_an_alarm_sounds_far_from_the_domain_extractor_only():
    def alarms(fd):
        return opinions.far_apart({"domain": opinion(0.15), "random_conv": opinion(fd)}, 4.0)

    assert alarms(0.5) == []
    assert "sees a difference that the domain extractor hardly sees: 9.0 times" in alarms(0.9)[0]
    far = {"domain": opinion(2.0), "pixel_pca": opinion(0.1)}
    assert "pixel_pca hardly sees the difference" in opinions.far_apart(far, 4.0)[0]
    assert opinions.far_apart({"domain": opinion(0.02), "pixel_pca": opinion(0.09)}, 4.0) == [], "both at the floor"


def test_an_alarm_sounds_for_the_opposite_order_outside_the_spread():
    def alarms(first, second, **more):
        return opinions.opposite_order(
            {
                "gan": {"domain": opinion(0.2), "pixel_pca": opinion(first)},
                "vae": {"domain": opinion(0.4), "pixel_pca": opinion(second, **more)},
            }
        )

    assert "pixel_pca ranks vae before gan, the domain extractor the other way round" in alarms(0.5, 0.3)[0]
    assert alarms(0.3, 0.5) == []
    assert alarms(0.31, 0.30) == [], "inside the spread of the floor"
    assert alarms(0.5, 0.3, mark="other") == [], "other instruments do not compare"


@pytest.mark.parametrize(("size", "layout"), [(8, torch.contiguous_format), (32, torch.channels_last)])
def test_a_classifier_holds_nothing_that_another_process_may_not_know(size, layout):
    model = Classifier(size, 1, 2, 4)
    assert model.layout is layout
    # A layout of torch is pickled by the name of any module that holds one, which another process may not have.
    assert not any(isinstance(value, torch.memory_format) for value in vars(model).values())

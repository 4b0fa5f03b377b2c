"""The networks: shapes, independence of a sample from its batch, and a model folder that says what it is."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from aigc_core.config import Train
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import read_json
from aigc_core.models import residual
from aigc_core.models.blocks import LabelEmbedding, norm
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import SampleModel, build, families, load_model, save_model, to_bytes, to_unit
from aigc_core.training import steps
from aigc_core.training.trainer import Batch

SPEC = ModelSpec("gan", 8, 1, ("a", "b", "c"), latent=16, mlp_width=32, conv_width=8)
FAMILIES = sorted(families)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (11, 3), (16, 4), (20, 1), (28, 1), (32, 3), (32, 4)])
def test_every_size_and_channel_count_is_generated(family, size, channels):
    networks = build(replace(SPEC, family=family, size=size, channels=channels), seed=0)
    images = networks.generate(torch.randn(5, networks.noise_size), torch.tensor([0, 1, 2, 0, 1]))
    assert images.shape == (5, channels, size, size)
    assert images.abs().max() <= 1


def test_families_are_named_in_the_error():
    assert FAMILIES == ["flow", "gan", "vae"]
    with pytest.raises(ConfigError, match=r"'gam'.*flow, gan, vae"):
        build(replace(SPEC, family="gam"), seed=0)


@pytest.mark.parametrize(
    ("family", "architecture"), [(family, name) for family in ("gan", "vae") for name in ("auto", "dcgan", "residual")] + [("flow", "auto")]
)  # fmt: skip
@pytest.mark.parametrize(("size", "channels"), [(8, 4), (28, 1), (32, 3), (64, 3), (128, 1)])
def test_every_architecture_takes_one_step_at_every_size(family, architecture, size, channels):
    sizes = {"size": size, "channels": channels, "conv_width": 2, "sample_steps": 1}
    spec = replace(SPEC, family=family, architecture=architecture, **sizes)
    trainer = steps.build(replace(spec, largest_mlp_side=4), Train(), torch.device("cpu"), seed=0)
    before = [weight.clone() for weight in trainer.optimizers.copy().popitem()[1].param_groups[0]["params"]]
    noise = torch.Generator().manual_seed(0)
    images = torch.rand((2, channels, size, size), generator=noise) * 2 - 1
    values = trainer.step(Batch(images, torch.tensor([0, 1]), torch.tensor([5, 6])), noise, 0)
    assert all(torch.isfinite(value) for value in values.values())
    after = trainer.optimizers.popitem()[1].param_groups[0]["params"]
    moved = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert sum(moved) > len(moved) / 2, "so thin networks have units that are never active"
    sample = trainer.model.generate(torch.randn(2, trainer.model.noise_size), torch.tensor([0, 1]))
    assert sample.shape == (2, channels, size, size)


@pytest.mark.parametrize(
    ("size", "plain", "others"), [(20, 2, 2), (28, 2, 2), (32, 2, 3), (48, 2, 3), (64, 3, 4), (128, 4, 5)]
)
def test_maps_are_halved_to_a_small_one(size, plain, others):
    specs = [replace(SPEC, size=size, architecture=name) for name in ("auto", "dcgan", "residual")]
    assert [spec.halvings for spec in specs] == [plain, others, others]
    assert [spec.base for spec in specs] == [size >> plain, size >> others, size >> others]
    assert all(spec.width(0) == 8 for spec in specs)
    assert [specs[0].width(stage) for stage in range(5)] == [8, 16, 32, 64, 64], "no wider than eight times"


def test_dcgan_is_made_of_transposed_convolutions_that_begin_small():
    networks = build(replace(SPEC, size=28, architecture="dcgan", latent=100), seed=0)
    ups = [module for module in networks.generator.modules() if isinstance(module, nn.ConvTranspose2d)]
    downs = [module for module in networks.discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert [(up.in_channels, up.out_channels, up.stride) for up in ups] == [(16, 8, (2, 2)), (8, 1, (2, 2))]
    assert [(down.in_channels, down.out_channels, down.stride) for down in downs] == [(1, 8, (2, 2)), (8, 16, (2, 2))]
    for layer in [*ups, *downs]:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
        assert layer.bias.abs().max() == 0


@pytest.mark.parametrize("side", [6, 7])
def test_residual_blocks_add_to_what_they_are_given(side):
    """With the inner weights at zero a block is its skip: the input, resized."""
    images = torch.randn((2, 3, 2 * side, 2 * side))
    for block, expected in (
        (residual.UpBlock(3, 3), nn.functional.interpolate(images, scale_factor=2.0)),
        (residual.DownBlock(3, 3), nn.functional.avg_pool2d(images, 2)),
        (residual.DownBlock(3, 3, plain=True), images),
    ):
        for weight in block.net.parameters():
            nn.init.zeros_(weight)
        for module in block.skip.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data.copy_(torch.eye(3)[:, :, None, None])
                nn.init.zeros_(module.bias)
        torch.testing.assert_close(block(images), expected)


@pytest.mark.parametrize("width", [1, 12, 28, 44, 64])
def test_any_width_is_normalised(width):
    groups = norm(width).num_groups
    assert width % groups == 0
    assert groups == 8 or width != 64


def test_shapes_that_no_network_takes_are_refused():
    with pytest.raises(DataError, match=r"18 px.*multiple of 4"):
        replace(SPEC, size=18)
    with pytest.raises(DataError, match=r"14 px.*multiple of 4"):
        replace(SPEC, size=14, architecture="dcgan")
    for size in (7, 132):
        with pytest.raises(DataError, match=f"{size} px: models take sides of 8 to 128 px"):
            replace(SPEC, size=size)
    with pytest.raises(DataError, match=r"'vgg'.*auto, mlp, dcgan, residual"):
        replace(SPEC, architecture="vgg")
    assert not replace(SPEC, size=90, architecture="mlp").convolutional
    with pytest.raises(DataError, match="2 channels"):
        replace(SPEC, channels=2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("spec", [{"size": 8}, {"size": 28}, *({"size": 28, "architecture": name} for name in ("dcgan", "residual"))], ids=str)  # fmt: skip
def test_no_layer_looks_at_the_rest_of_the_batch(family, spec):
    networks = build(replace(SPEC, family=family, sample_steps=3, **spec), seed=0)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in networks.modules())
    networks.double()
    noise, labels = torch.randn(6, networks.noise_size, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    together = networks.generate(noise, labels)
    alone = torch.cat([networks.generate(noise[i : i + 1], labels[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [8, 20])
def test_samples_do_not_depend_on_the_batch_size(family, size, tmp_path):
    save_model(tmp_path, build(replace(SPEC, family=family, size=size, sample_steps=3), seed=3), {})
    model = load_model(tmp_path)
    labels = torch.arange(3).repeat(21)
    whole = model.sample(labels, seed=5)
    assert whole.dtype == torch.uint8
    assert whole.shape == (63, 1, size, size)
    assert whole.float().std() > 1, "constant images would make this test empty"
    for batch_size in (1, 7, 62, 63):
        assert torch.equal(model.sample(labels, seed=5, batch_size=batch_size), whole)
    assert not torch.equal(model.sample(labels, seed=6), whole)


def test_label_and_noise_both_matter():
    networks = build(SPEC, seed=0)
    noise = torch.randn(1, 16).expand(3, -1)
    by_label = networks.generate(noise, torch.tensor([0, 1, 2]))
    assert not torch.allclose(by_label[0], by_label[1])
    assert not torch.allclose(networks.generate(noise[:1] + 1, torch.tensor([0])), by_label[:1])


def test_no_samples_is_an_empty_tensor():
    assert SampleModel(SPEC, {}, build(SPEC, seed=0)).sample(torch.zeros(0, dtype=torch.int64), 0).shape == (0, 1, 8, 8)


def test_weights_depend_on_the_seed_and_leave_the_callers_chance_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, second, other = build(SPEC, seed=0), build(SPEC, seed=0), build(SPEC, seed=1)
    assert torch.equal(torch.rand(3), expected)
    states = [network.state_dict() for network in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["generator.label.weight"], states[2]["generator.label.weight"])


@pytest.mark.parametrize("family", FAMILIES)
def test_label_tensors_are_those_of_the_label_tables(family):
    networks = build(replace(SPEC, family=family), seed=0)
    tables = [module for module in networks.modules() if isinstance(module, LabelEmbedding)]
    named = networks.label_tensors()
    assert len(named) == len(tables) == (1 if family == "flow" else 2)
    assert all(networks.state_dict()[name].shape[0] == len(SPEC.classes) for name in named)


@pytest.mark.parametrize("size", [8, 20])
def test_spectral_norm_holds_every_layer_of_the_discriminator_at_one(size, tmp_path):
    spec = replace(SPEC, size=size, spectral_norm=True)
    networks = build(spec, seed=0)
    discriminator = networks.discriminator
    images = torch.randn((4, 1, size, size), generator=torch.Generator().manual_seed(0))
    for _ in range(30):
        discriminator(images, torch.tensor([0, 1, 2, 0]))
    layers = [module for module in discriminator.modules() if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding))]
    assert len(layers) >= 5
    for layer in layers:
        largest = torch.linalg.svdvals(layer.weight.flatten(1))[0].item()
        assert largest == pytest.approx(1, abs=0.02), layer
    assert not hasattr(networks.generator, "parametrizations")
    assert (
        len({name.rsplit(".parametrizations", 1)[0].removesuffix(".weight") for name in networks.label_tensors()}) == 2
    )
    save_model(tmp_path, networks, {})
    assert load_model(tmp_path).spec == spec


def test_a_card_names_what_is_not_usual_and_old_cards_are_read():
    assert "spectral_norm" not in SPEC.to_json()
    assert replace(SPEC, spectral_norm=True).to_json()["spectral_norm"] is True
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC


@pytest.mark.parametrize("family", FAMILIES)
def test_the_side_from_which_convolutions_take_over_can_be_chosen(family):
    large, small = (
        replace(SPEC, family=family, size=18, largest_mlp_side=28),
        replace(SPEC, family=family, largest_mlp_side=4),
    )
    kinds = [{type(module) for module in build(spec, seed=0).modules()} for spec in (large, small)]
    assert nn.Conv2d not in kinds[0]
    assert nn.Conv2d in kinds[1]
    assert ModelSpec.from_json(large.to_json()) == large


def test_bytes_survive_the_way_to_the_network_and_back():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_bytes(to_unit(pixels)), pixels)
    assert to_unit(pixels).min() == -1
    assert to_unit(pixels).max() == 1
    assert to_bytes(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_the_learned_spread_stays_above_one_grey_level_and_can_come_back():
    decoder = build(replace(SPEC, family="vae"), seed=0).decoder
    nn.init.constant_(decoder.log_spread, -50.0)
    assert decoder.bounded_log_spread().exp().item() >= 2 / 255 * 0.99
    nn.init.constant_(decoder.log_spread, -6.0)
    decoder.bounded_log_spread().backward()
    assert decoder.log_spread.grad > 0.1


def test_a_model_folder_comes_back_whole(tmp_path):
    networks = build(SPEC, seed=0)
    card = save_model(tmp_path, networks, {"step": 10, "dataset_version": "0123"})
    model = load_model(tmp_path)
    assert model.spec == SPEC
    assert model.card == card == read_json(tmp_path / "model.json")
    assert model.card["step"] == 10
    noise, labels = torch.randn(4, 16), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(
        model.networks.generate(noise.double(), labels).float(), networks.generate(noise, labels)
    )


def test_missing_and_foreign_weights_are_refused(tmp_path):
    with pytest.raises(DataError, match="no trained model"):
        load_model(tmp_path)
    save_model(tmp_path, build(SPEC, seed=0), {})
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(DataError, match=r"not those that model\.json names"):
        load_model(tmp_path)

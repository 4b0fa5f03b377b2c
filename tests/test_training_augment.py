"""Augmentation in training: keyed by row, differentiable, on both sides, and not in what is generated."""

import pytest
import torch
from training_data import curated, folder_bytes, settings, stop_after

from aigc_core.config import Gan, parse
from aigc_core.errors import ConfigError
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build
from aigc_core.stages.train import train
from aigc_core.training import steps
from aigc_core.training.augment import Ada, DiffAugment, cutout, moved, recoloured, translation, warped
from aigc_core.training.chance import row_keys, uniforms
from aigc_core.training.families.gan import GanTrainer
from aigc_core.training.trainer import Batch

ALL = ["color", "translation", "cutout"]
pytestmark = pytest.mark.usefixtures("one_thread")


def certain(probability: float = 0.8) -> Ada:
    """ADA as it is after a long time of being sure of itself."""
    ada = Ada(0.6, 1000)
    ada.probability.fill_(probability)
    return ada


def pictures(count: int = 6, channels: int = 3, side: int = 12) -> torch.Tensor:
    return torch.rand((count, channels, side, side), generator=torch.Generator().manual_seed(0)) * 2 - 1


# -- chance ----------------------------------------------------------------------------------------------------


def test_uniform_draws_are_uniform_and_unrelated():
    draws = uniforms(row_keys([f"row {index}" for index in range(20_000)]), 4, seed=5)
    assert draws.min() >= 0
    assert draws.max() < 1
    for lane in draws.unbind(1):
        assert torch.histc(lane, 10, 0, 1).div(2000).sub(1).abs().max() < 0.1
    related = torch.corrcoef(
        torch.cat([draws, uniforms(row_keys([f"row {index}" for index in range(20_000)]), 4, 6)], 1).T
    )
    assert (related - torch.eye(8)).abs().max() < 0.03
    neighbours = uniforms(torch.arange(20_000), 1, seed=0).flatten()
    assert torch.corrcoef(torch.stack([neighbours[:-1], neighbours[1:]]))[0, 1].abs() < 0.03


@pytest.mark.parametrize("change", [DiffAugment(ALL), certain()], ids=["diffaugment", "ada"])
def test_what_is_drawn_for_a_row_depends_on_it_and_the_seed_alone(change):
    images, keys = pictures(), row_keys(list("abcdef"))
    whole = change(images, keys, 3)
    order = torch.tensor([4, 0, 2])
    torch.testing.assert_close(change(images[order], keys[order], 3), whole[order])
    assert not torch.allclose(change(images, keys, 4), whole)
    same = change(images[:1].expand(2, -1, -1, -1), keys[:2], 3)
    assert not torch.allclose(same[0], same[1]), "two rows are not changed alike"


# -- operations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [DiffAugment(ALL), certain()], ids=["diffaugment", "ada"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gradients_reach_the_images(change, channels):
    images = pictures(channels=channels).double().requires_grad_()
    keys = row_keys(list("abcdef"))
    changed = change(images, keys, 3)
    assert changed.shape == images.shape
    (slope,) = torch.autograd.grad(changed.square().sum(), images)
    assert torch.isfinite(slope).all()
    assert (slope.abs().flatten(1).sum(1) > 0).all()
    nudge = torch.zeros_like(images)
    nudge[:, :, 5, 6] = 1e-5
    expected = (change(images + nudge, keys, 3).square().sum() - change(images - nudge, keys, 3).square().sum()) / 2e-5
    assert slope[:, :, 5, 6].sum().item() == pytest.approx(expected.item(), rel=1e-4)


def test_moves_by_hand():
    image = torch.arange(9.0).reshape(1, 1, 3, 3) + 1
    moves = moved(image.expand(3, -1, -1, -1), torch.tensor([[1, 0], [0, -1], [5, 0]]))
    assert moves[0, 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert moves[1, 0].tolist() == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]
    assert moves[2].abs().sum() == 0
    largest = translation(torch.ones(1, 1, 8, 8), torch.tensor([[0.9999, 0.0]]))
    assert largest[0, 0, 0].sum() == 0, "an eighth of 8 px down"
    assert largest[0, 0, :, 7].sum() == 0, "and to the left"
    assert largest.sum() == 49


def test_a_cutout_is_a_square_of_half_the_side():
    held = cutout(torch.ones(1, 2, 8, 8), torch.tensor([[0.5, 0.5]]))
    assert held.sum() == 2 * (64 - 16)
    assert held[0, 0, 2:6, 2:6].sum() == 0
    assert cutout(torch.ones(1, 2, 8, 8), torch.tensor([[0.0, 0.0]]))[0, 0].sum() == 64 - 4, "over the edge"


def test_alpha_keeps_its_values_under_colour():
    images = pictures(channels=4)
    changed = DiffAugment(["color"])(images, row_keys(list("abcdef")), 0)
    assert torch.equal(changed[:, 3], images[:, 3])
    assert not torch.allclose(changed[:, :3], images[:, :3])
    changed = recoloured(images, torch.rand(6, 6), torch.tensor(1.0))
    assert torch.equal(changed[:, 3], images[:, 3])


def test_ada_does_nothing_at_zero_and_about_p_of_the_images_at_p():
    images = pictures(1).expand(2000, -1, -1, -1)
    keys = torch.arange(2000)
    torch.testing.assert_close(certain(0.0)(images, keys, 0), images)
    draws = uniforms(keys, 6, 0)
    changed = ((recoloured(images, draws, torch.tensor(0.3)) - images).abs() > 1e-5).flatten(1).any(1).float().mean()
    assert changed.item() == pytest.approx(1 - 0.7**3, abs=0.03)
    kept = (warped(images, uniforms(keys, 11, 1), torch.tensor(0.3)) == images).flatten(1).all(1).float().mean()
    assert kept.item() == pytest.approx(0.7**4, abs=0.03)


def test_ada_rises_while_the_discriminator_is_sure_and_falls_when_it_is_not():
    ada = Ada(0.6, images=320)  # 4 steps of 8 images move by .1
    for step in range(8):
        shown = ada.observe(torch.ones(8), step)
    assert shown["augment_probability"].item() == pytest.approx(0.2)
    for step in range(8, 12):
        ada.observe(torch.tensor([1.0, -1.0] * 4), step)
    assert ada.probability.item() == pytest.approx(0.1)
    for step in range(12, 100):
        ada.observe(torch.ones(8), step)
    assert ada.probability.item() == pytest.approx(0.8), "beyond that it would show in what is generated"


@pytest.mark.parametrize("loss", ["wgan-gp", "lsgan"])
def test_ada_is_refused_where_a_sign_says_nothing(loss):
    with pytest.raises(ConfigError, match=f"sign of the discriminator.*{loss}"):
        parse({"train": {"gan": {"augment": "ada", "loss": loss}}})


# -- in training -----------------------------------------------------------------------------------------------

QUICK = {"steps": 30, "ada_images": 640, "ada_target": 0.0}


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_augmented_training_resumes_to_the_same_bytes(name, tmp_path, monkeypatch):
    config = settings(gan={**QUICK, "augment": name})
    unbroken, broken = curated(tmp_path / "a"), curated(tmp_path / "b")
    train(config, unbroken, "gan")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 18)  # the last checkpoint is at 15, within an interval of ADA
        train(config, broken, "gan")
    train(config, broken, "gan")
    assert folder_bytes(broken.model("gan")) == folder_bytes(unbroken.model("gan"))
    if name == "ada":
        rows = (unbroken.model("gan") / "curve.csv").read_text().splitlines()
        assert rows[0].endswith("augment_probability")
        assert 0 < float(rows[-1].split(",")[-1]) <= 0.8


def spread_of_brightness(**gan: object) -> float:
    """Train on images of one brightness per class and say how much that of samples varies within a class."""
    spec = ModelSpec("gan", 8, 1, ("a", "b"), latent=4, mlp_width=32, conv_width=8)
    quick = Gan(learning_rate=0.002, ema=0.98, mlp_r1=1.0, **gan)
    trainer = GanTrainer(build(spec, 0), quick, torch.device("cpu"))
    labels, keys = torch.arange(32) % 2, torch.arange(32)
    images = torch.where(labels == 0, 0.3, -0.3)[:, None, None, None].expand(-1, 1, 8, 8)
    for step in range(300):
        trainer.step(Batch(images.clone(), labels, keys), torch.Generator().manual_seed(step), step)
    with torch.no_grad():
        chance = torch.Generator().manual_seed(1)
        samples = [
            trainer.model.generate(torch.randn((100, 4), generator=chance), torch.full((100,), k)) for k in (0, 1)
        ]
    return max(sample.mean((1, 2, 3)).std().item() for sample in samples)


def test_augmentation_does_not_leak_into_what_is_generated(monkeypatch):
    """Brightness is drawn from a range of 1, whose spread is .29; a generator that copied the draws would have it."""
    assert spread_of_brightness(augment="diffaugment", diffaugment=["color"]) < 0.06
    # The same with the real images alone augmented: the generator has to make the draws itself.

    def real_alone(self, noise, count):
        seed = int(torch.randint(2**62, (), generator=noise))
        return lambda images, keys, purpose: images if keys is None else self.augment(images, keys, seed)

    monkeypatch.setattr(GanTrainer, "_shown", real_alone)
    assert spread_of_brightness(augment="diffaugment", diffaugment=["color"]) > 0.15

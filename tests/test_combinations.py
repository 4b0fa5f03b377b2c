"""Every loss with every precision, architecture and augmentation: two steps that stay finite and change the weights."""

import itertools
import math

import pytest
import torch
from training_data import settings

from aigc_core.config import Config
from aigc_core.data.loader import ImageSet
from aigc_core.errors import ConfigError
from aigc_core.training.rows import Rows, take_step
from aigc_core.training.session import spec_of
from aigc_core.training.steps import build

pytestmark = pytest.mark.usefixtures("one_thread")

PRECISIONS, ARCHITECTURES = ("float32", "bf16"), ("mlp", "dcgan", "residual")
LOSSES = ("nonsaturating", "minimax", "hinge", "wgan-gp", "lsgan")
AUGMENTATIONS = ("none", "diffaugment", "ada")
OTHERS = ({"perturb": 0.1}, {"spectral_norm": True}, {"r1_every": 2}, {"clip_norm": 1.0}, {"ema": 0.0})
CPU = torch.device("cpu")


def two_steps(config: Config, family: str) -> None:
    pixels = torch.randint(0, 256, (16, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = ImageSet(pixels, torch.arange(16) % 2, [str(row) for row in range(16)], ["a", "b"])
    trainer = build(spec_of(config, family, {"size": 16, "channels": 1}, data.classes), config.train, CPU, 0)
    before = [weight.detach().clone() for weight in trainer.model.parameters()]
    for step in range(2):
        found = take_step(trainer, Rows(data, CPU), torch.arange(8) + 8 * step, 0, step)
        assert all(math.isfinite(float(value)) for value in found.values()), found
    after = list(trainer.model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def with_network(precision: str, architecture: str, **train: object) -> Config:
    network = {"latent": 4, "mlp_width": 16, "conv_width": 4, "architecture": architecture}
    return settings(precision=precision, network=network, **train)


@pytest.mark.parametrize(
    ("loss", "precision", "architecture", "augment"),
    [*itertools.product(LOSSES, PRECISIONS, ARCHITECTURES, AUGMENTATIONS)],
)
def test_gan(loss, precision, architecture, augment):
    gan = {"loss": loss, "augment": augment}
    if augment == "ada" and loss in ("wgan-gp", "lsgan"):
        with pytest.raises(ConfigError, match="diffaugment"):
            with_network(precision, architecture, gan=gan)
        return
    two_steps(with_network(precision, architecture, gan=gan), "gan")


@pytest.mark.parametrize(
    ("loss", "change"),
    [*itertools.product(LOSSES, OTHERS)],
)
def test_gan_with_what_else_it_can_do_in_bf16(loss, change):
    two_steps(with_network("bf16", "dcgan", gan={"loss": loss, **change}), "gan")


@pytest.mark.parametrize(
    ("likelihood", "precision", "architecture"),
    [*itertools.product(("gaussian", "logistic", "bernoulli"), PRECISIONS, ARCHITECTURES)],
)
def test_vae(likelihood, precision, architecture):
    two_steps(with_network(precision, architecture, vae={"likelihood": likelihood, "ema": 0.9}), "vae")


@pytest.mark.parametrize(("precision", "architecture"), [*itertools.product(PRECISIONS, ARCHITECTURES)])
def test_flow(precision, architecture):
    two_steps(with_network(precision, architecture), "flow")

"""Every formula against a value worked out by hand."""

import math
from typing import get_args

import pytest
import torch

from aigc_core.config import Gan
from aigc_core.training import adversarial, losses

# Logits with round sigmoids: log 3 -> 3/4, -log 3 -> 1/4, log 4 -> 4/5.
REAL = torch.tensor([math.log(3), -math.log(3)])
FAKE = torch.tensor([math.log(4), -2.0])
SOFT = math.log(1 + math.exp(-2.0))  # -log(1 - sigmoid(-2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nonsaturating", -(math.log(3 / 4) + math.log(1 / 4)) / 2 + (-math.log(1 / 5) + SOFT) / 2),
        ("minimax", -(math.log(3 / 4) + math.log(1 / 4)) / 2 + (-math.log(1 / 5) + SOFT) / 2),
        # log 3 is beyond the margin; a fake at -2 is too
        ("hinge", (0 + (1 + math.log(3))) / 2 + ((1 + math.log(4)) + 0) / 2),
        ("wgan-gp", (math.log(4) - 2) / 2 - 0),
        ("lsgan", ((math.log(3) - 1) ** 2 + (math.log(3) + 1) ** 2) / 4 + (math.log(4) ** 2 + 4) / 4),
    ],
)
def test_discriminator_losses(name, expected):
    assert adversarial.losses[name].discriminator(REAL, FAKE).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nonsaturating", (-math.log(4 / 5) + (2 + SOFT)) / 2),
        ("minimax", (math.log(1 / 5) - SOFT) / 2),
        ("hinge", -(math.log(4) - 2) / 2),
        ("wgan-gp", -(math.log(4) - 2) / 2),
        ("lsgan", ((math.log(4) - 1) ** 2 + 9) / 4),
    ],
)
def test_generator_losses(name, expected):
    assert adversarial.losses[name].generator(FAKE).item() == pytest.approx(expected, rel=1e-5)


def test_every_loss_of_the_configuration_is_there():
    assert sorted(adversarial.losses) == sorted(get_args(Gan.model_fields["loss"].annotation))


@pytest.mark.parametrize("name", sorted(adversarial.losses))
def test_both_sides_pull_the_logits_apart(name):
    """The discriminator raises real and lowers fake logits, the generator raises them."""
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    up, down = torch.autograd.grad(adversarial.losses[name].discriminator(real, fake), [real, fake], allow_unused=True)
    assert (up < 0).all()
    (risen,) = torch.autograd.grad(adversarial.losses[name].generator(fake), [fake])
    assert (risen < 0).all()
    assert (down > 0).all() or name == "lsgan", "at zero the least-squares loss of fakes has its minimum"


@pytest.mark.parametrize(("name", "slope"), [("nonsaturating", -1.0), ("minimax", 0.0)])
def test_minimax_saturates_where_the_alternative_does_not(name, slope):
    logits = torch.tensor([-20.0], requires_grad=True)
    adversarial.losses[name].generator(logits).backward()
    assert logits.grad.item() == pytest.approx(slope, abs=1e-6)


def test_r1_is_half_the_mean_squared_gradient_norm():
    images = torch.randn((3, 1, 2, 2), generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = images.square().sum(dim=(1, 2, 3))  # gradient 2 x
    expected = 0.5 * (2 * images.detach()).square().sum(dim=(1, 2, 3)).mean()
    penalty = adversarial.r1_penalty(logits, images)
    assert penalty.item() == pytest.approx(expected.item())
    penalty.backward()  # of 2 |x|^2 / 3 by x
    torch.testing.assert_close(images.grad, 4 * images.detach() / 3)


def test_the_gradient_penalty_is_zero_at_slope_one_and_has_a_gradient_at_slope_zero():
    images = torch.randn((4, 1, 2, 2), generator=torch.Generator().manual_seed(0), requires_grad=True)
    for scale, expected in ((0.5, 0.0), (1.0, 1.0), (2.0, 9.0)):  # four values of this slope: norm 2 * scale
        penalty = adversarial.gradient_penalty(scale * images.sum(dim=(1, 2, 3)), images)
        assert penalty.item() == pytest.approx(expected, abs=1e-5)
    weight = torch.zeros(4, requires_grad=True)
    adversarial.gradient_penalty(images.flatten(1) @ weight, images).backward()
    assert torch.isfinite(weight.grad).all()


def test_kl_against_the_closed_form():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    # 1/2 (1 + 1 - 1 - 0) + 1/2 (4 + 0 - 1 - log 4)
    assert losses.gaussian_kl(mean, log_variance).item() == pytest.approx(0.5 + 0.5 * (3 - math.log(4)))
    assert losses.gaussian_kl(torch.zeros(5, 3), torch.zeros(5, 3)).item() == 0


def test_gaussian_likelihood_against_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    images, means = torch.randn((2, 4, 3, 2, 2), generator=generator)
    log_spread = torch.tensor(-0.7)
    expected = -torch.distributions.Normal(means, log_spread.exp()).log_prob(images).sum(dim=(1, 2, 3)).mean()
    assert losses.gaussian_nll(images, means, log_spread).item() == pytest.approx(expected.item(), rel=1e-5)

"""Every formula against a value worked out by hand."""

import math

import pytest
import torch

from aigc_core.training import losses


def test_generator_loss_is_minus_log_sigmoid():
    assert losses.nonsaturating_generator(torch.tensor([0.0, 0.0])).item() == pytest.approx(math.log(2))
    logits = torch.tensor([math.log(3), -math.log(3)])  # sigmoid: 3/4, 1/4
    assert losses.nonsaturating_generator(logits).item() == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_discriminator_loss_adds_both_sides():
    real, fake = torch.tensor([math.log(3)]), torch.tensor([math.log(4)])  # sigmoid: 3/4, 4/5
    expected = -math.log(3 / 4) - math.log(1 - 4 / 5)
    assert losses.nonsaturating_discriminator(real, fake).item() == pytest.approx(expected)


def test_generator_loss_does_not_saturate():
    logits = torch.tensor([-20.0], requires_grad=True)
    losses.nonsaturating_generator(logits).backward()
    assert logits.grad.item() == pytest.approx(-1)


def test_r1_is_half_the_mean_squared_gradient_norm():
    images = torch.randn((3, 1, 2, 2), generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = images.square().sum(dim=(1, 2, 3))  # gradient 2 x
    expected = 0.5 * (2 * images.detach()).square().sum(dim=(1, 2, 3)).mean()
    penalty = losses.r1_penalty(logits, images)
    assert penalty.item() == pytest.approx(expected.item())
    penalty.backward()  # of 2 |x|^2 / 3 by x
    torch.testing.assert_close(images.grad, 4 * images.detach() / 3)


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

"""What generator and discriminator play for: one function per formula, all with the same two signatures.

A discriminator's loss is (real logits, fake logits) -> scalar, a generator's (fake logits) -> scalar; both are
minimised. Legend: B = batch, logits are (B,) without a bound, D = sigmoid(logit), images (B, C, S, S); every loss
is a mean over B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from aigc_core.registry import Registry


class Adversarial(NamedTuple):
    """The two sides of one game."""

    discriminator: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    generator: Callable[[torch.Tensor], torch.Tensor]


def logistic_discriminator(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """-log D(x) - log(1 - D(G(z))): Goodfellow et al. 2014, equation 1, negated."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def nonsaturating_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """-log D(G(z)): Goodfellow et al. 2014, section 3, the alternative to equation 1."""
    return F.softplus(-fake_logits).mean()


def minimax_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """log(1 - D(G(z))): Goodfellow et al. 2014, equation 1; its gradient dies where D is sure of a fake."""
    return -F.softplus(fake_logits).mean()


def hinge_discriminator(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """max(0, 1 - real) + max(0, 1 + fake): Miyato et al. 2018, equation 16 (Lim & Ye 2017), negated."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def wasserstein_discriminator(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """Fake - real: Gulrajani et al. 2017, equation 3 without its penalty (see `gradient_penalty`)."""
    return fake_logits.mean() - real_logits.mean()


def linear_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """-fake: Miyato et al. 2018, equation 17, and Gulrajani et al. 2017, algorithm 1, line 12."""
    return -fake_logits.mean()


def least_squares_discriminator(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """(real - 1)^2 / 2 + fake^2 / 2: Mao et al. 2017, equation 9."""
    return 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()


def least_squares_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """(fake - 1)^2 / 2: Mao et al. 2017, equation 9."""
    return 0.5 * (fake_logits - 1).square().mean()


losses: Registry[Adversarial] = Registry("GAN loss")
losses.register("nonsaturating")(Adversarial(logistic_discriminator, nonsaturating_generator))
losses.register("minimax")(Adversarial(logistic_discriminator, minimax_generator))
losses.register("hinge")(Adversarial(hinge_discriminator, linear_generator))
losses.register("wgan-gp")(Adversarial(wasserstein_discriminator, linear_generator))
losses.register("lsgan")(Adversarial(least_squares_discriminator, least_squares_generator))


def r1_penalty(real_logits: torch.Tensor, real_images: torch.Tensor) -> torch.Tensor:
    """E |grad_x D(x)|^2 / 2 on real images: Mescheder et al. 2018, equation 9, without gamma."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()


def gradient_penalty(logits: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
    """E (|grad_x D(x)| - 1)^2 on points between real and fake: Gulrajani et al. 2017, equation 3, without lambda."""
    (gradient,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
    # The root has no slope at zero, where a discriminator begins that does not look at its input yet.
    norm = (gradient.square().flatten(1).sum(1) + 1e-12).sqrt()
    return (norm - 1).square().mean()

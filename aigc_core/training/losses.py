"""One function per formula. Legend: B = batch; logits are (B,), images (B, C, S, S); every loss is a mean over B."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def nonsaturating_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """-log D(G(z)): Goodfellow et al. 2014, section 3, the alternative to equation 1."""
    return F.softplus(-fake_logits).mean()


def nonsaturating_discriminator(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """-log D(x) - log(1 - D(G(z))): Goodfellow et al. 2014, equation 1, negated."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(real_logits: torch.Tensor, real_images: torch.Tensor) -> torch.Tensor:
    """E |grad_x D(x)|^2 / 2 on real images: Mescheder et al. 2018, equation 9, without gamma."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()


def gaussian_kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over L: Kingma & Welling 2014, appendix B."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def gaussian_nll(images: torch.Tensor, means: torch.Tensor, log_spread: torch.Tensor) -> torch.Tensor:
    """-log N(x; mean, spread^2) in nats, summed over pixels; one spread for all (Rybkin et al. 2021, equation 2)."""
    residual = (images - means) * torch.exp(-log_spread)
    per_pixel = 0.5 * residual.square() + log_spread + 0.5 * math.log(2 * math.pi)
    return per_pixel.flatten(1).sum(1).mean()

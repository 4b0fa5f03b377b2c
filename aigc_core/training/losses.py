"""The terms of the variational bound, one function per formula.

Legend: B = batch, L = latent dimensions; images are (B, C, S, S) in [-1, 1]; every loss is a mean over B.
"""

from __future__ import annotations

import math

import torch


def gaussian_kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over L: Kingma & Welling 2014, appendix B."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def gaussian_nll(images: torch.Tensor, means: torch.Tensor, log_spread: torch.Tensor) -> torch.Tensor:
    """-log N(x; mean, spread^2) in nats, summed over pixels; one spread for all (Rybkin et al. 2021, equation 2)."""
    residual = (images - means) * torch.exp(-log_spread)
    per_pixel = 0.5 * residual.square() + log_spread + 0.5 * math.log(2 * math.pi)
    return per_pixel.flatten(1).sum(1).mean()

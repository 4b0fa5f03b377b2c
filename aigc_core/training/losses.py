"""The KL term of the variational bound and the error of a flow, one function per formula.

Legend: B = batch, L = latent dimensions; mean and log variance of the posterior are (B, L); every loss is a mean over
B. The terms -log p(x | z) are in models/likelihoods.py, because they belong to the model.
"""

from __future__ import annotations

import torch


def gaussian_kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over L: Kingma & Welling 2014, appendix B."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def free_bits_kl(mean: torch.Tensor, log_variance: torch.Tensor, free: float) -> torch.Tensor:
    """The same sum, where each dimension counts for at least `free` nats: Kingma et al. 2016 (IAF), appendix C.8.

    Below that a dimension is not pressed towards the prior, so that it is not given up in the first steps.
    """
    per_dimension = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean(0)
    return per_dimension.clamp(min=free).sum()


def velocity_error(predicted: torch.Tensor, noise: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """|(image - noise) - v|^2 as a mean over values, each (B, C, S, S): Liu et al. 2022, equation 1."""
    return (images - noise - predicted).square().mean()

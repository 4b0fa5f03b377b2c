"""p(x | z): how likely an image is under what a decoder says of it, one function per formula, one signature.

Legend: N = images (N, C, S, S) in [-1, 1]; activations (N, C, S, S) are the decoder's output before its tanh, which is
the mean; log_spread is a scalar in the same pixel units, one for all pixels. All return -log p(x | z) in nats, summed
over pixels, (N,).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from aigc_core.registry import Registry

Likelihood = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
likelihoods: Registry[Likelihood] = Registry("likelihood")

#: Half the distance of two grey levels.
HALF_LEVEL = 1 / 255
#: Below this mass of one grey level float32 loses the difference of two sigmoids.
LEAST_MASS = 1e-7


@likelihoods.register("gaussian")
def gaussian_nll(images: torch.Tensor, activations: torch.Tensor, log_spread: torch.Tensor) -> torch.Tensor:
    """A density: -log N(x; mean, spread^2), one spread for all pixels (Rybkin et al. 2021, equation 2)."""
    residual = (images - torch.tanh(activations)) * torch.exp(-log_spread)
    per_pixel = 0.5 * residual.square() + log_spread + 0.5 * math.log(2 * math.pi)
    return per_pixel.flatten(1).sum(1)


@likelihoods.register("logistic")
def logistic_nll(images: torch.Tensor, activations: torch.Tensor, log_spread: torch.Tensor) -> torch.Tensor:
    """A probability: the mass of a logistic on each grey level, the ends on black and white (Salimans et al. 2017, equation 2)."""
    centred, scale = images - torch.tanh(activations), torch.exp(-log_spread)
    above, below = (centred + HALF_LEVEL) * scale, (centred - HALF_LEVEL) * scale
    mass = torch.sigmoid(above) - torch.sigmoid(below)
    # Far out the mass is the density times the width of a level.
    middle = centred * scale
    density = middle - log_spread - 2 * F.softplus(middle) + math.log(2 * HALF_LEVEL)
    inner = torch.where(mass > LEAST_MASS, mass.clamp(min=LEAST_MASS).log(), density)
    black, white = images < -1 + HALF_LEVEL, images > 1 - HALF_LEVEL
    log_mass = torch.where(black, F.logsigmoid(above), torch.where(white, F.logsigmoid(-below), inner))
    return -log_mass.flatten(1).sum(1)


@likelihoods.register("bernoulli")
def bernoulli_nll(images: torch.Tensor, activations: torch.Tensor, log_spread: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    """A probability of black (-1) and white (1) alone, with P(white) = (mean + 1) / 2 (Kingma & Welling 2014, appendix C.1)."""
    # (tanh(a) + 1) / 2 = sigmoid(2 a)
    return F.softplus(-2 * images * activations).flatten(1).sum(1)


def binarise(images: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
    """Draw every pixel white (1) with its grey level as probability, else black (-1).

    Drawn anew at every step this is dynamic binarisation (Burda et al. 2016, section 5).
    """
    chance = torch.rand(images.shape, generator=noise).to(images)
    return torch.where(chance < (images + 1) / 2, 1.0, -1.0).to(images)

"""How likely a VAE finds images: the importance-weighted bound."""

from __future__ import annotations

import math
from typing import Protocol

import torch

from aigc_core.errors import DataError

#: Codes that are decoded at once.
CHUNK = 4096


class LatentModel(Protocol):
    """What the bound asks of a model with a code z."""

    def posterior(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance (N, L) of q(z | x, y)."""

    def nll(self, images: torch.Tensor, code: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """-log p(x | z, y) in nats, (N,)."""


@torch.no_grad()
def importance_bound(
    model: LatentModel, images: torch.Tensor, labels: torch.Tensor, keys: torch.Tensor, samples: int, seed: int
) -> torch.Tensor:
    """A lower bound of log p(x | y) in nats, (N,): Burda et al. 2016, equation 8, with k = `samples`.

    k = 1 is one draw of the evidence lower bound; with k the bound rises to log p(x). For a density (gaussian) it may
    be positive; for bernoulli `images` must be binary. The codes of an image are drawn from (seed, its key of `keys`
    (N,)), so that a value depends on no other image. Raises DataError for `samples` below 1.
    """
    if samples < 1:
        raise DataError(f"{samples} samples for the importance-weighted bound: at least 1 is needed")
    together = max(1, CHUNK // samples)
    parts = [
        _bound(model, images[at : at + together], labels[at : at + together], keys[at : at + together], samples, seed)
        for at in range(0, len(images), together)
    ]
    return torch.cat(parts) if parts else torch.zeros(0)


def _bound(
    model: LatentModel, images: torch.Tensor, labels: torch.Tensor, keys: torch.Tensor, samples: int, seed: int
) -> torch.Tensor:
    mean, log_variance = model.posterior(images, labels)
    total = torch.full((len(images),), -math.inf).to(mean)
    chances = [torch.Generator().manual_seed((int(key) * 0x9E3779B97F4A7C15 + seed) % 2**63) for key in keys]
    for start in range(0, samples, CHUNK):
        count = min(CHUNK, samples - start)
        noise = torch.stack([torch.randn((count, mean.shape[1]), generator=chance) for chance in chances]).to(mean)
        code = mean[:, None] + (0.5 * log_variance).exp()[:, None] * noise
        rows = code.flatten(0, 1)
        repeated = [part.repeat_interleave(count, dim=0) for part in (images, labels)]
        likelihood = -model.nll(repeated[0], rows, repeated[1]).reshape(len(images), count)
        # log p(z) - log q(z | x); the two normalisations cancel but for the variance.
        ratio = 0.5 * (noise.square() + log_variance[:, None] - code.square()).sum(2)
        total = torch.logaddexp(total, torch.logsumexp(likelihood + ratio, dim=1))
    return total - math.log(samples)

"""How likely a VAE finds held-out images.

Legend: N = images, C = channels, S = side in px.
"""

from __future__ import annotations

import hashlib
import math

import torch
from rich.progress import track
from scipy import special

from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.intervals import LEVEL
from aigc_core.models.bound import importance_bound
from aigc_core.models.likelihoods import binarise
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import to_unit

#: Images between two movements of the progress bar.
TOGETHER = 64


def content_keys(pixels: torch.Tensor) -> torch.Tensor:
    """One int64 per image (N, C, S, S) uint8 that follows its pixels: what is drawn for it depends on no other image."""
    digests = (hashlib.sha256(image.numpy().tobytes()).digest() for image in pixels)
    return torch.tensor([int.from_bytes(digest[:8], "big", signed=True) for digest in digests], dtype=torch.int64)


def as_observed(vae: Vae, pixels: torch.Tensor, seed: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8 as the VAE's likelihood knows them: in [-1, 1], for bernoulli drawn black and white."""
    images = to_unit(pixels)
    if vae.spec.likelihood != "bernoulli":
        return images
    chances = (torch.Generator().manual_seed((int(key) + seed) % 2**63) for key in content_keys(pixels))
    return torch.stack([binarise(image, chance) for image, chance in zip(images, chances, strict=True)])


def held_out_bound(vae: Vae, pixels: torch.Tensor, labels: torch.Tensor, samples: int, seed: int) -> dict[str, float]:
    """The importance-weighted bound in nats per image (Burda et al. 2016, equation 8, k = `samples`), with its interval.

    A mean over images (N, C, S, S) uint8 with labels (N,); the 95 % interval is over images, by the normal
    distribution. Bounds of different likelihoods cannot be compared.
    """
    weight = next(vae.parameters())
    images, keys = as_observed(vae, pixels, seed), content_keys(pixels)
    parts = []
    for start in track(range(0, len(images), TOGETHER), f"bound with {samples} samples per image", transient=True):
        at = slice(start, start + TOGETHER)
        batch = images[at].to(weight), labels[at].to(weight.device)
        parts.append(importance_bound(vae, *batch, keys[at], samples, seed).cpu())
    values = torch.cat(parts).double()
    mean, spread = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    reach = float(special.ndtri(0.5 + LEVEL / 2)) * spread
    name = m.bound(vae.spec.likelihood, samples)
    return {name: mean, m.low(name): mean - reach, m.high(name): mean + reach}

"""What the numbers do that a model makes an image from: ways between two of them, and single dimensions of a VAE.

Legend: N = images, R = rows of a picture, T = images in a row, C = channels, S = side in px, L = latent dimensions.
Pixels are uint8 (N, C, S, S) on the CPU.
"""

from __future__ import annotations

import torch

from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import render

#: Images in a row, and rows of one picture.
STEPS, ROWS = 9, 10
#: A traversal goes so many standard deviations of the prior to either side.
REACH = 3.0
#: A dimension is active where its posterior mean varies by more than this (Burda et al. 2016, section 5).
ACTIVE = 0.01


def between(first: torch.Tensor, second: torch.Tensor, steps: int) -> torch.Tensor:
    """Codes (R, steps, L) on the great arcs from `first` (R, L) to `second`, both included (Shoemake 1985, slerp).

    Between two draws of a normal distribution the straight way leads through lengths that are hardly ever drawn.
    """
    unit = torch.nn.functional.normalize
    angle = (unit(first, dim=1) * unit(second, dim=1)).sum(1).clamp(-1 + 1e-7, 1 - 1e-7).acos()[:, None, None]
    share = torch.linspace(0, 1, steps, dtype=first.dtype)[None, :, None]
    return (((1 - share) * angle).sin() * first[:, None] + (share * angle).sin() * second[:, None]) / angle.sin()


def interpolations(networks: GenerativeModel, seed: int) -> tuple[torch.Tensor, list[str]]:
    """R rows of STEPS images between two seeded draws each, class after class: pixels (R * STEPS, C, S, S), row names."""
    names = networks.spec.classes
    labels = torch.arange(ROWS) % len(names)
    chance = torch.Generator().manual_seed(seed)
    ends = torch.randn((2, ROWS, networks.noise_size), generator=chance, dtype=torch.float64)
    codes = between(ends[0], ends[1], STEPS).flatten(0, 1)
    pixels = render(networks, codes, labels.repeat_interleave(STEPS))
    return pixels, [names[label] for label in labels.tolist()]


@torch.no_grad()
def posterior_means(vae: Vae, images: torch.Tensor, labels: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Means (N, L), on the CPU, of q(z | x, y) for images (N, C, S, S) in [-1, 1] and labels (N,)."""
    weight = next(vae.parameters())
    parts = [
        vae.posterior(some.to(weight), names.to(weight.device))[0].cpu()
        for some, names in zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
    ]
    return torch.cat(parts)


def activity(means: torch.Tensor) -> torch.Tensor:
    """Variance (L,) over images of the posterior means (N, L): A_u of Burda et al. 2016, section 5.

    A dimension that says nothing of the image has 0, one that says all that it can has about 1.
    """
    return means.var(0)


def traversals(vae: Vae, code: torch.Tensor, label: int, dimensions: list[int]) -> torch.Tensor:
    """One row of STEPS images for each of R dimensions: `code` (L,) with that one going from -REACH to REACH."""
    codes = code.repeat(len(dimensions), STEPS, 1)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = torch.linspace(-REACH, REACH, STEPS, dtype=code.dtype)
    flat = codes.flatten(0, 1)
    return render(vae, flat, torch.full((len(flat),), label))

"""Features without labels: a network that gives two views of one image the same code, and different images others.

VICReg (Bardes, Ponce & LeCun 2022): the codes of two views are pulled together, the spread of every coordinate is
kept above one, and coordinates are made independent. Chosen over contrast between images because it needs no large
batch, and over predicting rotations because digits, parts and X-rays have a right way up that carries meaning.

Legend: N = images, C = channels, S = side in px, D = feature dimensions, E = dimensions of the code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from aigc_core.evaluation.classifier import Classifier, descend, pick_device, seeded, to_float

#: Weights of the three terms (the paper's, section 4.2).
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
#: The code is this many times as wide as the features.
CODE_WIDTH = 4
#: A view is enlarged by up to this factor, moved by up to this share of the side, its contrast and brightness vary, and
#: it is noisy (standard deviation on the scale [-1, 1]). Mild changes and much noise: on digits the five nearest
#: neighbours name 94 % of unseen images after 500 steps, and 86 % with a zoom of 1.25, moves of .1 and little noise.
ZOOM, MOVE, CONTRAST, BRIGHTNESS, NOISE = 1.1, 0.05, 0.1, 0.05, 0.5


def fit_invariant(
    pixels: torch.Tensor,
    *,
    dimensions: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str = "cpu",
    told: str | None = None,
) -> Classifier:
    """Train the extractor's network on uint8 pixels (N, C, S, S) without labels; its head has one class and no meaning.

    AdamW with a cosine schedule to zero. All chance comes from one CPU generator seeded with `seed`: on a CPU the
    same call gives the same weights, and the global generator is left as it was. `told` names a progress bar.
    """
    place = pick_device(device)
    with seeded(seed):
        model = Classifier(pixels.shape[-1], pixels.shape[1], 1, dimensions).to(place)
        width = CODE_WIDTH * dimensions
        expander = nn.Sequential(nn.SiLU(), nn.Linear(dimensions, width), nn.SiLU(), nn.Linear(width, width)).to(place)
    chance, images = torch.Generator().manual_seed(seed), pixels.to(place)

    def loss() -> torch.Tensor:
        index = torch.randperm(len(images), generator=chance)[:batch_size].to(place)
        batch = to_float(images[index])
        return vicreg(expander(model.embed(view(batch, chance))), expander(model.embed(view(batch, chance))))

    descend([*model.parameters(), *expander.parameters()], loss, steps, learning_rate, told)
    return model.eval().requires_grad_(False)


def vicreg(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The loss of two codes (N, E) of the same images, N >= 2: equations (1), (3) and (6) of the paper."""
    parts = INVARIANCE * F.mse_loss(first, second)
    for code in (first, second):
        centred = code - code.mean(0)
        spread = (centred.square().sum(0) / (len(code) - 1) + 1e-4).sqrt()
        covariance = centred.T @ centred / (len(code) - 1)
        outside = covariance.square().sum() - covariance.diagonal().square().sum()
        parts = parts + VARIANCE / 2 * F.relu(1 - spread).mean() + COVARIANCE * outside / code.shape[1]
    return parts


def view(images: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """One random view of each image (N, C, S, S) in [-1, 1]: zoomed, moved, other contrast and brightness, noisy."""
    count = len(images)
    draw = torch.rand((5, count), generator=chance)
    scale = 1 / (1 + (ZOOM - 1) * draw[0])
    matrix = torch.zeros((count, 2, 3))
    matrix[:, 0, 0], matrix[:, 1, 1] = scale, scale
    # A grid spans 2, so that a share of the side is twice as much of it.
    matrix[:, 0, 2], matrix[:, 1, 2] = 2 * MOVE * (2 * draw[1] - 1), 2 * MOVE * (2 * draw[2] - 1)
    grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast = 1 + CONTRAST * (2 * draw[3] - 1)
    brightness = BRIGHTNESS * (2 * draw[4] - 1)
    moved = moved * contrast.to(images.device)[:, None, None, None] + brightness.to(images.device)[:, None, None, None]
    return moved + NOISE * torch.randn(images.shape, generator=chance).to(images.device)

"""Augmentation inside training, of real and generated images alike, so that a discriminator has more to learn from few.

It is differentiable, because the generator learns through it, and keyed by row, because chance is. Only what the
discriminator sees is augmented: the generator has to make images that look real under every draw, and those are the
ones that are not augmented, as long as the draws can be told apart from one another (Karras et al. 2020, section 2.2).

Legend: B = batch, C = channels (the fourth is alpha and keeps its values), S = side in px; images are (B, C, S, S) in
[-1, 1], draws (B, ...) uniform in [0, 1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from aigc_core.config import Gan as GanSettings
from aigc_core.training.chance import uniforms

#: Draws that one image may use.
DRAWS = 24
COLOURS = 3  # channels that colour operations change


class Augmentation(nn.Module, ABC):
    """What is done to images before the discriminator sees them. Its buffers are part of a checkpoint."""

    @abstractmethod
    def forward(self, images: torch.Tensor, keys: torch.Tensor, seed: int) -> torch.Tensor:
        """(B, C, S, S) to the same, by draws from (seed, key of (B,))."""

    def observe(self, real_logits: torch.Tensor, step: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Be told what the discriminator says of augmented real images (B,); returns what a curve should show."""
        return {}


# -- DiffAugment (Zhao et al. 2020, section 3.2) ----------------------------------------------------------------------


def colour(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Brightness by up to half the range of a sign, saturation 0 to 2, contrast 0.5 to 1.5. Draws (B, 3)."""
    brightness, saturation, contrast = (draw[:, None, None, None] for draw in draws.unbind(1))
    shades, rest = images[:, :COLOURS], images[:, COLOURS:]
    shades = shades + brightness - 0.5
    grey = shades.mean(1, keepdim=True)
    shades = grey + (shades - grey) * 2 * saturation
    middle = shades.mean((1, 2, 3), keepdim=True)
    return torch.cat([middle + (shades - middle) * (contrast + 0.5), rest], dim=1)


def translation(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Moves by up to an eighth of the side, zeros behind. Draws (B, 2)."""
    most = int(images.shape[-1] / 8 + 0.5)
    return moved(images, (draws * (2 * most + 1)).floor().long() - most)


def cutout(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Zeros in a square of half the side, whose centre lies anywhere. Draws (B, 2)."""
    side = images.shape[-1]
    cut = int(side / 2 + 0.5)
    start = (draws * (side + 1 - cut % 2)).floor() - cut // 2
    places = torch.arange(side, device=images.device)
    inside = (places >= start[..., None]) & (places < start[..., None] + cut)
    hole = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images * ~hole[:, None]


def moved(images: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Shift by whole pixels (B, 2), down and right, zeros behind."""
    side = images.shape[-1]
    rows, columns = (
        (torch.arange(side, device=images.device) - by[:, axis, None] + 1).clamp(0, side + 1) for axis in (0, 1)
    )
    padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    index = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
DIFFAUGMENT: dict[str, tuple[Operation, int]] = {
    "color": (colour, 3),
    "translation": (translation, 2),
    "cutout": (cutout, 2),
}


class DiffAugment(Augmentation):
    """Always on, all operations of the policy in turn."""

    def __init__(self, policy: list[str]) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, images: torch.Tensor, keys: torch.Tensor, seed: int) -> torch.Tensor:
        """See `Augmentation.forward`."""
        draws, used = uniforms(keys, DRAWS, seed), 0
        for name in self.policy:
            operation, needed = DIFFAUGMENT[name]
            images = operation(images, draws[:, used : used + needed])
            used += needed
        return images


# -- ADA (Karras et al. 2020) -----------------------------------------------------------------------------------------

#: Above it augmentations begin to show in what is generated (section 2.2).
MOST_PROBABLE = 0.8
#: Steps between two changes of p (section 3.1).
INTERVAL = 4


class Ada(Augmentation):
    """Every operation with probability p, which follows how sure the discriminator is of the real images.

    Of the operations of appendix B: flips, quarter turns, shifts, scalings, rotations, brightness, contrast and
    saturation; neither hue, luma flips nor the filters.
    """

    probability: torch.Tensor
    signs: torch.Tensor

    def __init__(self, target: float, images: int) -> None:
        super().__init__()
        self.target, self.images = target, images
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))

    def observe(self, real_logits: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """r_t = E[sign(D_train)], equation 1; p moves by one step towards r_t = target, at most 0 to 1 in `images` images."""
        self.signs += real_logits.detach().sign().mean() / INTERVAL
        if (step + 1) % INTERVAL == 0:
            move = INTERVAL * len(real_logits) / self.images
            self.probability += move * (self.signs - self.target).sign()
            self.probability.clamp_(0, MOST_PROBABLE)
            self.signs.zero_()
        return {"augment_probability": self.probability.clone()}

    def forward(self, images: torch.Tensor, keys: torch.Tensor, seed: int) -> torch.Tensor:
        """See `Augmentation.forward`."""
        draws = uniforms(keys, DRAWS, seed)
        images = blitted(images, draws[:, :7], self.probability)
        images = warped(images, draws[:, 7:18], self.probability)
        return recoloured(images, draws[:, 18:24], self.probability)


def blitted(images: torch.Tensor, draws: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """A horizontal flip, a number of quarter turns, a shift by up to an eighth, each with probability p. Draws (B, 7)."""
    side = images.shape[-1]
    chosen = draws[:, :3] < p
    flip = chosen[:, 0] & (draws[:, 3] < 0.5)
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    turns = torch.where(chosen[:, 1], (draws[:, 4] * 4).floor(), torch.zeros_like(draws[:, 4]))
    for count in (1, 2, 3):
        images = torch.where((turns == count)[:, None, None, None], images.rot90(count, (2, 3)), images)
    by = ((2 * draws[:, 5:7] - 1) * side / 8).round().long()
    return moved(images, torch.where(chosen[:, 2:3], by, torch.zeros_like(by)))


def warped(images: torch.Tensor, draws: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Scaling 2^N(0, .2^2), rotation, stretching 2^N(0, .2^2), rotation, shift N(0, .125^2), by one resampling. Draws (B, 11)."""
    twice = 1 - (1 - p).sqrt()  # so that a rotation before or after the stretching happens with probability p
    limits = torch.stack([p, twice, p, twice, p])
    chosen = draws[:, :5] < limits
    scale = torch.where(chosen[:, 0], 2 ** (0.2 * normal(draws[:, 5])), 1.0)
    first = torch.where(chosen[:, 1], math.pi * (2 * draws[:, 6] - 1), 0.0)
    stretch = torch.where(chosen[:, 2], 2 ** (0.2 * normal(draws[:, 7])), 1.0)
    second = torch.where(chosen[:, 3], math.pi * (2 * draws[:, 8] - 1), 0.0)
    shift = torch.where(chosen[:, 4:5], 2 * 0.125 * normal(draws[:, 9:11]), 0.0)  # the grid is 2 wide
    stretching = torch.diag_embed(torch.stack([scale * stretch, scale / stretch], dim=1))
    matrix = rotation(second) @ stretching @ rotation(first)
    grid = F.affine_grid(
        torch.cat([matrix, shift[:, :, None]], dim=2).to(images), list(images.shape), align_corners=False
    )
    bent = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return torch.where(chosen.any(1)[:, None, None, None], bent, images)


def recoloured(images: torch.Tensor, draws: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Brightness N(0, .2^2), contrast 2^N(0, .5^2), saturation 2^N(0, 1), each with probability p. Draws (B, 6)."""
    chosen, values = draws[:, :3] < p, normal(draws[:, 3:])
    brightness = torch.where(chosen[:, 0], 0.2 * values[:, 0], 0.0)[:, None, None, None]
    contrast = torch.where(chosen[:, 1], 2 ** (0.5 * values[:, 1]), 1.0)[:, None, None, None]
    saturation = torch.where(chosen[:, 2], 2 ** values[:, 2], 1.0)[:, None, None, None]
    shades, rest = images[:, :COLOURS], images[:, COLOURS:]
    shades = (shades + brightness) * contrast
    if shades.shape[1] == COLOURS:
        grey = shades.mean(1, keepdim=True)
        shades = grey + (shades - grey) * saturation
    return torch.cat([shades, rest], dim=1)


def rotation(angles: torch.Tensor) -> torch.Tensor:
    """(B,) radians to matrices (B, 2, 2)."""
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)


def normal(draws: torch.Tensor) -> torch.Tensor:
    """Uniform draws as standard normal ones, none further out than 5.2."""
    return math.sqrt(2) * torch.erfinv((2 * draws - 1).clamp(-1 + 2e-7, 1 - 2e-7))


def make(settings: GanSettings) -> Augmentation | None:
    """What train.gan.augment names; none does nothing, and costs nothing."""
    if settings.augment == "diffaugment":
        return DiffAugment(list(settings.diffaugment))
    return Ada(settings.ada_target, settings.ada_images) if settings.augment == "ada" else None

"""Residual networks of GANs: Gulrajani et al. 2017 (appendix on CIFAR-10) and Miyato & Koyama 2018 (appendix on architectures).

The generator normalises each image alone, the discriminator nothing. Its last map is flattened, where theirs is summed:
the same network is the encoder of a VAE, which has to know where things are.

Legend: N = images, C = channels, S = side in px.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from aigc_core.models.blocks import norm
from aigc_core.models.spec import ModelSpec


class UpBlock(nn.Module):
    """Twice the side: (N, inputs, S, S) to (N, outputs, 2 S, 2 S)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            norm(inputs), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1),
            norm(outputs), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1),
        )  # fmt: skip
        # The shortcut of a residual block (He et al. 2016, section 3.2); saved weights go by this name.
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """See the class. The skip's 1 x 1 convolution and the repetition of pixels commute: it comes first."""
        grown: torch.Tensor = F.interpolate(self.skip(features), scale_factor=2.0) + self.net(features)
        return grown


class DownBlock(nn.Module):
    """Half the side: (N, inputs, S, S) to (N, outputs, S / 2, S / 2); `plain` keeps it, `first` sees an image.

    The first block does not rectify its input: an image has no sign to cut off.
    """

    def __init__(self, inputs: int, outputs: int, *, plain: bool = False, first: bool = False) -> None:
        super().__init__()
        halved = nn.Identity() if plain else nn.AvgPool2d(2)
        self.net = nn.Sequential(
            nn.Identity() if first else nn.ReLU(), nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), halved,
        )  # fmt: skip
        # The shortcut of a residual block (He et al. 2016, section 3.2); saved weights go by this name.
        self.skip = nn.Sequential(halved, nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """See the class."""
        shrunk: torch.Tensor = self.skip(features) + self.net(features)
        return shrunk


def upward(inputs: int, spec: ModelSpec) -> nn.Sequential:
    """(N, inputs) to (N, C, S, S) before the tanh."""
    last = spec.width(spec.halvings)
    blocks = [UpBlock(spec.width(stage + 1), spec.width(stage)) for stage in reversed(range(spec.halvings))]
    return nn.Sequential(
        nn.Linear(inputs, last * spec.base**2),
        nn.Unflatten(1, (last, spec.base, spec.base)),
        *blocks,
        norm(spec.width(0)),
        nn.ReLU(),
        nn.Conv2d(spec.width(0), spec.channels, 3, padding=1),
    )


def downward(spec: ModelSpec) -> nn.Sequential:
    """(N, C, S, S) to the flattened smallest map."""
    last = spec.width(spec.halvings - 1)
    blocks = [DownBlock(spec.channels, spec.width(0), first=True)]
    blocks += [DownBlock(spec.width(stage - 1), spec.width(stage)) for stage in range(1, spec.halvings)]
    return nn.Sequential(*blocks, DownBlock(last, last, plain=True), nn.ReLU(), nn.Flatten())

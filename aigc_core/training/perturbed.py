"""Discriminator inputs, real and generated, moved a little towards the wrong answer: a discriminator that is not fooled by them.

Zhou & Krähenbühl 2019, "Don't let your discriminator be fooled", with one step of the fast gradient sign method. Legend:
B = batch, images (B, C, S, S).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from aigc_core.models.perturb import rising

#: (real logits, fake logits) to the discriminator's loss, as in training/adversarial.py.
DiscriminatorLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def perturbed(
    discriminator: nn.Module,
    loss: DiscriminatorLoss,
    real: torch.Tensor,
    fakes: torch.Tensor,
    labels: torch.Tensor,
    radius: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and generated images, each `radius` further along the sign of the gradient of the discriminator's own loss.

    `labels` (B,) are those of both. What is added is a constant: gradients reach the images as they would without it. With a
    radius of 0 the images come back as they are, at no cost. Values may leave [-1, 1] by the radius: cut there, the black
    ground of a digit would have no gradient left for R1 to see.
    """
    if radius == 0:
        return real, fakes

    def own_loss(both: torch.Tensor) -> torch.Tensor:
        real_logits, fake_logits = discriminator(both, labels.repeat(2)).chunk(2)
        return loss(real_logits, fake_logits)

    up_real, up_fakes = rising(torch.cat([real, fakes]), own_loss).chunk(2)
    return real + radius * up_real, fakes + radius * up_fakes

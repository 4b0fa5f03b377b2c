"""Small changes of an image that raise a loss the most: what networks are attacked with, and may be trained against.

Legend: N = images, C = channels, S = side in px. Images are (N, C, S, S) float; a radius is the largest change of any
value, in their unit (L-infinity ball). A loss maps images to a scalar in which each image has a term of its own, so that
one image's change does not depend on the others. Nothing here draws at random, and no weight gets a gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Loss = Callable[[torch.Tensor], torch.Tensor]
#: Lowest and highest value of an image; null where images may leave it, as noisy ones do.
Bounds = tuple[float, float] | None
UNIT: Bounds = (-1.0, 1.0)
#: What all steps of PGD add up to, in radii: every point of the ball is in reach, and the border can be followed.
TRAVEL = 2.5


def fgsm(images: torch.Tensor, loss: Loss, radius: float, bounds: Bounds = UNIT) -> torch.Tensor:
    """The fast gradient sign method: x + radius sign(grad_x loss(x)) (Goodfellow, Shlens & Szegedy 2015, section 4), cut to bounds."""
    return pgd(images, loss, radius, 1, radius, bounds)


def pgd(
    images: torch.Tensor, loss: Loss, radius: float, steps: int, step: float | None = None, bounds: Bounds = UNIT
) -> torch.Tensor:
    """Projected gradient descent on the negative loss (Madry et al. 2018, section 2.1), started at the images themselves.

    `steps` times x <- P(x + step sign(grad_x loss(x))), where P cuts to the ball of `radius` about the images and to
    `bounds`. `step` is TRAVEL radii over the number of steps unless told. Published attacks also start at random points of
    the ball; a start at the image is weaker by little and always the same.
    """
    start = images.detach()
    step = TRAVEL * radius / steps if step is None else step
    moved = start
    for _ in range(steps):
        moved = (moved + step * rising(moved, loss)).clamp(start - radius, start + radius)
        if bounds is not None:
            moved = moved.clamp(*bounds)
    return moved


def rising(images: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Signs (N, C, S, S) of the gradient of the loss; 0 where it has no slope."""
    with torch.enable_grad():
        asked = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(asked), asked)
    return gradient.sign()

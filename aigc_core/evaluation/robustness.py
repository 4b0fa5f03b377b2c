"""How many images a classifier still names rightly when each is changed a little to deceive it.

Legend: N = images, C = channels, S = side in px. Pixels are uint8 in [0, 255]; a radius is on the classifier's scale [-1, 1],
so that .1 is 12.75 grey levels.
"""

from __future__ import annotations

from functools import partial

import torch

from aigc_core.evaluation.batches import batch_images
from aigc_core.evaluation.classifier import Classifier, label_loss, to_float
from aigc_core.models.perturb import pgd


def attacked_accuracy(
    model: Classifier, pixels: torch.Tensor, labels: torch.Tensor, radius: float, steps: int
) -> float:
    """Share of images (N, C, S, S) uint8 that are given their label (N,) after the attack, in [0, 1].

    One step is the fast gradient sign method, more are projected gradient descent, both with the classifier's own
    gradient. A radius of 0 attacks nothing.
    """
    device, right = model.head.weight.device, 0
    size = batch_images(pixels.shape[-1])
    for images, truth in zip(torch.split(pixels, size), torch.split(labels, size), strict=True):
        truth = truth.to(device)
        changed = pgd(to_float(images.to(device)), partial(label_loss, model, truth), radius, steps)
        with torch.no_grad():
            right += int((model(changed).argmax(1) == truth).sum())
    return right / len(labels)

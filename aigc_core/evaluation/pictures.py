"""Which images a person should look at: choices and their order, as arrays. Drawing is the report's work.

Legend: N = images, C = channels, S = side in px. In: uint8 tensors (N, C, S, S); out: uint8 arrays (N, S, S, C).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.evaluation.explain import nearest_pixels
from aigc_core.evaluation.neighbours import Array

Pictures = npt.NDArray[np.uint8]

#: Samples that are shown beside their nearest training image.
NEAREST_SHOWN = 64
#: Images per class and side, and classes, of the class grid.
PER_CLASS = 8
CLASSES_SHOWN = 20
#: Grey of the column between real and generated, and of places without an image.
GAP = 128


def as_pictures(pixels: torch.Tensor) -> Pictures:
    """(N, C, S, S) to (N, S, S, C)."""
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


@dataclass(frozen=True)
class Neighbours:
    """Samples, the training image nearest to each, and how far it is: root mean square difference, 0 to 255."""

    samples: Pictures
    training: Pictures
    distances: Array  # (N,)


def nearest_training(samples: torch.Tensor, train: torch.Tensor, seed: int) -> Neighbours:
    """A seeded choice of at most 64 samples, each with its nearest training image by pixels."""
    shown = np.random.default_rng(seed).permutation(len(samples))[:NEAREST_SHOWN]
    chosen = samples[torch.from_numpy(np.sort(shown))]
    found = nearest_pixels(chosen, train, 1)
    return Neighbours(
        as_pictures(chosen), as_pictures(train[torch.from_numpy(found.index[:, 0])]), found.distance[:, 0]
    )


def class_rows(classes: list[str], parts: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[Pictures, int, list[str]]:
    """Grid with a row per class: the first 8 images of each part (pixels, labels), a grey column between parts.

    Returns the pictures in reading order, the number of columns, and the row names.
    """
    shape = parts[0][0].shape
    grey = np.full((1, shape[2], shape[3], shape[1]), GAP, dtype=np.uint8)
    columns = len(parts) * (PER_CLASS + 1) - 1
    cells, names = [], classes[:CLASSES_SHOWN]
    for index in range(len(names)):
        for number, (pixels, labels) in enumerate(parts):
            found = as_pictures(pixels[labels == index][:PER_CLASS])
            missing = PER_CLASS - len(found) + (number < len(parts) - 1)
            cells += [found, np.repeat(grey, missing, axis=0)]
    return np.concatenate(cells), columns, names

"""Which training images a sample is most like, in features and in pixels. Likeness only: nothing here shows a cause.

Legend: Q = samples, N = training images, C = channels, S = side in px, D = feature dimensions, k <= N neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation.neighbours import Array, Index, nearest_rows

#: Said wherever these are shown.
LIKENESS = (
    "These are the training images most like the sample. Likeness is no cause: it does not say that the model made the "
    "sample because of them."
)


@dataclass(frozen=True)
class Likeness:
    """The k nearest training images of each sample, nearest first: positions (Q, k) and distances (Q, k) >= 0."""

    index: Index
    distance: Array


def nearest_features(samples: Array, train: Array, k: int) -> Likeness:
    """By Euclidean distance between features (Q, D) and (N, D), in the extractor's unit (reference RMS)."""
    index, squared = nearest_rows(samples, train, k)
    return Likeness(index, np.sqrt(squared))


def nearest_pixels(samples: torch.Tensor, train: torch.Tensor, k: int) -> Likeness:
    """By root mean square difference of uint8 pixels (Q, C, S, S) and (N, C, S, S), in grey levels 0 to 255."""
    if samples.shape[1:] != train.shape[1:]:
        raise DataError(
            f"the sample is {_shape(samples)} and the training images are {_shape(train)}: it was not made by a model of "
            "this data"
        )
    index, squared = nearest_rows(samples.flatten(1), train.flatten(1), k)
    return Likeness(index, np.sqrt(squared / samples[0].numel()))


def _shape(pixels: torch.Tensor) -> str:
    return " x ".join(str(side) for side in pixels.shape[1:])

"""Which training images a sample is most like, in features and in pixels. Likeness only: nothing here shows a cause.

Legend: Q = samples, N = training images, C = channels, S = side in px, D = feature dimensions, k = neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation.metrics import Array, squared_distances

Index = npt.NDArray[np.int64]

#: Said wherever these are shown.
LIKENESS = (
    "These are the training images most like the sample. Likeness is no cause: it does not say that the model made the "
    "sample because of them."
)
#: Pixels of so many training images are held as floats at a time.
BLOCK = 2048


@dataclass(frozen=True)
class Likeness:
    """The k nearest training images of each sample, nearest first: positions (Q, k) and distances (Q, k) >= 0."""

    index: Index
    distance: Array


def nearest_features(samples: Array, train: Array, k: int) -> Likeness:
    """By Euclidean distance between features (Q, D) and (N, D), in the extractor's unit (reference RMS)."""
    found = _nearest(samples, train, k)
    return Likeness(found.index, np.sqrt(found.distance))


def nearest_pixels(samples: torch.Tensor, train: torch.Tensor, k: int) -> Likeness:
    """By root mean square difference of uint8 pixels (Q, C, S, S) and (N, C, S, S), in grey levels 0 to 255."""
    if samples.shape[1:] != train.shape[1:]:
        raise DataError(
            f"the sample is {_shape(samples)} and the training images are {_shape(train)}: it was not made by a model of "
            "this data"
        )
    found = _nearest(samples.flatten(1).numpy(), train.flatten(1).numpy(), k)
    return Likeness(found.index, np.sqrt(found.distance / samples[0].numel()))


def _nearest(samples: npt.NDArray[np.generic], train: npt.NDArray[np.generic], k: int) -> Likeness:
    """Squared distances, in blocks of training rows; ties go to the earlier row."""
    wide = np.asarray(samples, dtype=np.float64)
    best = np.full((len(wide), 0), np.inf)
    place = np.zeros((len(wide), 0), dtype=np.int64)
    for start in range(0, len(train), BLOCK):
        block = np.asarray(train[start : start + BLOCK], dtype=np.float64)
        table = np.concatenate([best, squared_distances(wide, block)], axis=1)
        here = np.broadcast_to(np.arange(start, start + len(block)), (len(wide), len(block)))
        order = np.argsort(table, axis=1, kind="stable")[:, :k]
        place = np.take_along_axis(np.concatenate([place, here], axis=1), order, axis=1)
        best = np.take_along_axis(table, order, axis=1)
    return Likeness(place, best)


def _shape(pixels: torch.Tensor) -> str:
    return " x ".join(str(side) for side in pixels.shape[1:])

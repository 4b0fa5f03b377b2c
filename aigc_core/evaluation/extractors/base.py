"""What every further instrument has in common: a name, a hash, and features of pixels.

The domain extractor (evaluation/features.py) is the one whose numbers decide. The others are second opinions: two
small ones that need no file and only raise an alarm, and two large ones that need a weights file.

Legend: N = images, C = channels, S = side in px, D = all feature dimensions, d <= D = those in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.errors import DataError
from aigc_core.registry import Registry

Features = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Images:
    """Real images: uint8 pixels (N, C, S, S) and int64 labels (N,)."""

    pixels: torch.Tensor
    labels: torch.Tensor


class Instrument(Protocol):
    """Frozen, and the same features for the same pixels whatever else is in the batch."""

    @property
    def hash(self) -> str:
        """Hex sha256 of everything that decides the features."""

    @property
    def dimensions(self) -> int:
        """D."""

    def features(self, pixels: torch.Tensor, dimensions: int | None = None) -> Features:
        """Features (N, d) float64 of uint8 pixels (N, C, S, S), C 1, 3 or 4; d is D unless told."""


@dataclass(frozen=True)
class Place:
    """Where an instrument finds what it is made of."""

    folder: Path  # data/extractor: what was fitted on the reference rows
    device: str = "cpu"
    weights: dict[str, Path | None] = field(default_factory=dict)  # by name; None where params.yaml has null


@dataclass(frozen=True)
class Entry:
    """How to open an instrument, and the sample counts that its numbers need."""

    open: Callable[[Place], Instrument]
    #: Fewer images than this are refused.
    at_least: int = 0
    #: Fewer than this are measured with a warning.
    better: int = 0
    #: Cut to so few principal axes that n is ten times as many; else all D are used, as its literature does.
    cut: bool = True


instruments: Registry[Entry] = Registry("extractor")


def weights_file(place: Place, name: str, what: str) -> Path:
    """The weights file of `name`. Raises DataError where params.yaml names none, or it is not there."""
    path = place.weights.get(name)
    if path is None:
        raise DataError(
            f"params.yaml: evaluate.extractors names {name!r} and evaluate.weights.{name} is null: give the path of {what}"
        )
    if not path.is_file():
        raise DataError(f"params.yaml: evaluate.weights.{name} = {str(path)!r} is not a file: give the path of {what}")
    return path


def to_colour(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (N, 3, S, S) of 1, 3 or 4 channels: grey is repeated, alpha is left out."""
    return pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels[:, :3]

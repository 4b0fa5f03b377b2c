"""Features that learn nothing: fixed random convolutions and principal components of pixels, side by side and of equal weight.

Each alone is a second opinion (extractors/frozen.py). Together they judge where neither labels nor views teach a network that puts
known damages in order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from aigc_core.evaluation.extractors.frozen import RAW, Framed, fit_frame, frame_of, frame_tensors


class Fixed:
    """The frames of both, fitted on the reference rows, in the place of a network."""

    def __init__(self, frames: Mapping[str, Framed]) -> None:
        self.frames = frames

    @classmethod
    def fit(cls, reference: torch.Tensor) -> Fixed:
        """Of uint8 reference pixels (N, C, S, S)."""
        return cls({name: fit_frame(name, reference) for name in sorted(RAW)})

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> Fixed:
        """From what `state_dict` gave. Raises DataError where a function has become another one since."""
        parts: dict[str, dict[str, torch.Tensor]] = {name: {} for name in sorted(RAW)}
        for key, value in tensors.items():
            name, _, part = key.partition(".")
            parts[name][part] = value
        return cls({name: frame_of(name, own) for name, own in parts.items()})

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What either frame is stored as, under its name."""
        return {
            f"{name}.{part}": value
            for name, frame in self.frames.items()
            for part, value in frame_tensors(frame).items()
        }

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features (N, F) float64 of uint8 pixels (N, C, S, S), those of either with the same variance in sum."""
        return torch.from_numpy(np.concatenate([frame.features(pixels) for frame in self.frames.values()], axis=1))

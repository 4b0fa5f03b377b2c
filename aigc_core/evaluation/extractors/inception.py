"""InceptionV3 as published FID numbers use it, through torch-fidelity and its weights file.

The file is `pt_inception-2015-12-05-6726825d.pth` of torch-fidelity's release page; it is read from the path in
params.yaml and never fetched. FID in 2,048 dimensions is biased by n (Chong & Forsyth 2020): below 2,048 samples the
covariance has no full rank and the number is refused, below 10,000 it comes with a warning.
"""

from __future__ import annotations

from typing import Any

import torch

from aigc_core.errors import ConfigError, DataError
from aigc_core.evaluation.batches import in_batches
from aigc_core.evaluation.extractors.base import (
    Entry,
    Features,
    Place,
    instruments,
    to_colour,
    weights_file,
)
from aigc_core.files import sha256_file

NAME = "inception"
LAYER = "2048"
AT_LEAST, BETTER = 2_048, 10_000
BATCH = 64


class Inception:
    """Pool features (N, 2048) of torch-fidelity's InceptionV3; it resizes to 299 px itself, as FID's code does."""

    dimensions = 2048

    def __init__(self, network: Any, digest: str, device: str) -> None:
        self.network, self.hash, self.device = network, digest, device

    def features(self, pixels: torch.Tensor, dimensions: int | None = None) -> Features:
        """Features (N, d) float64 of uint8 pixels; the first d of 2,048."""
        found = in_batches(pixels, lambda batch: self.network(to_colour(batch))[0], BATCH, self.device).double().numpy()
        return found[:, : dimensions or self.dimensions]


def open_inception(place: Place) -> Inception:
    """Read the weights. Raises ConfigError without torch-fidelity, DataError for a missing or foreign file."""
    path = weights_file(place, NAME, "torch-fidelity's pt_inception-2015-12-05-6726825d.pth")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise ConfigError(
            "params.yaml: evaluate.extractors names 'inception' and torch-fidelity is not installed: "
            "`pip install torch-fidelity`, or leave 'inception' out"
        ) from None
    try:
        network = FeatureExtractorInceptionV3(NAME, [LAYER], feature_extractor_weights_path=str(path))
    except Exception as error:  # a foreign file fails in many ways, and each means the same to the user
        raise DataError(
            f"params.yaml: evaluate.weights.inception = {str(path)!r} is not InceptionV3 as torch-fidelity stores it "
            f"({type(error).__name__}): give its pt_inception-2015-12-05-6726825d.pth"
        ) from None
    return Inception(network.eval().requires_grad_(False).to(place.device), sha256_file(path), place.device)


instruments.register(NAME)(Entry(open_inception, AT_LEAST, BETTER, cut=False))

"""Parts that every family is built from. None of them looks at other images of a batch.

Legend: N = images, C = channels, S = side in px, K = classes, W = width, D = features. Images are float32
(N, C, S, S) in [-1, 1]; labels are int64 (N,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from aigc_core.models.spec import ModelSpec

LEAK = 0.2
GROUP_CHANNELS = 8
#: Layers with `mlp_width` units in an MLP trunk.
MLP_LAYERS = 3


class LabelEmbedding(nn.Embedding):
    """(N,) labels to (N, D). A class of its own, because fine-tuning to other classes starts it anew."""


class GenerativeModel(nn.Module, ABC):
    """What the families have in common: noise and labels in, images out."""

    spec: ModelSpec

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one image is made from."""
        return self.spec.latent

    @abstractmethod
    def generate(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, noise_size) standard normal noise and (N,) labels to images (N, C, S, S) in [-1, 1]."""

    def label_tensors(self) -> set[str]:
        """Names in the state dict that belong to classes, not to images."""
        tables = tuple(f"{name}." for name, module in self.named_modules() if isinstance(module, LabelEmbedding))
        return {name for name in self.state_dict() if name.startswith(tables)}


def mlp(inputs: int, width: int, layers: int = MLP_LAYERS) -> nn.Sequential:
    """(N, inputs) to (N, width) through `layers` linear layers, each followed by a leaky ReLU."""
    parts: list[nn.Module] = []
    for index in range(layers):
        parts += [nn.Linear(width if index else inputs, width), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*parts)


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation (Wu & He 2018): per image, so that a sample does not depend on its batch."""
    most = max(1, channels // GROUP_CHANNELS)
    return nn.GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels)


def limit_spectrum(network: nn.Module) -> None:
    """Divide the weights of every layer by their largest singular value (Miyato et al. 2018, equation 8).

    It is followed by one power iteration per forward pass in training mode; its vectors are buffers of the layer.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)):
            nn.utils.parametrizations.spectral_norm(module)

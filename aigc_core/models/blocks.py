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
    return nn.GroupNorm(max(1, channels // GROUP_CHANNELS), channels)


def limit_spectrum(network: nn.Module) -> None:
    """Divide the weights of every layer by their largest singular value (Miyato et al. 2018, equation 8).

    It is followed by one power iteration per forward pass in training mode; its vectors are buffers of the layer.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)):
            nn.utils.parametrizations.spectral_norm(module)


class Synthesis(nn.Module):
    """(N, inputs) to images (N, C, S, S) in (-1, 1): an MLP for small sides, two doublings by convolution for larger ones."""

    def __init__(self, inputs: int, spec: ModelSpec) -> None:
        super().__init__()
        shape = (spec.channels, spec.size, spec.size)
        if not spec.convolutional:
            self.net = nn.Sequential(
                mlp(inputs, spec.mlp_width), nn.Linear(spec.mlp_width, spec.values), nn.Unflatten(1, shape)
            )
            return
        width, base = spec.conv_width, spec.size // 4
        self.net = nn.Sequential(
            nn.Linear(inputs, 4 * width * base * base),
            nn.Unflatten(1, (4 * width, base, base)),
            *self._stage(4 * width, 4 * width),
            nn.Upsample(scale_factor=2),
            *self._stage(4 * width, 2 * width),
            nn.Upsample(scale_factor=2),
            *self._stage(2 * width, width),
            nn.Conv2d(width, spec.channels, 3, padding=1),
        )

    @staticmethod
    def _stage(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), norm(outputs), nn.LeakyReLU(LEAK)]

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """(N, inputs) to (N, C, S, S)."""
        return torch.tanh(self.activations(code))

    def activations(self, code: torch.Tensor) -> torch.Tensor:
        """What `forward` bounds to (-1, 1): (N, inputs) to (N, C, S, S)."""
        activations: torch.Tensor = self.net(code)
        return activations


class Analysis(nn.Module):
    """Images (N, C, S, S), with `extra` numbers per image beside them, to features (N, `features`).

    No normalisation: the R1 penalty of the GAN asks for plain gradients with respect to each image.
    """

    def __init__(self, spec: ModelSpec, extra: int = 0) -> None:
        super().__init__()
        if spec.convolutional:
            width, base = spec.conv_width, spec.size // 4
            self.trunk = nn.Sequential(
                nn.Conv2d(spec.channels, width, 3, padding=1),
                nn.LeakyReLU(LEAK),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.LeakyReLU(LEAK),
                nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
                nn.LeakyReLU(LEAK),
                nn.Flatten(),
            )
            self.features = 8 * width
            self.head = mlp(4 * width * base * base + extra, self.features, layers=1)
        else:
            self.trunk = nn.Sequential(nn.Flatten())
            self.features = spec.mlp_width
            self.head = mlp(spec.values + extra, spec.mlp_width)

    def forward(self, images: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, S, S) and optionally (N, extra) to (N, features)."""
        inner = self.trunk(images)
        features: torch.Tensor = self.head(inner if extra is None else torch.cat([inner, extra], dim=1))
        return features

"""From a code to an image and from an image to features, in every architecture.

Legend: N = images, C = channels, S = side in px. Images are float32 (N, C, S, S) in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import nn

from aigc_core.models import dcgan, residual
from aigc_core.models.blocks import LEAK, mlp, norm
from aigc_core.models.spec import ModelSpec


class Synthesis(nn.Module):
    """(N, inputs) to images (N, C, S, S) in (-1, 1), by the architecture of the spec."""

    def __init__(self, inputs: int, spec: ModelSpec) -> None:
        super().__init__()
        if not spec.convolutional:
            shape = (spec.channels, spec.size, spec.size)
            self.net = nn.Sequential(
                mlp(inputs, spec.mlp_width), nn.Linear(spec.mlp_width, spec.values), nn.Unflatten(1, shape)
            )
        else:
            make = {"dcgan": dcgan.upward, "residual": residual.upward}.get(spec.architecture, upward)
            self.net = make(inputs, spec)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """(N, inputs) to (N, C, S, S)."""
        return torch.tanh(self.activations(code))

    def activations(self, code: torch.Tensor) -> torch.Tensor:
        """What `forward` bounds to (-1, 1): (N, inputs) to (N, C, S, S)."""
        activations: torch.Tensor = self.net(code)
        return activations


class Analysis(nn.Module):
    """Images (N, C, S, S), with `extra` numbers per image beside them, to features (N, `features`).

    Without normalisation in the architecture auto: the R1 penalty of the GAN asks for plain gradients with respect to
    each image. The flattened maps of dcgan and residual are their features.
    """

    def __init__(self, spec: ModelSpec, extra: int = 0) -> None:
        super().__init__()
        if not spec.convolutional:
            self.trunk = nn.Sequential(nn.Flatten())
            self.features = spec.mlp_width
            self.head = mlp(spec.values + extra, spec.mlp_width)
        elif spec.architecture == "auto":
            self.trunk = downward(spec)
            self.features = 8 * spec.conv_width
            self.head = mlp(spec.width(spec.halvings) * spec.base**2 + extra, self.features, layers=1)
        else:
            self.trunk = dcgan.downward(spec) if spec.architecture == "dcgan" else residual.downward(spec)
            self.features = spec.width(spec.halvings - 1) * spec.base**2 + extra
            self.head = nn.Sequential()

    def forward(self, images: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, S, S) and optionally (N, extra) to (N, features)."""
        inner = self.trunk(images)
        features: torch.Tensor = self.head(inner if extra is None else torch.cat([inner, extra], dim=1))
        return features


def upward(inputs: int, spec: ModelSpec) -> nn.Sequential:
    """Plain convolutions between doublings by repetition: (N, inputs) to (N, C, S, S)."""
    last, base = spec.width(spec.halvings), spec.base
    layers: list[nn.Module] = [nn.Linear(inputs, last * base * base), nn.Unflatten(1, (last, base, base))]
    layers += _stage(last, last)
    for stage in reversed(range(spec.halvings)):
        layers += [nn.Upsample(scale_factor=2), *_stage(spec.width(stage + 1), spec.width(stage))]
    return nn.Sequential(*layers, nn.Conv2d(spec.width(0), spec.channels, 3, padding=1))


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), norm(outputs), nn.LeakyReLU(LEAK)]


def downward(spec: ModelSpec) -> nn.Sequential:
    """Plain convolutions with stride 2: (N, C, S, S) to the flattened smallest map."""
    layers: list[nn.Module] = [nn.Conv2d(spec.channels, spec.width(0), 3, padding=1), nn.LeakyReLU(LEAK)]
    for stage in range(spec.halvings):
        layers += [nn.Conv2d(spec.width(stage), spec.width(stage + 1), 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers, nn.Flatten())

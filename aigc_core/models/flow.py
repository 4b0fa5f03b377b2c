"""Rectified flow (Liu et al. 2022; flow matching, Lipman et al. 2022): a network says in which direction noise becomes an image.

At time t = 0 there is noise, at t = 1 an image, and x_t = (1 - t) noise + t image between them. The network learns the
mean velocity image - noise at every x_t; sampling follows it from 0 to 1.

Legend: N = images, C = channels, S = side in px, D = features of time and label.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from aigc_core.errors import ConfigError
from aigc_core.models.blocks import GenerativeModel, LabelEmbedding, norm
from aigc_core.models.spec import ModelSpec

FEATURES = 64
MLP_BLOCKS = 3
#: Times are told by waves whose lengths go geometrically from 2 pi / TIME_SCALE to FASTEST_TO_SLOWEST times that.
TIME_SCALE, FASTEST_TO_SLOWEST = 1000.0, 10_000.0

Field = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def waves(times: torch.Tensor) -> torch.Tensor:
    """(N,) times in [0, 1] to sines and cosines (N, FEATURES)."""
    half = FEATURES // 2
    lengths = torch.exp(-math.log(FASTEST_TO_SLOWEST) * torch.arange(half, device=times.device) / half).to(times)
    angles = TIME_SCALE * times[:, None] * lengths
    told: torch.Tensor = torch.cat([angles.sin(), angles.cos()], dim=1)
    return told


class Modulation(nn.Module):
    """Scale and shift of features by what is told of time and label (FiLM, Perez et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.terms = nn.Sequential(nn.SiLU(), nn.Linear(FEATURES, 2 * channels))

    def forward(self, features: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N, channels, ...) and (N, D) to (N, channels, ...)."""
        scale, shift = (
            term.reshape(*term.shape, *[1] * (features.dim() - 2)) for term in self.terms(told).chunk(2, dim=1)
        )
        modulated: torch.Tensor = features * (1 + scale) + shift
        return modulated


class MlpBlock(nn.Module):
    """A residual layer on vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.modulation = nn.LayerNorm(width), Modulation(width)
        self.net = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, hidden: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N, width), (N, D) to (N, width)."""
        change: torch.Tensor = self.net(self.modulation(self.norm(hidden), told))
        return hidden + change


class MlpBody(nn.Module):
    """For small sides: the image as one vector."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.inner = nn.Linear(spec.values, spec.mlp_width)
        self.blocks = nn.ModuleList([MlpBlock(spec.mlp_width) for _ in range(MLP_BLOCKS)])
        self.outer = nn.Sequential(nn.LayerNorm(spec.mlp_width), nn.SiLU(), nn.Linear(spec.mlp_width, spec.values))

    def forward(self, images: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N, C, S, S), (N, D) to (N, C, S, S)."""
        hidden = self.inner(images.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, told)
        velocity: torch.Tensor = self.outer(hidden).reshape(images.shape)
        return velocity


class ConvBlock(nn.Module):
    """A residual pair of convolutions, the second one modulated."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.norm, self.modulation = norm(outputs), Modulation(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        # The shortcut of a residual block (He et al. 2016, section 3.2); saved weights go by this name.
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N, inputs, S, S), (N, D) to (N, outputs, S, S)."""
        inner = self.modulation(self.norm(self.first(features)), told)
        changed: torch.Tensor = self.skip(features) + self.second(F.silu(inner))
        return changed


class UnetBody(nn.Module):
    """For larger sides: a U-Net (Ronneberger et al. 2015) of three resolutions, above 32 px of more."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        widths = [spec.width(stage) for stage in range(spec.halvings + 1)]
        pairs = list(pairwise(widths))
        self.inner = nn.Conv2d(spec.channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            [ConvBlock(widths[0], widths[0]), *(ConvBlock(larger, smaller) for larger, smaller in pairs)]
        )
        self.middle = ConvBlock(widths[-1], widths[-1])
        self.up = nn.ModuleList([ConvBlock(larger + smaller, larger) for larger, smaller in reversed(pairs)])
        self.outer = nn.Sequential(norm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], spec.channels, 3, padding=1))

    def forward(self, images: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N, C, S, S), (N, D) to (N, C, S, S); S halves as often as the spec says."""
        maps = [self.down[0](self.inner(images), told)]
        for block in self.down[1:]:
            maps.append(block(F.avg_pool2d(maps[-1], 2), told))
        features = self.middle(maps.pop(), told)
        for block in self.up:
            features = block(torch.cat([F.interpolate(features, scale_factor=2.0), maps.pop()], dim=1), told)
        velocity: torch.Tensor = self.outer(features)
        return velocity


class Velocity(nn.Module):
    """The mean velocity at a point, a time and a label; without the label where it is not kept."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.label = LabelEmbedding(len(spec.classes), FEATURES)
        self.unlabelled = nn.Parameter(torch.zeros(FEATURES))
        self.time = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.SiLU(), nn.Linear(FEATURES, FEATURES))
        self.body = UnetBody(spec) if spec.convolutional else MlpBody(spec)
        # Most of the velocity is a multiple of the point itself, by time: of Gaussian images it is all of it.
        self.share = nn.Sequential(nn.SiLU(), nn.Linear(FEATURES, 1))

    def forward(
        self, points: torch.Tensor, times: torch.Tensor, labels: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        """(N, C, S, S), (N,) in [0, 1], (N,), (N,) bool to (N, C, S, S)."""
        label = torch.where(kept[:, None], self.label(labels), self.unlabelled)
        told = self.time(waves(times)) + label
        velocity: torch.Tensor = self.body(points, told) + self.share(told)[:, :, None, None] * points
        return velocity


class Flow(GenerativeModel):
    """The velocity network with its way of sampling. What is saved as a model holds the averaged network."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.velocity = Velocity(spec)

    @property
    def noise_size(self) -> int:
        """As many as an image has values: a flow turns noise into an image of the same shape."""
        return self.spec.values

    def generate(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """See `GenerativeModel.generate`; noise is (N, C * S * S)."""
        spec = self.spec
        start = noise.reshape(-1, spec.channels, spec.size, spec.size)
        ends = integrate(
            lambda points, times: self.guided(points, times, labels), start, spec.sample_steps, spec.sampler
        )
        return ends.clamp(-1, 1)

    def guided(self, points: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """v_without + guidance (v_with - v_without): Ho & Salimans 2022, equation 6, with guidance = 1 + w.

        1 follows the labels as they are; more makes samples more typical of their class and less diverse.
        """
        kept = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
        with_label: torch.Tensor = self.velocity(points, times, labels, kept)
        if self.spec.guidance == 1:
            return with_label
        without: torch.Tensor = self.velocity(points, times, labels, ~kept)
        return torch.lerp(without, with_label, self.spec.guidance)


def integrate(field: Field, start: torch.Tensor, steps: int, solver: str) -> torch.Tensor:
    """Follow `field` (points (N, ...), times (N,)) from t = 0 to 1 in equal steps; euler asks once a step, heun twice.

    Raises ConfigError for a solver of another name.
    """
    if solver not in ("euler", "heun"):
        raise ConfigError(f"unknown sampler {solver!r}: choose one of euler, heun")
    points, width = start, 1 / steps
    for step in range(steps):
        times = torch.full((len(start),), step * width).to(start)
        slope = field(points, times)
        ahead = points + width * slope
        if solver == "heun":
            ahead = points + width / 2 * (slope + field(ahead, times + width))
        points = ahead
    return points

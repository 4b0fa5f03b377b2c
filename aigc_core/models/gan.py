"""The conditional GAN: a generator that is sampled from, and a discriminator that only training needs."""

from __future__ import annotations

import torch
from torch import nn

from aigc_core.models.blocks import GenerativeModel, LabelEmbedding, limit_spectrum
from aigc_core.models.bodies import Analysis, Synthesis
from aigc_core.models.spec import ModelSpec

LABEL_FEATURES = 32


class Generator(nn.Module):
    """Noise and an embedded label, concatenated, to an image."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.label = LabelEmbedding(len(spec.classes), LABEL_FEATURES)
        self.synthesis = Synthesis(spec.latent + LABEL_FEATURES, spec)

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, latent), (N,) to (N, C, S, S) in (-1, 1)."""
        images: torch.Tensor = self.synthesis(torch.cat([noise, self.label(labels)], dim=1))
        return images


class Discriminator(nn.Module):
    """Score of an image given its label, by projection (Miyato & Koyama 2018, eq. 3): w.f(x) + <e(y), f(x)>."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.analysis = Analysis(spec)
        self.score = nn.Linear(self.analysis.features, 1)
        self.label = LabelEmbedding(len(spec.classes), self.analysis.features)
        nn.init.normal_(self.label.weight, std=self.analysis.features**-0.5)
        if spec.spectral_norm:
            limit_spectrum(self)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, C, S, S), (N,) to logits (N,); higher is more real."""
        features = self.analysis(images)
        scores: torch.Tensor = self.score(features).squeeze(1) + (self.label(labels) * features).sum(1)
        return scores


class Gan(GenerativeModel):
    """Both networks. What is saved as a model holds the averaged generator."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.generator = Generator(spec)
        self.discriminator = Discriminator(spec)

    def generate(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """See `GenerativeModel.generate`."""
        images: torch.Tensor = self.generator(noise, labels)
        return images

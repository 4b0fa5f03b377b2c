"""The conditional VAE (Kingma & Welling 2014; conditional as in Sohn et al. 2015).

The likelihood of a pixel is by default a Gaussian with one learned spread for all (calibrated decoder, Rybkin et al.
2021): grey levels are no coin flips, and a learned spread needs no hand-set balance between the two losses. A sample
is the decoder's mean: the spread is what the model could not explain, and drawing it would only add grain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from aigc_core.models.blocks import GenerativeModel, LabelEmbedding
from aigc_core.models.bodies import Analysis, Synthesis
from aigc_core.models.likelihoods import likelihoods
from aigc_core.models.spec import ModelSpec

LABEL_FEATURES = 32
#: The log spread, in [-1, 1] pixel units, stays above one grey level (2 / 255): on pixels that never change the
#: likelihood would otherwise have no maximum.
LOG_SPREAD_MIN = -4.85
#: The mass of a grey level has a maximum by itself; this keeps the gradient of a pixel that never changes in float32.
LOG_SCALE_MIN = -7.0


class Encoder(nn.Module):
    """Mean and log variance of q(z | x, y)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.label = LabelEmbedding(len(spec.classes), LABEL_FEATURES)
        self.analysis = Analysis(spec, extra=LABEL_FEATURES)
        self.moments = nn.Linear(self.analysis.features, 2 * spec.latent)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, C, S, S), (N,) to mean and log variance, each (N, latent)."""
        mean, log_variance = self.moments(self.analysis(images, self.label(labels))).chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Module):
    """Mean of p(x | z, y), and the log of its spread."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.label = LabelEmbedding(len(spec.classes), LABEL_FEATURES)
        self.synthesis = Synthesis(spec.latent + LABEL_FEATURES, spec)
        self.log_spread = nn.Parameter(torch.zeros(()))  # not used by a Bernoulli likelihood
        self.least = LOG_SPREAD_MIN if spec.likelihood == "gaussian" else LOG_SCALE_MIN

    def forward(self, code: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, latent), (N,) to (N, C, S, S) in (-1, 1)."""
        return torch.tanh(self.activations(code, labels))

    def activations(self, code: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What `forward` bounds to (-1, 1): (N, latent), (N,) to (N, C, S, S)."""
        return self.synthesis.activations(torch.cat([code, self.label(labels)], dim=1))

    def bounded_log_spread(self) -> torch.Tensor:
        """Scalar log spread of a pixel; softly bounded, so that it can come back from the bound."""
        return self.least + F.softplus(self.log_spread - self.least)


class Vae(GenerativeModel):
    """Both halves; sampling needs the decoder alone."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = Encoder(spec)
        self.decoder = Decoder(spec)
        self.likelihood = likelihoods[spec.likelihood]

    def posterior(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of q(z | x, y): (N, C, S, S), (N,) to two of (N, latent)."""
        mean, log_variance = self.encoder(images, labels)
        return mean, log_variance

    def nll(self, images: torch.Tensor, code: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """-log p(x | z, y) in nats: (N, C, S, S), (N, latent), (N,) to (N,)."""
        return self.likelihood(images, self.decoder.activations(code, labels), self.decoder.bounded_log_spread())

    def generate(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """See `GenerativeModel.generate`; the mean, without pixel noise."""
        images: torch.Tensor = self.decoder(noise, labels)
        return images

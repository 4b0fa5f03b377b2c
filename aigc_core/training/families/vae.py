"""The VAE's step: the reparametrised bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from aigc_core.config import Vae as VaeSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.vae import Vae
from aigc_core.training import losses
from aigc_core.training.trainer import Losses, transfer, update


class VaeTrainer:
    """Evidence lower bound with a calibrated Gaussian likelihood and a Gaussian posterior."""

    def __init__(self, model: GenerativeModel, settings: VaeSettings, device: torch.device) -> None:
        self.model: GenerativeModel = model.to(device)
        self.vae, self.settings, self.device = cast(Vae, self.model), settings, device
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "all": torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True)
        }

    def state(self) -> dict[str, nn.Module]:
        """The model."""
        return {"model": self.model}

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Start from a saved VAE."""
        transfer(self.model, tensors)

    def step(self, images: torch.Tensor, labels: torch.Tensor, noise: torch.Generator, step: int) -> Losses:  # noqa: ARG002
        """One update of encoder and decoder by the reparametrised bound (Kingma & Welling 2014, equation 10)."""
        mean, log_variance = self.vae.encoder(images, labels)
        epsilon = torch.randn(mean.shape, generator=noise).to(self.device)
        decoded = self.vae.decoder(mean + (0.5 * log_variance).exp() * epsilon, labels)
        reconstruction = losses.gaussian_nll(images, decoded, self.vae.decoder.bounded_log_spread())
        kl = losses.gaussian_kl(mean, log_variance)
        update(self.optimizers["all"], reconstruction + self.settings.beta * kl)
        return {"reconstruction_loss": reconstruction.detach(), "kl_loss": kl.detach()}

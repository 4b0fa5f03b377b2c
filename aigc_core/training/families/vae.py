"""The VAE's step: the reparametrised bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from aigc_core.config import Vae as VaeSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.likelihoods import binarise
from aigc_core.models.vae import Vae
from aigc_core.training import losses
from aigc_core.training.trainer import Batch, Losses, transfer, update


class VaeTrainer:
    """Evidence lower bound with a Gaussian posterior; the likelihood is the model's."""

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

    def step(self, batch: Batch, noise: torch.Generator, step: int) -> Losses:  # noqa: ARG002
        """One update of encoder and decoder by the reparametrised bound (Kingma & Welling 2014, equation 10)."""
        images, labels = batch.images, batch.labels
        if self.model.spec.likelihood == "bernoulli":
            images = binarise(images, noise)
        mean, log_variance = self.vae.posterior(images, labels)
        epsilon = torch.randn(mean.shape, generator=noise).to(self.device)
        reconstruction = self.vae.nll(images, mean + (0.5 * log_variance).exp() * epsilon, labels).mean()
        kl = losses.gaussian_kl(mean, log_variance)
        free = self.settings.free_bits
        pressed = losses.free_bits_kl(mean, log_variance, free) if free > 0 else kl
        update(self.optimizers["all"], reconstruction + self.settings.beta * pressed, self.settings.clip_norm)
        return {"reconstruction_loss": reconstruction.detach(), "kl_loss": kl.detach()}

"""The VAE's step: the reparametrised bound."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from aigc_core.config import Vae as VaeSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.likelihoods import binarise
from aigc_core.models.vae import Vae
from aigc_core.training import ema, losses
from aigc_core.training.trainer import Batch, Losses, transfer, update


class VaeTrainer:
    """Evidence lower bound with a Gaussian posterior; the likelihood is the model's.

    With `ema` the model holds the average, and the networks that are trained are beside it.
    """

    def __init__(self, model: GenerativeModel, settings: VaeSettings, device: torch.device) -> None:
        self.model: GenerativeModel = model.to(device)
        self.settings, self.device = settings, device
        self.vae = cast(Vae, copy.deepcopy(self.model) if settings.ema > 0 else self.model)
        if settings.ema > 0:
            self.model.requires_grad_(False)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "all": torch.optim.Adam(self.vae.parameters(), settings.learning_rate, fused=True)
        }

    def state(self) -> dict[str, nn.Module]:
        """The model, and the networks behind its average where there is one."""
        behind = {} if self.vae is self.model else {"encoder": self.vae.encoder, "decoder": self.vae.decoder}
        return {"model": self.model, **behind}

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Start from a saved VAE, the average as well as what is behind it."""
        transfer(self.model, tensors)
        if self.vae is not self.model:
            self.vae.load_state_dict(self.model.state_dict())

    def step(self, batch: Batch, noise: torch.Generator, step: int) -> Losses:
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
        if self.vae is not self.model:
            ema.update(self.model, self.vae, self.settings.ema, step)
        return {"reconstruction_loss": reconstruction.detach(), "kl_loss": kl.detach()}

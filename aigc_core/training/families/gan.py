"""The GAN's step: a loss chosen by name, gradient penalties, and the generator's moving average."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from aigc_core.config import Gan as GanSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.gan import Gan
from aigc_core.training import adversarial, ema
from aigc_core.training.trainer import Losses, transfer, update


class GanTrainer:
    """A loss of `adversarial.losses`, R1 on real images, EMA of the generator; Adam with beta1 = 0 (Mescheder et al. 2018).

    The model holds the averaged generator; the one that is trained is beside it.
    """

    def __init__(self, model: GenerativeModel, settings: GanSettings, device: torch.device) -> None:
        self.model: GenerativeModel = model.to(device)
        self.gan, self.settings, self.device = cast(Gan, self.model), settings, device
        self.loss = adversarial.losses[settings.loss]
        self.r1 = settings.conv_r1 if model.spec.convolutional else settings.mlp_r1
        self.generator = copy.deepcopy(self.gan.generator)
        self.gan.generator.requires_grad_(False)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(0.0, 0.99), fused=True)
            for name, network in (("generator", self.generator), ("discriminator", self.gan.discriminator))
        }

    def state(self) -> dict[str, nn.Module]:
        """The model and the generator behind its average."""
        return {"model": self.model, "generator": self.generator}

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Start both generators from the average that was saved."""
        transfer(self.model, tensors)
        self.generator.load_state_dict(self.gan.generator.state_dict())

    def step(self, images: torch.Tensor, labels: torch.Tensor, noise: torch.Generator, step: int) -> Losses:
        """One update of the discriminator, then one of the generator."""
        discriminator = self.gan.discriminator
        z = torch.randn(2, len(images), self.model.spec.latent, generator=noise).to(self.device)
        with torch.no_grad():
            fakes = self.generator(z[0], labels)
        loss_d, penalties = self._discriminator_loss(images, fakes, labels, noise)
        update(self.optimizers["discriminator"], loss_d + sum(weight * value for weight, value in penalties.values()))
        discriminator.requires_grad_(False)  # its gradients are not needed in the generator's pass
        loss_g = self.loss.generator(discriminator(self.generator(z[1], labels), labels))
        update(self.optimizers["generator"], loss_g)
        discriminator.requires_grad_(True)
        ema.update(self.gan.generator, self.generator, self.settings.ema, step)
        values = {"generator_loss": loss_g, "discriminator_loss": loss_d}
        values |= {name: value for name, (_, value) in penalties.items()}
        return {name: value.detach() for name, value in values.items()}

    def _discriminator_loss(
        self, images: torch.Tensor, fakes: torch.Tensor, labels: torch.Tensor, noise: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, tuple[float, torch.Tensor]]]:
        """The loss, and its penalties with their weights."""
        discriminator = self.gan.discriminator
        images.requires_grad_(self.r1 > 0)
        real = discriminator(images, labels)
        loss = self.loss.discriminator(real, discriminator(fakes, labels))
        r1 = adversarial.r1_penalty(real, images) if self.r1 > 0 else torch.zeros((), device=self.device)
        penalties = {"r1_penalty": (self.r1, r1)}
        if self.settings.loss == "wgan-gp":
            place = torch.rand((len(images), 1, 1, 1), generator=noise).to(self.device)
            between = torch.lerp(fakes, images.detach(), place).requires_grad_()
            slope = adversarial.gradient_penalty(discriminator(between, labels), between)
            penalties["gradient_penalty"] = (self.settings.gradient_penalty, slope)
        return loss, penalties

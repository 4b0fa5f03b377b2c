"""One training step per family: what the shared loop calls."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Protocol, cast

import torch
from torch import nn

from aigc_core.config import Gan as GanSettings
from aigc_core.config import Train
from aigc_core.config import Vae as VaeSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.gan import Gan
from aigc_core.models.spec import ModelSpec
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import build as build_model
from aigc_core.registry import Registry
from aigc_core.training import ema, losses

Losses = dict[str, torch.Tensor]


class Trainer(Protocol):
    """A family in training: its networks, its optimizers, and one step."""

    model: GenerativeModel  # what is saved and sampled from
    optimizers: dict[str, torch.optim.Optimizer]

    def state(self) -> dict[str, nn.Module]:
        """All modules that a checkpoint must hold."""

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over every tensor of equal name and shape but the label embeddings, which belong to other classes."""

    def step(self, images: torch.Tensor, labels: torch.Tensor, noise: torch.Generator, step: int) -> Losses:
        """Update the weights on images (B, C, S, S) in [-1, 1] and labels (B,)."""


def transfer(model: GenerativeModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy the tensors of another model of the family; label embeddings stay as they are."""
    own, classes = model.state_dict(), model.label_tensors()
    usable = {
        name: value
        for name, value in tensors.items()
        if name in own and name not in classes and own[name].shape == value.shape
    }
    model.load_state_dict({**own, **usable})


class GanTrainer:
    """Non-saturating loss, R1 on real images, EMA of the generator; Adam with beta1 = 0 (Mescheder et al. 2018).

    The model holds the averaged generator; the one that is trained is beside it.
    """

    def __init__(self, model: GenerativeModel, settings: GanSettings, device: torch.device) -> None:
        self.model: GenerativeModel = model.to(device)
        self.gan, self.settings, self.device = cast(Gan, self.model), settings, device
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
        settings, convolutional = self.settings, self.model.spec.convolutional
        discriminator, weight = self.gan.discriminator, settings.conv_r1 if convolutional else settings.mlp_r1
        z = torch.randn(2, len(images), self.model.spec.latent, generator=noise).to(self.device)
        with torch.no_grad():
            fakes = self.generator(z[0], labels)
        images.requires_grad_(weight > 0)
        real = discriminator(images, labels)
        loss_d = losses.nonsaturating_discriminator(real, discriminator(fakes, labels))
        penalty = losses.r1_penalty(real, images) if weight > 0 else torch.zeros((), device=self.device)
        self._update("discriminator", loss_d + weight * penalty)
        discriminator.requires_grad_(False)  # its gradients are not needed in the generator's pass
        loss_g = losses.nonsaturating_generator(discriminator(self.generator(z[1], labels), labels))
        self._update("generator", loss_g)
        discriminator.requires_grad_(True)
        ema.update(self.gan.generator, self.generator, settings.ema, step)
        return {
            "generator_loss": loss_g.detach(),
            "discriminator_loss": loss_d.detach(),
            "r1_penalty": penalty.detach(),
        }

    def _update(self, name: str, loss: torch.Tensor) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()


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
        self.optimizers["all"].zero_grad(set_to_none=True)
        (reconstruction + self.settings.beta * kl).backward()  # type: ignore[no-untyped-call]
        self.optimizers["all"].step()
        return {"reconstruction_loss": reconstruction.detach(), "kl_loss": kl.detach()}


trainers: Registry[type[GanTrainer] | type[VaeTrainer]] = Registry("model family")
trainers.register("gan")(GanTrainer)
trainers.register("vae")(VaeTrainer)


def build(spec: ModelSpec, train: Train, device: torch.device, seed: int) -> Trainer:
    """A trainer with freshly drawn weights, the same for the same seed on any device."""
    make: type = trainers[spec.family]
    trainer: Trainer = make(build_model(spec, seed), getattr(train, spec.family), device)
    return trainer

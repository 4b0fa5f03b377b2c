"""The GAN's step: a loss chosen by name, gradient penalties, and the generator's moving average."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import nn

from aigc_core.config import Gan as GanSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.gan import Gan
from aigc_core.training import adversarial, augment, ema, processes
from aigc_core.training.chance import mix
from aigc_core.training.perturbed import perturbed
from aigc_core.training.trainer import Batch, Losses, transfer, update


class GanTrainer:
    """A loss of `adversarial.losses`, R1 on real images, EMA of the generator; Adam, by default with beta1 = 0 (Mescheder et al. 2018).

    The model holds the averaged generator; the one that is trained is beside it.
    """

    def __init__(self, model: GenerativeModel, settings: GanSettings, device: torch.device) -> None:
        self.model: GenerativeModel = model.to(device)
        self.gan, self.settings, self.device = cast(Gan, self.model), settings, device
        self.loss = adversarial.losses[settings.loss]
        self.r1 = settings.conv_r1 if model.spec.convolutional else settings.mlp_r1
        self.augment = augment.make(settings)
        if self.augment is not None:
            self.augment.to(device)
        self.generator = copy.deepcopy(self.gan.generator)
        self.gan.generator.requires_grad_(False)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                network.parameters(), settings.learning_rate, betas=(settings.beta1, settings.beta2), fused=True
            )
            for name, network in (("generator", self.generator), ("discriminator", self.gan.discriminator))
        }

    def state(self) -> dict[str, nn.Module]:
        """The model, the generator behind its average, and what the augmentation remembers."""
        known: dict[str, nn.Module] = {"model": self.model, "generator": self.generator}
        return known if self.augment is None else {**known, "augment": self.augment}

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Start both generators from the average that was saved."""
        transfer(self.model, tensors)
        self.generator.load_state_dict(self.gan.generator.state_dict())

    def step(self, batch: Batch, noise: torch.Generator, step: int) -> Losses:
        """One update of the discriminator, then one of the generator."""
        discriminator, labels, clip = self.gan.discriminator, batch.labels, self.settings.clip_norm
        z = torch.randn(len(labels), self.model.spec.latent, generator=noise).to(self.device)
        show = self._shown(noise, batch)
        made = self.generator(z, labels)  # one pass for both: the discriminator's update leaves it as it is
        fakes = show(made.detach(), None, 1)
        due = self.r1 > 0 and (step + 1) % self.settings.r1_every == 0
        real_images = batch.images.requires_grad_(due)
        seen = show(real_images, batch.keys, 2)
        seen, fakes = perturbed(discriminator, self.loss.discriminator, seen, fakes, labels, self.settings.perturb)
        real = discriminator(seen, labels)
        loss_d = self.loss.discriminator(real, discriminator(fakes, labels))
        penalties = self._penalties(real_images, seen, real, fakes, labels, noise)
        whole = loss_d + sum(weight * value for weight, value in penalties.values())
        update(self.optimizers["discriminator"], whole, clip)
        discriminator.requires_grad_(False)  # its gradients are not needed in the generator's pass
        loss_g = self.loss.generator(discriminator(show(made, None, 3), labels))
        update(self.optimizers["generator"], loss_g, clip)
        discriminator.requires_grad_(True)
        ema.update(self.gan.generator, self.generator, self.settings.ema, step)
        values = {"generator_loss": loss_g, "discriminator_loss": loss_d}
        values |= {name: value for name, (_, value) in penalties.items()}
        values |= {} if self.augment is None else self.augment.observe(processes.gathered(real.detach()), step)
        return {name: value.detach() for name, value in values.items()}

    def _shown(
        self, noise: torch.Generator, batch: Batch
    ) -> Callable[[torch.Tensor, torch.Tensor | None, int], torch.Tensor]:
        """What the discriminator sees of images: (B, C, S, S), their row keys (none: they were generated), a purpose."""
        change = self.augment
        if change is None:
            return lambda images, _keys, _purpose: images
        seed = int(torch.randint(2**62, (), generator=noise))
        places = torch.arange(batch.first, batch.first + len(batch.labels), device=self.device)
        return lambda images, keys, purpose: change(images, places if keys is None else keys, mix(seed, 0, purpose))

    def _penalties(
        self,
        images: torch.Tensor,
        seen: torch.Tensor,
        real: torch.Tensor,
        fakes: torch.Tensor,
        labels: torch.Tensor,
        noise: torch.Generator,
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """Gradient penalties with their weights; `seen` is what the logits `real` were given of the real images."""
        r1 = adversarial.r1_penalty(real, images) if images.requires_grad else torch.zeros((), device=self.device)
        penalties = {"r1_penalty": (self.r1 * self.settings.r1_every, r1)}
        if self.settings.loss == "wgan-gp":
            place = torch.rand((len(images), 1, 1, 1), generator=noise).to(self.device)
            between = torch.lerp(
                fakes.float(), seen.detach().float(), place
            ).requires_grad_()  # fakes of bf16 networks are bf16
            slope = adversarial.gradient_penalty(self.gan.discriminator(between, labels), between)
            penalties["gradient_penalty"] = (self.settings.gradient_penalty, slope)
        return penalties

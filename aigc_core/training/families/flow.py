"""The flow's step: regression of the velocity on straight ways from noise to images."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from aigc_core.config import Flow as FlowSettings
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.flow import Flow
from aigc_core.training import ema, losses
from aigc_core.training.trainer import Batch, Losses, transfer, update


class FlowTrainer:
    """Rectified flow with dropped labels for guidance and an averaged network.

    The model holds the average; the network that is trained is beside it.
    """

    def __init__(self, model: GenerativeModel, settings: FlowSettings, device: torch.device) -> None:
        self.model: GenerativeModel = model.to(device)
        self.flow, self.settings, self.device = cast(Flow, self.model), settings, device
        self.velocity = copy.deepcopy(self.flow.velocity)
        self.flow.velocity.requires_grad_(False)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "velocity": torch.optim.Adam(self.velocity.parameters(), settings.learning_rate, fused=True)
        }

    def state(self) -> dict[str, nn.Module]:
        """The model and the network behind its average."""
        return {"model": self.model, "velocity": self.velocity}

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Start both networks from the average that was saved."""
        transfer(self.model, tensors)
        self.velocity.load_state_dict(self.flow.velocity.state_dict())

    def step(self, batch: Batch, noise: torch.Generator, step: int) -> Losses:
        """One update by flow matching; times are uniform (Liu et al. 2022, equation 1)."""
        images, labels = batch.images, batch.labels
        start = torch.randn(images.shape, generator=noise).to(self.device)
        times = torch.rand(len(images), generator=noise).to(self.device)
        kept = torch.rand(len(images), generator=noise).to(self.device) >= self.settings.label_dropout
        points = torch.lerp(start, images, times[:, None, None, None])
        loss = losses.velocity_error(self.velocity(points, times, labels, kept), start, images)
        update(self.optimizers["velocity"], loss, self.settings.clip_norm)
        ema.update(self.flow.velocity, self.velocity, self.settings.ema, step)
        return {"velocity_loss": loss.detach()}

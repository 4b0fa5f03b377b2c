"""What the shared loop asks of a family in training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from aigc_core.models.blocks import GenerativeModel
from aigc_core.training import processes

Losses = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """Rows of one step."""

    images: torch.Tensor  # (B, C, S, S) in [-1, 1]
    labels: torch.Tensor  # (B,) int64
    keys: torch.Tensor  # (B,) int64, one per row id: what is drawn for a row is drawn from it
    first: int = 0  # place of its first row in the whole batch, where several processes share one


class Trainer(Protocol):
    """A family in training: its networks, its optimizers, and one step."""

    model: GenerativeModel  # what is saved and sampled from
    optimizers: dict[str, torch.optim.Optimizer]

    def state(self) -> dict[str, nn.Module]:
        """All modules that a checkpoint must hold."""

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over these tensors of the saved model by name; what is averaged starts anew at them (`training/transfer.py`)."""

    def step(self, batch: Batch, noise: torch.Generator, step: int) -> Losses:
        """Update the weights; `noise` is the chance of this step, which is number `step` from 0."""


def transfer(model: GenerativeModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the model, each of a name and shape that it has; the others stay as they are."""
    model.load_state_dict({**model.state_dict(), **tensors})


def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor, clip_norm: float | None = None) -> None:
    """One optimizer step down the gradient of the scalar `loss`, shortened to the Euclidean norm `clip_norm`."""
    optimizer.zero_grad(set_to_none=True)
    kind = loss.device.type  # only what leads to a loss is autocast, where anything is
    with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
        loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    processes.average_gradients(weights)
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(weights, clip_norm)
    optimizer.step()


class Lowered:
    """A trainer whose networks compute in bfloat16 where autocast says that it is safe; weights stay float32."""

    def __init__(self, trainer: Trainer, device: torch.device) -> None:
        self.trainer, self.device = trainer, device
        self.model, self.optimizers = trainer.model, trainer.optimizers

    def state(self) -> dict[str, nn.Module]:
        """See `Trainer.state`."""
        return self.trainer.state()

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Trainer.start_from`."""
        self.trainer.start_from(tensors)

    def step(self, batch: Batch, noise: torch.Generator, step: int) -> Losses:
        """See `Trainer.step`; the losses are float32."""
        # Casts are not kept: a step changes weights that it uses again.
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            values = self.trainer.step(batch, noise, step)
        return {name: value.float() for name, value in values.items()}

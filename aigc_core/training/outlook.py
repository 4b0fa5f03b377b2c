"""What a training would cost, before it is begun: parameters, shapes, memory, and time by a few steps that are thrown away."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from aigc_core.data.loader import ImageSet
from aigc_core.training.chance import Batches
from aigc_core.training.rows import Rows, take_step
from aigc_core.training.trainer import Trainer

#: Steps that are timed: as many as fit, but at least the first number and at most the second.
LEAST_STEPS, MOST_STEPS, SECONDS = 3, 30, 2.0
#: Adam keeps two moments per weight.
MOMENTS = 2


@dataclass(frozen=True)
class Layer:
    """One layer with weights, as it was met first in a step."""

    name: str
    kind: str
    parameters: int
    output: tuple[int, ...]


@dataclass(frozen=True)
class Outlook:
    """Sizes in bytes, time in seconds per step (median)."""

    trained: int  # parameters that an optimizer holds
    kept: int  # parameters of the model that is saved
    layers: list[Layer]
    memory: dict[str, int]
    step_seconds: float

    @property
    def checkpoint(self) -> int:
        """Bytes of one checkpoint on disk, about."""
        return self.memory["weights"] + self.memory["optimizers"]


def look_ahead(trainer: Trainer, data: ImageSet, batch_size: int, seed: int) -> Outlook:
    """Take a few steps with `trainer`, which is spoilt by it, and say what they took."""
    device = next(trainer.model.parameters()).device
    networks = list(dict.fromkeys(trainer.state().values()))
    trained = [weight for optimizer in trainer.optimizers.values() for group in optimizer.param_groups for weight in group["params"]]  # fmt: skip
    batches = Batches(len(data), batch_size, seed)
    rows = Rows(data, device)

    def step(number: int) -> float:
        began = time.perf_counter()
        values = take_step(trainer, rows, batches.at(number), seed, number)
        [float(value) for value in values.values()]  # waits for the device
        return time.perf_counter() - began

    with _watched(trainer) as (layers, outputs):
        first = step(0)
    taken = [step(number) for number in range(1, 1 + max(LEAST_STEPS, min(MOST_STEPS, int(SECONDS / first))))]
    weights = sum(_bytes(tensor) for network in networks for tensor in network.state_dict().values())
    gradients = sum(_bytes(weight) for weight in trained)
    memory = {
        "training images": _bytes(data.pixels),
        "weights": weights,
        "gradients": gradients,
        "optimizers": MOMENTS * gradients,
        "layer outputs of one step": sum(outputs),
    }
    return Outlook(
        sum(weight.numel() for weight in trained),
        sum(weight.numel() for weight in trainer.model.parameters()),
        layers,
        memory,
        statistics.median(taken),
    )


@contextmanager
def _watched(trainer: Trainer) -> Iterator[tuple[list[Layer], list[int]]]:
    """Collect the layers in the order in which a step meets them, and the bytes of every output."""
    met: dict[nn.Module, Layer] = {}
    outputs: list[int] = []
    handles = []
    for prefix, network in trainer.state().items():
        for name, module in network.named_modules():
            if not list(module.children()):
                full = f"{prefix}.{name}"

                def note(module: nn.Module, _: object, output: torch.Tensor, full: str = full) -> None:
                    outputs.append(_bytes(output))
                    count = sum(weight.numel() for weight in module.parameters(recurse=False))
                    if count and module not in met:
                        met[module] = Layer(full, type(module).__name__, count, tuple(output.shape))

                handles.append(module.register_forward_hook(note))
    layers: list[Layer] = []
    try:
        yield layers, outputs
    finally:
        for handle in handles:
            handle.remove()
        layers += met.values()


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()

"""Whether torch.compile makes the steps of a training quicker, found out by taking some.

Not every step can be compiled: a penalty on gradients differentiates twice, which compiled networks refuse.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from aigc_core.training.chance import Batches
from aigc_core.training.rows import Rows, take_step
from aigc_core.training.trainer import Trainer

#: Steps that compile and warm up, and steps that are timed.
WARM, TIMED = 5, 20


@dataclass(frozen=True)
class Choice:
    """Seconds per step (median) either way; `why` says what came of it."""

    compiled: bool
    why: str


def choose(make: Callable[[], Trainer], rows: Rows, batches: Batches, seed: int, backend: str = "inductor") -> Choice:
    """Time a few steps of two trainers of `make`, which are thrown away: as they are, and with compiled networks."""
    plain = seconds_per_step(make(), rows, batches, seed)
    other = make()
    try:
        compile_networks(other, backend)
        quick = seconds_per_step(other, rows, batches, seed)
    except Exception as error:  # compilers fail in their own ways, and eager is always there
        return Choice(False, f"not compiled: {str(error).strip().partition(chr(10))[0][:200]}")
    word = "compiled" if quick < plain else "not compiled"
    return Choice(quick < plain, f"{word}: {1000 * quick:.2f} ms a step compiled, {1000 * plain:.2f} as it is")


def compile_networks(trainer: Trainer, backend: str = "inductor") -> None:
    """Compile in place the networks that a step trains, each as one.

    Averages are left: they are sampled from, in batches of other sizes. A decoder is asked for its activations rather
    than called, so that its layers are compiled below.
    """
    for network in trainer.state().values():
        for part in network.children() if network is trainer.model else [network]:
            if any(weight.requires_grad for weight in part.parameters()):
                for module in _sequences(part) if hasattr(part, "activations") else [part]:
                    module.compile(backend=backend, dynamic=False)


def seconds_per_step(trainer: Trainer, rows: Rows, batches: Batches, seed: int) -> float:
    """The median of some steps, each waited for."""
    taken = []
    for number in range(WARM + TIMED):
        began = time.perf_counter()
        values = take_step(trainer, rows, batches.at(number), seed, number)
        torch.stack(list(values.values())).tolist()  # waits for the device
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[WARM:])


def _sequences(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential):
        return [module] if len(module) else []
    return [found for child in module.children() for found in _sequences(child)]

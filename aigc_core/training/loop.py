"""The training loop that every family shares: batches by index, exact resume, a guard, and progress.

All chance is keyed by (seed, step): nothing but the step has to be remembered to go on as if never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from aigc_core.data.loader import ImageSet
from aigc_core.errors import ConfigError, DataError, TrainingError
from aigc_core.models.zoo import to_unit
from aigc_core.tracking import Tracker
from aigc_core.training import checkpoint
from aigc_core.training.steps import Trainer

Curve = list[dict[str, float]]


@dataclass(frozen=True)
class Schedule:
    """How long, how often; all in steps."""

    steps: int
    batch_size: int
    log_every: int
    grid_every: int
    checkpoint_every: int
    seed: int


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises ConfigError for a device that this machine lacks."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "params.yaml: train.device = 'cuda', but this machine has no usable CUDA device: use auto or cpu"
        )
    return torch.device(name)


def fit(
    trainer: Trainer,
    data: ImageSet,
    schedule: Schedule,
    tracker: Tracker,
    work: Path,
    draw_grid: Callable[[int], None],
    *,
    quiet: bool = False,
) -> Curve:
    """Train to `schedule.steps`, from the last checkpoint in `work` where there is one; returns the loss curve.

    `quiet` shows no progress: for trainings of which many run at once.
    Raises DataError for fewer rows than a batch, TrainingError when a loss is no longer finite.
    """
    if len(data) < schedule.batch_size:
        raise DataError(
            f"{len(data)} training rows are fewer than one batch of {schedule.batch_size}: add images or lower train.batch_size"
        )
    device = next(trainer.model.parameters()).device
    pixels, labels = data.pixels.to(device), data.labels.to(device)
    first, curve = _resume(trainer, work)
    batches = _Batches(len(data), schedule)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, disable=quiet) as progress:
        task = progress.add_task("training", total=schedule.steps, completed=first)
        for step in range(first, schedule.steps):
            index = batches.at(step).to(device)
            noise = torch.Generator().manual_seed(_mix(schedule.seed, step, 1))
            values = trainer.step(to_unit(pixels[index]), labels[index], noise, step)
            done = step + 1
            progress.update(task, completed=done)
            if done % schedule.log_every == 0 or done == schedule.steps:
                curve.append({"step": done, **_finite(values, done, work)})
                tracker.metrics({k: v for k, v in curve[-1].items() if k != "step"}, done)
            if done % schedule.grid_every == 0 and done < schedule.steps:
                draw_grid(done)
            if done % schedule.checkpoint_every == 0 and done < schedule.steps:
                _finite(values, done, work)
                checkpoint.save(work, _state(trainer, done, curve))
                tracker.flush()
    return curve


class _Batches:
    """Row indices by step: every epoch is a permutation keyed by (seed, epoch); its incomplete last batch is dropped."""

    def __init__(self, rows: int, schedule: Schedule) -> None:
        self.rows, self.size, self.seed = rows, schedule.batch_size, schedule.seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> torch.Tensor:
        epoch, place = divmod(step, self.rows // self.size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(_mix(self.seed, epoch, 2)))
        return self._order[place * self.size : (place + 1) * self.size]


def _mix(seed: int, number: int, purpose: int) -> int:
    """A 63-bit seed for one purpose; odd multipliers of splitmix64 keep neighbouring numbers apart."""
    return (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB) % (2**63)


def _finite(values: dict[str, torch.Tensor], step: int, work: Path) -> dict[str, float]:
    numbers = {name: float(value) for name, value in values.items()}
    bad = [name for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        kept = (
            "the last good checkpoint is kept" if (work / checkpoint.NAME).exists() else "no checkpoint was written yet"
        )
        raise TrainingError(
            f"{bad[0]} is {numbers[bad[0]]} at step {step}; {kept}: lower the learning rate or look at the data"
        )
    return numbers


def _state(trainer: Trainer, step: int, curve: Curve) -> dict[str, Any]:
    return {
        "step": step,
        "networks": {name: network.state_dict() for name, network in trainer.state().items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in trainer.optimizers.items()},
        "curve": curve,
    }


def _resume(trainer: Trainer, work: Path) -> tuple[int, Curve]:
    state = checkpoint.load(work)
    if state is None:
        return 0, []
    for name, network in trainer.state().items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in trainer.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    return int(state["step"]), list(state["curve"])

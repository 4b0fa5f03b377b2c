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
from aigc_core.errors import ConfigError, DataError
from aigc_core.models.zoo import to_unit
from aigc_core.tracking import Tracker
from aigc_core.training import checkpoint
from aigc_core.training.chance import Batches, mix, row_keys
from aigc_core.training.guard import Guard
from aigc_core.training.trainer import Batch, Trainer

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
    keep: int = 1  # checkpoints
    max_loss: float = math.inf  # beyond it training is stopped; infinite: by what is not a number alone


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises ConfigError for a device that this machine lacks."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "params.yaml: train.device = 'cuda', but this machine has no usable CUDA device: use auto or cpu"
        )
    return torch.device(name)


def refuse_few_rows(rows: int, batch_size: int) -> None:
    """Raises DataError for fewer rows than a batch."""
    if rows < batch_size:
        raise DataError(
            f"{rows} training rows are fewer than one batch of {batch_size}: add images or lower train.batch_size"
        )


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
    Raises DataError for fewer rows than a batch, UnstableError when a loss is no longer finite or a weight is not.
    """
    refuse_few_rows(len(data), schedule.batch_size)
    device = next(trainer.model.parameters()).device
    pixels, labels, keys = (part.to(device) for part in (data.pixels, data.labels, row_keys(data.ids)))
    first, curve = _resume(trainer, work)
    for point in curve:  # a predecessor that was killed may have sent less than its checkpoint holds
        tracker.metrics(_losses(point), int(point["step"]))
    batches = Batches(len(data), schedule.batch_size, schedule.seed)
    guard = Guard(schedule.max_loss, batches, data.ids, work)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, disable=quiet, refresh_per_second=2) as progress:
        task = progress.add_task("training", total=schedule.steps, completed=first)
        for step in range(first, schedule.steps):
            index = batches.at(step).to(device)
            noise = torch.Generator().manual_seed(mix(schedule.seed, step, 1))
            images = to_unit(pixels.index_select(0, index))  # four times as fast as pixels[index]
            values = trainer.step(Batch(images, labels[index], keys[index]), noise, step)
            done = step + 1
            guard.watch(done, values)
            progress.update(task, completed=done)
            if done % schedule.log_every == 0 or done == schedule.steps:
                curve.append({"step": done, **guard.look()})
                tracker.metrics(_losses(curve[-1]), done)
            if done % schedule.grid_every == 0 and done < schedule.steps:
                draw_grid(done)
            if done % schedule.checkpoint_every == 0 and done < schedule.steps:
                guard.look()
                guard.weights(trainer.state(), done)
                checkpoint.save(work, _state(trainer, done, curve), schedule.keep)
                tracker.flush()
    guard.weights(trainer.state(), schedule.steps)
    return curve


def _losses(point: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in point.items() if name != "step"}


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

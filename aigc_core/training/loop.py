"""The training loop that every family shares: batches by index, exact resume, a guard, and progress.

All chance is keyed by (seed, step): nothing but the step has to be remembered to go on as if never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from aigc_core.data.loader import ImageSet
from aigc_core.errors import ConfigError, DataError
from aigc_core.tracking import Tracker
from aigc_core.training import checkpoint, processes
from aigc_core.training.chance import Batches
from aigc_core.training.checkpoint import Curve
from aigc_core.training.guard import Guard
from aigc_core.training.rows import Rows, take_step
from aigc_core.training.trainer import Trainer
from aigc_core.training.validation import Validation

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)


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
    if name == "cuda" and processes.count() > 1:
        return torch.device("cuda", torch.cuda.current_device())  # each process has its own
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
    validation: Validation | None = None,
) -> Curve:
    """Train to `schedule.steps`, from the last checkpoint in `work` where there is one; returns the loss curve.

    With `validation` the rows that it puts aside are not learnt from, training ends early where it says so, and the
    model is left in its best state. `quiet` shows no progress: for trainings of which many run at once.
    Raises DataError for fewer rows than a batch, UnstableError when a loss is no longer finite or a weight is not.
    """
    places = None if validation is None else validation.learnt
    count = len(data) if places is None else len(places)
    refuse_few_rows(count, schedule.batch_size)
    processes.refuse_uneven(schedule.batch_size)
    rows = Rows(data, next(trainer.model.parameters()).device)
    batches = Batches(count, schedule.batch_size, schedule.seed, places)
    done, curve = checkpoint.resume(trainer, work, validation)
    for point in [*curve, *([] if validation is None else validation.points)]:
        tracker.metrics(_values(point), int(point["step"]))  # a killed predecessor may have sent less
    guard, pace = Guard(schedule.max_loss, batches, data.ids, work), _Pace(done, schedule.batch_size)
    with Progress(*COLUMNS, transient=True, disable=quiet, refresh_per_second=2) as progress:
        task = progress.add_task("training", total=schedule.steps, completed=done)
        for step in range(done, schedule.steps):
            values = take_step(trainer, rows, batches.at(step), schedule.seed, step)
            done = step + 1
            guard.watch(done, values)
            progress.update(task, completed=done)
            last = done == schedule.steps
            if validation is not None and (last or done % validation.every == 0):
                guard.look()
                tracker.metrics(validation.look(trainer.model, done), done)
                last = last or validation.exhausted
            if last or done % schedule.log_every == 0:
                curve.append({"step": done, **guard.look()})
                tracker.metrics({**_values(curve[-1]), "images_per_second": pace.since(done)}, done)
            if last:
                break
            if done % schedule.grid_every == 0:
                draw_grid(done)
            if done % schedule.checkpoint_every == 0:
                guard.look()
                guard.weights(trainer.state(), done)
                if processes.is_first():
                    checkpoint.save(work, checkpoint.of(trainer, done, curve, validation), schedule.keep)
                tracker.flush()
    guard.weights(trainer.state(), done)
    if validation is not None:
        validation.restore(trainer.model)
    return curve


class _Pace:
    """Images a second since it was asked last."""

    def __init__(self, step: int, batch_size: int) -> None:
        self.step, self.batch_size, self.began = step, batch_size, time.perf_counter()

    def since(self, step: int) -> float:
        now = time.perf_counter()
        speed = (step - self.step) * self.batch_size / max(now - self.began, 1e-9)
        self.step, self.began = step, now
        return speed


def _values(point: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in point.items() if name != "step"}

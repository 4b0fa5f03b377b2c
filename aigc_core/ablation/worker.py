"""One cell: train on an arm's rows with one seed, hold the model to the study's yardstick, write what came out.

Everything here runs in a worker process with one thread. The file counts as code of every cell: a change in it makes
all cells new.
"""

from __future__ import annotations

import math
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aigc_core.ablation.cells import MEMORY, METRICS
from aigc_core.config import Config
from aigc_core.data.loader import ImageSet, load_images
from aigc_core.data.store import Version
from aigc_core.errors import AigcError, TooFewImagesError, TrainingError
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.compare import Judgement, Sampler, Yardstick
from aigc_core.evaluation.memorization import Limits, Witness
from aigc_core.files import atomic_file, write_json
from aigc_core.models.zoo import SampleModel
from aigc_core.tracking import Tracker
from aigc_core.training import checkpoint
from aigc_core.training.loop import Schedule, choose_device, fit
from aigc_core.training.session import spec_of
from aigc_core.training.steps import Trainer, build
from aigc_core.training.transfer import Start, begin

LONGEST_ERROR = 300  # characters of an error that is told in a line
#: Sets of samples that a cell's distance is the mean of, and how far their seeds lie apart.
DRAWS, SEEDS_APART = 8, 10_007
SHOWN = 8  # samples that are kept of every cell: the same latents and labels for all arms


@dataclass(frozen=True, eq=False)
class Bench:
    """What all cells of a study share; equal to itself alone, so that what is kept for one is not taken for another."""

    config: Config
    family: str
    yardstick: Yardstick
    start: Start | None  # the pre-trained model, for the arms that start from it
    device: str


@dataclass(frozen=True)
class Task:
    """One cell to run."""

    cell: str
    version: Path  # the arm's dataset version
    seed: int
    steps: int
    rate: float  # factor of the learning rate
    cas: bool  # whether its samples also teach a classifier, which costs more than all else that is measured
    from_start: bool  # from the pre-trained model
    state: Path | None  # folder of the training's state: it goes on from there where it holds one, and leaves its own
    out: Path  # <cell>.json; the samples lie beside it


def run_cell(task: Task, bench: Bench) -> dict[str, Any]:
    """Run a cell and write it, whole or not at all. What went wrong in it becomes its `error`, and ends no other cell.

    A training that goes astray does so again, and its line is kept as an answer. Any other error (memory, disk, a bug) is
    no answer: its traceback is written in the place of the cell, and the next study tries the cell again.
    """
    began, busy = time.perf_counter(), time.process_time()
    line: dict[str, Any] = {
        "cell": task.cell, "seed": task.seed, "family": bench.family, "steps": task.steps, "error": None, "metrics": {},
        "seconds": {},
    }  # fmt: skip
    traced = ""
    try:
        line["metrics"], line["seconds"] = _measure(task, bench)
    except TrainingError as error:
        line["error"] = str(error)
    except Exception as error:
        line["error"], traced = _in_words(error), traceback.format_exc()
    line["seconds"] |= {"all": time.perf_counter() - began, "cpu": time.process_time() - busy}
    note = traceback_file(task.out)
    if traced:
        with atomic_file(note) as scratch:
            scratch.write_text(traced)
    else:
        note.unlink(missing_ok=True)
        write_json(task.out, line)
    return line


def traceback_file(cell: Path) -> Path:
    """Where the traceback of a cell lies that has to be tried again; `cell` is where it would lie itself."""
    return cell.with_suffix(".traceback.txt")


def _measure(task: Task, bench: Bench) -> tuple[dict[str, float], dict[str, float]]:
    """Train and judge: the figures of the cell, and what its parts took in seconds."""
    began = time.perf_counter()
    data = arm_images(task.version, tuple(bench.yardstick.real.classes))
    loaded = time.perf_counter()
    start = bench.start if task.from_start else None
    trainer = train(data, bench, task.seed, task.steps, start, task.state, rate=task.rate)
    trained = time.perf_counter()
    sampler = SampleModel(trainer.model.spec, {}, trainer.model).sample
    judgement = bench.yardstick.judge(sampler, cas=task.cas)
    found = (
        figures(judgement) | redrawn(judgement, sampler, bench.yardstick) | remembered(task.version, judgement, bench)
    )
    for name, value in found.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} of its samples is {value}: what this training makes cannot be measured")
    _write_samples(task.out.with_suffix(".npy"), judgement)
    return found, {"load": loaded - began, "train": trained - loaded, "judge": time.perf_counter() - trained}


def _in_words(error: Exception) -> str:
    """What went wrong in one line, without this machine's paths: it becomes part of an out. The traceback has the rest."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = next(iter(text.strip().splitlines()), "")[:LONGEST_ERROR]
    what = first if isinstance(error, AigcError) else ": ".join(filter(None, [type(error).__name__, first]))
    return f"{what} (not kept: the next study tries this cell again)"


@lru_cache(maxsize=1)
def arm_images(folder: Path, classes: tuple[str, ...]) -> ImageSet:
    """The training images of an arm; the last arm stays in memory, because most arms are the same for all seeds."""
    version = Version.open(folder)
    image = version.card.image
    return load_images(version, "train", size=image["size"], channels=image["channels"], classes=list(classes))


def train(
    data: ImageSet,
    bench: Bench,
    seed: int,
    steps: int,
    start: Start | None = None,
    state: Path | None = None,
    rate: float = 1.0,
) -> Trainer:
    """A model of the study's family; `seed` draws its initial weights, the order of the rows and the noise.

    `rate` is the factor of the learning rate.

    A longer training goes through the very states of the shorter one of the same rows and seed: it goes on from the one in
    `state` where there is one, and a shorter one leaves its own there.
    """
    config = _at_rate(bench.config, bench.family, rate)
    version_image = {"size": data.pixels.shape[-1], "channels": data.pixels.shape[1]}
    spec = spec_of(config, bench.family, version_image, data.classes)
    trainer = build(spec, config.train, choose_device(bench.device), seed)
    if start is not None:
        begin(trainer, start)
    never = steps + 1  # a cell is short: it is run again rather than resumed
    schedule = Schedule(steps, config.train.batch_size, max(1, steps // 10), never, never, seed)
    work = Path("no-checkpoint") if state is None else _readable(state, steps)
    curve = fit(trainer, data, schedule, Tracker(), work, _no_grid, quiet=True)
    if state is not None and not checkpoint.latest(state):
        with suppress(TrainingError):  # a full disk: the longer training then begins anew
            checkpoint.save(state, checkpoint.of(trainer, steps, curve, None))
    return trainer


def _at_rate(config: Config, family: str, rate: float) -> Config:
    """The configuration with another learning rate of a family."""
    own = getattr(config.train, family)
    changed = own.model_copy(update={"learning_rate": rate * own.learning_rate})
    return config.model_copy(update={"train": config.train.model_copy(update={family: changed})})


def _readable(state: Path, steps: int) -> Path:
    """The folder of a training's state, without one that cannot be read or is past `steps`: that only saves time."""
    try:
        found = checkpoint.load(state)
    except TrainingError:
        found = {"step": steps + 1}
    if found is not None and found["step"] > steps:
        checkpoint.forget(state)
    return state


def _no_grid(step: int) -> None:
    """The samples of a cell are kept once it is done."""
    del step


def figures(judgement: Judgement) -> dict[str, float]:
    """The figures of a cell by the names of cells.METRICS, as far as they were measured."""
    return {name: float(judgement.metrics[name]) for name in METRICS if name in judgement.metrics}


def redrawn(judgement: Judgement, sampler: Sampler, yardstick: Yardstick) -> dict[str, float]:
    """fd and coverage as means over DRAWS sets of samples, that of the judgement among them.

    One model's sets differ as much as models of other seeds do, and drawing a set costs a fraction of a training.
    """
    panel, found = yardstick.panel, [(judgement.metrics[m.FD], judgement.metrics[m.COVERAGE])]
    for number in range(1, DRAWS):
        samples = sampler(yardstick.test_labels, yardstick.setting.seed + SEEDS_APART * number)
        features = yardstick.extractor.features(samples, yardstick.dimensions)
        support = m.density_coverage(panel.features, features, panel.neighbours, panel.radii, device=panel.device)
        found.append((panel.fd(features), support.coverage))
    fd, coverage = np.mean(np.array(found, dtype=np.float64), axis=0).tolist()
    return {m.FD: fd, m.COVERAGE: coverage}


def remembered(folder: Path, judgement: Judgement, bench: Bench) -> dict[str, float]:
    """The figures of cells.MEMORY, asked of the arm's own rows; none where too few images are held out to ask."""
    try:
        found = witness_of(folder, bench).judge(judgement.samples).figures
    except TooFewImagesError:
        return {}
    return {name: float(found[name]) for name in MEMORY}


@lru_cache(maxsize=1)
def witness_of(folder: Path, bench: Bench) -> Witness:
    """The rows of an arm beside a study's held-out ones; the last one stays, as with the arm's images."""
    yardstick, setting = bench.yardstick, bench.yardstick.setting
    data = arm_images(folder, tuple(yardstick.real.classes))
    limits = Limits(**bench.config.evaluate.memorization.model_dump())
    return Witness(data.pixels, yardstick.decoys, limits, setting.seed, setting.device)


def _write_samples(target: Path, judgement: Judgement) -> None:
    """Samples (SHOWN, C, S, S) uint8 of different classes as far as there are any."""
    labels = judgement.labels.tolist()
    first = {label: position for position, label in reversed(list(enumerate(labels)))}
    order = [first[label] for label in sorted(first)]
    order += [position for position in range(len(labels)) if position not in set(order)]
    with atomic_file(target) as scratch, scratch.open("wb") as handle:
        np.save(handle, judgement.samples[order[:SHOWN]].numpy())

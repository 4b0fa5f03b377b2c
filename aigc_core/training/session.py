"""One training from spec to model folder: used by the stages train, pretrain and finetune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from aigc_core import threads
from aigc_core.config import Config
from aigc_core.data.loader import ImageSet
from aigc_core.errors import DataError
from aigc_core.files import atomic_file, digest, source_digest, write_json
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import SampleModel, save_model
from aigc_core.paths import Paths
from aigc_core.report.figures import image_grid, save_png
from aigc_core.tracking import Tracker
from aigc_core.training import checkpoint, compiled, processes
from aigc_core.training.chance import Batches
from aigc_core.training.checkpoint import Curve
from aigc_core.training.guard import UnstableError
from aigc_core.training.loop import Schedule, choose_device, fit
from aigc_core.training.rows import Rows
from aigc_core.training.steps import Trainer, build, trainers
from aigc_core.training.transfer import Start, begin, settle
from aigc_core.training.validation import Validation

#: Code that a training computes with.
CODE = ("training", "models", "modalities", "data/loader.py", "data/splits.py", "data/store.py", "evaluation")
GRID_COLUMNS = 12
GRID_ROWS = 10  # classes shown at most
#: Settings of a family that a finished model is loaded and drawn from with.
SAMPLED_BY = {"flow": {"sampler", "sample_steps", "guidance"}, "gan": {"spectral_norm"}, "vae": {"likelihood"}}
GRID_SEED = 1  # the same latents in every grid, so that grids of two steps or two runs can be compared


@dataclass(frozen=True)
class Job:
    """A training: what, on what, for how long."""

    name: str  # the stage, and which of its trainings, for example "finetune@gan/tuned"
    family: str
    data: ImageSet
    dataset_version: str
    image: Mapping[str, Any]  # size and channels of the version's card
    steps: int
    start: Start | None = None  # a model to fine-tune from
    card: Mapping[str, Any] = field(default_factory=dict)  # further facts for model.json
    origins: Mapping[str, str] = field(default_factory=dict)  # id of a row that was made from another -> id of that
    validates: bool = True  # where train.validate_every says so


def spec_of(config: Config, family: str, image: Mapping[str, Any], classes: list[str]) -> ModelSpec:
    """The spec of a family for this data; one class, which rows without labels have too, makes an unconditional model.

    Raises DataError where there is no class, and so no row.
    """
    if not classes:
        raise DataError("no class is chosen to train on: name some, or give the source rows")
    network = config.train.network
    # Of the other families nothing is asked: dvc.yaml does not name their parameters.
    own = getattr(config.train, family).model_dump(include=SAMPLED_BY[family]) if family in SAMPLED_BY else {}
    return ModelSpec(
        family,
        int(image["size"]),
        int(image["channels"]),
        tuple(classes),
        network.latent,
        network.mlp_width,
        network.conv_width,
        largest_mlp_side=network.largest_mlp_side,
        architecture=network.architecture,
        **own,
    )


def run(job: Job, config: Config, paths: Paths, tracker: Tracker, out: Path | None) -> Curve:
    """Train, or go on where a killed run stopped, and write the model folder into the existing folder `out`.

    Where several processes train together, all but the first have no `out`.
    """
    processes.refuse_alone()
    spec = spec_of(config, job.family, job.image, job.data.classes)
    device = choose_device(config.train.device)
    trainer = build(spec, config.train, device, config.seed)
    began = {} if job.start is None else {"start": begin(trainer, job.start)}
    _compile(trainer, job, spec, config, device, tracker)
    identity = _identity(job, spec, config)
    works = paths.work / "checkpoints" / job.name.replace("/", "-")
    work = works / digest([identity, _machinery(device)])[:16]
    _tell_of_others(works, work)
    schedule = Schedule(
        job.steps,
        config.train.batch_size,
        config.train.log_every,
        config.train.grid_every,
        config.train.checkpoint_every,
        config.seed,
        config.train.keep_checkpoints,
        config.train.max_loss,
    )

    def draw_grid(step: int) -> None:
        if out is None:
            return
        picture = work / f"grid-{step:06d}.png"
        save_png(grid(trainer, spec), picture)
        tracker.image(picture, "samples", step)

    validation = _validation(job, config)
    try:
        curve = fit(trainer, job.data, schedule, tracker, work, draw_grid, quiet=out is None, validation=validation)
    except UnstableError as error:
        if out is not None:
            write_json(work / "stopped.json", {"step": error.step, "why": str(error), "rows": error.rows})
        raise
    if out is None:
        return curve
    settle(trainer)
    card = {
        "step": job.steps,
        "dataset_version": job.dataset_version,
        "config_digest": identity,
        "rows": len(job.data),
        "settings": getattr(config.train, job.family).model_dump(),
        **({"threads": threads.count()} if device.type == "cpu" else {}),
        **began,
        **job.card,
        **_judged(validation, curve),
    }
    if validation is not None:
        _write_curve(out / "validation.csv", validation.points)
    save_model(out, trainer.model, card)
    save_png(grid(trainer, spec), out / "samples.png")
    tracker.image(out / "samples.png", "samples", job.steps)
    _write_curve(out / "curve.csv", curve)
    tracker.artifact(out, "model")
    return curve


def _compile(
    trainer: Trainer, job: Job, spec: ModelSpec, config: Config, device: torch.device, tracker: Tracker
) -> None:
    """On a card, compile the networks where that makes steps quicker; what was found is a tag of the run."""
    train = config.train
    if device.type != "cuda" or train.compile == "off":
        return
    rows, batches = Rows(job.data, device), Batches(len(job.data), train.batch_size, config.seed)
    choice = compiled.choose(lambda: build(spec, train, device, config.seed), rows, batches, config.seed)
    if processes.from_first(lambda: choice.compiled):
        compiled.compile_networks(trainer)
    tracker.tags({"compile": choice.why})


def _validation(job: Job, config: Config) -> Validation | None:
    train = config.train
    if not job.validates or train.validate_every == 0:
        return None
    return Validation(
        job.family, job.data, every=train.validate_every, share=train.validation_share, patience=train.patience,
        seed=config.seed, origins=job.origins,
    )  # fmt: skip


def _judged(validation: Validation | None, curve: Curve) -> dict[str, Any]:
    """What the card says where rows were put aside: `step` is then that of the best state, whose weights are saved."""
    if validation is None or validation.best is None:
        return {}
    best = validation.best
    facts = {"measure": validation.name, "value": best["value"], "rows": validation.rows, "trained": curve[-1]["step"]}
    return {"step": best["step"], "rows": len(validation.learnt), "validation": facts}


def finished(job: Job, paths: Paths) -> None:
    """Forget the working checkpoints, once the outs are in place."""
    checkpoint.forget(paths.work / "checkpoints" / job.name.replace("/", "-"))


def grid(trainer: Trainer, spec: ModelSpec) -> Any:
    """Fixed latents for up to ten classes, one class to a row; the same latents in every row."""
    rows = min(len(spec.classes), GRID_ROWS)
    labels = torch.arange(rows).repeat_interleave(GRID_COLUMNS)
    images = SampleModel(spec, {}, trainer.model).sample(labels, GRID_SEED)
    return image_grid(images.permute(0, 2, 3, 1).numpy(), GRID_COLUMNS, row_labels=list(spec.classes[:rows]))


def _tell_of_others(works: Path, work: Path) -> None:
    """Say which checkpoints of this training are left aside: hours of work would end without a word otherwise."""
    if checkpoint.latest(work) is not None:
        return
    others = [place for place in map(checkpoint.latest, sorted(works.glob("*"))) if place is not None]
    if others and processes.is_first():
        told = ", ".join(checkpoint.short(place) for place in others)
        Console(stderr=True).print(
            f"not resumed: {told}. Parameters, rows, code, torch or the number of threads have changed since; training begins anew",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _machinery(device: torch.device) -> list[Any]:
    """What decides the outs beside parameters and rows: code, torch, and on the processor the number of threads."""
    return [
        source_digest(CODE),
        torch.__version__,
        device.type,
        processes.count(),
        threads.count() if device.type == "cpu" else None,
    ]


def _identity(job: Job, spec: ModelSpec, config: Config) -> str:
    """Digest of the parameters and rows that decide the outs; a checkpoint of another one is never resumed."""
    # log_every decides no weight, but it decides the curve, which is an out too.
    others = set(trainers) - {job.family}
    train = config.train.model_dump(exclude={"checkpoint_every", "grid_every", "keep_checkpoints", "max_loss", *others})
    start = {} if job.start is None else job.start.identity()
    return digest([job.name, spec.to_json(), train, config.seed, job.steps, job.dataset_version, job.data.ids, start])[
        :16
    ]


def _write_curve(path: Path, curve: Curve) -> None:
    names = list(curve[0])
    lines = [",".join(names)] + [",".join(f"{point[name]:.6g}" for name in names) for point in curve]
    with atomic_file(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n")

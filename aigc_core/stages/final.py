"""final: after the verdict, the released model once more, on every kept row but the reference.

Evaluation needs test rows that no model has seen; whoever uses the model does not. The same networks are trained for the
same number of steps on training and test rows together. Nothing is left then to measure quality with, so that the
numbers shown are those of the evaluated model; whether this one copies can still be asked, of the reference rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from aigc_core.config import Config, parse
from aigc_core.data.loader import ImageSet, classes_of, load_images, load_splits
from aigc_core.data.store import Version
from aigc_core.errors import DataError, TooFewImagesError
from aigc_core.evaluation.classifier import pick_device
from aigc_core.evaluation.memorization import MIN_IMAGES, Limits, Memorization, Witness
from aigc_core.files import atomic_folder, read_json, write_json
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.records import Check, StageResult
from aigc_core.stages.parts.copies import write_copies
from aigc_core.tracking import open_tracker
from aigc_core.training import session
from aigc_core.training.held_out import REFERENCE, drawn_rows

#: The splits that it learns from; it is asked about copies with the reference rows.
LEARNT = ("train", "test")
SWITCHED_OFF = "final.enabled is false in params.yaml: set it to true and run `dvc repro final`"
NOTE = (
    "This model itself was not evaluated on held-out rows, because none are left but the reference: the numbers are those of the "
    "evaluated model, which learnt from the training rows alone."
)


def final(config: Config, paths: Paths) -> StageResult:
    """Write data/final: final.json and checks.json, and a model where one is released (data/release.json).

    Raises DataError where it has not been chosen yet.
    """
    if not paths.release.exists():
        raise DataError("which family is released is not known yet: run `aigc choose` first, or `dvc repro`")
    release = read_json(paths.release)
    family = release["family"]
    if not config.final.enabled or family is None:
        return _nothing(paths, release["why"] if config.final.enabled else SWITCHED_OFF)
    config = parse({**config.model_dump(), "train": {**config.train.model_dump(), family: release["settings"]}})
    job = final_job(config, paths, release)
    resolved = {"seed": config.seed, "train": config.train.of(family), "family": family}
    inputs = [paths.content, paths.data / config.train.dataset]
    with (
        open_tracker(config.tracking, paths, "final", resolved, inputs) as tracker,
        atomic_folder(paths.final) as out,
    ):
        session.run(job, config, paths, tracker, out)
        found = _copies(config, paths, out, job.data)
        told = _told(found)
        facts = {
            "family": family,
            "note": NOTE,
            "rows": len(job.data),
            "memorization": told[0],
            "reasons": told[1],
            "evaluated": release["evaluated"],
            **job.card,
        }
        write_json(out / "final.json", {"made": True, **facts})
        _write_checks(out, told[0] == "passed", "; ".join(told[1]) or "nothing found")
    session.finished(job, paths)
    return StageResult(
        f"{family}: retrained for {job.steps:,} steps on all {len(job.data):,} rows but the reference; its memorization check "
        f"{told[0]}",
        {"rows": len(job.data)},
        facts,
    )


def final_job(config: Config, paths: Paths, release: Mapping[str, Any]) -> session.Job:
    """The training of the evaluated model, with the test rows as well."""
    family = release["family"]
    version = Version.open(paths.data / config.train.dataset)
    data = load_splits(version, LEARNT, **_frame(version))
    card = {"evaluated_model_sha256": release["weights_sha256"], "splits": list(LEARNT)}
    # As long as the evaluated model was trained to its best state; nothing is put aside once more to look for another.
    return session.Job(
        f"final@{family}", family, data, version.card.version, version.card.image, release["step"], card=card,
        validates=False,
    )  # fmt: skip


def _nothing(paths: Paths, why: str) -> StageResult:
    """A card that says why there is no model."""
    with atomic_folder(paths.final) as out:
        write_json(out / "final.json", {"made": False, "why": why})
        _write_checks(out, False, f"no model was made: {why}")
    return StageResult(f"no final model: {why}", {}, {"why": why})


def _frame(version: Version) -> dict[str, Any]:
    image = version.card.image
    return {"size": image["size"], "channels": image["channels"], "classes": classes_of(version.card)}


def _copies(config: Config, paths: Paths, out: Path, data: ImageSet) -> Memorization | None:
    """The gate's questions to the finished model, held against reference rows; None where those are too few."""
    version = Version.open(paths.data / config.train.dataset)
    most, classes = config.evaluate.max_samples, classes_of(version.card)
    ids = drawn_rows(version, paths.verdicts, REFERENCE, LEARNT, classes, most, config.seed)
    held = load_images(version, REFERENCE, ids=ids, **_frame(version))
    device = str(pick_device(config.train.device))
    limits = Limits(**config.evaluate.memorization.model_dump())
    try:
        witness = Witness(data.pixels, held.pixels, limits, config.seed, device)
    except TooFewImagesError:
        return None
    samples = load_model(out, device=device).sample(held.labels, config.seed + 1)
    found = witness.judge(samples)
    write_copies(
        out, found, limits, samples, data.pixels, data.ids, torch.from_numpy(found.answers.nearest), held_out=REFERENCE
    )
    return found


def _told(found: Memorization | None) -> tuple[str, list[str]]:
    if found is None:
        return "unknown", [f"fewer than {MIN_IMAGES} reference rows are no copies of what the model learnt from"]
    return ("passed" if found.passed else "failed"), found.reasons


def _write_checks(folder: Path, passed: bool, observed: str) -> None:
    check = Check(
        "final_memorization",
        "No more samples of the final model are close to rows that it learnt from than chance and images never seen explain.",
        "warning",
        passed,
        observed,
        "copy rate, closest and preference inside evaluate.memorization",
    )
    write_json(folder / "checks.json", {"checks": [asdict(check)]})

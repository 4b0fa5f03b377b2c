"""final: after the verdict, the released model once more, on every kept row but the reference.

Evaluation needs test rows that no model has seen; whoever uses the model does not. The same networks are trained for the
same number of steps on training and test rows together. Nothing is left then to measure quality with, so that the
numbers shown are those of the evaluated model; whether this one copies can still be asked, of the reference rows.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from aigc_core.config import Config
from aigc_core.data.loader import ImageSet, classes_of, load_images, load_splits
from aigc_core.data.store import Version
from aigc_core.errors import DataError, TooFewImagesError
from aigc_core.evaluation.classifier import pick_device
from aigc_core.evaluation.memorization import MIN_IMAGES, Limits, Memorization, Witness
from aigc_core.files import atomic_folder, read_json, write_json
from aigc_core.models.zoo import load_model
from aigc_core.paths import FAMILIES, Paths
from aigc_core.records import Check, StageResult
from aigc_core.stages.parts.copies import write_copies
from aigc_core.stages.parts.release import memorization_of
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
    """Write data/final: final.json and checks.json, and a model where there is one to make.

    Of several released families the one nearest to real images is taken. Raises DataError where one has not been evaluated.
    """
    passed, withheld = _verdicts(paths)
    family = min(passed, key=lambda name: passed[name]["fd_over_floor"], default=None)
    if not config.final.enabled or family is None:
        why = "; ".join(f"the {name} is withheld ({said})" for name, said in withheld.items())
        return _nothing(paths, why if config.final.enabled else SWITCHED_OFF)
    job = final_job(config, paths, family)
    resolved = {"seed": config.seed, "train": config.train.model_dump(), "family": family}
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
            "evaluated": passed[family],
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


def final_job(config: Config, paths: Paths, family: str) -> session.Job:
    """The training of the evaluated model, with the test rows as well."""
    version = Version.open(paths.data / config.train.dataset)
    data = load_splits(version, LEARNT, **_frame(version))
    evaluated = read_json(paths.model(family) / "model.json")
    card = {"evaluated_model_sha256": evaluated["weights_sha256"], "splits": list(LEARNT)}
    # As long as the evaluated model was trained to its best state; nothing is put aside once more to look for another.
    return session.Job(
        f"final@{family}", family, data, version.card.version, version.card.image, evaluated["step"], card=card,
        validates=False,
    )  # fmt: skip


def _verdicts(paths: Paths) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The metrics of the families that the gate passed, and why the others were withheld."""
    passed, withheld = {}, {}
    for family in FAMILIES:
        place = paths.model(family) / "model.json"
        if not place.exists():
            raise DataError(f"there is no trained {family} yet: run `aigc train {family}` first, or `dvc repro`")
        answer, reasons = memorization_of(paths, family, read_json(place)["weights_sha256"])
        if answer == "unknown":
            raise DataError(f"{'; '.join(reasons)}: run `aigc evaluate {family}` first, or `dvc repro`")
        if answer == "passed":
            passed[family] = read_json(paths.evaluation(family) / "metrics.json")
        else:
            withheld[family] = "; ".join(reason.rstrip(".") for reason in reasons)
    return passed, withheld


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

"""evaluate: compare samples of a trained model with held-out real images, beside what real data gets."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch

from aigc_core import threads
from aigc_core.config import Config
from aigc_core.data.loader import UNLABELLED, load_images
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.classifier import pick_device
from aigc_core.evaluation.comparability import identity_digest
from aigc_core.evaluation.compare import Judgement, Real, Setting, Yardstick
from aigc_core.evaluation.features import load_extractor
from aigc_core.evaluation.headline import headline
from aigc_core.evaluation.memorization import Limits
from aigc_core.evaluation.pictures import class_rows, nearest_training
from aigc_core.files import atomic_folder, write_json
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.report.figures import image_grid, pair_grid, save_png
from aigc_core.report.measures import bound_words
from aigc_core.stages.parts.beside import ask_others, unfit, write_checks, write_likeness, write_opinions
from aigc_core.stages.parts.copies import write_copies
from aigc_core.stages.parts.latents import bound, write_latents
from aigc_core.tracking import open_tracker
from aigc_core.training.held_out import REFERENCE, unseen_rows
from aigc_core.training.independent import independent_test_rows

#: Classes that are named one by one.
FEW = 5


def evaluate(config: Config, paths: Paths, family: str) -> StageResult:
    """Write data/evaluation/{family}: metrics.json, its headline.json, and details. Raises DataError where there are too few images."""
    device = str(pick_device(config.train.device))
    model = load_model(paths.model(family), device=device)
    version = Version.open(paths.curated)
    yardstick = make_yardstick(config, paths, version, list(model.spec.classes), device)
    others = ask_others(config, paths, yardstick)
    judgement = yardstick.judge(model.sample)
    metrics = judgement.metrics | bound(config, model, yardstick)
    facts = comparison_facts(yardstick, version) | {"model_sha256": model.card["weights_sha256"]}
    target = paths.evaluation(family)
    inputs = [paths.content, paths.curated, paths.verdicts, paths.extractor, paths.model(family)]
    settings = {"seed": config.seed, "family": family, "evaluate": config.evaluate.model_dump()}
    with open_tracker(config.tracking, paths, f"evaluate@{family}", settings, inputs) as tracker:
        with atomic_folder(target / "details") as folder:
            write_details(folder, config, yardstick, judgement, facts)
            write_memorization(folder, yardstick, judgement)
            write_likeness(folder, version, yardstick, judgement)
            pictures = write_latents(folder, model, yardstick)
            over, alarms = write_opinions(folder / "extractors.json", config, others, yardstick, judgement)
            released = write_checks(folder, alarms)
        write_json(target / "metrics.json", metrics)
        write_json(target / "headline.json", headline(metrics, facts))
        tracker.metrics({**metrics, **over}, 0)
        tracker.tags({"comparable": identity_digest(facts), "released": "yes" if released else "no"})
        for name in ("nearest", "classes", "closest", "likeness", *pictures):
            tracker.image(target / "details" / f"{name}.png", name)
    said = [
        in_words(metrics),
        unfit(paths),
        left_out_words(facts),
        bound_words(metrics),
        *(f"alarm: {text}" for text in alarms),
    ]
    return StageResult(f"{family}: {'; '.join(part for part in said if part)}", metrics, facts)


def make_yardstick(
    config: Config, paths: Paths, version: Version, classes: list[str], device: str, seen: set[str] | None = None
) -> Yardstick:
    """The test rows of `classes`, their floors, and the extractor to measure with.

    Test rows that are near-duplicates of training rows are left out. `seen` are the ids of the training rows that the
    model learnt from, where that is not all of them.
    """
    extractor = load_extractor(paths.extractor, device)
    frame: dict[str, Any] = {"size": extractor.size, "channels": extractor.channels, "classes": classes}
    train = load_images(version, "train", **frame)
    test = load_images(version, "test", ids=independent_test_rows(version, paths.verdicts), **frame)
    learnt = None if seen is None else torch.tensor([i for i, name in enumerate(train.ids) if name in seen])
    if learnt is not None and len(learnt) == 0:
        raise DataError("none of the rows that the model learnt from is in the curated version: train it again")
    chosen = config.evaluate
    unseen = unseen_rows(version, paths.verdicts, classes, chosen.max_samples, config.seed)
    decoys = None if unseen.ids is None else load_images(version, REFERENCE, ids=unseen.ids, **frame).pixels
    real = Real(classes, train.pixels, train.labels, test.pixels, test.labels, train.ids, learnt, decoys, unseen.why)
    setting = Setting(
        chosen.neighbours, chosen.floor_draws, chosen.max_samples, config.seed, device, chosen.jackknife_groups,
        Limits(**chosen.memorization.model_dump()),
    )  # fmt: skip
    return Yardstick(extractor, real, setting)


def comparison_facts(yardstick: Yardstick, version: Version) -> dict[str, Any]:
    """What two numbers must share to be compared, and how they were made."""
    used, whole = yardstick.dimensions, yardstick.extractor.dimensions
    return {
        "reference_hash": yardstick.reference_hash,
        "extractor_hash": yardstick.extractor.hash,
        "n": yardstick.n,
        "resize": version.card.image["resize"],
        "dataset_version": version.card.version,
        "fd_dimensions": used,
        "features": (
            f"all {whole} features of the extractor"
            if used == whole
            else f"the first {used} of {whole} principal axes of the reference features, because {yardstick.n} images "
            "are fewer than ten per feature; the same axes for samples and for real images"
        ),
        "classes": yardstick.real.classes,
        "train_rows": len(yardstick.real.train_labels),
        "test_rows": len(yardstick.real.test_labels),
        **_left_out(yardstick, version),
        "floor_std": yardstick.floor.spread,
        "jackknife_groups": yardstick.setting.jackknife_groups,
        **({} if yardstick.conditional else {"need_labels": [m.CAS, m.AGREEMENT]}),
    }


def _left_out(yardstick: Yardstick, version: Version) -> dict[str, Any]:
    """How many test rows no model is held to: copies of training rows, and those of classes that have no training row."""
    labels = {
        split: Counter(pc.fill_null(version.select(split)["label"], UNLABELLED).to_pylist())
        for split in ("train", "test")
    }
    judged = yardstick.real.classes
    unknown = {
        label: rows
        for label, rows in sorted(labels["test"].items())
        if label not in judged and not labels["train"][label]
    }
    mine = sum(labels["test"][label] for label in judged)
    left_out = mine - len(yardstick.real.test_labels) + sum(unknown.values())
    return {"test_rows_left_out": left_out, **({"test_rows_not_learnt": unknown} if unknown else {})}


def left_out_words(facts: dict[str, Any]) -> str:
    """Which test rows no model is judged by because nothing taught their class; empty where there are none."""
    unknown = facts.get("test_rows_not_learnt", {})
    named = ", ".join(f"{label or 'without a label'} ({rows:,})" for label, rows in list(unknown.items())[:FEW])
    more = f" and {len(unknown) - FEW} more" if len(unknown) > FEW else ""
    rows = sum(unknown.values())
    return (
        f"{rows:,} test rows are not judged, because no training row has their class: {named}{more}" if unknown else ""
    )


def write_details(
    folder: Path, config: Config, yardstick: Yardstick, judgement: Judgement, facts: dict[str, Any]
) -> None:
    """Pictures, per-class table and facts of one model."""
    neighbours = nearest_training(judgement.samples, yardstick.real.train_pixels, config.seed)
    held_out = nearest_training(yardstick.test_pixels, yardstick.real.train_pixels, config.seed)
    captions = [f"{value:.0f}" for value in neighbours.distances]
    picture = pair_grid(
        neighbours.samples,
        neighbours.training,
        8,
        "generated",
        "nearest training image; below: rms difference of 255",
        captions,
    )
    save_png(picture, folder / "nearest.png")
    draw_classes(folder / "classes.png", yardstick, [("generated", judgement)])
    write_lines(folder / "per_class.csv", judgement.per_class)
    facts["nearest_rms_generated"] = float(np.median(neighbours.distances))
    facts["nearest_rms_held_out"] = float(np.median(held_out.distances))
    facts["worst_class"] = judgement.worst
    facts["threads"] = threads.count()
    write_json(folder / "facts.json", facts)


def write_memorization(folder: Path, yardstick: Yardstick, judgement: Judgement, suffix: str = "") -> None:
    """memorization{suffix}.json with verdict, figures, limits and the closest pairs, and their picture."""
    found, limits, real = judgement.memorization, yardstick.setting.limits, yardstick.real
    if found is None or limits is None:
        raise ValueError("memorization is judged by a yardstick with limits only")
    nearest = yardstick.seen[torch.from_numpy(found.answers.nearest)]
    write_copies(
        folder, found, limits, judgement.samples, real.train_pixels, real.train_ids, nearest, suffix,
        held_out="test" if real.decoys is None else REFERENCE, why=real.decoys_why,
    )  # fmt: skip


def draw_classes(target: Path, yardstick: Yardstick, named: list[tuple[str, Judgement]]) -> None:
    """One row per class: held-out real images on the left, then each model's."""
    parts: list[tuple[torch.Tensor, torch.Tensor]] = [(yardstick.test_pixels, yardstick.test_labels)]
    parts += [(judgement.samples, judgement.labels) for _, judgement in named]
    cells, columns, names = class_rows(yardstick.real.classes, parts)
    title = " | ".join(["held-out real", *(name for name, _ in named)])
    save_png(image_grid(cells, columns, row_labels=names, title=title), target)


def write_lines(target: Path, lines: list[dict[str, float | str]]) -> None:
    """A small CSV with one line per class, into a folder that is made atomic by its owner."""
    with target.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _cas_words(metrics: dict[str, float]) -> str:
    if m.CAS not in metrics:
        return "cas and agreement need labels of at least two classes"
    return f"cas {metrics['cas']:.3f} (real {metrics['cas_real']:.3f})"


def in_words(metrics: dict[str, float]) -> str:
    """The metrics as one line for a person."""
    return (
        f"fd {metrics['fd']:.3f} ({metrics['fd_low']:.3f} to {metrics['fd_high']:.3f}), that is {metrics['fd_over_floor']:.2f} times its floor {metrics['fd_floor']:.3f} "
        f"(n {metrics['n']:.0f}, {metrics['fd_dimensions']:.0f} dimensions); coverage {metrics['coverage']:.3f} (real "
        f"{metrics['coverage_real']:.3f}), density {metrics['density']:.3f} (real {metrics['density_real']:.3f}), "
        f"{_cas_words(metrics)}; the memorization gate "
        f"{'lets it pass' if metrics['memorization_passed'] else 'WITHHOLDS it'} (copy rate "
        f"{metrics['copy_rate']:.1%}, with images never seen {metrics['copy_rate_unseen']:.1%}; closest {metrics['closest']:.1%}, "
        f"{metrics['closest_unseen']:.1%}; preference {metrics['preference']:.2f})"
    )

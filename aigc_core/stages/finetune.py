"""finetune: the pre-trained model on a small target, beside the same training from scratch."""

from __future__ import annotations

from aigc_core.config import Config
from aigc_core.data.loader import UNLABELLED, ImageSet, classes_of, load_images
from aigc_core.data.splits import unit_hash
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.files import atomic_folder, write_json
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.stages.parts.classes import chosen_classes, leave_out, why_not_run
from aigc_core.tracking import open_tracker
from aigc_core.training import session
from aigc_core.training.transfer import Start


def finetune(config: Config, paths: Paths, family: str) -> StageResult:
    """Write data/finetuned/<family>/{tuned,scratch} and target.json: same rows, steps and seed for both.

    Where pre-training had nothing to learn from, the out says that instead.
    """
    why = why_not_run(paths.pretrained(family))
    if why is not None:
        with atomic_folder(paths.finetuned(family)) as out:
            return leave_out(out, why)
    version = Version.open(paths.curated)
    classes = chosen_classes(config.finetune.classes, classes_of(version.card), "finetune", first=False)
    data = small_target(version, classes, config.finetune.per_class, config.seed)
    steps, image = config.finetune.steps, version.card.image
    chosen = config.finetune
    start = Start.of(
        load_model(paths.pretrained(family)),
        mode=chosen.mode_of(family),
        frozen_layers=chosen.frozen_layers,
        scale_shift_rate=chosen.scale_shift_rate,
    )
    jobs = [
        session.Job(f"finetune@{family}/{name}", family, data, version.card.version, image, steps, begin, {"arm": name})
        for name, begin in (("tuned", start), ("scratch", None))
    ]
    resolved = {
        "seed": config.seed,
        "train": config.train.of(family),
        "finetune": config.finetune.model_dump(),
        "family": family,
    }
    with atomic_folder(paths.finetuned(family)) as out:
        for job in jobs:
            place = out / job.card["arm"]
            place.mkdir()
            stage = f"finetune@{family}-{job.card['arm']}"
            inputs = [paths.content, paths.curated, paths.pretrained(family)]
            with open_tracker(config.tracking, paths, stage, {**resolved, "arm": job.card["arm"]}, inputs) as tracker:
                session.run(job, config, paths, tracker, place)
        write_json(out / "target.json", {"classes": classes, "ids": data.ids, "per_class": config.finetune.per_class})
    for job in jobs:
        session.finished(job, paths)
    return StageResult(
        f"{family}: fine-tuned and from scratch, {steps:,} steps each on {len(data):,} rows of {', '.join(classes) or 'no class'}"
    )


def small_target(version: Version, classes: list[str], per_class: int, seed: int) -> ImageSet:
    """`per_class` training rows of each class, by the lowest hashes of (seed, id). Raises DataError where a class has fewer."""
    rows = version.select("train")
    members: dict[str, list[str]] = {name: [] for name in classes}
    for identity, label in zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True):
        if (label or UNLABELLED) in members:
            members[label or UNLABELLED].append(identity)
    for name, ids in members.items():
        if len(ids) < per_class:
            raise DataError(
                f"class {name!r} has {len(ids)} training rows, fewer than finetune.per_class = {per_class}: lower it"
            )
    chosen = {
        i for ids in members.values() for i in sorted(ids, key=lambda i: unit_hash(f"{seed}:target:{i}"))[:per_class]
    }
    image = version.card.image
    return load_images(version, "train", size=image["size"], channels=image["channels"], classes=classes, ids=chosen)

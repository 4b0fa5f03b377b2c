"""extractor: train the frozen feature extractor on the reference rows, and fit the two alarms beside it."""

from __future__ import annotations

from aigc_core.config import Config
from aigc_core.data.loader import load_decodable, load_unlabelled
from aigc_core.data.store import Version
from aigc_core.evaluation.extractors.frozen import RAW, fit_frame, save_frame
from aigc_core.evaluation.features import Recipe, accuracy, save_extractor, train_extractor
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult


def extractor(config: Config, paths: Paths) -> StageResult:
    """Write data/extractor: weights, card, and the frames of the alarms.

    Without labels, or with one class, it learns from views of the images. Raises DataError for too few images.
    """
    version = Version.open(paths.ingested)
    card = version.card
    size, channels = card.image["size"], card.image["channels"]
    classes = card.classes if len(card.classes) > 1 else []
    if classes:
        reference = load_decodable(version, "reference", size=size, channels=channels, classes=classes)
    else:
        reference = load_unlabelled(version, "reference", size=size, channels=channels)
    recipe = Recipe(**config.extractor.model_dump())
    learnt = train_extractor(
        reference.pixels, reference.labels, classes, recipe, seed=config.seed, device=config.train.device
    )
    facts = {
        "dataset_version": card.version,
        "resize": card.image["resize"],
        "reference_rows": len(reference),
        "seed": config.seed,
    }
    metrics: dict[str, float] = {"reference_rows": len(reference)}
    told = "there are no two classes to tell apart, so it learnt from views of the images"
    if learnt.classes:
        known = load_decodable(version, "train", size=size, channels=channels, classes=classes)
        metrics["train_accuracy"] = facts["train_accuracy"] = accuracy(learnt.model, known.pixels, known.labels)
        told = f"it names {metrics['train_accuracy']:.1%} of the {len(known):,} training images rightly"
    with atomic_folder(paths.extractor) as folder:
        facts["alarms"] = {name: save_frame(fit_frame(name, reference.pixels), name, folder) for name in sorted(RAW)}
        digest = save_extractor(learnt, folder, facts)
    of = f" of {len(classes)} classes" if classes else ""
    summary = f"learnt {recipe.dimensions} features from {len(reference):,} reference images{of}; {told}; extractor {digest[:12]}"
    return StageResult(summary, metrics, {"hash": digest})

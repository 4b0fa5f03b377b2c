"""extractor: train the frozen feature extractor on the reference rows, and fit the two alarms beside it."""

from __future__ import annotations

from typing import Any

from aigc_core.config import Config
from aigc_core.data.loader import ImageSet, load_decodable, load_unlabelled
from aigc_core.data.store import Version
from aigc_core.evaluation.extractors.frozen import RAW, fit_frame, save_frame
from aigc_core.evaluation.features import (
    MIN_PER_CLASS,
    Extractor,
    Recipe,
    accuracy,
    rare_classes,
    save_extractor,
    train_extractor,
)
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult

#: Training images that the extractor is tried on. So many give its accuracy to within two hundredths.
TRIED = 2000


def extractor(config: Config, paths: Paths) -> StageResult:
    """Write data/extractor: weights, card, and the frames of the alarms.

    Where the reference rows have no labels, one class, or too few rows per class, it learns from views of the images.
    Raises DataError for too few images.
    """
    version = Version.open(paths.ingested)
    card = version.card
    reference = _reference(version)
    recipe = Recipe(**config.extractor.model_dump())
    learnt = train_extractor(
        reference.pixels, reference.labels, reference.classes, recipe, seed=config.seed, device=config.train.device,
        told="learning",
    )  # fmt: skip
    facts: dict[str, Any] = {
        "dataset_version": card.version,
        "resize": card.image["resize"],
        "reference_rows": len(reference),
        "rare_classes": rare_classes(reference.labels, reference.classes),
        "seed": config.seed,
    }
    metrics: dict[str, float] = {"reference_rows": len(reference)}
    told = _without_labels(reference)
    if learnt.classes:
        known = _tried(version, learnt)
        metrics["train_accuracy"] = facts["train_accuracy"] = accuracy(learnt.model, known.pixels, known.labels)
        told = f"it names {metrics['train_accuracy']:.1%} of {len(known):,} training images rightly{_rare(facts)}"
    with atomic_folder(paths.extractor) as folder:
        facts["alarms"] = {name: save_frame(fit_frame(name, reference.pixels), name, folder) for name in sorted(RAW)}
        digest = save_extractor(learnt, folder, facts)
    of = f" of {len(learnt.classes)} classes" if learnt.classes else ""
    summary = f"learnt {recipe.dimensions} features from {len(reference):,} reference images{of}; {told}; extractor {digest[:12]}"
    return StageResult(summary, metrics, {"hash": digest})


def _reference(version: Version) -> ImageSet:
    """The decodable reference rows; all of them, with no class, where there are no two classes."""
    shape, classes = version.card.image, version.card.classes
    if len(classes) > 1:
        return load_decodable(
            version, "reference", size=shape["size"], channels=shape["channels"], classes=classes, told="reading"
        )
    return load_unlabelled(version, "reference", size=shape["size"], channels=shape["channels"], told="reading")


def _tried(version: Version, learnt: Extractor) -> ImageSet:
    """Training rows with the lowest ids, which are hashes, so that they are a random sample."""
    ids = set(sorted(version.select("train")["id"].to_pylist())[:TRIED])
    return load_decodable(
        version, "train", size=learnt.size, channels=learnt.channels, classes=learnt.classes, ids=ids, told="trying"
    )


def _without_labels(reference: ImageSet) -> str:
    if len(reference.classes) < 2:
        return "there are no two classes to tell apart, so it learnt from views of the images"
    few = len(rare_classes(reference.labels, reference.classes))
    return (
        f"{few} of {len(reference.classes)} classes have fewer than {MIN_PER_CLASS} reference images, too few to learn from "
        "labels, so it learnt from views of the images"
    )


def _rare(facts: dict[str, Any]) -> str:
    """The classes that it cannot know, by name."""
    names = list(facts["rare_classes"])
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"; it hardly knows {', '.join(names[:5])}{more}, with fewer than {MIN_PER_CLASS} reference images each"

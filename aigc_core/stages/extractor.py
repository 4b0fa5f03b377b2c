"""extractor: train the frozen feature extractor on the reference rows, and fit the two alarms beside it."""

from __future__ import annotations

from typing import Any

from aigc_core import threads
from aigc_core.config import Config
from aigc_core.data.loader import ImageSet, load_decodable, load_unlabelled
from aigc_core.data.store import Version
from aigc_core.evaluation.choice import Rows, choose
from aigc_core.evaluation.extractors.frozen import save_frame
from aigc_core.evaluation.features import MIN_PER_CLASS, Recipe, rare_classes, save_extractor
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.report.instrument import WAYS, damage_words, label_words

#: Training images that the extractor is tried on. So many give its accuracy to within two hundredths; its test takes fewer.
TRIED = 2000


def extractor(config: Config, paths: Paths) -> StageResult:
    """Write data/extractor: weights, card, and the frames of the alarms.

    It learns from the labels where looks tell them, else from views of the images, and is tried on known damages of training
    rows, which it does not learn from. Raises DataError for too few images, ConfigError where `extractor.learn` cannot be done.
    """
    version = Version.open(paths.ingested)
    card = version.card
    reference = _reference(version)
    held = _held(version, reference.classes)
    chosen = choose(
        Rows(reference.pixels, reference.labels, reference.classes or card.classes),
        Rows(held.pixels, held.labels, held.classes), Recipe.of(config.extractor), config.extractor.learn,
        seed=config.seed, device=config.train.device, told="learning",
    )  # fmt: skip
    learnt, instrument = chosen.extractor, chosen.facts()
    facts: dict[str, Any] = {
        "threads": threads.count(),
        "dataset_version": card.version,
        "resize": card.image["resize"],
        "reference_rows": len(reference),
        "rare_classes": rare_classes(reference.labels, reference.classes),
        "seed": config.seed,
        "instrument": instrument,
    }
    metrics: dict[str, float] = {"reference_rows": len(reference)}
    if chosen.told is not None:
        metrics["train_accuracy"] = chosen.told.accuracy
        metrics["train_chance"] = chosen.told.chance
    with atomic_folder(paths.extractor) as folder:
        facts["alarms"] = {name: save_frame(frame, name, folder) for name, frame in chosen.fixed.frames.items()}
        digest = save_extractor(learnt, folder, facts)
    of = f" of {len(learnt.classes)} classes" if learnt.classes else ""
    told = _without_labels(reference, instrument) if chosen.told is None else label_words(instrument) + _rare(facts)
    way = "took" if learnt.learnt_from == "nothing" else "learnt"
    summary = (
        f"{way} {learnt.dimensions} features from {len(reference):,} reference images{of}; {told}; {damage_words(instrument)}; "
        f"extractor {digest[:12]}"
    )
    return StageResult(summary, metrics, {"hash": digest})


def _reference(version: Version) -> ImageSet:
    """The decodable reference rows; all of them, with no class, where there are no two classes."""
    shape, classes = version.card.image, version.card.classes
    if len(classes) > 1:
        return load_decodable(
            version, "reference", size=shape["size"], channels=shape["channels"], classes=classes, told="reading"
        )
    return load_unlabelled(version, "reference", size=shape["size"], channels=shape["channels"], told="reading")


def _held(version: Version, classes: list[str]) -> ImageSet:
    """Training rows with the lowest ids, which are hashes, so that they are a random sample."""
    ids = set(sorted(version.select("train")["id"].to_pylist())[:TRIED])
    frame: dict[str, Any] = {"size": version.card.image["size"], "channels": version.card.image["channels"]}
    if classes:
        return load_decodable(version, "train", **frame, classes=classes, ids=ids, told="trying")
    return load_unlabelled(version, "train", **frame, ids=ids, told="trying")


def _without_labels(reference: ImageSet, instrument: dict[str, Any]) -> str:
    """Why nothing learnt from labels, and what judges instead."""
    way = WAYS[instrument["learnt_from"]]
    if instrument["learn"] == "views":
        return f"the instrument has {way}, as extractor.learn asks"
    if len(reference.classes) < 2:
        return f"there are no two classes to tell apart, so the instrument has {way}"
    few = len(rare_classes(reference.labels, reference.classes))
    return (
        f"{few} of {len(reference.classes)} classes have fewer than {MIN_PER_CLASS} reference images, too few to learn from "
        f"labels, so the instrument has {way}"
    )


def _rare(facts: dict[str, Any]) -> str:
    """The classes that it cannot know, by name."""
    names = list(facts["rare_classes"])
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"; it hardly knows {', '.join(names[:5])}{more}, with fewer than {MIN_PER_CLASS} reference images each"

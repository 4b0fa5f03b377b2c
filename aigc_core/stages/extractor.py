"""extractor: train the frozen feature extractor on the reference rows, and on nothing else."""

from __future__ import annotations

from aigc_core.config import Config
from aigc_core.data.loader import load_decodable
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.evaluation.features import Recipe, accuracy, save_extractor, train_extractor
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult


def extractor(config: Config, paths: Paths) -> StageResult:
    """Write data/extractor: weights and card. Raises DataError where there are not two classes to tell apart."""
    version = Version.open(paths.ingested)
    card = version.card
    if not card.classes:
        raise DataError(
            "no training row has a label: the extractor learns by telling classes apart, so give the source class "
            "sub-folders or a metadata.csv with a label column"
        )
    size, channels = card.image["size"], card.image["channels"]
    reference = load_decodable(version, "reference", size=size, channels=channels, classes=card.classes)
    recipe = Recipe(**config.extractor.model_dump())
    learnt = train_extractor(
        reference.pixels, reference.labels, card.classes, recipe, seed=config.seed, device=config.train.device
    )
    known = load_decodable(version, "train", size=size, channels=channels, classes=card.classes)
    share = accuracy(learnt.model, known.pixels, known.labels)
    facts = {
        "dataset_version": card.version,
        "resize": card.image["resize"],
        "reference_rows": len(reference),
        "train_accuracy": share,
        "seed": config.seed,
    }
    with atomic_folder(paths.extractor) as folder:
        digest = save_extractor(learnt, folder, facts)
    summary = (
        f"learnt {recipe.dimensions} features from {len(reference):,} reference images of {len(card.classes)} classes; "
        f"it names {share:.1%} of the {len(known):,} training images rightly; extractor {digest[:12]}"
    )
    return StageResult(summary, {"train_accuracy": share, "reference_rows": len(reference)}, {"hash": digest})

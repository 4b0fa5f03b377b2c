"""pretrain: one family on many images of other classes, or of another source."""

from __future__ import annotations

from contextlib import closing

from aigc_core.config import Config
from aigc_core.data.loader import ImageSet, load_images
from aigc_core.data.second import known_classes, read_source
from aigc_core.data.sources import open_source
from aigc_core.data.sources.base import OpenSource
from aigc_core.data.store import Card, Version
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.stages.parts.classes import chosen_classes, leave_out, needs_classes
from aigc_core.tracking import open_tracker
from aigc_core.training import session


def pretrain(config: Config, paths: Paths, family: str) -> StageResult:
    """Write data/pretrained/<family>. Raises ConfigError for a class that the data does not have.

    Where there are no other classes to learn from, the out says that instead.
    """
    version = Version.open(paths.curated)
    image, same = version.card.image, config.pretrain.source.kind == "same"
    why = needs_classes(version.card.classes, "pre-training on other classes (pretrain.source.kind: same)")
    if same and why is not None:
        with atomic_folder(paths.pretrained(family)) as out:
            return leave_out(out, why)
    if same:
        classes = chosen_classes(config.pretrain.classes, version.card.classes, "pretrain", first=True)
        data = load_images(version, "train", size=image["size"], channels=image["channels"], classes=classes)
        origin = f"{len(classes)} classes of the training rows"
    else:
        data, skipped = _second_source(config, paths, version.card)
        origin = f"{config.pretrain.source.kind} ({skipped} files that cannot be decoded left out)"
    job = session.Job(
        f"pretrain@{family}", family, data, version.card.version, image, config.pretrain.steps, card={"origin": origin}
    )
    resolved = {
        "seed": config.seed,
        "train": config.train.of(family),
        "pretrain": config.pretrain.model_dump(),
        "family": family,
    }
    with (
        open_tracker(config.tracking, paths, job.name, resolved, [paths.content, paths.curated]) as tracker,
        atomic_folder(paths.pretrained(family)) as out,
    ):
        session.run(job, config, paths, tracker, out)
    session.finished(job, paths)
    return StageResult(f"{family}: pre-trained for {config.pretrain.steps:,} steps on {len(data):,} rows from {origin}")


def _second_source(config: Config, paths: Paths, card: Card) -> tuple[ImageSet, int]:
    """The second source at the main one's size and channels; its test rows are left out. Returns also what failed."""
    settings = config.pretrain.source
    with closing(open_source(settings.kind, paths.root / settings.path, settings.limit, config.seed)) as source:
        return _read_second(source, config, card)


def _read_second(source: OpenSource, config: Config, card: Card) -> tuple[ImageSet, int]:
    known = known_classes(source)
    wanted = config.pretrain.classes
    classes = known if wanted == "auto" else chosen_classes(wanted, known, "pretrain", first=True)
    return read_source(source, size=card.image["size"], channels=card.image["channels"], classes=classes)

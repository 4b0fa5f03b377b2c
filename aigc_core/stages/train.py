"""train: one family on the training rows of the chosen dataset version."""

from __future__ import annotations

from aigc_core.config import Config
from aigc_core.data.loader import classes_of, load_images
from aigc_core.data.store import Version
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.tracking import Tracker, open_tracker
from aigc_core.training import processes, session


def train(config: Config, paths: Paths, family: str) -> StageResult:
    """Write data/models/<family>; where torchrun started several processes, together. Raises DataError for fewer rows than a batch."""
    with processes.joined(config.train.device):
        return _train(config, paths, family)


def _train(config: Config, paths: Paths, family: str) -> StageResult:
    job = training_job(config, paths, family)
    if not processes.is_first():
        session.run(job, config, paths, Tracker(), None)
        return StageResult(f"{family}: one of {processes.count()} processes; the first one writes the model")
    resolved = {"seed": config.seed, "train": config.train.of(family), "family": family}
    inputs = [paths.content, paths.data / config.train.dataset]
    with (
        open_tracker(config.tracking, paths, job.name, resolved, inputs) as tracker,
        atomic_folder(paths.model(family)) as out,
    ):
        curve = session.run(job, config, paths, tracker, out)
    session.finished(job, paths)
    losses = ", ".join(f"{name} {value:.3g}" for name, value in curve[-1].items() if name != "step")
    return StageResult(
        f"{family}: {curve[-1]['step']:,.0f} steps on {len(job.data):,} rows {job.data.of_classes}; {losses}"
    )


def training_job(config: Config, paths: Paths, family: str) -> session.Job:
    """The family, its steps, and the training rows of the version that train.dataset names."""
    version = Version.open(paths.data / config.train.dataset)
    image, classes = version.card.image, classes_of(version.card)
    data = load_images(version, "train", size=image["size"], channels=image["channels"], classes=classes)
    steps = getattr(config.train, family).steps
    rows = version.select("train")
    parents = zip(rows["id"].to_pylist(), rows["parent"].to_pylist(), strict=True)
    origins = {identity: parent for identity, parent in parents if parent is not None}
    return session.Job(f"train@{family}", family, data, version.card.version, image, steps, origins=origins)

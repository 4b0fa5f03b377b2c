"""The part of measure that needs models: how strange a row is, and what other rows say of its label."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.files import write_table
from aigc_core.paths import Paths
from aigc_core.quality.learned import Batch, Learner, reference_ids
from aigc_core.quality.lens import Look, fitted
from aigc_core.quality.scan import chunks
from aigc_core.quality.workers import ordered_map
from aigc_core.records import LEARNED_SCHEMA

Features = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def learn(
    config: Config,
    paths: Paths,
    version: Version,
    target: Path,
    advance: Callable[[int], object] = lambda _: None,
    workers: int = 1,
) -> str:
    """Write LEARNED_SCHEMA for every row of `version` to the file `target`; returns in words what it rests on.

    `advance` is told of rows that are done; `workers` is the number of processes that look at images. Where both
    label_suspect and out_of_domain are off nothing is read and the table has no rows. Without a trained extractor
    (data/extractor) strangeness is that of pixel statistics alone, and the words say so.
    """
    if config.quality.label_suspect.action == config.quality.out_of_domain.action == "off":
        write_table(target, LEARNED_SCHEMA.empty_table())
        return "nothing learned: label_suspect and out_of_domain are off"
    features, wanted = _features(paths), reference_ids(version.rows)
    paths.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.work) as scratch:
        learner = Learner(
            version.rows, _reference(version, wanted, features), config.quality.label_suspect, Path(scratch)
        )
        _look(learner, version, features, advance, workers)
        table = learner.table()
    write_table(target, table)
    return _words(table, learner, features is not None)


def _look(
    learner: Learner, version: Version, features: Features | None, advance: Callable[[int], object], workers: int
) -> None:
    """Show every row to the learner. Workers decode and look; the extractor stays here, where its threads are."""
    if learner.lens is None:
        return
    shape = version.card.image
    look = Look(learner.lens, shape["size"], shape["channels"], images=features is not None)
    pieces = ((chunk, learner.wanted(chunk.ids)) for chunk in chunks(version.contents()))
    for sight in ordered_map(look, pieces, workers):
        if sight.seen is not None:
            rows = None if features is None or sight.images is None else features(sight.images)
            learner.add(sight.ids, sight.seen, rows)
            advance(len(sight.ids))


def _features(paths: Paths) -> Features | None:
    """The extractor as a function of uint8 images (N, S, S, C); null where none was trained."""
    if not paths.extractor.exists():
        return None
    import torch  # here, because without an extractor nothing needs it

    from aigc_core.evaluation.features import load_extractor

    extractor = load_extractor(paths.extractor)

    def features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return extractor.features(pixels).astype(np.float32)

    return features


def _reference(version: Version, only: Collection[str], features: Features | None) -> Iterator[Batch]:
    """The decodable ones of some rows, fitted to the size and channels that models see."""
    shape = version.card.image
    for chunk in chunks(version.contents(only)):
        places, images = fitted(chunk, shape["size"], shape["channels"])
        if places:
            pixels = np.stack(images)
            yield [chunk.ids[place] for place in places], pixels, None if features is None else features(pixels)


def _words(table: pa.Table, learner: Learner, with_features: bool) -> str:
    distant = table.num_rows - table["domain_distance"].null_count
    told = table.num_rows - table["label_probability"].null_count
    basis = "pixels and extractor" if with_features else "pixels alone, there is no extractor"
    strange = (
        f"distance to the reference of {distant:,} rows ({basis})" if distant else "no distance: too few reference rows"
    )
    labels = (
        f"labels of {told:,} rows in {len(learner.classes)} classes" if told else "no labels: too few rows per class"
    )
    return f"{strange}; {labels}"

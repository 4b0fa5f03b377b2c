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
from aigc_core.errors import DecodeError
from aigc_core.files import write_table
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.learned import Batch, Learner, reference_ids
from aigc_core.records import LEARNED_SCHEMA

BATCH = 256
Features = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def learn(
    config: Config, paths: Paths, version: Version, target: Path, advance: Callable[[int], object] = lambda _: None
) -> str:
    """Write LEARNED_SCHEMA for every row of `version` to the file `target`; returns in words what it rests on.

    `advance` is told of rows that are done. Where both label_suspect and out_of_domain are off nothing is read and the table has no rows. Without a trained
    extractor (data/extractor) strangeness is that of pixel statistics alone, and the words say so.
    """
    if config.quality.label_suspect.action == config.quality.out_of_domain.action == "off":
        write_table(target, LEARNED_SCHEMA.empty_table())
        return "nothing learned: label_suspect and out_of_domain are off"
    features, wanted = _features(paths), reference_ids(version.rows)
    paths.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.work) as scratch:
        learner = Learner(
            version.rows, list(_batches(version, wanted, features)), config.quality.label_suspect, Path(scratch)
        )
        for ids, pixels, rows in _batches(version, None, features):
            learner.add(ids, pixels, rows)
            advance(len(ids))
        table = learner.table()
    write_table(target, table)
    return _words(table, learner, features is not None)


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


def _batches(version: Version, only: Collection[str] | None, features: Features | None) -> Iterator[Batch]:
    """Decodable rows of the version, fitted to the size and channels that models see; a row that is not is left out."""
    size, channels = version.card.image["size"], version.card.image["channels"]
    ids: list[str] = []
    images: list[image.Pixels] = []
    for identity, content in version.contents(only):
        try:
            images.append(image.fit(image.decode(content or b"").pixels, size, channels))
        except DecodeError:
            continue  # measure has written down why
        ids.append(identity)
        if len(ids) == BATCH:
            yield _batch(ids, images, features)
            ids, images = [], []
    if ids:
        yield _batch(ids, images, features)


def _batch(ids: list[str], images: list[image.Pixels], features: Features | None) -> Batch:
    pixels = np.stack(images)
    return ids, pixels, None if features is None else features(pixels)


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

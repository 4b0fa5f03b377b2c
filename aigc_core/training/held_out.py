"""Which rows may stand for unseen images: those that are no near-duplicate of a row that the model learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.data.loader import UNLABELLED
from aigc_core.data.splits import unit_hash
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.evaluation.memorization import MIN_IMAGES
from aigc_core.quality.reasons import DUPLICATE_EXACT, DUPLICATE_NEAR, LEAK

#: Verdicts that say which other row a row looks like.
ALIKE = (DUPLICATE_EXACT, DUPLICATE_NEAR, LEAK)
#: The split that stands for images never seen, where the test images are of another origin than the training images.
REFERENCE = "reference"


@dataclass(frozen=True)
class Unseen:
    """Ids of the reference rows that stand for images never seen; None where the test images do, and `why` if that is second best."""

    ids: set[str] | None
    why: str = ""


def unseen_rows(version: Version, verdicts: Path, classes: list[str], most: int, seed: int) -> Unseen:
    """Which rows the questions about memorization take for images that no model saw; at most `most` of them.

    Test images that the source brought may differ from the training images in more than that; reference images were drawn
    from the same ones and are not learnt from. They serve where at least 50 of them are no copies of training images.
    """
    if not brings_own_test(version):
        return Unseen(None)
    ids = drawn_rows(version, verdicts, REFERENCE, ("train",), classes, most, seed)
    if len(ids) >= MIN_IMAGES:
        return Unseen(ids)
    return Unseen(
        None,
        f"The source brought test images of its own, and only {len(ids)} reference images that are no copies of training images could "
        f"stand for images never seen ({MIN_IMAGES} are needed: raise split.reference). So the test images did, which may differ from "
        "the training images in more than that no model saw them.",
    )


def drawn_rows(
    version: Version, verdicts: Path, held: str, learnt: tuple[str, ...], classes: list[str], most: int, seed: int
) -> set[str]:
    """Ids of at most `most` of the `independent_rows` of these classes, by the seed; chosen before any image is read."""
    rows = version.select(held)
    rows = rows.filter(pc.is_in(pc.fill_null(rows["label"], UNLABELLED), pa.array(classes, pa.string())))
    ids = sorted(independent_rows(version, verdicts, held, learnt).intersection(rows["id"].to_pylist()))
    return {ids[place] for place in np.random.default_rng(seed).permutation(len(ids))[:most]}


def brings_own_test(version: Version) -> bool:
    """Whether the source brought test rows of its own, so that they need not be like the training rows.

    A split by content gives the test rows the highest hashes; rows that were called `test` by their source have any.
    """
    highest, lowest = (
        [
            unit_hash(digest or row)
            for digest, row in zip(*(rows[name].to_pylist() for name in ("content_hash", "id")), strict=True)
        ]
        for rows in (version.select("reference"), version.select("test"))
    )
    return bool(highest and lowest) and min(lowest) < max(highest)


def independent_test_rows(version: Version, verdicts: Path) -> set[str]:
    """Ids of the test rows of which no training row is a copy; see `independent_rows`."""
    return independent_rows(version, verdicts, "test", ("train",))


def independent_rows(version: Version, verdicts: Path, held: str, learnt: tuple[str, ...]) -> set[str]:
    """Ids of the rows of the split `held` of which no row of the splits `learnt` is a copy, by content hash or by a verdict of any action.

    A row's twin is named by the verdict's `cluster`, or by its `detail` where there is no cluster. Raises DataError
    where the verdicts are missing.
    """
    if not (verdicts / "part-0.parquet").exists():
        raise DataError(f"{verdicts.name}/part-0.parquet is missing: run `aigc curate` first, or `dvc repro`")
    seen = pa.concat_tables([version.select(split) for split in learnt])
    unseen = version.select(held)
    hashes = pc.drop_null(seen["content_hash"])
    ids = set(unseen.filter(pc.invert(pc.is_in(unseen["content_hash"], hashes)))["id"].to_pylist())
    return ids - _alike(pq.read_table(verdicts / "part-0.parquet"), set(seen["id"].to_pylist()))


def _alike(verdicts: pa.Table, seen: set[str]) -> set[str]:
    """Ids of every row in a group of look-alikes that holds one of `seen`."""
    told = verdicts.filter(pc.is_in(verdicts["reason"], pa.array(ALIKE)))
    names = pc.coalesce(told["cluster"], told["detail"])
    groups: dict[str, set[str]] = {}
    for identity, name in zip(told["id"].to_pylist(), names.to_pylist(), strict=True):
        if name is not None:
            groups.setdefault(name, {name}).add(identity)
    return {identity for group in groups.values() if group & seen for identity in group}

"""Which rows may stand for unseen images: those that are no near-duplicate of a row that the model learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.data.loader import UNLABELLED
from aigc_core.data.splits import unit_hash
from aigc_core.data.store import Version
from aigc_core.evaluation.memorization import MIN_IMAGES
from aigc_core.training.independent import independent_rows

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

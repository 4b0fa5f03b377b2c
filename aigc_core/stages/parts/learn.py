"""The part of measure that learns: how strange a row is, and what other rows say of its label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import Progress

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.quality.learned import Learner, reference_ids
from aigc_core.quality.lens import SIDE, Look, shown


def learner_of(config: Config, version: Version, scratch: Path, bars: Progress) -> Learner | None:
    """What has learnt from the reference rows of `version`; null where label_suspect and out_of_domain are off.

    `scratch` is a folder for what is gathered later; `bars` show how many reference rows are read.
    """
    if config.quality.label_suspect.action == config.quality.out_of_domain.action == "off":
        return None
    wanted = reference_ids(version.rows)
    size, channels = _seen(version)
    ids: list[str] = []
    images: list[image.Pixels] = []
    with image.quiet():
        for identity, content in bars.track(
            version.contents(wanted), len(wanted), description="learning what is usual"
        ):
            try:
                images.append(image.fit(image.decode_quietly(content or b"").pixels, size, channels))
            except DecodeError:  # measure writes down why
                continue
            ids.append(identity)
    pixels = np.stack(images) if images else np.empty((0, size, size, channels), np.uint8)
    return Learner(version.rows, ids, shown(pixels), config.quality.label_suspect, scratch)


def look_of(version: Version, learner: Learner | None) -> Look:
    """The work on one chunk of rows."""
    return Look(None if learner is None else learner.lens, *_seen(version))


def _seen(version: Version) -> tuple[int, int]:
    """Side in px and channels of the images that learned checks see."""
    shape = version.card.image
    return min(shape["size"], SIDE), shape["channels"]


def said(learner: Learner | None, distances: int, labels: int) -> str:
    """In words what is known: of how many rows the distance, and of how many, in how many classes, the label."""
    if learner is None:
        return "nothing learned: label_suspect and out_of_domain are off"
    strange = f"distance to the reference of {distances:,} rows" if distances else "no distance: too few reference rows"
    told = (
        f"labels of {labels:,} rows in {len(learner.classes)} classes"
        if labels
        else "no labels: too few rows per class"
    )
    return f"{strange}; {told}"

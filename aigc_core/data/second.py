"""Rows of a second source, which were never ingested, as tensors: what pre-training learns from."""

from __future__ import annotations

import numpy as np
import torch

from aigc_core.data.loader import ImageSet
from aigc_core.data.sources.base import OpenSource
from aigc_core.data.store import natural
from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.records import row_id


def known_classes(source: OpenSource) -> list[str]:
    """The labels of an open source's rows that are not its own test rows, in natural order."""
    labels = {entry.label for entry in source.entries if entry.split != "test"}
    return sorted((label for label in labels if label is not None), key=natural)


def read_source(source: OpenSource, *, size: int, channels: int, classes: list[str]) -> tuple[ImageSet, int]:
    """Rows of an open source that were never ingested: those of `classes`, without its own test rows, in its order.

    Returns also how many could not be decoded, which are left out.
    """
    number = {name: index for index, name in enumerate(classes)}
    pixels, labels, ids, skipped = list[np.ndarray](), list[int](), list[str](), 0
    for entry in source.entries:
        if entry.split == "test" or entry.label not in number:
            continue
        content, _ = source.fetch(entry)
        try:
            decoded = image.decode(content or b"")
        except DecodeError:
            skipped += 1
            continue
        pixels.append(image.fit(decoded.pixels, size, channels).transpose(2, 0, 1))
        labels.append(number[entry.label])
        ids.append(row_id(entry.key))
    stacked = torch.from_numpy(np.stack(pixels)) if pixels else torch.empty(0, dtype=torch.uint8)
    return ImageSet(stacked, torch.tensor(labels, dtype=torch.int64), ids, classes), skipped

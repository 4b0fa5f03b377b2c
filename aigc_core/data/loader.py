"""Rows of a dataset version as tensors. Legend: N = images, C = channels, S = side in px."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from aigc_core.data.store import Card, Version
from aigc_core.errors import DataError, DecodeError
from aigc_core.modalities import image

#: Images may take this share of the memory that is free; where they need more, they are mapped to a file.
MEMORY_SHARE = 0.5
#: The one class of data without any label; a card counts such rows under the same name.
UNLABELLED = ""


def classes_of(card: Card) -> list[str]:
    """The classes of a version, or the one that stands for having none."""
    return card.classes or [UNLABELLED]


@dataclass
class ImageSet:
    """Images of one split, in the order of their ids, whole in memory as bytes, or in a file where memory is short."""

    pixels: torch.Tensor  # (N, C, S, S) uint8
    labels: torch.Tensor  # (N,) int64, indices into `classes`
    ids: list[str]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def of_classes(self) -> str:
        """How many classes there are, as a sentence says it."""
        if self.classes == [UNLABELLED]:
            return "without labels"
        return f"of {len(self.classes)} class{'es' if len(self.classes) != 1 else ''}"

    def subset(self, index: torch.Tensor) -> ImageSet:
        """The rows at `index` (M,), in that order."""
        ids = [self.ids[position] for position in index.tolist()]
        return ImageSet(self.pixels[index], self.labels[index], ids, self.classes)


def load_images(
    version: Version, split: str, *, size: int, channels: int, classes: list[str], ids: set[str] | None = None
) -> ImageSet:
    """Decode the rows of a split whose label is in `classes`; UNLABELLED is the label of rows that have none.

    Raises DataError for a row that cannot be decoded.
    """
    return _load(version, split, size, channels, classes, ids, skip=False)


def load_splits(
    version: Version,
    splits: Sequence[str],
    *,
    size: int,
    channels: int,
    classes: list[str],
    ids: set[str] | None = None,
) -> ImageSet:
    """As `load_images`, of several splits, one after the other."""
    parts = [load_images(version, split, size=size, channels=channels, classes=classes, ids=ids) for split in splits]
    pixels, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("pixels", "labels"))
    return ImageSet(pixels, labels, [identity for part in parts for identity in part.ids], classes)


def load_decodable(
    version: Version,
    split: str,
    *,
    size: int,
    channels: int,
    classes: list[str],
    ids: set[str] | None = None,
    told: str | None = None,
) -> ImageSet:
    """As `load_images`, but rows that cannot be decoded are left out: for use before curation. `told` names a progress bar."""
    return _load(version, split, size, channels, classes, ids, skip=True, told=told)


def load_unlabelled(
    version: Version, split: str, *, size: int, channels: int, ids: set[str] | None = None, told: str | None = None
) -> ImageSet:
    """All decodable rows of a split, whatever their label; `classes` is empty and every label number is 0."""
    return _load(version, split, size, channels, None, ids, skip=True, told=told)


def _load(
    version: Version,
    split: str,
    size: int,
    channels: int,
    classes: list[str] | None,
    only: set[str] | None,
    *,
    skip: bool,
    told: str | None = None,
) -> ImageSet:
    rows = version.select(split).sort_by("id")
    number = {name: index for index, name in enumerate(classes or [])}
    labels = {
        identity: number.get(label or UNLABELLED, 0)
        for identity, label in zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True)
        if (classes is None or (label or UNLABELLED) in number) and (only is None or identity in only)
    }
    place = {identity: position for position, identity in enumerate(labels)}
    pixels = _empty((len(labels), channels, size, size), version.folder.parent)
    filled = torch.zeros(len(labels), dtype=torch.bool)
    contents = track(version.contents(labels), told or "", total=len(labels), transient=True, disable=told is None)
    for identity, content in contents:
        try:
            fitted = image.fit(image.decode(content or b"").pixels, size, channels)
        except DecodeError as error:
            if skip:
                continue
            raise DataError(f"row {identity[:12]} of {version.folder.name} cannot be decoded ({error})") from None
        pixels[place[identity]] = torch.from_numpy(fitted.transpose(2, 0, 1).copy())
        filled[place[identity]] = True
    if not skip and not bool(filled.all()):
        missing = next(identity for identity, position in place.items() if not filled[position])
        raise DataError(f"row {missing[:12]} of {version.folder.name} has no content in the store: run `aigc ingest`")
    found = ImageSet(pixels, torch.tensor(list(labels.values()), dtype=torch.int64), list(labels), classes or [])
    return found if bool(filled.all()) else found.subset(filled.nonzero().flatten())


def free_memory() -> int:
    """Bytes that can be had without pushing others out."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # no Linux: all that there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _empty(shape: tuple[int, ...], folder: Path) -> torch.Tensor:
    """Zeros (uint8) in memory, or mapped to a file in `folder` that goes with the tensor: it never has a name."""
    if math.prod(shape) <= free_memory() * MEMORY_SHARE:
        return torch.zeros(shape, dtype=torch.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        return torch.from_numpy(np.memmap(file, np.uint8, "w+", shape=shape))

"""Data sets that torchvision knows: MNIST, FashionMNIST, CIFAR10, from its folder or fetched into it.

torchvision holds one such set in memory at a time (47 to 180 MB); nothing else is held.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aigc_core.config import Reading
from aigc_core.data.sources.base import Entry, OpenSource, one_line, own_splits, readers
from aigc_core.errors import ConfigError, SourceError
from aigc_core.modalities import image

NAMES = ("MNIST", "FashionMNIST", "CIFAR10")


@readers.register("torchvision")
def open_torchvision(path: Path, options: Reading) -> OpenSource:
    """List train and test rows of `options.name` below `path`; keys are `name/split#row`, contents are PNG.

    Raises ConfigError for another name, SourceError where the files are missing and may not, or cannot, be fetched.
    """
    if options.name not in NAMES:
        raise ConfigError(
            f"source.name = {options.name!r} is none that is read through torchvision: {', '.join(NAMES)}"
        )
    sets = {split: _load(path, options.name, split == "train", options.download) for split in ("train", "test")}
    entries = [
        Entry(f"{options.name}/{split}#{index}", label=label, split="train" if split == "train" else "test")
        for split, data in sets.items()
        for index, label in enumerate(_labels(options.name, data))
    ]

    def read(entry: Entry) -> bytes:
        split, _, index = entry.key.rpartition("/")[2].partition("#")
        pixels = np.asarray(sets[split].data[int(index)], dtype=np.uint8)
        return image.encode_png(pixels if pixels.ndim == 3 else pixels[..., None])

    return OpenSource(own_splits(entries), read)


def _load(path: Path, name: str, train: bool, download: bool) -> Any:
    import torchvision

    try:
        return getattr(torchvision.datasets, name)(str(path), train=train, download=download)
    except Exception as error:  # missing files, no network, a wrong checksum: each is a RuntimeError or another kind
        advice = (
            "check the network, or copy the files there"
            if download
            else "set source.download: true to fetch it, or copy the files there"
        )
        raise SourceError(f"{name} cannot be read from {str(path)!r} ({one_line(error)}): {advice}") from None


def _labels(name: str, data: Any) -> list[str]:
    """Digits keep their figure; other classes are called by their name."""
    return [str(int(target)) if name == "MNIST" else data.classes[int(target)] for target in data.targets]

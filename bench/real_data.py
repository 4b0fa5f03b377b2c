"""Real images for benches: MNIST as PNG and CIFAR-10 as JPEG, from the folder that holds mnist/ and cifar10.zip."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aigc_core.modalities import image


def pictures(data: Path, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` files, half of them MNIST as PNG and half CIFAR-10 as JPEG, by a seeded draw: (name with class, bytes)."""
    draw = np.random.default_rng(0)
    digits, labels = [], []
    for part in ("train", "t10k"):
        whole = gzip.decompress((data / f"mnist/{part}-images-idx3-ubyte.gz").read_bytes())
        digits.append(np.frombuffer(whole, np.uint8, offset=16).reshape(-1, 28, 28, 1))
        labels.append(
            np.frombuffer(gzip.decompress((data / f"mnist/{part}-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
        )
    images, classes = np.concatenate(digits), np.concatenate(labels)
    for place in draw.permutation(len(images))[: count // 2]:
        yield f"digit{classes[place]}/{place}.png", image.encode_png(images[place])
    with zipfile.ZipFile(data / "cifar10.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for place in draw.permutation(len(names))[: count - count // 2]:
            name = Path(names[place])
            yield f"{name.parent.name}/{name.parts[-3]}-{name.name}", archive.read(names[place])


def lay_out(data: Path, count: int, folder: Path) -> list[Path]:
    files = []
    for name, content in pictures(data, count):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files.append(path)
    return files

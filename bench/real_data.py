"""Real images for benches: MNIST as PNG and CIFAR-10 as JPEG, from the folder that holds mnist/ and cifar10.zip."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from aigc_core.modalities import image


def mnist(data: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, of `train` or `t10k` in the folder that holds mnist/."""
    read = (
        gzip.decompress((data / f"mnist/{part}-{kind}.gz").read_bytes())
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    images, labels = (np.frombuffer(raw, np.uint8, offset=offset) for raw, offset in zip(read, (16, 8), strict=True))
    return images.reshape(-1, 28, 28), labels


def pictures(data: Path, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` files, half of them MNIST as PNG and half CIFAR-10 as JPEG, by a seeded draw: (name with class, bytes)."""
    draw = np.random.default_rng(0)
    parts = [mnist(data, part) for part in ("train", "t10k")]
    images, classes = np.concatenate([i[..., None] for i, _ in parts]), np.concatenate([c for _, c in parts])
    for place in draw.permutation(len(images))[: count // 2]:
        yield f"digit{classes[place]}/{place}.png", image.encode_png(images[place])
    with zipfile.ZipFile(data / "cifar10.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for place in draw.permutation(len(names))[: count - count // 2]:
            name = Path(names[place])
            yield f"{name.parent.name}/{name.parts[-3]}-{name.name}", archive.read(names[place])


def lay_out(data: Path, count: int, folder: Path, side: int = 0) -> list[Path]:
    """Write `count` of the pictures below `folder`, in a folder per class.

    As the files that they are where `side` is 0, else resized to `side` px and saved as JPEG.
    """
    files = []
    for name, content in pictures(data, count):
        path = folder / name
        if side:
            path, content = path.with_suffix(".jpg"), resized(content, side)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files.append(path)
    return files


def resized(content: bytes, side: int) -> bytes:
    """A picture's file as a JPEG of quality 92 that is `side` px wide and high."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.resize((side, side), Image.Resampling.LANCZOS).save(buffer, format="JPEG", quality=92)
    return buffer.getvalue()

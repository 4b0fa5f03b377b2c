"""Known defects, planted into real images: what bench/detectors.py judges the detectors by.

Every planted row says what is wrong with it and which row it was made from. Equal seeds plant the same.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from real_data import mnist
from scipy.ndimage import gaussian_filter

from aigc_core.modalities import image, provenance

Pixels = image.Pixels


@dataclass(frozen=True)
class Picture:
    """One original: pixels (H, W, C), its label, its encoded bytes and their ending."""

    pixels: Pixels
    label: str
    content: bytes
    ending: str


@dataclass(frozen=True)
class Row:
    """One row of the judged set. `kind` is empty for an untouched row; `parent` is the name of its original."""

    name: str
    content: bytes
    label: str
    split: str
    kind: str = ""
    parent: str = ""
    pool: bool = False  # of the disjoint pool that nothing was made from


def load(dataset: str, folder: Path, count: int, seed: int) -> list[Picture]:
    """`count` random originals, exact copies left out. `dataset` is mnist or cifar10."""
    rng = np.random.default_rng(seed)
    if dataset == "mnist":
        parts = [mnist(folder, part) for part in ("t10k", "train")]
        pixels, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        chosen = rng.permutation(len(labels))[:count]
        return [_png(pixels[n][..., None], str(labels[n])) for n in chosen]
    with zipfile.ZipFile(folder / "cifar10.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        found = []
        for n in rng.permutation(len(names))[:count]:
            content = archive.read(names[n])
            found.append(Picture(image.decode(content).pixels, names[n].split("/")[-2], content, "jpg"))
        return found


def _png(pixels: Pixels, label: str) -> Picture:
    return Picture(pixels, label, image.encode_png(pixels), "png")


def without_copies(pictures: list[Picture]) -> tuple[list[Picture], int]:
    """The pictures without exact copies, and how many such copies the set came with."""
    seen: dict[str, Picture] = {}
    for picture in pictures:
        seen.setdefault(image.content_hash(picture.pixels), picture)
    return list(seen.values()), len(pictures) - len(seen)


def _bytes(values: np.ndarray) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    small = image.to_pil(pixels).resize((width, height), Image.Resampling.BICUBIC)
    values = np.asarray(small)
    return values[..., None] if values.ndim == 2 else values


def _shifted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    dy, dx = ((0, 1), (1, 0), (0, -1), (-1, 0))[rng.integers(4)]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = pixels.shape[:2]
    return padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.to_pil(pixels).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _cropped(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    cut = max(1, round(0.08 * height))
    return _resized(pixels[cut : height - cut, cut : width - cut], width, height)


Maker = Callable[[Pixels, np.random.Generator], "Pixels | bytes"]
#: Kind to what makes it of pixels. A kind's reason is in REASON.
MAKERS: dict[str, Maker] = {
    "corrupt": lambda p, rng: (image.encode_png(p)[: 40 + int(rng.integers(30))], b"", b"no image")[rng.integers(3)],
    "wrong_type": lambda p, _: _jpeg(p, 95),
    "too_small": lambda p, rng: _resized(p, *([int(rng.integers(2, 8))] * 2)),
    "odd_size": lambda p, rng: _resized(p, *([int(p.shape[0] * (0.5, 2, 4)[rng.integers(3)])] * 2)),
    "odd_aspect": lambda p, rng: _resized(p, p.shape[1], int(p.shape[0] * (2, 3, 5)[rng.integers(3)])),
    "blank": lambda p, rng: np.full_like(p, rng.integers(256)),
    "low_information": lambda p, _: ((p > np.median(p)) * 200 + 20).astype(np.uint8),
    "dark": lambda p, _: _bytes(p * 0.3),
    "bright": lambda p, _: _bytes(255 - (255 - p.astype(float)) * 0.3),
    "blurry_1": lambda p, _: _bytes(gaussian_filter(p.astype(float), (1, 1, 0))),
    "blurry_2": lambda p, _: _bytes(gaussian_filter(p.astype(float), (2, 2, 0))),
    "noisy_10": lambda p, rng: _bytes(p + rng.normal(0, 25.5, p.shape)),
    "noisy_20": lambda p, rng: _bytes(p + rng.normal(0, 51, p.shape)),
    "copy": lambda p, _: image.encode_png(p),
    "near_shift": _shifted,
    "near_jpeg": lambda p, _: _jpeg(p, 40),
    "near_bright": lambda p, rng: _bytes(p * (0.9, 1.1)[rng.integers(2)]),
    "near_resize": lambda p, _: _resized(_resized(p, round(0.9 * p.shape[1]), round(0.9 * p.shape[0])), *p.shape[1::-1]),
    "moved_flip": lambda p, _: p[:, ::-1],
    "moved_rotate": lambda p, rng: np.rot90(p, int(rng.integers(1, 4))),
    "moved_crop": lambda p, _: _cropped(p),
    "generated": lambda p, _: provenance.embed(
        p, family="gan", model_sha256="0" * 64, dataset_version="0" * 16, seed=0, label="", index=0
    ),
}  # fmt: skip
NEAR = ("near_shift", "near_jpeg", "near_bright", "near_resize")
MOVED = ("moved_flip", "moved_rotate", "moved_crop")
#: Kind to reason, where they differ.
REASON = {
    "blurry_1": "blurry", "blurry_2": "blurry", "noisy_10": "noisy", "noisy_20": "noisy", "copy": "duplicate_exact",
    **dict.fromkeys([*NEAR, *MOVED], "duplicate_near"), "leak": "leak", "conflict": "label_conflict",
    "flip": "label_suspect", "stranger": "out_of_domain",
}  # fmt: skip


def made(kind: str, pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Encoded bytes of one planted row."""
    result = MAKERS[kind](pixels, rng)
    return result if isinstance(result, bytes) else image.encode_png(np.ascontiguousarray(result))


def plant(base: list[Row], pictures: dict[str, Picture], strangers: list[Picture], tests: list[Row], per_kind: int,
          flips: float, moved: bool, seed: int) -> list[Row]:  # fmt: skip
    """Rows to judge: `base` with `flips` of it relabelled, and `per_kind` rows of every kind beside it.

    With `moved` copies alone, flipped, rotated and cropped ones among them. No original serves two kinds; leaks are made from test rows, strangers are another data set's images.
    """
    rng = np.random.default_rng(seed)
    labels = sorted({row.label for row in base})
    order = iter(rng.permutation(len(base)).tolist())
    rows: list[Row] = []

    def add(kind: str, parent: Row | None, content: bytes, label: str, ending: str = "png") -> None:
        # A neutral name: nothing of the truth may show in it.
        rows.append(
            Row(f"train/x{len(rows):06d}.{ending}", content, label, "train", kind, parent.name if parent else "")
        )

    for kind in (*NEAR, *MOVED, "copy") if moved else [kind for kind in MAKERS if kind not in MOVED]:
        for _ in range(per_kind):
            parent = base[next(order)]
            add(kind, parent, made(kind, pictures[parent.name].pixels, rng), parent.label)
    for _ in range(0 if moved else per_kind):
        parent = base[next(order)]
        add("conflict", parent, made("copy", pictures[parent.name].pixels, rng), _other(labels, parent.label, rng))
    for number, parent in enumerate(tests[:per_kind]):
        kind = (*NEAR, "copy")[number % 5]
        add("leak", parent, made(kind, pictures[parent.name].pixels, rng), parent.label)
    for picture in strangers[: 0 if moved else per_kind]:
        add("stranger", None, picture.content, labels[rng.integers(len(labels))], picture.ending)
    wrong = {base[place].name for place, _ in zip(order, range(0 if moved else round(flips * len(base))), strict=False)}
    return [
        Row(r.name, r.content, _other(labels, r.label, rng), r.split, "flip") if r.name in wrong else r for r in base
    ] + rows


def _other(labels: list[str], label: str, rng: np.random.Generator) -> str:
    return [name for name in labels if name != label][rng.integers(len(labels) - 1)]

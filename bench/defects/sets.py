"""The sets that defects are planted into: two that everybody knows, made ones, and a user's own folder."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from real_data import mnist

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from defects.drawings import drawings
from defects.lamps import lamps
from defects.pictures import Picture, Pixels, SettingsError, from_pil
from defects.sprites import sprites
from defects.textures import SURFACES, textures

#: Loads about `rows` pictures from the folder of real data, by a seed.
Load = Callable[[Path | None, int, int], list[Picture]]


@dataclass(frozen=True)
class Set:
    """A set: how its pictures come about, how its files are written, what fits nothing in it, and whether it is real."""

    load: Load
    strangers: str  # photographs | drawings | mnist | cifar10
    style: str = "png"  # png | palette | 1-bit
    real: bool = False  # came with look-alikes of its own, which are audited
    needs_data: bool = False
    place: str = ""  # the folder of a user's own files


def _even(rows: int, classes: int) -> list[int]:
    return [rows // classes + (number < rows % classes) for number in range(classes)]


def long_tail(rows: int, classes: int = 39) -> list[int]:
    """Rows of each class: half of the classes have under 20, the first has most."""
    small = [3 + 16 * number // (classes // 2) for number in range(classes // 2 + 1)]
    shares = 1 / np.arange(1, classes - len(small) + 1) ** 0.7
    large = np.maximum(20, (rows - sum(small)) * shares / shares.sum()).astype(int).tolist()
    return [*large, *reversed(small)]


def _sprites(width: int, height: int) -> Load:
    return lambda _, rows, seed: list(sprites(width, height, 8, _even(rows, 8), seed))


def _textures(height: int, width: int, classes: list[str]) -> Load:
    return lambda _, rows, seed: list(textures(height, width, classes, _even(rows, len(classes)), seed))


def _unlabelled(_: Path | None, rows: int, seed: int) -> list[Picture]:
    return [Picture(p.pixels, None) for p in sprites(48, 48, 24, _even(rows, 24), seed)]


def _mnist(data: Path | None, rows: int, seed: int) -> list[Picture]:
    parts = [mnist(_needed(data), part) for part in ("t10k", "train")]
    pixels, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    chosen = np.random.default_rng(seed).permutation(len(labels))[:rows]
    return [Picture(pixels[n][..., None], str(labels[n])) for n in chosen]


def _cifar10(data: Path | None, rows: int, seed: int) -> list[Picture]:
    with zipfile.ZipFile(_needed(data) / "cifar10.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        found = []
        for n in np.random.default_rng(seed).permutation(len(names))[:rows]:
            content = archive.read(names[n])
            found.append(Picture(image.decode(content).pixels, names[n].split("/")[-2], content, "jpg"))
        return found


def _needed(data: Path | None) -> Path:
    if data is None:
        raise SettingsError("mnist and cifar10 need --data: the folder with mnist/*.gz and cifar10.zip")
    return data


SETS: dict[str, Set] = {
    "mnist": Set(_mnist, "cifar10", needs_data=True),
    "cifar10": Set(_cifar10, "mnist", real=True, needs_data=True),
    "sprites": Set(_sprites(68, 56), "photographs"),
    "sprites_small": Set(_sprites(40, 30), "photographs", "palette"),
    "drawings": Set(lambda _, rows, seed: list(drawings(105, _even(rows, 40), seed)), "photographs", "1-bit"),
    "textures": Set(_textures(96, 128, list(SURFACES)), "drawings"),
    "textures_large": Set(_textures(150, 200, list(SURFACES)), "drawings"),
    "colours": Set(lambda _, rows, seed: list(lamps(32, rows, seed)), "photographs"),
    "long_tail": Set(lambda _, rows, seed: list(sprites(32, 32, 39, long_tail(rows), seed)), "photographs"),
    "one_class": Set(_textures(64, 64, ["leaves"]), "drawings"),
    "no_labels": Set(_unlabelled, "photographs"),
}


def of_folder(folder: Path) -> Set:
    """A user's own folder as a set: sizes as they are, the first folder below it is the class."""
    return Set(lambda _, rows, seed: _read(folder, rows, seed), "photographs", real=True, place=str(folder.resolve()))


def _read(folder: Path, rows: int, seed: int) -> list[Picture]:
    """`rows` random decodable pictures below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = []
    for n in np.random.default_rng(seed).permutation(len(paths)):
        content, inner = paths[n].read_bytes(), paths[n].relative_to(folder).parts
        try:
            pixels = image.decode(content).pixels
        except DecodeError:  # a text file, or a defect of the folder's own
            continue
        found.append(
            Picture(pixels, inner[0] if len(inner) > 1 else None, content, paths[n].suffix[1:].lower() or "png")
        )
        if len(found) == rows:
            break
    if len(found) < 20:
        raise SettingsError(f"{folder} has {len(found)} pictures that can be decoded: too few to plant anything")
    return found


@functools.lru_cache(maxsize=1)
def originals(chosen: Set, data: Path | None, rows: int, seed: int) -> list[Picture]:
    """The pictures that a run starts from; the last ones are kept, since one draw serves many runs."""
    return without_copies(chosen.load(data, rows, seed))


def without_copies(pictures: list[Picture]) -> list[Picture]:
    """The pictures without exact copies that the set came with, whatever mode they are in."""
    seen: dict[str, Picture] = {}
    for picture in pictures:
        seen.setdefault(image.content_hash(image.with_channels(picture.pixels, 4)), picture)
    return list(seen.values())


def strangers(
    kind: str, data: Path | None, pictures: list[Picture], count: int, style: str, seed: int
) -> list[Picture]:
    """`count` pictures that fit nothing in the set, each with the size and the channels of one of its pictures."""
    loaders: dict[str, Load] = {
        "photographs": SETS["textures"].load, "drawings": SETS["drawings"].load, "mnist": _mnist, "cifar10": _cifar10,
    }  # fmt: skip
    rng = np.random.default_rng([seed, 2])
    shapes = [pictures[n].pixels.shape for n in rng.integers(len(pictures), size=count)]
    foreign = loaders[kind](data, max(count, 8), seed + 1000)
    foreign = [foreign[n] for n in rng.permutation(len(foreign))[:count]]
    return [Picture(_like(p.pixels, shape, style), kind) for p, shape in zip(foreign, shapes, strict=True)]


def _like(pixels: Pixels, shape: tuple[int, ...], style: str) -> Pixels:
    """The middle of a picture, in the size and with the channels of another; black and white alone in a 1-bit set."""
    height, width, channels = shape
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    size = tuple(max(side, round(scale * own)) for side, own in zip((width, height), pixels.shape[1::-1], strict=True))
    scaled = from_pil(image.to_pil(pixels).resize(size, Image.Resampling.LANCZOS))
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    found = image.with_channels(np.ascontiguousarray(scaled[top : top + height, left : left + width]), channels)
    if style == "1-bit":
        found = np.where(found > np.median(found), 255, 0).astype(np.uint8)
    return found


def chosen(names: list[str], folders: list[Path]) -> dict[str, Set]:
    """Sets by the names that tables and figures give them."""
    return dict(
        chain(((name, SETS[name]) for name in names), ((f"folder {path.name}", of_folder(path)) for path in folders))
    )

"""A cell of milliseconds for bench/verdicts.py: one Gaussian per class on pixels, and data damaged in known ways.

The whole way from rows to verdict is the product's own (extractor, fd, coverage, agreement, Study); only the generator is
replaced by one that is fitted in closed form. `cas` here is a linear discriminant taught by the samples.
Legend: N = rows, d = pixels of an image, K = classes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from defects.pictures import resized
from real_data import mnist as mnist_files
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from aigc_core.ablation.cells import to_frame
from aigc_core.config import Config, load
from aigc_core.data.loader import ImageSet, load_decodable, load_images
from aigc_core.data.store import Version
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.compare import Yardstick
from aigc_core.modalities.image import encode_png
from aigc_core.paths import Paths
from aigc_core.stages.curate import curate
from aigc_core.stages.evaluate import make_yardstick
from aigc_core.stages.extractor import extractor
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

ROOT = Path(__file__).resolve().parents[1]
#: Share of the rows that a seed trains on, so that a seed is also a draw of the training data.
SUBSAMPLE = 0.8
#: Weight of a round covariance in each class's own, so that seven rows of a class still make a Gaussian.
SHRINKAGE = 0.01
#: Where the data of a folder comes from: (folder, planted kinds with their shares of the training rows) to its configuration.
Source = Callable[[Path, dict[str, float]], Config]
#: What is planted beside the rows of MNIST, made of one of them.
MADE: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "blank": lambda image, chance: np.full_like(image, chance.integers(256)),
    "copy": lambda image, _: image,
    "too_small": lambda image, chance: resized(image, *([int(chance.integers(2, 8))] * 2)),
}
#: Row numbers that a study may use: a seed's chance is drawn for all of them, so that a row keeps its own.
NUMBERS = 1 << 15


@dataclass(frozen=True)
class Rows:
    """Training rows: uint8 pixels (N, C, S, S), labels (N,), and a number (N,) that a row keeps in every arm."""

    pixels: np.ndarray
    labels: np.ndarray
    numbers: np.ndarray

    def take(self, index: np.ndarray) -> Rows:
        """The rows at `index`."""
        return Rows(self.pixels[index], self.labels[index], self.numbers[index])

    def drawn(self, seed: int) -> Rows:
        """The share of the rows that a seed trains on, the same rows in every arm."""
        return self.take(np.flatnonzero(np.random.default_rng([seed, 0]).random(NUMBERS)[self.numbers] < SUBSAMPLE))

    def plus(self, pixels: np.ndarray, labels: np.ndarray) -> Rows:
        """With further rows, which get numbers of their own."""
        fresh = NUMBERS // 2 + np.arange(len(labels))
        return Rows(
            np.concatenate([self.pixels, pixels]),
            np.concatenate([self.labels, labels]),
            np.concatenate([self.numbers, fresh]),
        )


@dataclass
class Bench:
    """The yardstick, clean rows, and the numbers of all rows that were met."""

    config: Config
    paths: Paths
    yardstick: Yardstick
    clean: Rows
    source: Source
    radii: np.ndarray  # of the test images' balls, for coverage
    known: dict[str, int] = field(default_factory=dict)

    def rows(self, images: ImageSet) -> Rows:
        """Images of a version as Rows."""
        numbers = [self.known.setdefault(identity, len(self.known)) for identity in images.ids]
        return Rows(images.pixels.numpy(), images.labels.numpy(), np.array(numbers))

    def samples(self, rows: Rows, seed: int) -> np.ndarray:
        """Subsample, fit, sample: (N, d) uint8 with the labels of the test rows."""
        wanted = self.yardstick.test_labels.numpy()
        return _sample(rows.drawn(seed), wanted, len(self.yardstick.real.classes), np.random.default_rng([seed, 1]))

    def distance(self, rows: Rows, seed: int) -> float:
        """The fd of one cell, where nothing else is asked."""
        pixels = torch.from_numpy(self.samples(rows, seed).reshape(-1, *rows.pixels.shape[1:]))
        features = self.yardstick.extractor.features(pixels, self.yardstick.dimensions)
        return m.frechet_distance(self.yardstick.test_features, features)

    def figures(self, rows: Rows, seed: int) -> dict[str, float]:
        """One cell with all its metrics."""
        real, wanted, samples = self.yardstick.real, self.yardstick.test_labels.numpy(), self.samples(rows, seed)
        pixels = torch.from_numpy(samples.reshape(len(wanted), *rows.pixels.shape[1:]))
        features = self.yardstick.extractor.features(pixels, self.yardstick.dimensions)
        support = m.density_coverage(
            self.yardstick.test_features, features, self.yardstick.setting.neighbours, self.radii
        )
        seen = self.yardstick.extractor.predict(pixels)
        named = [real.classes[label] for label in wanted]
        flat = real.test_pixels.flatten(1).numpy() / 255.0
        taught = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(samples / 255.0, wanted)
        return {
            "fd": m.frechet_distance(self.yardstick.test_features, features),
            "coverage": support.coverage,
            "agreement": float(np.mean([one == two for one, two in zip(seen, named, strict=True)])),
            "cas": float(taught.score(flat, real.test_labels.numpy())),
        }

    def cell(self, arm: str, kind: str, rows: Rows, seed: int, **facts: Any) -> dict[str, Any]:
        """A line of the table of cells. `as_seed` names the seed under which it is paired; `decision` and `share` as there."""
        floor = self.yardstick.floor
        paired = facts.pop("as_seed", seed)
        line = {"cell": f"{arm}-{seed}", "arm": arm, "kind": kind, "decision": None, "seed": paired, "steps": 0, "share": 1.0,
                "rows": len(rows.labels), "rows_touched": abs(len(rows.labels) - len(self.clean.labels))}  # fmt: skip
        real = {"fd_floor": floor.fd, "coverage_real": floor.coverage, "cas_real": 1.0, "agreement_real": 1.0}
        return {**line, **real, **self.figures(rows, seed), **facts}


def _sample(rows: Rows, wanted: np.ndarray, n_classes: int, chance: np.random.Generator) -> np.ndarray:
    """Samples (len(wanted), d) uint8 from one Gaussian per class; a class without rows gets grey."""
    flat = rows.pixels.reshape(len(rows.labels), -1) / 255.0
    noise = chance.standard_normal((len(wanted), flat.shape[1]))
    found = np.full((len(wanted), flat.shape[1]), 0.5)
    for label in range(n_classes):
        own, places = flat[rows.labels == label], wanted == label
        if len(own) == 0:
            continue
        cov = np.cov(own, rowvar=False) if len(own) > 1 else np.zeros((flat.shape[1],) * 2)
        cov = (1 - SHRINKAGE) * cov + SHRINKAGE * np.eye(len(cov)) * max(np.trace(cov) / len(cov), 1e-6)
        found[places] = own.mean(0) + noise[places] @ np.linalg.cholesky(cov).T
    return (found.clip(0, 1) * 255).round().astype(np.uint8)


def prepare(folder: Path, source: Source) -> Bench:
    """The data part on what the source has without any dirt."""
    config, paths = source(folder, {}), Paths(folder)
    for stage in (ingest, extractor, measure, curate):
        stage(config, paths)
    version = Version.open(paths.curated)
    yardstick = make_yardstick(config, paths, version, version.card.classes, "cpu")
    radii = m.neighbour_radii(yardstick.test_features, config.evaluate.neighbours)
    bench = Bench(config, paths, yardstick, Rows(np.empty(0), np.empty(0), np.empty(0)), source, radii)
    bench.clean = bench.rows(load_images(version, "train", **_shape(yardstick)))
    return bench


def curated(bench: Bench, folder: Path, **plant: float) -> tuple[Rows, Rows]:
    """Training rows with planted dirt: before and after the product's own curate (rows that decode)."""
    config, paths = bench.source(folder, plant), Paths(folder)
    shutil.copytree(bench.paths.extractor, paths.extractor)
    for stage in (ingest, measure, curate):
        stage(config, paths)
    before, after = Version.open(paths.ingested), Version.open(paths.curated)
    shape = _shape(bench.yardstick)
    return bench.rows(load_decodable(before, "train", **shape)), bench.rows(load_images(after, "train", **shape))


def digits(folder: Path, plant: dict[str, float]) -> Config:
    """The embedded digits; kinds are those of params.yaml's digits.plant."""
    del folder
    return _config({"kind": "digits"}, plant)


def originals(data: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` random images of MNIST (N, 28, 28) and their labels (N,), uint8; a smaller count is the head of a larger one."""
    parts = [mnist_files(data, part) for part in ("t10k", "train")]
    pixels, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    chosen = np.random.default_rng(0).permutation(len(labels))[:count]
    return pixels[chosen], labels[chosen]


def mnist(data: Path, rows: int) -> Source:
    """`rows` random images of MNIST below `data`/mnist: a quarter is reference, a quarter test, the rest training rows.

    Dirt is planted into the training rows alone: blank, copied and tiny images beside the rows, `flip` into their labels. What
    has the wrong label is then put into quarantine as well.
    """
    pixels, labels = originals(data, rows)
    splits = ["reference"] * (rows // 4) + ["test"] * (rows // 4)

    def lay_out(folder: Path, plant: dict[str, float]) -> Config:
        chance, first = np.random.default_rng([rows, 3]), len(splits)
        for number, split in enumerate(splits):
            _file(folder / "raw" / split, f"{number:05d}", str(labels[number]), encode_png(pixels[number][..., None]))
        count = rows - first
        flips = set(chance.permutation(count)[: round(plant.get("flip", 0.0) * count)].tolist())
        for number in range(count):
            own = int(labels[first + number])
            label = (own + 1 + int(chance.integers(9))) % 10 if number in flips else own
            content = encode_png(pixels[first + number][..., None])
            _file(folder / "raw" / "train", f"{number:05d}", str(label), content)
        for kind, share in plant.items():
            if kind != "flip":
                for number in chance.permutation(count)[: round(share * count)].tolist():
                    content = encode_png(MADE[kind](pixels[first + number][..., None], chance))
                    _file(folder / "raw" / "train", f"{kind}{number:05d}", str(labels[first + number]), content)
        return _config({"kind": "folder", "path": str(folder / "raw")}, {})

    return lay_out


def _file(folder: Path, name: str, label: str, content: bytes) -> None:
    path = folder / label / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _config(source: dict[str, Any], plant: dict[str, float]) -> Config:
    config = load(ROOT / "params.yaml").model_dump()
    config["digits"]["plant"] = {name: plant.get(name, 0.0) for name in config["digits"]["plant"]}
    config["quality"]["max_quarantined_share"] = 1.0
    config["tracking"]["enabled"] = False
    config["source"] |= {"limit": None, **source}
    if source["kind"] != "digits":
        config["quality"]["label_suspect"]["action"] = "quarantine"
    return Config.model_validate(config)


def _shape(yardstick: Yardstick) -> dict[str, Any]:
    known = yardstick.extractor
    return {"size": known.size, "channels": known.channels, "classes": yardstick.real.classes}


def damages(rows: Rows, n_classes: int, seed: int = 0) -> dict[str, Rows]:
    """Name to damaged training rows; each is known to make samples worse."""
    chance = np.random.default_rng([seed, 2])
    n = len(rows.labels)
    order = chance.permutation(n)
    thinned = np.flatnonzero((rows.labels != 3) | (chance.random(n) < 0.1))
    fifth = order[: n // 5]
    return {
        "blanks_2": blanks(rows, 0.02, chance),
        "blanks_10": blanks(rows, 0.10, chance),
        "flips_5": _flipped(rows, order[: round(0.05 * n)], n_classes, chance),
        "flips_20": _flipped(rows, order[: round(0.20 * n)], n_classes, chance),
        "duplicates_x5": rows.plus(np.repeat(rows.pixels[fifth], 4, 0), np.repeat(rows.labels[fifth], 4)),
        "class_thinned": rows.take(thinned),
        "half": rows.take(np.sort(order[: n // 2])),
        "noise": _changed(rows, order[: n // 2], lambda old: old + chance.normal(0, 40, old.shape)),
        "blur": _changed(rows, order[: n // 2], _blur),
    }  # fmt: skip


def blanks(rows: Rows, share: float, chance: np.random.Generator) -> Rows:
    """With this share of grey images more."""
    count = round(share * len(rows.labels))
    shade = chance.integers(0, 256, (count, 1, 1, 1)).astype(np.uint8)
    return rows.plus(
        np.broadcast_to(shade, (count, *rows.pixels.shape[1:])).copy(), chance.choice(rows.labels, count, replace=False)
    )


def without_some(rows: Rows, seed: int, share: float = 0.05) -> Rows:
    """A placebo: without a random share of the rows."""
    order = np.random.default_rng([seed, 6]).permutation(len(rows.labels))
    return rows.take(np.sort(order[round(share * len(order)) :]))


def _flipped(rows: Rows, index: np.ndarray, n_classes: int, chance: np.random.Generator) -> Rows:
    labels = rows.labels.copy()
    labels[index] = (labels[index] + chance.integers(1, n_classes, len(index))) % n_classes
    return Rows(rows.pixels, labels, rows.numbers)


def _changed(rows: Rows, index: np.ndarray, change: Any) -> Rows:
    pixels = rows.pixels.copy()
    pixels[index] = np.clip(change(pixels[index].astype(np.float64)), 0, 255).round().astype(np.uint8)
    return Rows(pixels, rows.labels, rows.numbers)


def _blur(old: np.ndarray) -> np.ndarray:
    """Mean of each pixel and its four neighbours."""
    padded = np.pad(old, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    parts = [padded[..., 1:-1, 1:-1], padded[..., :-2, 1:-1], padded[..., 2:, 1:-1], padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]]  # fmt: skip
    return np.mean(parts, axis=0)


__all__ = ["Bench", "Rows", "blanks", "curated", "damages", "digits", "mnist", "prepare", "to_frame", "without_some"]

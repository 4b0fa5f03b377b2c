"""explain: which training images a generated file is most like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from aigc_core.data.loader import ImageSet, classes_of, load_splits
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.evaluation.explain import LIKENESS, Likeness
from aigc_core.evaluation.features import Extractor, load_extractor
from aigc_core.files import read_json
from aigc_core.modalities import provenance
from aigc_core.modalities.containers import plain
from aigc_core.modalities.image import Pixels
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.report.figures import image_grid, save_png
from aigc_core.stages.parts.likeness import describe, likeness

#: What stands above the two rows of the sheet and in the table.
WAYS = {"features": "distance in features", "pixels": "rms difference of 255"}


def explain(paths: Paths, sample: Path, neighbours: int) -> StageResult:
    """Print and draw the training images nearest to a file that `aigc generate` wrote.

    Raises DataError for a file without a mark, a contact sheet, changed pixels, or a dataset version that is not the
    one on disk.
    """
    mark, pixels = _read(sample)
    version = find_version(paths, mark.dataset_version)
    extractor = load_extractor(paths.extractor)
    train = training_images(version, extractor, learnt_from(paths, mark.model_sha256))
    one = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    found = likeness(one, train, extractor, neighbours)
    rows = describe(found, version, train)
    sheet = sample.with_suffix(".explain.png")
    save_png(draw(pixels, train, found), sheet)
    told = f"{sample.name}: {plain(mark.family)} model {plain(mark.model_sha256)[:12]}, dataset version {version.card.version} ({version.folder.name})"
    _print(told, rows[0])
    return StageResult(f"{LIKENESS} Drawn to {sheet}", {}, {"version": version.card.version, "nearest": rows[0]})


def _read(sample: Path) -> tuple[provenance.Mark, Pixels]:
    reading = provenance.read_file(sample)
    if reading.mark.index is None:
        raise DataError(f"{sample} is a contact sheet: name one of the single images beside it")
    if not reading.unchanged:
        raise DataError(f"{sample}: the pixels have been changed since it was generated, so they explain nothing")
    return reading.mark, reading.pixels


def find_version(paths: Paths, wanted: str) -> Version:
    """The dataset version `wanted` on disk. Raises DataError that names what is there instead."""
    there = {}
    for folder in (paths.curated, paths.augmented):
        if (folder / "card.json").exists():
            there[read_json(folder / "card.json")["version"]] = folder
    if wanted not in there:
        others = ", ".join(f"{version} ({folder.name})" for version, folder in there.items()) or "none"
        raise DataError(
            f"the sample's model learnt from dataset version {plain(wanted)}, and on disk is {others}: check out the dvc.lock of "
            "that model (`git checkout REVISION -- dvc.lock && dvc checkout`), or generate anew with today's model"
        )
    return Version.open(there[wanted])


def learnt_from(paths: Paths, weights: str) -> list[str]:
    """The splits that the model with these weights was trained on: the final one had the test rows too."""
    card = paths.final / "model.json"
    facts = read_json(card) if card.is_file() else {}
    return list(facts["splits"]) if facts.get("weights_sha256") == weights else ["train"]


def training_images(version: Version, extractor: Extractor, splits: Sequence[str] = ("train",)) -> ImageSet:
    """The rows of some splits of a version at the extractor's size."""
    size, channels = extractor.size, extractor.channels
    return load_splits(version, splits, size=size, channels=channels, classes=classes_of(version.card))


def draw(sample: Pixels, train: ImageSet, found: dict[str, Likeness], which: int = 0) -> Image.Image:
    """A sheet: the sample at the left of each row, then its neighbours, nearest first."""
    cells = []
    for near in found.values():
        places = torch.from_numpy(near.index[which])
        cells += [sample, *train.pixels[places].permute(0, 2, 3, 1).numpy()]
    columns = 1 + next(iter(found.values())).index.shape[1]
    return image_grid(
        [np.ascontiguousarray(cell) for cell in cells], columns, row_labels=[f"in {way}" for way in found],
        title="sample | nearest training images (likeness, not cause)",
    )  # fmt: skip


def _print(told: str, rows: list[dict[str, str | float | int]]) -> None:
    table = Table(title=told, title_justify="left", box=None, pad_edge=False)
    for name, side in (
        ("by", "left"),
        ("rank", "right"),
        ("distance", "right"),
        ("label", "left"),
        ("id", "left"),
        ("source", "left"),
    ):
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(
            WAYS[str(row["way"])], str(row["rank"]), f"{row['distance']:.3f}", str(row["label"]), str(row["id"])[:16],
            str(row["source"]),
        )  # fmt: skip
    Console(markup=False, emoji=False).print(table, highlight=False)

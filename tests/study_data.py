"""A tiny checkout that a study can run on: three classes of 8 px, with blanks and copies that curation took out."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from aigc_core.ablation.arms import Chooser
from aigc_core.ablation.pool import open_pool
from aigc_core.config import Config
from aigc_core.data.store import ContentWriter, Version, write_version
from aigc_core.evaluation.features import Recipe, save_extractor, train_extractor
from aigc_core.files import atomic_folder, write_json, write_table
from aigc_core.modalities.image import RESIZE_MODE, content_hash, encode_png
from aigc_core.paths import Paths
from aigc_core.records import MEASURE_SCHEMA, PAIR_SCHEMA, ROW_SCHEMA, VERDICT_SCHEMA, row_id

CLASSES = ["a", "b", "c"]
IMAGE = {"size": 8, "channels": 1, "resize": RESIZE_MODE}
SPLITS = {"reference": 90, "train": 180, "test": 120}
BLANKS, COPIES = 18, 9
#: The position of the test row that has the same pixels as a quarantined training row.
LEAK = 0


def picture(label: int, chance: np.random.Generator) -> np.ndarray:
    """A bright bar whose row says the class: (8, 8, 1) uint8."""
    pixels = chance.integers(0, 50, (8, 8, 1)).astype(np.uint8)
    start = chance.integers(0, 4)
    pixels[1 + 2 * label, start : start + 5] += chance.integers(100, 200, dtype=np.uint8)
    return pixels


def die(task: object) -> None:
    """What the kernel does to a process that takes too much memory."""
    os._exit(137)


def settings(**ablation: object) -> Config:
    """A study of seconds."""
    study = {
        "model": "vae",
        "seeds": 3,
        "confirm": 0,
        "variations": 0,
        "subsample": 1.0,
        "steps": 6,
        "parallel": 1,
        **ablation,
    }
    return Config.model_validate(
        {
            "train": {"device": "cpu", "batch_size": 16, "network": {"latent": 4, "mlp_width": 16}},
            "evaluate": {"floor_draws": 3, "neighbours": 3, "memorization": {"cells": 4}},
            "tracking": {"enabled": False},
            "ablation": study,
        }
    )


def chooser(paths: Paths, **ablation: object) -> Chooser:
    """What selects the rows of a study's arms."""
    config = settings(**ablation)
    return Chooser(open_pool(config, paths), config.ablation, config.augment)


def build(paths: Paths, *, train_rows: int = SPLITS["train"], clean: bool = False) -> Paths:
    """Write content, ingested, verdicts, curated, measures and an extractor of twenty steps."""
    chance, rows, contents = np.random.default_rng(0), [], {}

    def add(source: str, split: str, label: int, pixels: np.ndarray) -> str:
        identity = row_id(source)
        contents[identity] = encode_png(pixels)
        none = dict.fromkeys(("text", "parent", "op", "note"))
        facts = {"id": identity, "content_hash": content_hash(pixels), "label": CLASSES[label], "split": split}
        rows.append({**none, **facts, "source": source})
        return identity

    drawn: dict[str, list[np.ndarray]] = {}
    for split, count in {**SPLITS, "train": train_rows}.items():
        drawn[split] = [picture(index % 3, chance) for index in range(count)]
        for index, pixels in enumerate(drawn[split]):
            add(f"{split}/{index}.png", split, index % 3, pixels)
    bad = {add(f"blank/{i}.png", "train", i % 3, np.full((8, 8, 1), i + 1, np.uint8)): "blank" for i in range(BLANKS)}
    for index in range(COPIES):
        pixels = drawn["test"][LEAK] if index == 0 else drawn["train"][index]
        bad[add(f"copy/{index}.png", "train", index % 3, pixels)] = "duplicate_exact"
    if clean:
        rows = [row for row in rows if row["id"] not in bad]
        bad = {}
    _write(paths, rows, contents, bad)
    reference = torch.from_numpy(np.stack(drawn["reference"]).transpose(0, 3, 1, 2).copy())
    recipe = Recipe(dimensions=8, steps=20, batch_size=32, learning_rate=0.003)
    labels = torch.arange(SPLITS["reference"]) % 3
    with atomic_folder(paths.extractor) as folder:
        save_extractor(train_extractor(reference, labels, CLASSES, recipe, seed=0, device="cpu"), folder)
    return paths


def quarantine(paths: Paths, bad: dict[str, str]) -> None:
    """Let curation take out further rows: id to reason."""
    rows = Version.open(paths.curated).rows
    kept = rows.filter(pc.invert(pc.is_in(rows["id"], pa.array(list(bad)))))
    write_version(paths.curated, kept, operation="curate", parent=Version.open(paths.ingested), content=["../content"],
                  image=IMAGE, parameters={})  # fmt: skip
    place = paths.verdicts / "part-0.parquet"
    write_table(place, pa.concat_tables([pq.read_table(place), _verdicts(bad)]))


def _verdicts(bad: dict[str, str]) -> pa.Table:
    lines = [
        {"id": identity, "source": "", "reason": reason, "action": "quarantine", "measure": "std"}
        for identity, reason in bad.items()
    ]
    return pa.Table.from_pylist(lines, VERDICT_SCHEMA)


def _write(paths: Paths, rows: list[dict], contents: dict[str, bytes], bad: dict[str, str]) -> None:
    with ContentWriter(paths.content) as writer:
        for identity, content in contents.items():
            writer.add(identity, content)
    table = pa.Table.from_pylist(rows, ROW_SCHEMA)
    shared = {"content": ["../content"], "image": IMAGE, "parameters": {}}
    write_version(paths.ingested, table, operation="ingest", parent=None, **shared)
    kept = pa.Table.from_pylist([row for row in rows if row["id"] not in bad], ROW_SCHEMA)
    write_version(paths.curated, kept, operation="curate", parent=Version.open(paths.ingested), **shared)
    write_table(paths.verdicts / "part-0.parquet", _verdicts(bad))
    write_json(paths.verdicts / "_calibration.json", {"leak": {"threshold": 0.985}})
    measures = [{"id": row["id"], "content_hash": row["content_hash"]} for row in rows]
    write_table(paths.measures / "part-0.parquet", pa.Table.from_pylist(measures, MEASURE_SCHEMA))
    write_table(paths.measures / "pairs.parquet", pa.Table.from_pylist([], PAIR_SCHEMA))

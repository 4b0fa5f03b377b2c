"""A tiny curated version, quick settings for training on it, and what tests of training share."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from aigc_core.config import Config, parse
from aigc_core.data.store import ContentWriter, write_version
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, row_id


def settings(**train: object) -> Config:
    sizes = {"latent": 8, "mlp_width": 32, "conv_width": 8}
    quick = {"steps": 20}
    return parse(
        {
            "tracking": {"enabled": False},
            "pretrain": {"steps": 10},
            "finetune": {"steps": 10, "per_class": 8},
            "train": {
                "device": "cpu", "batch_size": 16, "log_every": 5, "grid_every": 10, "checkpoint_every": 5,
                "network": sizes, "gan": quick, "vae": quick, "flow": {**quick, "sample_steps": 4}, **train,
            },
        }
    )  # fmt: skip


def curated(
    root: Path, classes: str = "abcd", per_class: int = 12, size: int = 8, channels: int = 1, *, labelled: bool = True
) -> Paths:
    """A curated version of noisy stripes: the class decides the direction and the pitch."""
    paths = Paths(root)
    chance = np.random.default_rng(0)
    columns = {name: [] for name in ROW_SCHEMA.names}
    with ContentWriter(paths.content) as writer:
        for number, name in enumerate(classes):
            for index in range(per_class):
                source = f"{name}/{index}.png"
                wave = np.arange(size) // (1 + number // 2) % 2 * 200
                base = np.tile(wave, (size, 1)) if number % 2 else np.tile(wave[:, None], (1, size))
                noisy = base[..., None] + chance.integers(0, 55, (size, size, channels))
                pixels = noisy.astype(np.uint8)
                writer.add(row_id(source), image.encode_png(pixels))
                row = {"id": row_id(source), "content_hash": image.content_hash(pixels), "label": name if labelled else None,
                       "split": "train", "source": source}  # fmt: skip
                for column in columns:
                    columns[column].append(row.get(column))
    write_version(
        paths.curated, pa.table(columns, schema=ROW_SCHEMA), operation="curate", parameters={}, parent=None,
        content=["../content"], image={"size": size, "channels": channels, "resize": image.RESIZE_MODE},
    )  # fmt: skip
    return paths


def folder_bytes(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stop_after(monkeypatch: pytest.MonkeyPatch, trainer: type, count: int) -> None:
    """Training is interrupted in step number `count` + 1, as by Ctrl-C."""
    step, calls = trainer.step, []

    def interrupted(*arguments):
        if len(calls) == count:
            raise KeyboardInterrupt
        calls.append(1)
        return step(*arguments)

    monkeypatch.setattr(trainer, "step", interrupted)

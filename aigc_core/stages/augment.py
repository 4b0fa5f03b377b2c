"""augment: the offline policy on the curated training rows, as a dataset version of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from rich.progress import track

from aigc_core.augment.offline import describe, policy
from aigc_core.config import Config
from aigc_core.data.store import ContentWriter, Version, fill_version
from aigc_core.files import atomic_folder
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, StageResult, row_id
from aigc_core.report.figures import pair_grid, save_png

SHEET_ROWS = 16


def augment(config: Config, paths: Paths) -> StageResult:
    """Write data/augmented: all curated rows, and `augment.copies` new ones per training row with parent and op."""
    version = Version.open(paths.curated)
    train = {row["id"]: row for row in version.select("train").to_pylist()}
    apply = policy(config.augment, config.seed)
    rows: list[dict[str, Any]] = []
    shown = set(sorted(train)[:SHEET_ROWS])
    pairs: dict[str, tuple[image.Pixels, image.Pixels]] = {}
    with atomic_folder(paths.augmented) as scratch:
        with ContentWriter(scratch / "content") as writer:
            for identity, content in track(
                version.contents(train.keys()), "augmenting", total=len(train), transient=True
            ):
                before = image.decode(content or b"").pixels
                for copy in range(config.augment.copies):
                    after = apply(before, identity, copy)
                    rows.append(_row(train[identity], after, describe(config.augment, copy), copy))
                    writer.add(rows[-1]["id"], image.encode_png(after))
                    if identity in shown and copy == 0:
                        pairs[identity] = (before, after)
        fill_version(
            scratch,
            pa.concat_tables([version.rows, pa.Table.from_pylist(rows, ROW_SCHEMA)]),
            operation="augment",
            parameters={**config.augment.model_dump(), "seed": config.seed},
            parent=version,
            content=["../content", "content"],
            image=version.card.image,
        )
        _sheet(pairs, version.card.image, scratch)
    return StageResult(f"made {len(rows):,} augmented rows from {len(train):,}", {"augmented": len(rows)})


def _row(parent: dict[str, Any], pixels: image.Pixels, op: str, copy: int) -> dict[str, Any]:
    source = f"{parent['source']}#augment-{copy}"
    return {
        **parent,
        "id": row_id(source),
        "content_hash": image.content_hash(pixels),
        "source": source,
        "parent": parent["id"],
        "op": op,
        "note": None,
    }


def _sheet(pairs: dict[str, tuple[image.Pixels, image.Pixels]], shape: dict[str, Any], folder: Any) -> None:
    """Before and after, at the size that models see."""
    fitted = [[image.fit(pixels, shape["size"], shape["channels"]) for pixels in pairs[key]] for key in sorted(pairs)]
    before, after = (np.stack([pair[side] for pair in fitted]) for side in (0, 1))
    save_png(pair_grid(before, after, 4, "original", "augmented", None), folder / "sheet.png")

"""measure: raw facts of every row, in one streaming pass; nothing is judged here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from rich.progress import track

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.errors import DecodeError
from aigc_core.files import atomic_folder, write_table
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.hashing import perceptual_hashes
from aigc_core.quality.measures import hash_input
from aigc_core.quality.measures import measure as measure_image
from aigc_core.records import MEASURE_SCHEMA, StageResult
from aigc_core.stages.learn import learn

HASH_BATCH = 1024


def measure(config: Config, paths: Paths) -> StageResult:
    """Write data/measures: part-0.parquet (MEASURE_SCHEMA, by id) and learned.parquet (LEARNED_SCHEMA)."""
    version = Version.open(paths.ingested)
    notes = dict(zip(version.rows["id"].to_pylist(), version.rows["note"].to_pylist(), strict=True))
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[dict[str, Any], Any]] = []
    for identity, content in track(version.contents(), "measuring", total=version.rows.num_rows, transient=True):
        row, small = _facts(identity, content, notes[identity])
        rows.append(row)
        if small is not None:
            waiting.append((row, small))
        if len(waiting) == HASH_BATCH:
            _hash(waiting)
    _hash(waiting)
    table = pa.Table.from_pylist(rows, MEASURE_SCHEMA).sort_by("id")
    with atomic_folder(paths.measures) as scratch:
        write_table(scratch / "part-0.parquet", table)
        learned = learn(config, paths, version, scratch / "learned.parquet")
    broken = table.num_rows - table["error"].null_count
    return StageResult(
        f"measured {table.num_rows:,} rows; {broken} cannot be decoded; {learned}", {"rows": table.num_rows}
    )


def _facts(identity: str, content: bytes | None, note: str | None) -> tuple[dict[str, Any], Any]:
    row: dict[str, Any] = {"id": identity, "bytes": None if content is None else len(content)}
    if content is None:
        return {**row, "error": note or "cannot be read"}, None
    try:
        pixels = image.decode(content).pixels
    except DecodeError as error:
        return {**row, "error": str(error)}, None
    luma = image.luma(pixels)
    return {**row, **measure_image(pixels, luma), "content_hash": image.content_hash(pixels)}, hash_input(luma)


def _hash(waiting: list[tuple[dict[str, Any], Any]]) -> None:
    """Fill the perceptual hashes of the waiting rows, and forget their pixels."""
    if waiting:
        hashes = perceptual_hashes(np.stack([small for _, small in waiting]))
        for (row, _), value in zip(waiting, hashes.tolist(), strict=True):
            row["perceptual_hash"] = f"{value:016x}"
    waiting.clear()

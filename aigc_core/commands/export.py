"""export: one dataset version as plain Parquet for other tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.progress import Progress

from aigc_core.data.export import export_schema, write_export
from aigc_core.data.store import Version
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.records import StageResult

VERSIONS = ("curated", "ingested", "augmented", "quarantine")
READ_ROWS = 64

Rows = Iterator[tuple[dict[str, Any], bytes | None]]


def export(paths: Paths, version: str, out: Path) -> StageResult:
    """Write `<split>-*.parquet` of a version into the new or empty folder `out`, whole or not at all.

    Columns: image (encoded original), label (ClassLabel), text, id, split, source; quarantine has also reasons.
    Raises ConfigError for an unknown version or an `out` that holds something, DataError for a version that was not
    made yet.
    """
    if version not in VERSIONS:
        raise ConfigError(f"unknown version {version!r}: choose one of {', '.join(VERSIONS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder: name a new one, nothing there was touched")
    rows, labels, total = _quarantine(paths) if version == "quarantine" else _version(getattr(paths, version))
    schema = export_schema(labels, reasons=version == "quarantine")
    with Progress(transient=True) as progress, atomic_folder(out) as scratch:
        task = progress.add_task("exporting", total=total)
        counts = write_export(scratch, rows, schema, lambda: progress.advance(task))
    told = ", ".join(f"{count:,} {split}" for split, count in counts.items()) or "no rows"
    pattern = {split: f"{out}/{split}-*.parquet" for split in counts}
    summary = f"exported {version} to {out}: {told}; datasets.load_dataset('parquet', data_files={pattern})"
    return StageResult(summary, {"rows": sum(counts.values()), **counts})


def _version(folder: Path) -> tuple[Rows, set[str], int]:
    version = Version.open(folder)
    columns = version.rows.select(["id", "label", "text", "split", "source"])
    place = {identity: index for index, identity in enumerate(columns["id"].to_pylist())}

    def rows() -> Rows:
        seen = 0
        for identity, content in version.contents(place):
            seen += 1
            yield columns.slice(place[identity], 1).to_pylist()[0], content
        if seen != len(place):
            raise DataError(
                f"{folder.name}: {len(place) - seen:,} of {len(place):,} rows have no content: run `dvc repro`"
            )

    return rows(), _labels(columns), len(place)


def _quarantine(paths: Paths) -> tuple[Rows, set[str], int]:
    path = paths.quarantine / "part-0.parquet"
    if not path.exists():
        raise DataError("quarantine: this dataset version does not exist yet; run `dvc repro` first")

    def rows() -> Rows:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(READ_ROWS):
                for row in batch.to_pylist():
                    yield row, row.pop("content")

    table = pq.read_table(path, columns=["label"])
    return rows(), _labels(table), table.num_rows


def _labels(table: Any) -> set[str]:
    return {label for label in pc.unique(table["label"]).to_pylist() if label is not None}

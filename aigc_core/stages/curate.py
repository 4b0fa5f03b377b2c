"""curate: judge every row, keep the curated version, put the rest into quarantine with its reasons."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.config import Config
from aigc_core.data.store import Version, write_version
from aigc_core.errors import DataError
from aigc_core.files import atomic_folder, write_table
from aigc_core.paths import Paths
from aigc_core.quality import decisions
from aigc_core.quality.verdicts import judge, refuse_excess
from aigc_core.records import QUARANTINE_SCHEMA, StageResult


def curate(config: Config, paths: Paths) -> StageResult:
    """Write data/verdicts, data/quarantine and data/curated.

    Raises GateError when too much would be quarantined, DataError when no training row would be left; then nothing
    is written.
    """
    version = Version.open(paths.ingested)
    facts = pq.read_table(paths.measures / "part-0.parquet").drop_columns(["content_hash"])
    verdicts = judge(version.rows.join(facts, "id").sort_by("id").to_pylist(), config.quality)
    decided = decisions.apply(verdicts, version.rows, decisions.read(paths.decisions))
    verdicts, rows = decided.verdicts, decided.rows
    condemned = refuse_excess(verdicts, version.rows.num_rows, config.quality)
    out = pc.is_in(rows["id"], value_set=pa.array(sorted(condemned), pa.string()))
    kept, removed = rows.filter(pc.invert(out)), rows.filter(out)
    if not pc.any(pc.equal(kept["split"], "train")).as_py():
        raise DataError(
            f"none of the {version.rows.num_rows:,} rows is left for training: look at the verdicts' reasons"
        )
    dropped = Counter(line["reason"] for line in verdicts.to_pylist() if line["action"] == "quarantine")
    _write_quarantine(paths, version, removed, verdicts)
    with atomic_folder(paths.verdicts) as scratch:
        write_table(scratch / "part-0.parquet", verdicts)
    write_version(
        paths.curated,
        kept,
        operation="curate",
        parameters=config.quality.model_dump() | decided.parameters,
        parent=version,
        content=["../content"],
        image=version.card.image,
        dropped=dict(dropped),
    )
    warned = len({line["id"] for line in verdicts.to_pylist() if line["action"] == "warn"})
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "none"
    summary = f"kept {kept.num_rows:,} of {version.rows.num_rows:,} rows, quarantined {removed.num_rows:,} ({reasons}), warned of {warned:,}"
    told = ", ".join(f"{count} {name}" for name, count in decided.counts.items() if count)
    summary += f"; decisions of people: {told}" if told else ""
    return StageResult(summary, {"kept": kept.num_rows, "quarantined": removed.num_rows, "warned": warned})


def _write_quarantine(paths: Paths, version: Version, removed: pa.Table, verdicts: pa.Table) -> None:
    """The removed rows with all their reasons and original bytes, in batches so that memory stays bounded."""
    reasons: dict[str, list[str]] = {}
    for line in verdicts.to_pylist():
        reasons.setdefault(line["id"], []).append(line["reason"])
    by_id = {row["id"]: row for row in removed.to_pylist()}
    with (
        atomic_folder(paths.quarantine) as scratch,
        pq.ParquetWriter(scratch / "part-0.parquet", QUARANTINE_SCHEMA) as writer,
    ):
        batch = []
        for identity, content in version.contents(by_id.keys()):
            batch.append({**by_id[identity], "reasons": reasons[identity], "content": content})
            if len(batch) == 512:
                writer.write_table(pa.Table.from_pylist(batch, QUARANTINE_SCHEMA))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, QUARANTINE_SCHEMA))

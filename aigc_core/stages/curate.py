"""curate: judge every row, keep the curated version, put the rest into quarantine with its reasons."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.config import Config
from aigc_core.data.store import Version, write_version
from aigc_core.errors import DataError
from aigc_core.files import atomic_folder, write_json, write_table
from aigc_core.paths import Paths
from aigc_core.quality import decisions
from aigc_core.quality.calibration import FEW_ROWS, LEAST_ROWS
from aigc_core.quality.reasons import LABEL_SUSPECT
from aigc_core.quality.scan import CHUNK_BYTES, CHUNK_ROWS
from aigc_core.quality.verdicts import judge, refuse_excess
from aigc_core.records import CALIBRATION_FILE, QUARANTINE_SCHEMA, StageResult

#: Classes that the line names.
EXAMPLES = 3


def curate(config: Config, paths: Paths) -> StageResult:
    """Write data/verdicts (verdicts and `_calibration.json`), data/quarantine and data/curated.

    Raises GateError when too much would be quarantined, DataError when no training row would be left; then nothing
    is written.
    """
    version = Version.open(paths.ingested)
    rows, pairs = _facts(version, paths)
    judged = judge(rows, config.quality, pairs)
    decided = decisions.apply(judged.verdicts, version.rows, decisions.read(paths.decisions))
    verdicts, table = decided.verdicts, decided.rows
    condemned = refuse_excess(verdicts, table.num_rows, config.quality)
    out = pc.is_in(table["id"], value_set=pa.array(sorted(condemned), pa.string()))
    kept, removed = table.filter(pc.invert(out)), table.filter(out)
    if not pc.any(pc.equal(kept["split"], "train")).as_py():
        raise DataError(_nothing_left(table, removed))
    dropped = Counter(verdicts.filter(pc.equal(verdicts["action"], "quarantine"))["reason"].to_pylist())
    _write_quarantine(paths, version, removed, verdicts)
    with atomic_folder(paths.verdicts) as scratch:
        write_table(scratch / "part-0.parquet", verdicts)
        write_json(scratch / CALIBRATION_FILE, judged.calibration)
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
    return _result(kept, removed, decided, dropped, judged.calibration)


def _nothing_left(rows: pa.Table, removed: pa.Table) -> str:
    """Why no training row is left, and what to do."""
    splits = Counter(rows["split"].to_pylist())
    gone = Counter(removed["split"].to_pylist())["train"]
    others = f"{splits['reference']:,} are reference and {splits['test']:,} test rows"
    if not splits["train"]:
        return (
            f"none of the {rows.num_rows:,} rows is for training: {others}; add rows, or let fewer be held out (the section "
            "`split` of params.yaml, and names of folders, files and columns that say test)"
        )
    return (
        f"none of the {rows.num_rows:,} rows is left for training: all {gone:,} training rows would be quarantined, and "
        f"{others}; set `action: warn` for the rules that are too strict, or mend the files"
    )


def _facts(version: Version, paths: Paths) -> tuple[pa.Table, pa.Table]:
    """The rows with their measures and what was learned of them, by id, and the pairs that look alike."""
    for name in ("part-0", "learned", "pairs"):
        if not (paths.measures / f"{name}.parquet").exists():
            raise DataError(
                f"{paths.measures.name}/{name}.parquet is missing: run `aigc measure` first, or `dvc repro`"
            )
    facts = pq.read_table(paths.measures / "part-0.parquet").drop_columns(["content_hash", "bytes", "perceptual_hash"])
    rows = version.rows.join(facts, "id").join(pq.read_table(paths.measures / "learned.parquet"), "id")
    return rows.sort_by("id"), pq.read_table(paths.measures / "pairs.parquet")


def _result(
    kept: pa.Table, removed: pa.Table, decided: decisions.Applied, dropped: Counter[str], calibration: dict[str, Any]
) -> StageResult:
    verdicts = decided.verdicts
    warned = len(pc.unique(verdicts.filter(pc.equal(verdicts["action"], "warn"))["id"]))
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "none"
    summary = (
        f"kept {kept.num_rows:,} of {kept.num_rows + removed.num_rows:,} rows, quarantined {removed.num_rows:,} ({reasons}), "
        f"warned of {warned:,}; {_basis(calibration)}"
    )
    told = ", ".join(f"{count} {name}" for name, count in decided.counts.items() if count)
    summary += f"; decisions of people: {told}" if told else ""
    return StageResult(summary, {"kept": kept.num_rows, "quarantined": removed.num_rows, "warned": warned})


def _basis(calibration: dict[str, Any]) -> str:
    """What the fitted thresholds rest on, in words."""
    rows = calibration["reference_rows"]
    if rows < LEAST_ROWS:
        fitted = f"only absolute rules: {rows} sound reference rows are too few to fit a threshold on"
        blind = _unjudged_labels(calibration)
    else:
        wide = " (few, so the thresholds are wide)" if rows < FEW_ROWS else ""
        fitted = f"thresholds fitted on {rows:,} reference rows{wide}"
        others = {reason: cause for reason, cause in calibration["silent"].items() if reason != LABEL_SUSPECT}
        blind = [*(f"{reason} ({cause})" for reason, cause in others.items()), *_unjudged_labels(calibration)]
    return f"{fitted}; could not look for: {'; '.join(blind)}" if blind else fitted


def _unjudged_labels(calibration: dict[str, Any]) -> list[str]:
    """Which labels nobody could judge, in words: all of them, or those of classes with too few rows."""
    if LABEL_SUSPECT in calibration["silent"]:
        return [f"{LABEL_SUSPECT} ({calibration['silent'][LABEL_SUSPECT]})"]
    classes = calibration["unchecked_classes"]
    names = ", ".join(f"{label!r} ({count})" for label, count in list(classes.items())[:EXAMPLES])
    more = f" and {len(classes) - EXAMPLES:,} more" if len(classes) > EXAMPLES else ""
    return [f"wrong labels in {len(classes):,} classes with too few rows: {names}{more}"] if classes else []


def _write_quarantine(paths: Paths, version: Version, removed: pa.Table, verdicts: pa.Table) -> None:
    """The removed rows with all their reasons and original bytes, in batches so that memory stays bounded."""
    reasons: dict[str, list[str]] = {}
    own = verdicts.filter(pc.is_in(verdicts["id"], removed["id"])).select(["id", "reason"])
    for line in own.to_pylist():
        reasons.setdefault(line["id"], []).append(line["reason"])
    by_id = {row["id"]: row for row in removed.to_pylist()}
    with (
        atomic_folder(paths.quarantine) as scratch,
        pq.ParquetWriter(scratch / "part-0.parquet", QUARANTINE_SCHEMA) as writer,
    ):
        batch, size = [], 0
        for identity, content in version.contents(by_id.keys()):
            batch.append({**by_id[identity], "reasons": reasons[identity], "content": content})
            size += len(content or b"")
            if len(batch) == CHUNK_ROWS or size >= CHUNK_BYTES:
                writer.write_table(pa.Table.from_pylist(batch, QUARANTINE_SCHEMA))
                batch, size = [], 0
        writer.write_table(pa.Table.from_pylist(batch, QUARANTINE_SCHEMA))

"""The product as users run it: files in a folder, params.yaml beside it, and the stages ingest, measure and curate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from aigc_core import config as configuration
from aigc_core.errors import AigcError
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from defects.pictures import Row

ROOT = Path(__file__).resolve().parents[2]
#: Reasons that look-alikes give.
ALIKE = ("duplicate_exact", "duplicate_near", "leak")


@dataclass
class Said:
    """What a tool said of a run's files, by their names."""

    reasons: dict[str, dict[str, str]] = field(default_factory=dict)  # reason to name to action
    groups: dict[str, set[str]] = field(default_factory=dict)  # name to the names that it was called a copy of
    badness: dict[str, dict[str, float]] = field(default_factory=dict)  # score to name to value, higher is worse
    pairs: list[tuple[str, str, float]] = field(default_factory=list)  # look-alikes with their similarity
    actions: dict[str, str] = field(default_factory=dict)  # reason to what params.yaml asks for
    not_applied: set[str] = field(default_factory=set)  # reasons that the calibration could not fit
    counts: dict[str, int] = field(default_factory=dict)  # rows read, kept, quarantined
    notes: list[str] = field(default_factory=list)  # what the stages said
    remarks: list[str] = field(default_factory=list)  # what went wrong, for the reader of the table

    def flagged(self, *reasons: str) -> set[str]:
        """Names that got any of the reasons."""
        return {name for reason in reasons for name in self.reasons.get(reason, ())}


def lay_out(rows: list[Row], root: Path, moved: bool) -> configuration.Config:
    """Write the files below `root`/data/raw and params.yaml beside them; the configuration that this file makes."""
    raw = root / "data" / "raw"
    for row in rows:
        path = raw / row.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row.content)
    known = yaml.safe_load((ROOT / "params.yaml").read_text())
    known["source"] |= {"kind": "folder", "path": "data/raw"}
    known["quality"]["max_quarantined_share"] = 1.0
    if moved:
        known["quality"]["duplicate_near"]["transforms"] = ["flip", "rotate", "crop"]
    known["expectations"] |= {
        "min_rows": 1,
        "min_classes": 0,
        "min_rows_per_class": 1,
        "min_split_share": 0.0,
        "min_compared": 0,
    }
    known["tracking"]["enabled"] = False
    (root / "params.yaml").write_text(yaml.safe_dump(known, allow_unicode=True))
    return configuration.load(root / "params.yaml")


def run(rows: list[Row], root: Path, moved: bool) -> Said:
    """Lay the files out below `root`, run the stages, and read what they left. A stage that refuses ends the run: nothing
    is found then, and a remark says why."""
    config, paths = lay_out(rows, root, moved), Paths(root)
    notes: list[str] = []
    remarks: list[str] = []
    stages: list[Callable[[configuration.Config, Paths], StageResult]] = [ingest, measure, curate]
    for stage in stages:
        start = time.perf_counter()
        try:
            said = stage(config, paths).summary
        except AigcError as error:
            remarks.append(f"{stage.__name__} refused: {error}")
            return Said(notes=notes, remarks=remarks)
        notes.append(f"{stage.__name__} ({time.perf_counter() - start:.0f} s): {said}")
    found = _read(config, paths)
    found.notes, found.remarks = notes, remarks
    return found


def _read(config: configuration.Config, paths: Paths) -> Said:
    ingested = pq.read_table(paths.ingested / "rows.parquet", columns=["id", "source"])
    names = dict(zip(ingested["id"].to_pylist(), ingested["source"].to_pylist(), strict=True))
    said = Said(
        not_applied=_not_applied(json.loads((paths.verdicts / "_calibration.json").read_text())),
        counts={
            "read": ingested.num_rows,
            "kept": pq.read_table(paths.curated / "rows.parquet", columns=["id"]).num_rows,
            "quarantined": pq.read_table(paths.quarantine / "part-0.parquet", columns=["id"]).num_rows,
        },
    )
    for line in pq.read_table(paths.verdicts / "part-0.parquet").to_pylist():
        said.reasons.setdefault(line["reason"], {})[line["source"]] = line["action"]
        if line["reason"] in ALIKE and line["cluster"] in names:
            said.groups.setdefault(line["source"], set()).add(names[line["cluster"]])
    for reason, rule in config.quality.model_dump().items():
        if isinstance(rule, dict) and "action" in rule:
            said.actions[reason] = rule["action"]
    _read_learned(said, names, paths)
    return said


def _read_learned(said: Said, names: dict[str, str], paths: Paths) -> None:
    """The scores that are graded over all rows, and the look-alikes."""
    alike = said.badness.setdefault("similarity", {})
    for line in pq.read_table(paths.measures / "pairs.parquet").to_pylist():
        one, other, similarity = names[line["a"]], names[line["b"]], line["similarity"]
        said.pairs.append((one, other, similarity))
        alike[one], alike[other] = max(alike.get(one, 0.0), similarity), max(alike.get(other, 0.0), similarity)
    for line in pq.read_table(paths.measures / "learned.parquet").to_pylist():
        if line["domain_distance"] is not None:
            said.badness.setdefault("distance", {})[names[line["id"]]] = line["domain_distance"]
        if line["label_probability"] is not None:
            said.badness.setdefault("label", {})[names[line["id"]]] = 1 - line["label_probability"]


def _not_applied(calibration: object) -> set[str]:
    """Reasons of which the calibration says of every line that it was not applied."""
    lines: dict[str, list[bool]] = {}

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "reason" in value and "applied" in value:
                lines.setdefault(value["reason"], []).append(bool(value["applied"]))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(calibration)
    return {reason for reason, applied in lines.items() if not any(applied)}

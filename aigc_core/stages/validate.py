"""validate: the gate before training. Its answer stays in data/validation.json also when it is no."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.errors import GateError
from aigc_core.files import write_json
from aigc_core.paths import Paths
from aigc_core.quality import expectations
from aigc_core.quality.reasons import REASONS
from aigc_core.records import StageResult


def validate(config: Config, paths: Paths) -> StageResult:
    """Write data/validation.json. Raises GateError, after writing, when an error-level check failed."""
    import pandas as pd

    measures = pq.read_table(paths.measures / "part-0.parquet")
    curated = Version.open(paths.curated)
    kept = measures.filter(pc.is_in(measures["id"], value_set=curated.rows["id"].combine_chunks()))
    tables = {
        "measures": measures.to_pandas(),
        "kept": kept.to_pandas(),
        "facts": pd.DataFrame([_facts(paths, curated)]),
    }
    name, checks = expectations.run(tables, config.expectations)
    failed = [check for check in checks if not check.passed]
    errors = [check for check in failed if check.severity == "error"]
    write_json(paths.validation, {"suite": name, "success": not errors, "checks": [asdict(check) for check in checks]})
    if errors:
        first = errors[0]
        raise GateError(
            f"the gate refuses this data: {first.name} observed {first.observed}, expected {first.expected} "
            f"({len(errors)} of {len(checks)} checks failed, all in {paths.validation.relative_to(paths.root)}): mend the "
            "source or change `expectations` in params.yaml"
        )
    warned = ", ".join(f"{check.name} ({check.observed})" for check in failed)
    summary = f"{len(checks) - len(failed)} of {len(checks)} checks passed" + (
        f"; warnings: {warned}" if warned else ""
    )
    return StageResult(summary, {"passed": len(checks) - len(failed), "warnings": len(failed)})


def _facts(paths: Paths, curated: Version) -> dict[str, Any]:
    """The single row of counts and shares that the suite's `facts` expectations look at."""
    read = pq.read_metadata(paths.ingested / "rows.parquet").num_rows
    quarantined = pq.read_metadata(paths.quarantine / "part-0.parquet").num_rows
    classes = [count for label, count in curated.card.counts.get("train", {}).items() if label] or [0]
    reasons = Counter(pq.read_table(paths.verdicts)["reason"].to_pylist())
    return {
        "rows_kept": curated.rows.num_rows,
        "unaccounted": read - quarantined - curated.rows.num_rows,
        "smallest_class": min(classes),
        "class_share_ratio": min(classes) / max(max(classes), 1),
        **{f"share_{reason}": reasons[reason] / read for reason in REASONS},
    }

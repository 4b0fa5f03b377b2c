"""`aigc quality accept`: a person takes the present data as normal; the gate compares later versions with it."""

from __future__ import annotations

from aigc_core.config import Config
from aigc_core.errors import GateError
from aigc_core.files import read_json, write_json
from aigc_core.paths import Paths
from aigc_core.quality import drift
from aigc_core.records import StageResult
from aigc_core.report.facts import require
from aigc_core.stages.parts.gate_facts import read_kept
from aigc_core.stages.validate import DRIFTED


def accept(config: Config, paths: Paths) -> StageResult:
    """Write data/profile.json. Raises GateError where the gate refused the data for anything but its drift."""
    kept = read_kept(paths)
    answers = read_json(require(paths.validation, "validate"))
    if answers["dataset"] != kept.version:
        raise GateError(
            f"the gate last looked at version {answers['dataset']}, and the present one is {kept.version}: run "
            "`aigc validate` (or `dvc repro validate`) first"
        )
    checks = answers["checks"]
    wrong = [check for check in checks if check["severity"] == "error" and not check["passed"]]
    wrong = [check for check in wrong if check["name"] != DRIFTED]
    if wrong:
        raise GateError(
            f"the gate refuses this data ({wrong[0]['name']} observed {wrong[0]['observed']}, expected "
            f"{wrong[0]['expected']}), so that it cannot become what later versions are compared with: mend it first"
        )
    found = drift.profile(
        kept.measures, kept.rows_of("reference"), kept.labels, config.expectations.drift.bins, kept.version
    )
    write_json(paths.profile, found)
    return StageResult(
        f"version {kept.version} ({len(kept.ids):,} rows, {len(found['measures'])} measures) is now what later versions are "
        f"compared with: commit {paths.profile.relative_to(paths.root)}, then `dvc repro`",
        {"rows": len(kept.ids)},
    )

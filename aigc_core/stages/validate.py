"""validate: the gate before training. Its answer stays in data/validation.json also when it is no."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aigc_core.config import Config
from aigc_core.errors import DataError, GateError
from aigc_core.files import read_json, write_json
from aigc_core.paths import Paths
from aigc_core.quality import expectations
from aigc_core.records import StageResult
from aigc_core.stages.parts import gate_facts

#: Errors whose answer is not only in `expectations`, and what else it is.
ELSEWHERE = {"enough_to_compare": " (evaluate would refuse the trained model: add images, or raise split.test)"}
#: The one error that a person may answer by accepting the data as it is.
DRIFTED = "drift_refused"


def validate(config: Config, paths: Paths) -> StageResult:
    """Write data/validation.json and, when it passes, data/gate.json, which training depends on.

    Raises GateError, after writing the former, when an error-level check failed.
    """
    accepted = read_profile(paths)
    kept = gate_facts.read_kept(paths)
    name, checks = expectations.run(gate_facts.tables(paths, kept, config.expectations, accepted), config.expectations)
    failed = [check for check in checks if not check.passed]
    errors = [check for check in failed if check.severity == "error"]
    paths.gate.unlink(missing_ok=True)
    answers = [asdict(check) for check in checks]
    write_json(paths.validation, {"suite": name, "dataset": kept.version, "success": not errors, "checks": answers})
    if errors:
        first = errors[0]
        raise GateError(
            f"the gate refuses this data: {first.name} observed {first.observed}, expected {first.expected}"
            f"{ELSEWHERE.get(first.name, '')} "
            f"({len(errors)} of {len(checks)} checks refuse, {len(failed) - len(errors)} warn, all in {paths.validation.relative_to(paths.root)}): mend the "
            "source or change `expectations` in params.yaml"
            + (", or take it as it is with `aigc quality accept`" if first.name == DRIFTED else "")
        )
    write_json(paths.gate, {"suite": name, "passed": True, "dataset": kept.version})
    warned = ", ".join(f"{check.name} ({check.observed})" for check in failed)
    summary = f"{len(checks) - len(failed)} of {len(checks)} checks passed" + (
        f"; warnings: {warned}" if warned else ""
    )
    return StageResult(summary, {"passed": len(checks) - len(failed), "warnings": len(failed)})


def read_profile(paths: Paths) -> dict[str, Any]:
    """What is known of the accepted version; empty before the first. Raises DataError for a file that is not JSON."""
    if not paths.profile.exists():
        return {}
    try:
        found = read_json(paths.profile)
    except ValueError as error:
        raise DataError(f"data/profile.json cannot be read ({error}): write {{}} into it") from None
    if not isinstance(found, dict):
        raise DataError(f"data/profile.json holds a {type(found).__name__}, not a profile: write {{}} into it")
    return found

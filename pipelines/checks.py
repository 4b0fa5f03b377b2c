"""The checks that a stage declares under `meta.dagster.checks`, and its report's answers to them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.stages import DvcStage


@dataclass(frozen=True)
class Check:
    """One declared question to a stage's result."""

    name: str
    description: str
    blocking: bool


def declared_checks(stage: DvcStage) -> list[Check]:
    """The checks that the stage declares, before anything has run."""
    options = stage.options.get("checks")
    if not options:
        return []
    if not isinstance(options, Mapping) or "report" not in options or not ("suite" in options or "names" in options):
        raise ValueError(
            f"stage {stage.address}: meta.dagster.checks needs `report` and one of `suite` and `names`, not {options!r}"
        )
    listed = options.get("names") or json.loads((stage.folder / options["suite"]).read_text())
    if isinstance(listed, Mapping):
        listed = listed.get("expectations") or listed.get("checks") or []
    return [_declare(stage, item) for item in listed]


def check_results(stage: DvcStage, key: dg.AssetKey, *, stale: bool = False) -> list[dg.AssetCheckResult]:
    """An answer to every declared check, read from the stage's report.

    A check without an answer fails and says why: one that yields nothing would let everything downstream run.
    `stale` says that the report is not of this run.
    """
    checks = declared_checks(stage)
    if not checks:
        return []
    report = report_of(stage)
    answers, problem = (
        ({}, f"{report} was not written by this run") if stale else _read_answers(stage.folder / report, report)
    )
    return [
        _answer(check, key, answers.get(check.name), problem or f"{report} holds no answer to it") for check in checks
    ]


def failed_first(results: Sequence[dg.AssetCheckResult]) -> list[dg.AssetCheckResult]:
    """The results in the order in which one reads them: errors, warnings, then what passed, each as declared."""
    return sorted(results, key=lambda result: (result.passed, result.severity is dg.AssetCheckSeverity.WARN))


def _declare(stage: DvcStage, item: Any) -> Check:
    item = {"name": item} if isinstance(item, str) else item
    severity = item.get("severity", "error")
    if severity not in ("error", "warning"):
        raise ValueError(f"stage {stage.address}: check {item['name']} has severity {severity!r}: use error or warning")
    return Check(identifier(item["name"]), item.get("description", ""), severity == "error")


def identifier(text: str) -> str:
    """`text` with everything that Dagster refuses in a name as an underscore."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text)


def _read_answers(path: Path, shown: str) -> tuple[dict[str, Mapping[str, Any]], str | None]:
    """The report's checks by name, or why there are none."""
    if not path.exists():
        return {}, f"{shown} does not exist: the stage ended before it could answer"
    try:
        return {identifier(item["name"]): item for item in json.loads(path.read_text())["checks"]}, None
    except (ValueError, KeyError, TypeError) as error:
        return {}, f"{shown} is not a report of checks ({error!r})"


def _answer(check: Check, key: dg.AssetKey, answer: Mapping[str, Any] | None, problem: str) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN
    if answer is None:
        return dg.AssetCheckResult(
            passed=False, asset_key=key, check_name=check.name, severity=severity, description=f"No answer: {problem}."
        )
    shown = {name: _shown(answer[name]) for name in ("observed", "expected") if answer.get(name) is not None}
    return dg.AssetCheckResult(
        passed=bool(answer["passed"]),
        asset_key=key,
        check_name=check.name,
        severity=severity,
        description=answer.get("description") or check.description,
        metadata=shown,
    )


def _shown(value: Any) -> Any:
    """A value that Dagster can show: numbers and text as they are, the rest as JSON text."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value, ensure_ascii=False)


def refusals(stage: DvcStage) -> list[str]:
    """The names of the blocking checks that failed, as the stage's report has it; none where it has no report."""
    blocking = {check.name for check in declared_checks(stage) if check.blocking}
    if not blocking:
        return []
    answers, _ = _read_answers(stage.folder / report_of(stage), report_of(stage))
    return [name for name, answer in answers.items() if name in blocking and not answer["passed"]]


def report_of(stage: DvcStage) -> str:
    """The path of the stage's report, from the folder of its dvc.yaml; empty where it declares none."""
    options = stage.options.get("checks")
    return str(options["report"]) if options else ""


def report_stamp(stage: DvcStage) -> tuple[int, int, int] | None:
    """Changes whenever the stage's report is written again."""
    path = stage.folder / report_of(stage)
    if not report_of(stage) or not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size

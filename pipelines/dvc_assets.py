"""Dagster assets from dvc.yaml: one asset per resolved stage, materialized by DVC.

    stages = load_assets_from_dvc(repo_dir)
    defs = dg.Definitions(assets=stages, resources={"dvc": DvcCli(repo_dir=str(repo_dir))})

A stage may say more under `meta`:

    meta:
      dagster:
        group: quality
        kinds: [python]
        checks: {report: out/report.json, suite: suite.json}

`report` is written by the stage: {"checks": [{"name", "passed", "description", "severity", "observed", "expected"}]}.
The names must be known before the stage has run: `suite` is a JSON list of {"name", "description", "severity"}
(or an object that holds the list under "expectations" or "checks"); `names` may hold the list itself instead. A check
of severity "error" (the default) blocks what lies downstream, one of severity "warning" does not.

Knows nothing of any one project: names, groups and further metadata are the translator's.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of an asset's context and refuses a string.
import base64
import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.resources import DvcCli, DvcStage, Locked, code_version, read_lock, read_stages

PICTURE_BYTES, PICTURES_BYTES = 600_000, 2_000_000  # of one and of all, which the page loads; base64 adds a third
TABLE_ROWS = 100
CURVE_ROWS, STEPS = 10, ("step", "epoch", "iteration")  # a table whose first column is one of these may be thinned out


@dataclass(frozen=True)
class Check:
    """One declared question to a stage's result."""

    name: str
    description: str
    blocking: bool


class DvcTranslator:
    """Decides what a stage is called and shown as. Subclass it and pass the instance to `load_assets_from_dvc`."""

    def asset_key(self, stage: DvcStage) -> dg.AssetKey:
        """`train@gan` becomes `train_gan`: one part, because the graph shows only the last."""
        return dg.AssetKey(_identifier(stage.address))

    def group(self, stage: DvcStage) -> str:
        """The group, from `meta.dagster.group`."""
        return str(stage.options.get("group", "default"))

    def kinds(self, stage: DvcStage) -> set[str]:
        """The badges on the asset's node, from `meta.dagster.kinds`."""
        # Dagster takes three at most.
        return set([*stage.options.get("kinds", []), "dvc"][:3])

    def description(self, stage: DvcStage) -> str:
        """What the stage does, and the command that does it."""
        return f"{stage.description}\n\n```\n{stage.command}\n```".strip()

    def metadata(self, stage: DvcStage) -> Mapping[str, Any]:
        """More metadata for one materialization of `stage`, read after it ran. None by default."""
        del stage
        return {}


def load_assets_from_dvc(repo_dir: Path, translator: DvcTranslator | None = None) -> list[dg.AssetsDefinition]:
    """One asset per stage of the repository at `repo_dir`; they need the resource `dvc` (a `DvcCli`).

    Raises ValueError where two stages would share a key, or where `meta.dagster` cannot be read.
    """
    translator = translator or DvcTranslator()
    stages = read_stages(Path(repo_dir))
    keys = asset_keys(stages, translator)
    return [_build_asset(stage, keys, translator) for stage in stages]


def asset_keys(stages: Sequence[DvcStage], translator: DvcTranslator) -> dict[str, dg.AssetKey]:
    """The asset key of every stage's address."""
    keys = {stage.address: translator.asset_key(stage) for stage in stages}
    owners: dict[dg.AssetKey, str] = {}
    for address, key in keys.items():
        if key in owners:
            raise ValueError(
                f"stages {owners[key]} and {address} both make the asset {key.to_user_string()}: rename one of them"
            )
        owners[key] = address
    return keys


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
    report = str(stage.options["checks"]["report"])
    answers, problem = (
        ({}, f"{report} was not written by this run") if stale else _read_answers(stage.folder / report, report)
    )
    return [
        _answer(check, key, answers.get(check.name), problem or f"{report} holds no answer to it") for check in checks
    ]


def materialization_metadata(stage: DvcStage, locked: Locked, translator: DvcTranslator) -> dict[str, Any]:
    """What the asset's page shows of the stage's outs: digests, metrics, pictures and tables."""
    rows = [
        dg.TableRecord({"out": path, "md5": md5, "bytes": locked.sizes.get(path, 0)})
        for path, md5 in locked.outs.items()
    ]
    # In the order of what one looks for first: the page keeps it.
    found: dict[str, Any] = dict(translator.metadata(stage))
    for path in stage.metrics:
        found |= _metrics(path)
    return found | _pictures(stage) | {"outs": dg.MetadataValue.table(rows)} | _tables(stage)


def _build_asset(stage: DvcStage, keys: Mapping[str, dg.AssetKey], translator: DvcTranslator) -> dg.AssetsDefinition:
    key = keys[stage.address]
    checks = declared_checks(stage)

    @dg.asset(
        key=key,
        deps=[keys[address] for address in stage.upstream],
        group_name=translator.group(stage),
        kinds=translator.kinds(stage),
        description=translator.description(stage),
        code_version=code_version(stage.code["cmd"], stage.code["params"], stage.code["deps"]),
        check_specs=[
            dg.AssetCheckSpec(check.name, asset=key, description=check.description, blocking=check.blocking)
            for check in checks
        ],
    )
    def materialize(
        context: dg.AssetExecutionContext, dvc: DvcCli
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        before = _report_stamp(stage)
        cached = dvc.is_unchanged(stage)
        if cached:
            context.log.info(f"{stage.address} has not changed: nothing to run")
        else:
            outcome = dvc.reproduce(stage, run_id=context.run.run_id, say=context.log.info)
            if not outcome.success:
                yield from check_results(stage, key, stale=_report_stamp(stage) == before)
                raise dg.Failure(description=f"{stage.address} failed:\n\n{outcome.error_text()}", allow_retries=False)
            cached = not outcome.ran
        locked = read_lock(stage)
        if locked is None:
            raise dg.Failure(description=f"{stage.address} ran, and dvc.lock does not know it", allow_retries=False)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(locked.data_version),
            metadata={"cached": cached, **materialization_metadata(stage, locked, translator)},
            check_results=check_results(stage, key),
        )

    return materialize


def _declare(stage: DvcStage, item: Any) -> Check:
    item = {"name": item} if isinstance(item, str) else item
    severity = item.get("severity", "error")
    if severity not in ("error", "warning"):
        raise ValueError(f"stage {stage.address}: check {item['name']} has severity {severity!r}: use error or warning")
    return Check(_identifier(item["name"]), item.get("description", ""), severity == "error")


def _identifier(text: str) -> str:
    """`text` with everything that Dagster refuses in a name as an underscore."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text)


def _read_answers(path: Path, shown: str) -> tuple[dict[str, Mapping[str, Any]], str | None]:
    """The report's checks by name, or why there are none."""
    if not path.exists():
        return {}, f"{shown} does not exist: the stage ended before it could answer"
    try:
        return {_identifier(item["name"]): item for item in json.loads(path.read_text())["checks"]}, None
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


def _report_stamp(stage: DvcStage) -> tuple[int, int, int] | None:
    """Changes whenever the stage's report is written again."""
    options = stage.options.get("checks")
    path = stage.folder / str(options["report"]) if options else None
    if path is None or not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _metrics(path: Path) -> dict[str, Any]:
    """Every number of a metrics file; what is nested is named with slashes."""

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                yield from walk(f"{prefix}/{name}" if prefix else str(name), inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix, float(value)

    if path.suffix != ".json" or not path.exists():
        return {}
    return dict(walk("", json.loads(path.read_text())))


def _files(stage: DvcStage, suffix: str) -> Iterator[tuple[str, Path]]:
    """Files with `suffix` among the outs, in order, by name; by path from the stage's folder where two share a name."""
    paths = [
        path
        for out in stage.outs
        for path in (sorted(out.rglob(f"*{suffix}")) if out.is_dir() else [out])
        if path.suffix == suffix and path.is_file()
    ]
    # The page gives a key one narrow column: a whole path would run into the next.
    times = Counter(path.name for path in paths)
    for path in paths:
        inside = path.relative_to(stage.folder) if path.is_relative_to(stage.folder) else path
        yield (path.name if times[path.name] == 1 else inside.as_posix()), path


def _pictures(stage: DvcStage) -> dict[str, Any]:
    """PNG files among the outs, inside the page; one that is too large is named only."""
    found: dict[str, Any] = {}
    total = 0
    for name, path in _files(stage, ".png"):
        size = path.stat().st_size
        if size > PICTURE_BYTES or total + size > PICTURES_BYTES:
            found[name] = dg.MetadataValue.path(str(path))
            continue
        total += size
        found[name] = dg.MetadataValue.md(
            f"![{name}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"
        )
    return found


def _tables(stage: DvcStage) -> dict[str, Any]:
    """CSV files among the outs: of a curve, lines at equal distances with the first and the last; else the first hundred."""
    found: dict[str, Any] = {}
    for name, path in _files(stage, ".csv"):
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        if len(rows) > CURVE_ROWS and next(iter(rows[0])) in STEPS:
            rows = [rows[round(i * (len(rows) - 1) / (CURVE_ROWS - 1))] for i in range(CURVE_ROWS)]
        title = name if len(rows) <= TABLE_ROWS else f"{name} (first {TABLE_ROWS} of {len(rows):,} lines)"
        shown = [dg.TableRecord({k: v or "" for k, v in row.items()}) for row in rows[:TABLE_ROWS]]
        found |= {title: dg.MetadataValue.table(shown)} if shown else {}
    return found

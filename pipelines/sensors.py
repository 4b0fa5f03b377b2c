"""Tells Dagster what `dvc repro` in a terminal has made, so that its pages and `dvc status` agree."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg
import yaml

from pipelines.dvc_assets import DvcTranslator, asset_keys, check_results, materialization_metadata
from pipelines.resources import DvcStage, Locked, digest, read_lock, read_stages

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
BUSY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_dvc_sensor(
    repo_dir: Path, translator: DvcTranslator | None = None, interval_s: int = 15
) -> dg.SensorDefinition:
    """A sensor that reports each stage whose dvc.lock entry is newer than its last materialization."""
    used = translator or DvcTranslator()

    @dg.sensor(
        name="dvc_lock",
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports what `dvc repro` in a terminal has made as materializations.",
    )
    def dvc_lock(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        lock = Path(repo_dir) / "dvc.lock"
        if not lock.exists():
            return dg.SkipReason("there is no dvc.lock yet")
        seen = digest(lock.read_text())
        if seen == context.cursor:
            return dg.SkipReason("dvc.lock has not changed")
        if context.instance.get_runs(dg.RunsFilter(statuses=BUSY), limit=1):
            return dg.SkipReason("a run is at work, and reports what it makes itself")
        try:
            events = terminal_events(context.instance, Path(repo_dir), used)
        except yaml.YAMLError:
            return dg.SkipReason("dvc.lock is being written")
        return dg.SensorResult(asset_events=events, cursor=seen)

    return dvc_lock


def terminal_events(
    instance: dg.DagsterInstance, repo_dir: Path, translator: DvcTranslator
) -> list[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The events that are missing from `instance`, upstream first."""
    stages = read_stages(repo_dir)
    keys = asset_keys(stages, translator)
    locked = {stage.address: entry for stage in stages if (entry := read_lock(stage)) is not None}
    events: list[dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
    for stage in upstream_first(stages):
        entry = locked.get(stage.address)
        if entry is None or _is_known(instance, keys[stage.address], entry):
            continue
        events.append(
            dg.AssetMaterialization(
                keys[stage.address],
                description="Made by `dvc repro` outside Dagster.",
                metadata=materialization_metadata(stage, entry, translator),
                tags=_tags(stage, entry, locked, keys),
            )
        )
        events += [
            dg.AssetCheckEvaluation(
                asset_key=keys[stage.address],
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
            )
            for result in check_results(stage, keys[stage.address])
        ]
    return events


def upstream_first(stages: Sequence[DvcStage]) -> list[DvcStage]:
    """The stages in an order in which nothing comes before what it needs."""
    known = {stage.address: stage for stage in stages}
    ordered: dict[str, DvcStage] = {}

    def visit(address: str) -> None:
        if address not in ordered:
            for needed in known[address].upstream:
                visit(needed)
            ordered[address] = known[address]

    for stage in stages:
        visit(stage.address)
    return list(ordered.values())


def _is_known(instance: dg.DagsterInstance, key: dg.AssetKey, entry: Locked) -> bool:
    last = instance.get_latest_materialization_event(key)
    tags = last.asset_materialization.tags if last and last.asset_materialization else None
    return (
        bool(tags)
        and (tags or {}).get(DATA_VERSION) == entry.data_version
        and (tags or {}).get(CODE_VERSION) == entry.code_version
    )


def _tags(
    stage: DvcStage, entry: Locked, locked: Mapping[str, Locked], keys: Mapping[str, dg.AssetKey]
) -> dict[str, str]:
    """Versions of the stage and of its inputs. Without those of the inputs everything downstream would read as stale."""
    tags = {
        DATA_VERSION: entry.data_version,
        CODE_VERSION: entry.code_version,
        "dagster/data_version_is_user_provided": "true",
    }
    for address in stage.upstream:
        name = keys[address].to_user_string()
        source = locked.get(address)
        tags[f"dagster/input_data_version/{name}"] = _input_version(entry, source)
        tags[f"dagster/input_event_pointer/{name}"] = "NULL"
    return tags


def _input_version(entry: Locked, source: Locked | None) -> str:
    """The input's present version, or another value where the stage has read other bytes than it has now."""
    if source is None:
        return "UNKNOWN"
    differs = any(path in entry.deps and entry.deps[path] != md5 for path, md5 in source.outs.items())
    return digest({path: entry.deps.get(path) for path in source.outs}) if differs else source.data_version

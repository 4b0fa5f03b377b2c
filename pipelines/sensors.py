"""Tells Dagster what `dvc repro` in a terminal has made, and what DVC would run again: its pages say what DVC says."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from pipelines.checks import check_results, failed_first
from pipelines.dvc_assets import DvcTranslator, asset_keys
from pipelines.observed import (
    CODE_VERSION,
    DATA_VERSION,
    input_tags,
    last_observation,
    observation,
    provenance,
    same_inputs,
)
from pipelines.resources import blocker
from pipelines.shown import materialization_metadata
from pipelines.stages import (
    DvcStage,
    DvcWorkspace,
    Locked,
    Status,
    definition_files,
    digest,
    read_lock,
    read_stages,
    stamps,
)

AT_WORK = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation
NAMED = 5  # stages in a message
LOOK_AGAIN_S = 300.0


@dataclass(frozen=True)
class Report:
    """What one look at the repository found: events that Dagster lacks, and a sentence for the sensor's page.

    `complete` is False where stages were left out because something is at work on them.
    """

    events: list[Event]
    words: str
    complete: bool


def build_dvc_sensor(
    repo_dir: Path,
    translator: DvcTranslator | None = None,
    interval_s: int = 15,
    stages: Sequence[DvcStage] | None = None,
) -> dg.SensorDefinition:
    """A sensor that reports what DVC knows and Dagster does not; `stages` are those that the definitions show."""
    used, workspace = translator or DvcTranslator(), DvcWorkspace(repo_dir)
    shown = read_stages(repo_dir) if stages is None else list(stages)

    @dg.sensor(
        name="dvc_status",
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports what `dvc repro` in a terminal has made, and which stages DVC would run again.",
    )
    def dvc_status(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        running = bool(context.instance.get_runs(dg.RunsFilter(statuses=AT_WORK), limit=1))
        look_number = int(time.time() // LOOK_AGAIN_S)  # the cache may be emptied, which touches no file of a stage
        seen = f"{fingerprint(shown)} {'running' if running else 'idle'} {look_number}"
        if seen == context.cursor:
            return dg.SkipReason("nothing has changed since the last look")
        try:
            report = look(context.instance, workspace, shown, used, running=running)
        except Exception as error:
            # DVC's errors have no common root, and a file may be half-written: the next look comes in seconds.
            return dg.SkipReason(f"DVC cannot read this repository: {error}")
        # What was left out is looked at again, also where no file changes meanwhile.
        return dg.SensorResult(
            asset_events=report.events, skip_reason=report.words, cursor=seen if report.complete else ""
        )

    return dvc_status


def fingerprint(stages: Sequence[DvcStage]) -> str:
    """Changes whenever a file is touched that decides what DVC says of one of the stages."""
    parts = {path for stage in stages for path in (*stage.deps, *stage.outs)}
    return digest(sorted(stamps(parts | definition_files(stages))))


def look(
    instance: dg.DagsterInstance,
    workspace: DvcWorkspace,
    shown: Sequence[DvcStage],
    translator: DvcTranslator,
    *,
    running: bool = False,
) -> Report:
    """What is missing from `instance`, upstream first. While a run is at work, it reports itself what it makes."""
    keys = asset_keys(shown, translator)
    present = {stage.address: stage for stage in workspace.stages()}
    last = {key: _last_tags(instance, key) for key in keys.values()}
    versions = {key: tags[DATA_VERSION] for key, tags in last.items() if DATA_VERSION in tags}
    events: list[Event] = []
    said: dict[str, Status] = {}
    busy: list[str] = []
    for stage in upstream_first([stage for stage in shown if stage.address in present]):
        if blocker(workspace.root, stage):
            busy.append(stage.address)
            continue
        key, status = keys[stage.address], workspace.status(stage.address)
        said[stage.address] = status
        made = None if running or status.astray else read_lock(present[stage.address])
        inputs = input_tags(stage, keys, versions)
        if made is not None and not _is_known(last[key], made, status, inputs):
            events += _materialization(instance, present[stage.address], key, made, translator, inputs)
            versions[key] = made.data_version
        event = observation(key, status)
        if last_observation(instance, key)[0] != (event.tags or {})[DATA_VERSION]:
            events.append(event)
    return Report(events, _words(said, busy, shown, present), complete=not busy)


def upstream_first(stages: Sequence[DvcStage]) -> list[DvcStage]:
    """The stages in an order in which nothing comes before what it needs."""
    known = {stage.address: stage for stage in stages}
    ordered: dict[str, DvcStage] = {}

    def visit(address: str) -> None:
        if address in known and address not in ordered:
            for needed in known[address].upstream:
                visit(needed)
            ordered[address] = known[address]

    for stage in stages:
        visit(stage.address)
    return list(ordered.values())


def _last_tags(instance: dg.DagsterInstance, key: dg.AssetKey) -> Mapping[str, str]:
    last = instance.get_latest_materialization_event(key)
    return (last.asset_materialization.tags or {}) if last and last.asset_materialization else {}


def _is_known(tags: Mapping[str, str], made: Locked, status: Status, inputs: Mapping[str, str]) -> bool:
    """Whether the last materialization is this one; with its present inputs, where DVC calls the stage up to date."""
    same = tags.get(DATA_VERSION) == made.data_version and tags.get(CODE_VERSION) == made.code_version
    return same and (bool(status.changes) or same_inputs(tags, inputs))


def _materialization(
    instance: dg.DagsterInstance,
    stage: DvcStage,
    key: dg.AssetKey,
    made: Locked,
    translator: DvcTranslator,
    inputs: Mapping[str, str],
) -> list[Event]:
    """The materialization, then the answers to the stage's checks."""
    answers = failed_first(check_results(stage, key))
    event = dg.AssetMaterialization(
        key,
        description="dvc.lock has it and its outs are here: made by `dvc repro` or fetched, not by a run of Dagster.",
        metadata=materialization_metadata(stage, made, translator.metadata(stage), answers),
        tags={
            DATA_VERSION: made.data_version,
            CODE_VERSION: made.code_version,
            "dagster/data_version_is_user_provided": "true",
            **inputs,
            **provenance(instance, key),
        },
    )
    return [
        event,
        *(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
            )
            for result in answers
        ),
    ]


def _words(
    said: Mapping[str, Status], busy: Sequence[str], shown: Sequence[DvcStage], present: Mapping[str, DvcStage]
) -> str:
    """One sentence each for what is not here, what DVC would run, what was left out and what the graph lacks."""
    changed = {address: status.changes for address, status in said.items() if status.changes}
    astray = {address: status.astray for address, status in said.items() if status.astray}
    unknown = [address for address in present if address not in {stage.address for stage in shown}]
    words = [f"DVC has nothing to do for {len(said) - len(changed)} of {len(shown)} stages."]
    if astray:
        words.append(
            f"Outs that are not here as dvc.lock has them: {_some(astray)}. `dvc pull` or `dvc repro` brings them."
        )
    if changed:
        words.append(f"`dvc repro` would run {_some(changed)}.")
    if busy:
        words.append(f"A process is at work on the files of {', '.join(busy)}: looked at when it has ended.")
    if unknown:
        words.append(f"dvc.yaml has stages that this page lacks: {', '.join(unknown)}. Reload the definitions.")
    return " ".join(words)


def _some(named: Mapping[str, Sequence[str]]) -> str:
    """The first few stages, each with its first reason, and how many more there are."""
    listed = [f"{address} ({words[0]})" for address, words in list(named.items())[:NAMED]]
    return ", ".join(listed) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")

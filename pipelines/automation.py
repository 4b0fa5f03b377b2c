"""What may start without a person: a condition on data versions, a look at raw files, a schedule; and who hears of failures.

All of it is off until somebody switches it on in Dagster's pages.
"""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from pipelines.observed import STATUS_KEY
from pipelines.stages import DvcStage, digest, stamps

ALL = "all_stages"  # the job that the schedule and the sensor start
COMMAND_S = 60.0  # how long an alert's command may take


def dvc_automation_condition() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Runs a stage when DVC would, or when what it reads has another data version.

    `AutomationCondition.eager()` runs it after every materialization upstream, also where the bytes are the same.
    """
    condition = dg.AutomationCondition
    status = dg.AssetSelection.assets(STATUS_KEY)
    # Negating twice keeps to the partition of `dvc_status` that the stage depends on; alone, the operand looks at all.
    changed = condition.any_deps_match(~~condition.data_version_changed())
    wanted = (changed | condition.missing().newly_true()).since(condition.newly_requested() | condition.newly_updated())
    ready = ~condition.any_deps_missing().ignore(status) & ~condition.any_deps_in_progress().ignore(status)
    return (wanted & ready & ~condition.in_progress()).with_label("dvc_would_run_it")


def build_schedule(cron: str = "0 3 * * *") -> dg.ScheduleDefinition:
    """The job over all stages, by the clock: nightly at three unless `cron` says otherwise."""
    return dg.ScheduleDefinition(
        name="nightly",
        job_name=ALL,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Materializes every stage by the clock; those that have not changed come back at once.",
    )


def watched_paths(stages: Sequence[DvcStage]) -> set[Path]:
    """The files and folders that the stages name under `meta.dagster.watch`, from the folder of their dvc.yaml."""
    return {stage.folder / str(name) for stage in stages for name in stage.options.get("watch") or [] if name}


def build_source_sensor(stages: Sequence[DvcStage], interval_s: int = 60) -> dg.SensorDefinition:
    """Starts the job over all stages once the watched files have changed and then kept still for one interval."""
    paths = watched_paths(stages)

    @dg.sensor(
        name="raw_files",
        job_name=ALL,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Starts a run when the raw files have changed and nobody is writing them any more.",
    )
    def raw_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = digest(sorted(stamps(paths)))
        run, _, last = (context.cursor or f"{now} {now}").partition(" ")
        if now == run:
            return dg.SensorResult(skip_reason="the raw files have not changed", cursor=f"{run} {now}")
        if now != last:
            return dg.SensorResult(
                skip_reason="the raw files are changing: looked at again soon", cursor=f"{run} {now}"
            )
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=now)], cursor=f"{now} {now}")

    return raw_files


def build_alert_sensor(file: Path, command: Sequence[str] = ()) -> dg.SensorDefinition:
    """Tells of each failed run: a line in `file`, and `command` with that line as its last argument."""

    @dg.run_failure_sensor(
        name="alerts",
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Writes a line to {file} for each failed run" + (f" and calls {command[0]}." if command else "."),
    )
    def alerts(context: dg.RunFailureSensorContext) -> None:
        failed = [event.step_key for event in context.get_step_failure_events() if event.step_key]
        words = " ".join((context.failure_event.message or "").split())
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} run {context.dagster_run.run_id} failed at "
        line += f"{', '.join(failed) or 'no step'}: {words}"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as handle:
            handle.write(f"{line}\n")
        if command:
            subprocess.run([*command, line], check=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL)

    return alerts

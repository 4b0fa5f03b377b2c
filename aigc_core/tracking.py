"""Runs in MLflow, behind a small protocol. This file is the only one that imports mlflow.

A run carries the stage, the resolved configuration and its digest, the DVC md5 of every input, the git commit, and
the Dagster run where there is one. Its id lies in .work/runs/<stage>.json, so that a training that was killed goes
on in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from aigc_core.config import Tracking
from aigc_core.files import digest, read_json, write_json
from aigc_core.paths import Paths

#: MLflow's tag for the run that another belongs to.
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Child:
    """A finished run below another: one cell of a study."""

    name: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]  # `digest` tells it from its sisters
    failed: bool = False


class Tracker(Protocol):
    """What a stage may say of its run."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Note values at a step; they are sent in batches."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file, or a folder with all that is in it."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""

    def table(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Store lines with equal keys as a table artifact, for example `ledger.json`."""

    def children(self, runs: Sequence[Child]) -> None:
        """Store ended runs below this one; those that it has already are left as they are, and end as they did then."""

    def flush(self) -> None:
        """Send what was noted."""


class NullTracker:
    """Keeps nothing: for runs without MLflow."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Drop the values."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Drop the file."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Drop the tags."""

    def table(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Drop the table."""

    def children(self, runs: Sequence[Child]) -> None:
        """Drop the runs."""

    def flush(self) -> None:
        """Nothing waits."""


class MlflowTracker:
    """One MLflow run. Points that a killed predecessor has already sent are not sent twice."""

    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self._waiting: list[tuple[str, float, int]] = []
        self._sent: dict[str, int] = {}  # metric -> last step that the store holds
        for name in client.get_run(run_id).data.metrics:
            self._sent[name] = max(point.step for point in client.get_metric_history(run_id, name))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Note values at a step."""
        self._waiting += [
            (name, float(value), step) for name, value in values.items() if step > self._sent.get(name, -1)
        ]

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or a folder."""
        store = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        store(self.run_id, str(path), folder)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in values.items()])

    def table(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Store a table; MLflow shows it beside those of other runs. It replaces that of a predecessor in this run."""
        if not lines:
            return
        if name in {file.path for file in self.client.list_artifacts(self.run_id)}:  # log_table would append to it
            data = {"columns": list(lines[0]), "data": [list(line.values()) for line in lines]}
            self.client.log_dict(self.run_id, data, name)
        else:
            self.client.log_table(self.run_id, {key: [line[key] for line in lines] for key in lines[0]}, name)

    def children(self, runs: Sequence[Child]) -> None:
        """Store each run with one batch; the parent's id is MLflow's own tag."""
        from mlflow.entities import Metric, RunTag

        experiment = self.client.get_run(self.run_id).info.experiment_id
        family = f"tags.`{PARENT}` = '{self.run_id}'"
        known, token = set[tuple[str | None, str | None, str]](), None
        while token is None or token:
            page = self.client.search_runs([experiment], family, max_results=1000, page_token=token)
            known |= {(run.data.tags.get("arm"), run.data.tags.get("digest"), run.info.status) for run in page}
            token = page.token or ""
        for child in runs:
            status = "FAILED" if child.failed else "FINISHED"
            if (child.tags.get("arm"), child.tags.get("digest"), status) in known:
                continue  # one that had failed, was tried again and finished is another run
            run = self.client.create_run(experiment, run_name=child.name, tags={PARENT: self.run_id})
            self.client.log_batch(
                run.info.run_id,
                metrics=[Metric(name, float(value), 0, 0) for name, value in child.metrics.items()],
                tags=[RunTag(name, value) for name, value in child.tags.items()],
            )
            self.client.set_terminated(run.info.run_id, status)

    def flush(self) -> None:
        """Send the waiting points; MLflow takes a thousand at a time."""
        from mlflow.entities import Metric

        for start in range(0, len(self._waiting), 1000):
            part = self._waiting[start : start + 1000]
            # The step stands in for the clock: the curve is the same however long a step took.
            self.client.log_batch(self.run_id, metrics=[Metric(name, value, step, step) for name, value, step in part])
        for name, _, step in self._waiting:
            self._sent[name] = step
        self._waiting.clear()


@contextmanager
def open_tracker(
    tracking: Tracking, paths: Paths, stage: str, config: dict[str, Any], inputs: list[Path]
) -> Iterator[Tracker]:
    """The tracker of one stage's run, for example `train@gan`; ends it as finished or failed.

    `config` is the resolved configuration of the stage, `inputs` the outs that it reads. Where MLflow is switched
    on but not installed, that is said on standard error and nothing is tracked.
    """
    client = _client(paths) if tracking.enabled else None
    if client is None:
        yield NullTracker()
        return
    versions = input_digests(paths, inputs)
    config_digest = digest({"config": config, "inputs": versions})[:16]
    run_id = _run_to_continue(client, paths.run_file(stage), config_digest)
    if run_id is None:
        run_id = _start(client, tracking, paths, stage, config, config_digest, versions)
    tracker = MlflowTracker(client, run_id)
    try:
        with _watched(client, run_id) if tracking.system_metrics else nullcontext():
            yield tracker
        tracker.flush()
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    _remember(paths.run_file(stage), finished=True)


@contextmanager
def _watched(client: Any, run_id: str) -> Iterator[None]:
    """MLflow's own watch over the machine, below `system/`; cards need the package nvidia-ml-py."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
        run_id, resume_logging=True, tracking_uri=client.tracking_uri
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def input_digests(paths: Paths, inputs: list[Path]) -> dict[str, str]:
    """DVC's md5 of each input as dvc.lock records it; inputs that no stage has locked yet are left out."""
    if not paths.lock.exists():
        return {}
    stages = (yaml.safe_load(paths.lock.read_text()) or {}).get("stages", {})
    locked = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    names = [str(path.relative_to(paths.root)) for path in inputs]
    return {name: locked[name] for name in names if name in locked}


def _client(paths: Paths) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
    except ImportError:
        print("aigc: tracking.enabled is true, but mlflow is not installed: this run is not tracked", file=sys.stderr)
        return None
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)  # its first migration would print a page
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        (paths.root / "mlflow").mkdir(exist_ok=True)
        uri = f"sqlite:///{(paths.root / 'mlflow' / 'mlflow.db').resolve()}"
    # Not through mlflow.set_tracking_uri: that sets the environment variable, and then nothing tells whose wish it was.
    return MlflowClient(uri)


def _start(
    client: Any,
    tracking: Tracking,
    paths: Paths,
    stage: str,
    config: dict[str, Any],
    config_digest: str,
    versions: dict[str, str],
) -> str:
    from mlflow.entities import Dataset, DatasetInput, Param, RunTag

    experiment = client.get_experiment_by_name(tracking.experiment)
    place = None if "MLFLOW_TRACKING_URI" in os.environ else (paths.root / "mlflow" / "artifacts").resolve().as_uri()
    # The kind decides which pages MLflow shows first: without it, those for language models.
    kind = {"mlflow.experimentKind": "custom_model_development"}
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment(tracking.experiment, place, kind)
    )
    name = f"{stage}-{config_digest[:8]}"
    run = client.create_run(experiment_id, run_name=name)
    tags = {"stage": stage, "config_digest": config_digest, **_surroundings(paths.root)}
    tags |= {"mlflow.source.name": "aigc " + stage.split("-")[0].replace("@", " "), "mlflow.source.type": "LOCAL"}
    tags |= {f"dvc.{path}": md5 for path, md5 in versions.items()}
    client.log_batch(
        run.info.run_id,
        params=[Param(key, str(value)) for key, value in _flat(config).items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    datasets = [Dataset(path, md5[:36], "dvc", path) for path, md5 in versions.items()]
    if datasets:
        client.log_inputs(run.info.run_id, [DatasetInput(dataset=dataset, tags=[]) for dataset in datasets])
    write_json(
        paths.run_file(stage),
        {
            "run_id": run.info.run_id, "experiment_id": experiment_id, "name": name, "stage": stage,
            "config_digest": config_digest, "finished": False,
        },
    )  # fmt: skip
    return str(run.info.run_id)


def _run_to_continue(client: Any, run_file: Path, config_digest: str) -> str | None:
    """The run of an unfinished predecessor with the same configuration and data, if the store still has it."""
    from mlflow.exceptions import MlflowException

    if not run_file.exists():
        return None
    known = read_json(run_file)
    if known["finished"] or known["config_digest"] != config_digest:
        return None
    try:
        client.update_run(known["run_id"], "RUNNING")
    except MlflowException:
        return None  # another store, or a deleted run: a new one is started
    return str(known["run_id"])


def _remember(run_file: Path, *, finished: bool) -> None:
    write_json(run_file, {**read_json(run_file), "finished": finished})


def _surroundings(root: Path) -> dict[str, str]:
    """Git commit and Dagster run, where there are any."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    commit = git.stdout.strip()
    found = {"git_commit": commit, "mlflow.source.git.commit": commit} if git.returncode == 0 else {}
    if "DAGSTER_RUN_ID" in os.environ:
        found["dagster_run_id"] = os.environ["DAGSTER_RUN_ID"]
    return found


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat

"""The run of one stage: what it carries, how it is begun or continued, and how it ends.

A run carries the stage, the resolved configuration and its digest, the DVC md5 of every input, the git commit, the
Dagster run where there is one, and the process that it belongs to. Its id lies in .work/runs/<stage>.json, so that a
training that was killed goes on in the same run.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from aigc_core.config import Tracking
from aigc_core.files import digest, read_json
from aigc_core.paths import Paths
from aigc_core.tracking import processes
from aigc_core.tracking.base import Child, Tracker, say, short
from aigc_core.tracking.delivery import Delivery, remember
from aigc_core.tracking.link import ANSWER_S, PATIENT_S, Link, chosen, installed
from aigc_core.tracking.load import watched
from aigc_core.tracking.spool import Spool, in_words, spools
from aigc_core.tracking.sync import clear, deliver, refusal


class MlflowTracker(Tracker):
    """One MLflow run. What it is told goes to the spool, and at every flush from there to MLflow."""

    def __init__(self, spool: Spool, link: Link, paths: Paths) -> None:
        self.spool, self.link = spool, link
        self._points: list[tuple[str, float, int]] = []
        self._delivery: Delivery | None = None
        self._paths = paths

    @property
    def client(self) -> Any:
        """MLflow's client. Raises where there is no way to the store."""
        return self.link.client()

    @property
    def run_id(self) -> str:
        """The run's id in MLflow; "None" as long as nothing could be delivered."""
        return str(self.spool.about["run_id"])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Note values at a step."""
        self._points += [(name, float(value), step) for name, value in values.items()]

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or a folder as it is now."""
        self.spool.note("artifact", path=self.spool.keep(path), folder=folder)
        if self.spool.fault is not None:
            self.flush()  # it could not be kept, and may be gone later

    def image(self, path: Path, key: str, step: int = 0) -> None:
        """Store a picture as it is now under a key and a step."""
        self.spool.note("image", path=self.spool.keep(path), key=key, step=step)
        if self.spool.fault is not None:
            self.flush()

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.spool.note("tags", tags={name: str(value) for name, value in values.items()})

    def table(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Store a table; MLflow shows it beside those of other runs. It replaces that of a predecessor in this run."""
        if lines:
            self.spool.note("table", name=name, lines=lines)

    def children(self, runs: Sequence[Child]) -> None:
        """Store each run below this one."""
        plain = [{**asdict(child), "metrics": {k: float(v) for k, v in child.metrics.items()}} for child in runs]
        self.spool.note("children", runs=plain)

    def flush(self) -> None:
        """Send what waits; MLflow takes a thousand points at a time. What fails waits on."""
        self._send(PATIENT_S if self.link.failures == 0 else ANSWER_S)

    def begin(self) -> None:
        """Begin the run in MLflow, if it answers soon."""
        self._send(ANSWER_S)

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED, and say what could not be delivered."""
        self._note_points()
        self.spool.note("ended", status=status, at=time.time())
        self.spool.about["ended"] = status
        self.spool.save()
        if self.spool.about["run_id"] is not None:
            remember(self._paths.run_file(self.spool.about["stage"]), self.spool.about)
        try:
            self._send(PATIENT_S if status == "FINISHED" and self.link.failures == 0 else ANSWER_S, now=True)
        finally:
            lost = self.spool.waiting if self.spool.fault is not None else []
            self.spool.close()
        if lost:
            say(f"{in_words(lost)} of this run are lost: MLflow did not take them, and .work/tracking cannot be written ({short(self.spool.fault or OSError())})")  # fmt: skip

    def _note_points(self) -> None:
        points, self._points = self._points, []
        if points:
            self.spool.note("metrics", points=points)

    def _send(self, seconds: int, *, now: bool = False) -> None:
        self._note_points()
        if not (now or self.link.due()):
            return
        if self._delivery is None:
            self._delivery = Delivery(self.spool, self.link, self._paths.run_file(self.spool.about["stage"]), refusal(self._paths, self.spool))  # fmt: skip
        deliver(self._delivery, seconds)


@contextmanager
def open_tracker(
    tracking: Tracking, paths: Paths, stage: str, config: dict[str, Any], inputs: list[Path]
) -> Iterator[Tracker]:
    """The tracker of one stage's run, for example `train@gan`; ends it as finished, failed or killed.

    `config` is the resolved configuration of the stage, `inputs` the outs that it reads. Where MLflow is switched
    on but not installed, that is said on standard error and nothing is tracked. No fault of MLflow's is raised.
    """
    tracker = _opened(tracking, paths, stage, config, inputs) if tracking.enabled and installed() else None
    if tracker is None:
        yield Tracker()
        return
    with processes.ending_in_order():
        try:
            tracker.begin()
            with watched(tracker, tracker.spool.about["begun"]) if tracking.system_metrics else nullcontext():
                yield tracker
        except Exception:
            tracker.close("FAILED")
            raise
        except BaseException:
            tracker.close("KILLED")
            raise
        tracker.close("FINISHED")


def _opened(
    tracking: Tracking, paths: Paths, stage: str, config: dict[str, Any], inputs: list[Path]
) -> MlflowTracker | None:
    try:
        versions = input_digests(paths, inputs)
        config_digest = digest({"config": config, "inputs": versions})[:16]
        link = Link(paths, chosen())
        spool = _unfinished(paths, stage, config_digest, link)
        if spool is None:
            about = _about(tracking, paths, stage, config, config_digest, versions)
            spool = Spool.begin(paths.tracking, {**about, "uri": link.uri, **_known(paths, stage, config_digest)})
            resumed = spool.about["run_id"] is not None
        else:
            resumed = True
        if resumed:
            spool.about["ended"] = None
            spool.about["tags"] |= processes.own()
            spool.save()
            spool.note("resumed", tags=processes.own())
        clear(paths, link, stage)
        return MlflowTracker(spool, link, paths)
    except Exception as error:
        say(f"this run is not tracked: {short(error)}")
        return None


def _about(
    tracking: Tracking, paths: Paths, stage: str, config: dict[str, Any], config_digest: str, versions: dict[str, str]
) -> dict[str, Any]:
    tags = {"stage": stage, "config_digest": config_digest, **_surroundings(paths.root), **processes.own()}
    tags |= {"mlflow.source.name": "aigc " + stage.split("-")[0].replace("@", " "), "mlflow.source.type": "LOCAL"}
    tags |= {f"dvc.{path}": md5 for path, md5 in versions.items()}
    return {
        "stage": stage, "name": f"{stage}-{config_digest[:8]}", "config_digest": config_digest, "tags": tags,
        "experiment": tracking.experiment, "params": {key: str(value) for key, value in _flat(config).items()},
        "artifacts": (paths.root / "mlflow" / "artifacts").resolve().as_uri() if chosen() is None else None,
        "datasets": versions, "begun": time.time(), "run_id": None, "experiment_id": None, "ended": None,
    }  # fmt: skip


def _unfinished(paths: Paths, stage: str, config_digest: str, link: Link) -> Spool | None:
    """What a predecessor that did not finish left undelivered, with the same configuration, data and store."""
    for folder in spools(paths.tracking):
        if not folder.name.startswith(stage.replace("/", "-") + "-"):
            continue
        spool = Spool.open(folder)
        if spool is None:
            continue
        about = spool.about
        if (about["stage"], about["config_digest"], about["uri"]) == (stage, config_digest, link.uri) and about["ended"] != "FINISHED":  # fmt: skip
            return spool
        spool.close()
    return None


def _known(paths: Paths, stage: str, config_digest: str) -> dict[str, Any]:
    """The run of an unfinished predecessor whose spool is delivered; the store is asked later whether it still has it."""
    try:
        known = read_json(paths.run_file(stage))
        if not known["finished"] and known["config_digest"] == config_digest:
            return {"run_id": known["run_id"], "experiment_id": known["experiment_id"], "begun": known["begun"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def input_digests(paths: Paths, inputs: list[Path]) -> dict[str, str]:
    """DVC's md5 of each input as dvc.lock records it; inputs that no stage has locked yet are left out."""
    if not paths.lock.exists():
        return {}
    stages = (yaml.safe_load(paths.lock.read_text()) or {}).get("stages", {})
    locked = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    names = [str(path.relative_to(paths.root)) for path in inputs]
    return {name: locked[name] for name in names if name in locked}


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

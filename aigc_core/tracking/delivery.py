"""Entries of a spool, delivered to MLflow one after the other. Each can be delivered twice and leaves what once leaves.

A request that failed may have arrived: after a failure the store is asked what it holds before anything is sent again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aigc_core.files import read_json, write_json
from aigc_core.tracking.base import say, short
from aigc_core.tracking.link import Link
from aigc_core.tracking.spool import Entry, Spool

#: MLflow's tag for the run that another belongs to.
PARENT = "mlflow.parentRunId"
TABLES = "mlflow.loggedArtifacts"
#: The tag by which a run is found again whose making was not answered.
IDENTITY = "aigc.run"
POINTS, PAIRS = 1000, 90  # MLflow takes a thousand points and a hundred parameters or tags at a time
LONGEST_PARAM, LONGEST_TAG = 6000, 5000  # characters that MLflow keeps
#: MLflow's answers that another attempt does not change.
FINAL = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE"}


class Delivery:
    """The way of one spool into one store. What fails for now raises, and the entry stays first in the spool."""

    def __init__(self, spool: Spool, link: Link, run_file: Path, refused: Callable[[Entry, str], None]) -> None:
        self.spool, self.link, self.run_file, self.refused = spool, link, run_file, refused
        self.client: Any = None
        self._steps: dict[str, set[int]] = {}  # metric -> steps that the store holds
        self._fresh = False  # whether the run was made here and everything since was answered
        self._there = False  # whether the run is known to exist

    @property
    def run_id(self) -> str:
        """The run in MLflow."""
        return str(self.spool.about["run_id"])

    def all(self) -> None:
        """Deliver everything that waits. Raises what MLflow raises where it cannot be done now."""
        try:
            self.client = self.link.client()
            self._begin()
            while self.spool.waiting:
                self._one(self.spool.waiting[0])
                self.spool.delivered()
        except BaseException:
            self._steps.clear()
            self._fresh = self._there = False
            raise

    def _one(self, entry: Entry) -> None:
        from mlflow.exceptions import MlflowException

        values = {key: value for key, value in entry.items() if key != "kind"}
        for attempt in (1, 2):
            try:
                getattr(self, f"_{entry['kind']}")(**values)
                return
            except MlflowException as error:
                if error.error_code not in FINAL:
                    raise
                if attempt == 2 or not revived(self.client, self.spool.about["experiment_id"]):
                    self.refused(entry, short(error))
                    return
            except FileNotFoundError as error:
                self.refused(entry, short(error))
                return

    # -- the run ---------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        from mlflow.exceptions import MlflowException

        about = self.spool.about
        if about["run_id"] is not None and not self._there:
            try:
                info = self.client.get_run(about["run_id"]).info
                if info.lifecycle_stage == "deleted" and not revived(self.client, info.experiment_id):
                    about["run_id"] = None  # somebody deleted it
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                about["run_id"] = None  # this is another store than that of its beginning
        if about["run_id"] is None:
            self._make()
        self._there = True

    def _make(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, Param

        about = self.spool.about
        experiment = experiment_id(self.client, about["experiment"], about["artifacts"])
        run_id = None
        if about.get("tried"):
            found = self.client.search_runs([experiment], f"tags.`{IDENTITY}` = '{about['id']}'")
            run_id = found[0].info.run_id if found else None
        about["tried"] = True
        self.spool.save()
        if run_id is None:
            tags = {name: value[:LONGEST_TAG] for name, value in {**about["tags"], IDENTITY: about["id"]}.items()}
            begun = int(about["begun"] * 1000)
            run_id = self.client.create_run(experiment, begun, tags, run_name=about["name"]).info.run_id
            self._fresh = True
        for part in _parts(list(about["params"].items()), PAIRS):
            self.client.log_batch(run_id, params=[Param(key, value[:LONGEST_PARAM]) for key, value in part])
        datasets = [Dataset(path, md5[:36], "dvc", path) for path, md5 in about["datasets"].items()]
        if datasets:
            self.client.log_inputs(run_id, [DatasetInput(dataset=dataset, tags=[]) for dataset in datasets])
        about |= {"run_id": str(run_id), "experiment_id": str(experiment)}
        self.spool.save()
        remember(self.run_file, about)

    def _resumed(self, tags: dict[str, str]) -> None:
        self.client.update_run(self.run_id, "RUNNING")
        self._tags(tags)

    def _ended(self, status: str, at: float) -> None:
        self.client.set_terminated(self.run_id, status, int(at * 1000))

    # -- what it is told -------------------------------------------------------------------------------------
    def _metrics(self, points: list[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        missing: dict[tuple[str, int], float] = {}
        for name, value, step in points:
            if step not in self._held(name):
                missing.setdefault((name, step), value)
        for part in _parts(list(missing.items()), POINTS):
            # The step stands in for the clock: the curve is the same however long a step took.
            metrics = [Metric(name, value, step, step) for (name, step), value in part]
            self.client.log_batch(self.run_id, metrics=metrics)
            for (name, step), _ in part:
                self._steps[name].add(step)

    def _held(self, name: str) -> set[int]:
        if name not in self._steps:
            known = [] if self._fresh else self.client.get_metric_history(self.run_id, name)
            self._steps[name] = {point.step for point in known}
        return self._steps[name]

    def _tags(self, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        for part in _parts(list(tags.items()), PAIRS):
            self.client.log_batch(self.run_id, tags=[RunTag(name, value[:LONGEST_TAG]) for name, value in part])

    def _artifact(self, path: str, folder: str | None) -> None:
        place = self.spool.folder / path
        if not place.exists():
            raise FileNotFoundError(f"{place.name} is no longer there")
        if place.is_dir():
            self.client.log_artifacts(self.run_id, str(place), folder)
        else:
            self.client.log_artifact(self.run_id, str(place), folder)

    def _image(self, path: str, key: str, step: int) -> None:
        """As MLflow's log_image writes it, under a name that the same picture has again when it is delivered twice."""
        import PIL.Image
        from mlflow.tracking.multimedia import compress_image_size
        from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES

        place = self.spool.folder / path
        name = f"{key}+step+{step}+timestamp+{step}+{uuid.uuid5(uuid.NAMESPACE_URL, f'{key}/{step}')}"
        with tempfile.TemporaryDirectory() as scratch, PIL.Image.open(place) as picture:
            shutil.copy(place, Path(scratch) / f"{name}.png")
            compress_image_size(picture).save(Path(scratch) / f"{name}+compressed.webp")
            self.client.log_artifacts(self.run_id, scratch, "images")
        self.client.set_tag(self.run_id, MLFLOW_LOGGED_IMAGES, True)

    def _table(self, name: str, lines: list[dict[str, Any]]) -> None:
        """MLflow's own log_table would append to the table of a predecessor; the tag is how its pages find one."""
        data = {"columns": list(lines[0]), "data": [list(line.values()) for line in lines]}
        self.client.log_dict(self.run_id, data, name)
        known = json.loads(self.client.get_run(self.run_id).data.tags.get(TABLES, "[]"))
        if name not in {table["path"] for table in known}:
            self.client.set_tag(self.run_id, TABLES, json.dumps([*known, {"path": name, "type": "table"}]))

    def _children(self, runs: list[dict[str, Any]]) -> None:
        """Store each run with one batch; one that was begun and not answered is ended, not made again."""
        from mlflow.entities import Metric

        experiment = self.spool.about["experiment_id"]
        known = {
            (run.data.tags.get("arm"), run.data.tags.get("digest"), run.info.status): run.info.run_id
            for run in pages(self.client, experiment, f"tags.`{PARENT}` = '{self.run_id}'")
        }
        for child in runs:
            status, tags = "FAILED" if child["failed"] else "FINISHED", child["tags"]
            key = (tags.get("arm"), tags.get("digest"))
            if (*key, status) in known:
                continue  # one that had failed, was tried again and finished is another run
            run_id = known.get((*key, "RUNNING"))
            if run_id is None:
                tags = {name: value[:LONGEST_TAG] for name, value in tags.items()} | {PARENT: self.run_id}
                run_id = self.client.create_run(experiment, tags=tags, run_name=child["name"]).info.run_id
            held = set(self.client.get_run(run_id).data.metrics) if (*key, "RUNNING") in known else set()
            metrics = [Metric(name, value, 0, 0) for name, value in child["metrics"].items() if name not in held]
            self.client.log_batch(run_id, metrics=metrics)
            self.client.set_terminated(run_id, status)


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pages(client: Any, experiment: str, condition: str) -> Iterator[Any]:
    """Every run of an experiment that meets a condition."""
    token = None
    while token is None or token:
        page = client.search_runs([experiment], condition, max_results=1000, page_token=token)
        yield from page
        token = page.token or ""


def experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    """The experiment of that name: restored where somebody deleted it, made where there is none."""
    from mlflow.exceptions import MlflowException

    for number in range(1, 100):
        called = name if number == 1 else f"{name}-{number}"
        known = client.get_experiment_by_name(called)
        if known is None:
            # The kind decides which pages MLflow shows first: without it, those for language models.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(client.create_experiment(called, artifacts, kind))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                known = client.get_experiment_by_name(called)  # another process was faster
        if known.lifecycle_stage != "deleted" or revived(client, known.experiment_id):
            return str(known.experiment_id)
        say(f"the experiment {called!r} was deleted in MLflow and cannot be restored: {name}-{number + 1} is used")
    raise RuntimeError(f"a hundred experiments named {name} were deleted")


def revived(client: Any, experiment: str) -> bool:
    """Restore an experiment with its runs, saying so; False where it was not deleted or cannot be restored."""
    from mlflow.exceptions import MlflowException

    try:
        known = client.get_experiment(experiment)
        if known.lifecycle_stage != "deleted":
            return False
        client.restore_experiment(experiment)
    except MlflowException as error:
        if error.error_code in FINAL | {"RESOURCE_DOES_NOT_EXIST"}:
            return False
        raise
    say(f"the experiment {known.name!r} had been deleted in MLflow: it was restored with its runs")
    return True


def remember(run_file: Path, about: dict[str, Any]) -> None:
    """Leave the run's id for the report's links and for a successor, unless a later run of the stage has done so."""
    try:
        later = run_file.exists() and read_json(run_file).get("begun", 0) > about["begun"]
        if not later:
            names = ("run_id", "experiment_id", "name", "stage", "config_digest", "begun")
            finished = about.get("ended") == "FINISHED"
            write_json(run_file, {name: about[name] for name in names} | {"finished": finished})
    except (OSError, ValueError) as error:
        say(f"{run_file.name} in .work/runs cannot be written ({short(error)}): the report has no link to this run")

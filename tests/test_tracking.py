"""Runs in MLflow on a store below tmp_path: sent in batches, continued after a kill, without gaps or doubles."""

import contextlib
import shutil
from pathlib import Path

import pytest
import yaml

from aigc_core.config import Tracking
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.tracking import Child, MlflowTracker, Tracker, input_digests, open_tracker

# MLflow's own use of its database library warns; that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

STAGE = "train@gan"
CONFIG = {"seed": 0, "train": {"gan": {"steps": 20}}, "family": "gan"}


@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    # Set first, so that what mlflow itself puts there is gone after the test.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("DAGSTER_RUN_ID", raising=False)


@pytest.fixture
def paths(tmp_path, whole_store) -> Paths:
    (tmp_path / "mlflow").mkdir()
    shutil.copy(whole_store, tmp_path / "mlflow/mlflow.db")
    (tmp_path / "dvc.lock").write_text(
        yaml.safe_dump(
            {"stages": {"curate": {"outs": [{"path": "data/curated", "md5": "0123456789abcdef0123456789abcdef.dir"}]}}}
        )
    )
    return Paths(tmp_path)


def opened(paths: Paths, config: dict = CONFIG):
    return open_tracker(Tracking(), paths, STAGE, config, [paths.content, paths.curated])


def points(tracker: MlflowTracker, name: str) -> list[tuple[int, float]]:
    history = tracker.client.get_metric_history(tracker.run_id, name)
    return sorted((point.step, point.value) for point in history)


def test_switched_off_keeps_nothing(paths):
    with open_tracker(Tracking(enabled=False), paths, STAGE, CONFIG, []) as tracker:
        assert type(tracker) is Tracker, "the one that keeps nothing"
        tracker.metrics({"loss": 1.0}, 1)
        tracker.flush()
    assert not paths.tracking.exists()
    assert not paths.run_file(STAGE).exists()


def test_a_run_carries_config_inputs_tags_and_files(paths, monkeypatch):
    monkeypatch.setenv("DAGSTER_RUN_ID", "d-1")
    folder = paths.root / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    with opened(paths) as tracker:
        tracker.artifact(folder, "model")
        tracker.artifact(folder / "model.json", "grids")
        tracker.tags({"family": "gan"})
    run = tracker.client.get_run(tracker.run_id)
    known = read_json(paths.run_file(STAGE))
    assert known["run_id"] == tracker.run_id
    assert known["experiment_id"] == run.info.experiment_id
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"train@gan-{known['config_digest'][:8]}"
    assert run.data.params == {"seed": "0", "train.gan.steps": "20", "family": "gan"}
    assert run.data.tags["stage"] == STAGE
    assert run.data.tags["family"] == "gan"
    assert run.data.tags["dagster_run_id"] == "d-1"
    assert run.data.tags["config_digest"] == known["config_digest"]
    assert run.data.tags["dvc.data/curated"] == "0123456789abcdef0123456789abcdef.dir"
    (dataset,) = [entry.dataset for entry in run.inputs.dataset_inputs]
    assert dataset.name == "data/curated"
    assert dataset.digest.startswith("0123456789abcdef0123456789abcdef")
    assert [item.path for item in tracker.client.list_artifacts(tracker.run_id, "model")] == ["model/model.json"]
    assert [item.path for item in tracker.client.list_artifacts(tracker.run_id, "grids")] == ["grids/model.json"]
    assert (paths.root / "mlflow/mlflow.db").exists()
    assert list((paths.root / "mlflow/artifacts").rglob("model.json"))


def test_points_are_sent_in_batches_of_a_thousand(paths, monkeypatch):
    with opened(paths) as tracker:
        sent, log_batch = [], tracker.client.log_batch
        monkeypatch.setattr(
            tracker.client,
            "log_batch",
            lambda run, metrics=(), **rest: sent.append(len(metrics)) or log_batch(run, metrics, **rest),
        )
        for step in range(1, 601):
            tracker.metrics({"generator_loss": 1.0, "r1_penalty": 0.1}, step)
        assert sent == []
        tracker.flush()
        assert sent == [1000, 200]
        tracker.flush()
        assert sent == [1000, 200]
    assert len(points(tracker, "generator_loss")) == 600


def test_a_failed_run_is_continued_without_gaps_or_doubles(paths):
    with pytest.raises(RuntimeError, match="killed"), opened(paths) as first:
        for step in (5, 10):
            first.metrics({"loss": step / 10}, step)
        first.flush()
        first.metrics({"loss": 1.5}, 15)  # arrives as the run fails
        raise RuntimeError("killed")
    assert first.client.get_run(first.run_id).info.status == "FAILED"
    with opened(paths) as second:
        assert second.run_id == first.run_id
        for step in (5, 10, 15, 20):  # a resumed training tells its whole curve
            second.metrics({"loss": step / 10}, step)
    assert points(second, "loss") == [(5, 0.5), (10, 1.0), (15, 1.5), (20, 2.0)]
    assert second.client.get_run(second.run_id).info.status == "FINISHED"


def test_a_continued_run_has_one_table_and_a_child_that_failed_and_finished_twice(paths):
    def cells(second_failed: bool) -> list[Child]:
        own = {"one": False, "two": second_failed}
        return [Child(name, {"fd": 1.0}, {"arm": name, "digest": "d"}, failed) for name, failed in own.items()]

    for failed, fd in ((True, 1.0), (True, 1.0), (False, 2.0)):
        with contextlib.suppress(KeyboardInterrupt), opened(paths) as tracker:
            tracker.table("ledger.json", [{"decision": "curate", "fd": fd}])
            tracker.children(cells(failed))
            if failed:
                raise KeyboardInterrupt
    client, run = tracker.client, tracker.client.get_run(tracker.run_id)
    table = read_json(Path(client.download_artifacts(tracker.run_id, "ledger.json", str(paths.root))))
    assert (table["columns"], table["data"]) == (["decision", "fd"], [["curate", 2.0]])
    assert "ledger.json" in run.data.tags["mlflow.loggedArtifacts"]
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{tracker.run_id}'")
    assert sorted((child.info.run_name, child.info.status) for child in children) == [
        ("one", "FINISHED"), ("two", "FAILED"), ("two", "FINISHED")
    ]  # fmt: skip


def test_finished_runs_and_other_settings_start_a_new_run(paths):
    with opened(paths) as first:
        pass
    with opened(paths) as again:
        assert again.run_id != first.run_id
    with pytest.raises(RuntimeError), opened(paths) as failed:
        raise RuntimeError
    with opened(paths, {**CONFIG, "seed": 1}) as other:
        assert other.run_id not in {first.run_id, again.run_id, failed.run_id}


def test_a_run_that_the_store_no_longer_has_is_replaced(paths):
    with pytest.raises(RuntimeError), opened(paths) as lost:
        raise RuntimeError
    lost.client.delete_run(lost.run_id)
    with opened(paths) as fresh:
        assert fresh.run_id != lost.run_id


def test_the_address_of_the_environment_is_used(paths, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root / 'elsewhere.db'}")
    (paths.root / "mlflow/mlflow.db").rename(paths.root / "elsewhere.db")
    # Without a server in between the artifacts of such a store go below the working folder.
    monkeypatch.chdir(paths.root)
    with opened(paths) as tracker:
        tracker.metrics({"fd": 1.0}, 0)
    assert points(tracker, "fd") == [(0, 1.0)]
    assert (paths.root / "elsewhere.db").exists()
    assert not (paths.root / "mlflow/mlflow.db").exists()


def test_input_digests_come_from_dvc_lock(paths):
    assert input_digests(paths, [paths.curated, paths.content]) == {
        "data/curated": "0123456789abcdef0123456789abcdef.dir"
    }
    paths.lock.unlink()
    assert input_digests(paths, [paths.curated]) == {}

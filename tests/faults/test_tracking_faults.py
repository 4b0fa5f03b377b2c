"""MLflow never decides whether something is trained: broken stores, deleted experiments, dead servers, killed processes."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from aigc_core import cli
from aigc_core.config import Tracking
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.tracking import delivery, open_tracker, outstanding, store, sync
from aigc_core.tracking.link import Link
from aigc_core.tracking.spool import spools

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from tracking_faults import TRAINING, Server, run_round  # noqa: E402

# MLflow's own use of its database library warns; that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

CONFIG = {"seed": 0}


@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def paths(tmp_path, whole_store) -> Paths:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "params.yaml").write_text("{}\n")
    shutil.copy(whole_store, tmp_path / "mlflow/mlflow.db")
    return Paths(tmp_path)


def opened(paths: Paths, stage: str = "train@gan", config: dict = CONFIG):
    return open_tracker(Tracking(), paths, stage, config, [])


def train(paths: Paths, steps: int = 4, stage: str = "train@gan") -> None:
    with opened(paths, stage) as tracker:
        for step in range(1, steps + 1):
            tracker.metrics({"loss": step / 7}, step)


def run_of(paths: Paths, stage: str = "train@gan"):
    return Link(paths, None).client().get_run(read_json(paths.run_file(stage))["run_id"])


def curve(paths: Paths, uri: str | None = None, stage: str = "train@gan") -> list[int]:
    run_id = read_json(paths.run_file(stage))["run_id"]
    return [point.step for point in Link(paths, uri).client().get_metric_history(run_id, "loss")]


# -- the store ---------------------------------------------------------------------------------------------------


def half_made(place: Path) -> None:
    with sqlite3.connect(place) as database:
        database.executescript("CREATE TABLE alembic_version (version_num TEXT); CREATE TABLE runs (run_uuid TEXT);")
    database.close()


def other_schema(place: Path) -> None:
    with sqlite3.connect(place) as database:
        database.execute("UPDATE alembic_version SET version_num = 'of-tomorrow'")
    database.close()


def foreign(place: Path) -> None:
    place.unlink()
    with sqlite3.connect(place) as database:
        database.execute("CREATE TABLE letters (text TEXT)")
    database.close()


BROKEN = {
    "random": lambda place: place.write_bytes(os.urandom(5000)),
    "empty": lambda place: place.write_bytes(b""),
    "folder": lambda place: (place.unlink(), place.mkdir()),
    "dangling": lambda place: (place.unlink(), place.symlink_to("nowhere")),
    "half": lambda place: (place.unlink(), half_made(place)),
    "schema": other_schema,
    "foreign": foreign,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_store_is_set_aside_and_training_goes_on(kind, paths, whole_store, monkeypatch, capsys):
    monkeypatch.setattr(store, "QUIET_S", 0.0)
    monkeypatch.setattr(store, "_make", lambda place: shutil.copy(whole_store, place))
    place = paths.root / "mlflow/mlflow.db"
    BROKEN[kind](place)
    train(paths)
    assert curve(paths) == [1, 2, 3, 4]
    assert os.path.lexists(paths.root / "mlflow/mlflow.db.set-aside-1")
    assert "mlflow.db.set-aside-1" in capsys.readouterr().err
    train(paths)
    assert not os.path.lexists(paths.root / "mlflow/mlflow.db.set-aside-2")


def test_a_store_that_is_only_locked_or_unreadable_is_left_alone(paths, capsys):
    place = paths.root / "mlflow/mlflow.db"
    holder = sqlite3.connect(place)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        train(paths)
    finally:
        holder.close()
    assert not list(place.parent.glob("*set-aside*"))
    assert "aigc track sync" in capsys.readouterr().err
    assert len(outstanding(paths)) == 1
    assert sync(paths)[1]
    assert curve(paths) == [1, 2, 3, 4]


@pytest.mark.slow
def test_two_at_once_on_a_new_store_and_a_kill_while_it_is_made(tmp_path):
    code = "import sys, pathlib; from aigc_core.tracking import store; store.make_ready(pathlib.Path(sys.argv[1]))"
    place = tmp_path / "mlflow/mlflow.db"
    command = [sys.executable, "-W", "ignore", "-c", code, str(place)]
    first = subprocess.Popen(command)
    while not list(tmp_path.glob("mlflow/.making-*")):
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert not place.exists()
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert store.fault_of(place) is None
    assert not list(place.parent.glob("*set-aside*"))


# -- experiments and runs that somebody deleted ----------------------------------------------------------------------


@pytest.mark.parametrize("restorable", [True, False])
def test_a_deleted_experiment_is_restored_or_replaced(restorable, paths, monkeypatch, capsys):
    train(paths)
    client, known = Link(paths, None).client(), run_of(paths).info.experiment_id
    client.delete_experiment(known)
    if not restorable:
        monkeypatch.setattr(delivery, "revived", lambda client, experiment: False)
    train(paths)
    assert (run_of(paths).info.experiment_id == known) == restorable
    assert run_of(paths).info.status == "FINISHED"
    assert "'aigc'" in capsys.readouterr().err


def test_an_experiment_deleted_during_training_is_restored(paths):
    with opened(paths) as tracker:
        tracker.metrics({"loss": 1.0}, 1)
        tracker.flush()
        tracker.client.delete_experiment(tracker.spool.about["experiment_id"])
        tracker.metrics({"loss": 2.0}, 2)
    assert curve(paths) == [1, 2]
    assert run_of(paths).info.lifecycle_stage == "active"


# -- a server that is not there --------------------------------------------------------------------------------------


def test_a_server_that_is_down_costs_a_sentence_and_its_points_arrive_later(paths, monkeypatch, capsys):
    server = Server(paths.root, paths.root / "mlflow/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    began = time.monotonic()
    with opened(paths) as tracker:
        assert time.monotonic() - began < 5 + 20  # MLflow's import takes its own time
        for step in range(1, 5):
            tracker.metrics({"loss": step / 7}, step)
        picture = paths.root / "grid.png"
        picture.write_bytes(b"picture")
        tracker.artifact(picture, "grids")
        Image.new("L", (400, 300)).save(picture)
        tracker.image(picture, "samples", 4)
        picture.unlink()
    assert capsys.readouterr().err.count("\n") == 1
    (told,) = outstanding(paths)
    assert "4 points, 2 files" in told
    monkeypatch.chdir(paths.root)
    assert CliRunner().invoke(cli.app, ["track", "sync"]).exit_code == 1
    server.launch()
    try:
        server.wait()
        for _ in range(2):
            assert CliRunner().invoke(cli.app, ["track", "sync"]).exit_code == 0
        assert curve(paths, server.uri) == [1, 2, 3, 4]
        run_id = read_json(paths.run_file("train@gan"))["run_id"]
        client = Link(paths, server.uri).client()
        assert [item.path for item in client.list_artifacts(run_id, "grids")] == ["grids/grid.png"]
        small, large = sorted(item.path for item in client.list_artifacts(run_id, "images"))
        # The names by which MLflow's pages find the pictures of a key and their steps.
        assert large.startswith("images/samples+step+4+timestamp+")
        assert small == large.removesuffix(".png") + "+compressed.webp"
        assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"
        assert client.get_run(run_id).info.status == "FINISHED"
    finally:
        server.kill()
    assert not spools(paths.tracking)


def test_a_server_that_takes_connections_and_says_nothing_is_left_after_a_moment(paths, monkeypatch):
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        import mlflow  # noqa: F401

        began = time.monotonic()
        train(paths)
        assert time.monotonic() - began < 10  # once at the start, once at the end
    assert len(outstanding(paths)) == 1


def test_what_was_delivered_without_an_answer_is_not_doubled(paths, monkeypatch):
    calls, sent = [], []

    def unanswered(self, *arguments, **named):
        calls.append(1)
        sent.extend(point.step for point in named.get("metrics", ()))
        log_batch(self, *arguments, **named)
        if len(calls) in (2, 4):
            raise ConnectionError("no answer")

    from mlflow import MlflowClient

    log_batch, create_run = MlflowClient.log_batch, MlflowClient.create_run

    def made_unanswered(self, *arguments, **named):
        create_run(self, *arguments, **named)
        monkeypatch.setattr(MlflowClient, "create_run", create_run)
        raise ConnectionError("no answer")

    monkeypatch.setattr(MlflowClient, "log_batch", unanswered)
    monkeypatch.setattr(MlflowClient, "create_run", made_unanswered)
    with opened(paths) as tracker:
        for step in range(1, 9):
            tracker.metrics({"loss": step / 7}, step)
            tracker.link._next = 0.0
            tracker.flush()
    sync(paths)
    assert curve(paths) == list(range(1, 9))
    assert sorted(sent) == list(range(1, 9)), "a store of files would have doubled them"
    client = Link(paths, None).client()
    assert len(client.search_runs([run_of(paths).info.experiment_id])) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_server_killed_at_random_moments_has_everything_in_the_end(seed, tmp_path, whole_store):
    shutil.copy(whole_store, tmp_path / "server.db")
    found = run_round(tmp_path, tmp_path / "server.db", seed, steps=80)
    assert {name: found[name] for name in ("rc", "runs", "missing", "doubled", "wrong", "left", "finished")} == {
        "rc": 0, "runs": 1, "missing": 0, "doubled": 0, "wrong": 0, "left": 0, "finished": 1,
    }  # fmt: skip
    assert found["kills"] > 0


# -- whose error is shown, and how runs end --------------------------------------------------------------------------


def test_the_training_s_own_error_is_the_one_that_is_raised(paths, monkeypatch, capsys):
    def broken(self):
        raise RuntimeError("MLflow's own")

    with pytest.raises(OSError, match="No space left"), opened(paths) as tracker:
        tracker.metrics({"loss": 1.0}, 1)
        monkeypatch.setattr(delivery.Delivery, "all", broken)
        raise OSError(28, "No space left on device")
    assert "MLflow's own" in capsys.readouterr().err


def test_a_work_folder_that_takes_nothing_still_delivers(paths, monkeypatch, capsys):
    paths.work.write_bytes(b"a file where the folder should be")
    with opened(paths) as tracker:
        tracker.metrics({"loss": 1.0}, 1)
        tracker.tags({"family": "gan"})
        picture = paths.root / "grid.png"
        picture.write_bytes(b"picture")
        tracker.artifact(picture)
        picture.unlink()
    run = tracker.client.get_run(tracker.run_id)
    assert (run.info.status, run.data.metrics, run.data.tags["family"]) == ("FINISHED", {"loss": 1.0}, "gan")
    assert [item.path for item in tracker.client.list_artifacts(tracker.run_id)] == ["grid.png"]


def test_a_value_that_mlflow_refuses_is_kept_and_the_others_arrive(paths):
    with opened(paths) as tracker:
        tracker.metrics({"a name\nthat is none": 1.0}, 1)
        tracker.flush()
        tracker.metrics({"loss": 1.0}, 1)
    assert curve(paths) == [1]
    (told,) = outstanding(paths)
    assert "refused.jsonl" in told


def started(paths: Paths) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", TRAINING, str(paths.root), "10000", "0.05"],
        stdout=subprocess.PIPE, text=True, cwd=paths.root,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_ended_by_a_signal_is_killed_in_mlflow(number, paths):
    process = started(paths)
    assert run_of(paths).info.status == "RUNNING"
    process.send_signal(number)
    try:
        process.wait(60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert run_of(paths).info.status == "KILLED"
    assert not spools(paths.tracking)


@pytest.mark.parametrize("by", ["stage", "sync", "sync without .work"])
def test_a_run_whose_process_was_killed_is_ended_by_who_comes_next(by, paths):
    process = started(paths)
    assert sync(paths)[0].summary == "nothing waits for MLflow"
    run = run_of(paths)
    assert run.info.status == "RUNNING", "its process lives"
    process.kill()
    process.wait()
    if by == "stage":
        with opened(paths, config={"seed": 1}):
            pass
    elif by == "sync":
        sync(paths)
    else:
        shutil.rmtree(paths.work)
        sync(paths)
    assert Link(paths, None).client().get_run(run.info.run_id).info.status == "KILLED"

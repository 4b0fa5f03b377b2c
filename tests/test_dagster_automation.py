"""What starts without a person, what runs with other parameters, pools, retries and alerts; all off until switched on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import PoolGranularity
from dvc_toys import Page, dvc, make_repository

from pipelines import DvcProjectComponent
from pipelines.automation import build_alert_sensor, build_source_sensor
from pipelines.resources import DvcCli, Outcome
from pipelines.stages import read_stages

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "dvc.yaml": """
stages:
  make:
    cmd: python make.py
    deps: [make.py, raw]
    params: [n]
    outs: [made.txt]
    meta: {dagster: {pool: gpu, watch: [raw], fresh_hours: 12}}
  use:
    cmd: python copy.py
    deps: [made.txt]
    outs: [used.txt]
""",
    "params.yaml": "n: 5\nname: plain\n",
    "raw/one.txt": "raw",
    "make.py": """
import re
n = int(re.search(r"^n: (-?\\d+)", open("params.yaml").read(), re.M)[1])
if n < 0: raise SystemExit("n must be positive")
open("made.txt", "w").write(str(min(n, 100)) + open("raw/one.txt").read())
""",
    "copy.py": "import shutil\nshutil.copyfile('made.txt', 'used.txt')\n",
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "toy", FILES)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def definitions(toy: Path) -> dg.Definitions:
    return dg.build_defs_for_component(DvcProjectComponent(repo_dir=toy))


def edit(toy: Path, old: str, new: str) -> None:
    text = (toy / "params.yaml").read_text()
    assert old in text
    (toy / "params.yaml").write_text(text.replace(old, new))


@pytest.mark.filterwarnings("ignore:Parameter .include_sources. of function")  # of the function that this test calls
def test_automation_asks_for_what_changed_and_not_for_equal_bytes(toy: Path, instance: dg.DagsterInstance) -> None:
    page = Page(toy, instance)
    assert page.materialize().success
    page.tick()
    cursor = None

    def asked() -> set[str]:
        nonlocal cursor
        result = dg.evaluate_automation_conditions(page.definitions, instance, cursor=cursor)
        cursor = result.cursor
        return {key.to_user_string() for key in page.graph.materializable_asset_keys if result.get_num_requested(key)}

    assert asked() == set()
    assert asked() == set()
    edit(toy, "n: 5", "n: 500")
    page.tick()
    assert asked() == {"make"}
    assert asked() == set()
    assert page.materialize("make").success
    page.tick()
    assert asked() == {"use"}
    assert page.materialize("use").success
    page.tick()
    assert asked() == set()
    # The same bytes come out of other parameters: what lies downstream is not asked for.
    edit(toy, "n: 500", "n: 600")
    page.tick()
    assert asked() == {"make"}
    assert page.materialize("make").success
    page.tick()
    assert asked() == set()
    assert asked() == set()


def test_nothing_starts_by_itself_until_it_is_switched_on(toy: Path) -> None:
    found = definitions(toy)
    on = {sensor.name for sensor in found.sensors or [] if sensor.default_status is dg.DefaultSensorStatus.RUNNING}
    assert on == {"dvc_status"}
    assert build_alert_sensor(toy / "alerts.log").default_status is dg.DefaultSensorStatus.STOPPED
    (schedule,) = found.schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "0 3 * * *"
    job = found.resolve_job_def("all_stages")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {"make", "use"}


def test_new_raw_files_start_one_run_once_nobody_writes_them_any_more(toy: Path, instance: dg.DagsterInstance) -> None:
    sensor = build_source_sensor(read_stages(toy))
    cursor: str | None = None

    def requests() -> int:
        nonlocal cursor
        result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
        cursor = result.cursor
        return len(result.run_requests)

    assert [requests(), requests()] == [0, 0]
    (toy / "raw/two.txt").write_text("2")
    assert requests() == 0  # it may still be written
    (toy / "raw/three.txt").write_text("3")
    assert requests() == 0
    assert [requests(), requests()] == [1, 0]
    (toy / "elsewhere.txt").write_text("1")
    assert [requests(), requests()] == [0, 0]


def test_pool_and_freshness_come_from_dvc_yaml(toy: Path) -> None:
    graph = definitions(toy).resolve_asset_graph()
    make, use = graph.get(dg.AssetKey("make")), graph.get(dg.AssetKey("use"))
    assert (make.pools, use.pools) == ({"gpu"}, set())
    assert make.freshness_policy == dg.FreshnessPolicy.time_window(
        fail_window=__import__("datetime").timedelta(hours=12)
    )
    assert use.freshness_policy is None


def test_the_instance_that_this_project_ships_lets_one_training_run_at_a_time(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dagster/dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
        assert (pools.default_pool_limit, pools.pool_granularity) == (1, PoolGranularity.OP)
        assert instance.freshness_enabled


def test_only_a_busy_file_is_worth_another_try(
    toy: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = DvcCli.call

    def busy_first(self: DvcCli, *arguments: object, **options: object) -> Outcome:
        calls.append(1)
        if len(calls) == 1:
            return Outcome(False, False, 0.1, ["ERROR: 'made.txt' is busy, it is being blocked by:", "  (PID 1): dvc"])
        return real(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(DvcCli, "call", busy_first)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    page = Page(toy, instance)
    assert page.materialize("make").success
    assert len(calls) == 2
    edit(toy, "n: 5", "n: -1")
    assert not page.materialize("make").success
    assert len(calls) == 3  # a wrong parameter stays wrong


def test_a_failed_run_writes_a_line_and_calls_a_command(toy: Path, instance: dg.DagsterInstance) -> None:
    tell = [sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write(sys.argv[2])", str(toy / "told.txt")]
    sensor = build_alert_sensor(toy / "log/alerts.log", tell)
    edit(toy, "n: 5", "n: -1")
    result = Page(toy, instance).materialize("make")
    (failure,) = [event for event in result.all_events if event.is_run_failure]
    context = dg.build_run_status_sensor_context(
        sensor_name="alerts", dagster_event=failure, dagster_instance=instance, dagster_run=result.dagster_run
    ).for_run_failure()
    sensor(context)
    sensor(context)
    lines = (toy / "log/alerts.log").read_text().splitlines()
    assert len(lines) == 2
    assert f"run {result.run_id} failed at make: " in lines[0]
    assert (toy / "told.txt").read_text() == "".join(lines)


def git(root: Path, *arguments: str) -> None:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", *arguments], cwd=root, env={**os.environ, **who}, check=True, capture_output=True)


@pytest.fixture
def tracked(toy: Path) -> Path:
    """The toy in git, everything run and committed; its raw files are neither git's nor DVC's."""
    (toy / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (toy / ".dvc/.gitignore").write_text("/tmp\n/cache\n/config.local\n")
    (toy / ".gitignore").write_text("/raw/*\n/made.txt\n/used.txt\n")
    git(toy, "init", "-q")
    git(toy, "add", ".")
    dvc(toy, "repro")
    git(toy, "add", ".")
    git(toy, "commit", "-qm", "all")
    return toy


def run_experiment(toy: Path, instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    job = definitions(toy).resolve_job_def("experiment")
    return job.execute_in_process(
        run_config={"ops": {"dvc_exp_run": {"config": config}}}, instance=instance, raise_on_error=False
    )


def test_parameters_from_the_launchpad_are_an_experiment_and_the_workspace_keeps_its_own(
    tracked: Path, instance: dg.DagsterInstance
) -> None:
    before = {name: (tracked / name).read_bytes() for name in ("params.yaml", "dvc.lock", "made.txt", "used.txt")}
    result = run_experiment(tracked, instance, params={"n": 7, "name": "two words"}, name="seven")
    assert result.success
    assert {name: (tracked / name).read_bytes() for name in before} == before
    assert "up to date" in dvc(tracked, "status")
    dvc(tracked, "exp", "apply", "seven")
    assert yaml.safe_load((tracked / "params.yaml").read_text()) == {"n": 7, "name": "two words"}
    assert (tracked / "used.txt").read_text() == "7raw"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"params": {}}, "params is empty"),
        ({"params": {"lost": 1}}, "lost"),
        ({"params": {"n": -1}}, "n must be positive"),
        ({"params": {"n": 6}, "stages": ["nowhere"]}, "nowhere"),
    ],
)
def test_a_wrong_experiment_is_a_sentence(
    tracked: Path, instance: dg.DagsterInstance, config: dict[str, object], said: str
) -> None:
    before = (tracked / "params.yaml").read_bytes()
    result = run_experiment(tracked, instance, **config)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert said in str(failure.step_failure_data.user_failure_data.description)
    assert (tracked / "params.yaml").read_bytes() == before


def test_a_part_is_materialized_from_the_command_line(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (toy / "definitions.py").write_text(
        "import pathlib\nimport dagster as dg\nfrom pipelines import DvcProjectComponent\n"
        "defs = dg.build_defs_for_component(DvcProjectComponent(repo_dir=pathlib.Path(__file__).parent))\n"
    )

    def select(selection: str) -> int:
        command = [
            sys.executable,
            "-m",
            "dagster",
            "asset",
            "materialize",
            "-f",
            "definitions.py",
            "--select",
            selection,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(tmp_path / "home")}
        return subprocess.run(command, cwd=toy, env=environment, capture_output=True, check=False).returncode

    (toy / "copy.py").rename(toy / "copying.py")  # dagster itself would import a copy.py of the present folder
    (toy / "dvc.yaml").write_text(FILES["dvc.yaml"].replace("copy.py", "copying.py"))
    assert select("make") == 0
    assert (toy / "made.txt").exists()
    assert not (toy / "used.txt").exists()
    assert select("+use") == 0
    assert (toy / "used.txt").exists()
    assert select("nowhere") != 0

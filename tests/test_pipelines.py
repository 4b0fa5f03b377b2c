"""Dagster over DVC, on a toy repository: graph, versions, caching, gates, failures; then the real graph's snapshot.

The snapshot is written again with `AIGC_WRITE_SNAPSHOT=1 pytest tests/test_pipelines.py -k snapshot`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import dagster as dg
import pytest
from dvc_toys import dvc, make_repository

from pipelines.dvc_assets import DvcTranslator, load_assets_from_dvc
from pipelines.guard import end_group
from pipelines.resources import DvcCli
from pipelines.stages import read_stages

ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT = Path(__file__).parent / "graph_snapshot.json"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

DVC_YAML = """
stages:
  make:
    desc: Makes numbers.
    cmd: python make.py
    deps: [make.py, raw.txt]
    params: [n]
    outs: [out/made]
    meta: {dagster: {group: data, kinds: [python]}}
  gate:
    cmd: python gate.py
    deps: [gate.py, out/made/numbers.txt]
    params: [limit, balance]
    outs: [out/report.json]
    meta:
      dagster:
        group: quality
        checks: {report: out/report.json, suite: suite.json}
  train:
    matrix: {model: [vae, gan]}
    cmd: python train.py ${item.model}
    deps: [train.py, out/made, out/report.json]
    metrics: ["out/${item.model}/metrics.json"]
    outs: ["out/${item.model}/details"]
    meta: {dagster: {group: training}}
  report:
    cmd: python report.py
    deps: [report.py, out/vae, out/gan]
    outs: [out/page.txt]
"""

SCRIPTS = {
    "make.py": """
import pathlib, re, os
n = int(re.search(r"^n: (-?\\d+)", open("params.yaml").read(), re.M)[1])
if n < 0:
    print("there is nothing to make with n", n); raise SystemExit("n must be positive: set n in params.yaml")
d = pathlib.Path("out/made"); d.mkdir(parents=True)
(d / "numbers.txt").write_text("\\n".join(map(str, range(n))))
pathlib.Path("ran.log").open("a").write(os.environ.get("DAGSTER_RUN_ID", "terminal") + "\\n")
print("made", n)
""",
    "gate.py": """
import json, re
params = open("params.yaml").read()
limit, balance = (int(re.search(rf"^{k}: (-?\\d+)", params, re.M)[1]) for k in ("limit", "balance"))
n = len(open("out/made/numbers.txt").read().split())
if limit == -1: raise SystemExit("the gate broke before it could judge")
checks = [dict(name="enough", passed=n >= limit, observed=n, expected=f">= {limit}", severity="error", description="Enough numbers."),
          dict(name="balanced", passed=bool(balance), observed={"a": 1}, expected=None, severity="warning", description="Balanced.")]
json.dump({"checks": checks}, open("out/report.json", "w"))
if n < limit: raise SystemExit(f"gate: {n} numbers are fewer than {limit}")
""",
    "train.py": f"""
import base64, json, pathlib, sys
d = pathlib.Path("out", sys.argv[1], "details"); d.mkdir(parents=True)
(d / "grid.png").write_bytes({PIXEL!r})
(d / "curve.csv").write_text("step,loss\\n" + "\\n".join(f"{{i}},{{1 / (i + 1)}}" for i in range(100)))
json.dump({{"fd": .5, "tuned": {{"fd": .25}}}}, open(d.parent / "metrics.json", "w"))
""",
    "report.py": """
open("out/page.txt", "w").write("page")
""",
}

SUITE = {
    "expectations": [
        {"name": "enough", "description": "Enough numbers.", "severity": "error"},
        {"name": "balanced", "description": "Balanced.", "severity": "warning"},
    ]
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A DVC repository of five stages, each a few lines of Python."""
    return make_repository(
        tmp_path / "toy",
        {
            "dvc.yaml": DVC_YAML,
            "params.yaml": "n: 5\nlimit: 3\nbalance: 1\n",
            "raw.txt": "raw",
            "suite.json": json.dumps(SUITE),
            **SCRIPTS,
        },
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def set_param(toy: Path, **values: int) -> None:
    params = dict(line.split(": ") for line in (toy / "params.yaml").read_text().splitlines())
    params |= {name: str(value) for name, value in values.items()}
    (toy / "params.yaml").write_text("".join(f"{name}: {value}\n" for name, value in params.items()))


def materialize(toy: Path, instance: dg.DagsterInstance, *only: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        load_assets_from_dvc(toy),
        instance=instance,
        selection=list(only) or None,
        resources={"dvc": DvcCli(repo_dir=str(toy))},
        raise_on_error=False,
    )


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    events = result.get_asset_materialization_events()
    return {event.asset_key.to_user_string(): event.materialization for event in events}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def failure_text(result: dg.ExecuteInProcessResult, step: str) -> str:
    (event,) = [e for e in result.all_events if e.is_step_failure and e.step_key == step]
    return str(event.step_failure_data.user_failure_data.description)


def test_every_resolved_stage_is_an_asset_with_its_neighbours(toy: Path) -> None:
    specs = {spec.key.to_user_string(): spec for asset in load_assets_from_dvc(toy) for spec in asset.specs}
    assert set(specs) == {"make", "gate", "train_vae", "train_gan", "report", "dvc_status"}
    deps = {
        name: {dep.asset_key.to_user_string() for dep in spec.deps} - {"dvc_status"} for name, spec in specs.items()
    }
    # gate depends on a file inside an out, report on a folder that holds outs.
    assert deps["gate"] == {"make"}
    assert deps["train_gan"] == {"make", "gate"}
    assert deps["report"] == {"train_vae", "train_gan"}
    assert specs["make"].group_name == "data"
    assert specs["make"].kinds == {"python", "dvc"}
    assert "Makes numbers." in (specs["make"].description or "")
    assert "python train.py gan" in (specs["train_gan"].description or "")


def test_two_stages_with_one_key_are_refused(toy: Path) -> None:
    class Same(DvcTranslator):
        def asset_key(self, stage: object) -> dg.AssetKey:
            return dg.AssetKey("same")

    with pytest.raises(ValueError, match="make and gate both make the asset same"):
        load_assets_from_dvc(toy, Same())


def test_materializing_leaves_dvc_up_to_date_and_a_second_time_starts_no_process(
    toy: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = materialize(toy, instance)
    assert result.success
    assert "up to date" in dvc(toy, "status")
    assert (toy / "ran.log").read_text().split() == [result.run_id]
    shown = materialized(result)["train_gan"].metadata
    assert shown["fd"].value == 0.5
    assert shown["tuned/fd"].value == 0.25
    assert shown["cached"].value is False
    assert "![grid.png](data:image/png;base64," in str(shown["pictures"].value)
    table = shown["curve.csv"].value
    assert [table.records[0].data["step"], table.records[-1].data["step"], len(table.records)] == ["0", "99", 10]
    assert {row.data["out"] for row in shown["outs"].value.records} == {"out/gan/details", "out/gan/metrics.json"}
    assert all(len(row.data["md5"]) >= 32 for row in shown["outs"].value.records)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a process was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    again = materialize(toy, instance)
    assert again.success
    assert all(event.metadata["cached"].value is True for event in materialized(again).values())
    assert len(materialized(again)) == 5
    assert evaluations(again)["enough"].passed  # a cached gate answers again
    before, after = materialized(result), materialized(again)
    assert all(before[name].tags["dagster/data_version"] == after[name].tags["dagster/data_version"] for name in before)


def test_outs_from_the_run_cache_are_reported_as_cached(toy: Path, instance: dg.DagsterInstance) -> None:
    assert materialize(toy, instance, "make").success
    set_param(toy, n=6)
    assert materialized(materialize(toy, instance, "make"))["make"].metadata["cached"].value is False
    set_param(toy, n=5)
    assert materialized(materialize(toy, instance, "make"))["make"].metadata["cached"].value is True
    assert len((toy / "ran.log").read_text().split()) == 2


def test_a_failing_stage_shows_its_own_words_and_stops_downstream(toy: Path, instance: dg.DagsterInstance) -> None:
    set_param(toy, n=-1)
    result = materialize(toy, instance)
    assert not result.success
    text = failure_text(result, "make")
    assert "there is nothing to make with n -1" in text
    assert "n must be positive: set n in params.yaml" in text
    assert "failed to reproduce" not in text
    assert materialized(result) == {}


def test_a_failing_gate_shows_its_checks_and_stops_downstream(toy: Path, instance: dg.DagsterInstance) -> None:
    set_param(toy, limit=9)
    result = materialize(toy, instance)
    assert not result.success
    assert "gate: 5 numbers are fewer than 9" in failure_text(result, "gate")
    shown = evaluations(result)
    assert not shown["enough"].passed
    assert shown["enough"].severity is dg.AssetCheckSeverity.ERROR
    assert shown["enough"].metadata["observed"].value == 5
    assert shown["enough"].metadata["expected"].value == ">= 9"
    assert shown["balanced"].passed
    assert set(materialized(result)) == {"make"}


def test_what_needs_a_refused_gate_says_so_when_it_is_materialized_alone(
    toy: Path, instance: dg.DagsterInstance
) -> None:
    set_param(toy, limit=9)
    assert not materialize(toy, instance).success
    result = materialize(toy, instance, "train_gan")
    text = failure_text(result, "train_gan")
    assert "the gate gate refused this data: enough; see out/report.json" in text
    assert materialized(result) == {}
    assert not (toy / "out/gan").exists()
    set_param(toy, limit=3)
    assert materialize(toy, instance, "gate", "train_gan").success


def test_what_lacks_an_input_names_the_stage_that_makes_it(toy: Path, instance: dg.DagsterInstance) -> None:
    assert "needs out/made, which make makes" in failure_text(materialize(toy, instance, "train_gan"), "train_gan")
    assert "needs out/made/numbers.txt, which make makes" in failure_text(materialize(toy, instance, "gate"), "gate")
    assert "needs out/vae, which train@vae makes" in failure_text(materialize(toy, instance, "report"), "report")


def test_a_warning_does_not_stop_anything(toy: Path, instance: dg.DagsterInstance) -> None:
    set_param(toy, balance=0)
    result = materialize(toy, instance)
    assert result.success
    shown = evaluations(result)["balanced"]
    assert not shown.passed
    assert shown.severity is dg.AssetCheckSeverity.WARN
    assert len(materialized(result)) == 5


def test_an_error_of_a_gate_that_exits_zero_stops_downstream_too(toy: Path, instance: dg.DagsterInstance) -> None:
    (toy / "gate.py").write_text(SCRIPTS["gate.py"].replace("if n < limit:", "if False:"))
    set_param(toy, limit=9)
    result = materialize(toy, instance)
    assert not result.success
    assert set(materialized(result)) == {"make", "gate"}


def test_a_gate_that_breaks_fails_every_declared_check(toy: Path, instance: dg.DagsterInstance) -> None:
    assert materialize(toy, instance, "make", "gate").success
    set_param(toy, limit=-1)
    result = materialize(toy, instance)
    assert "the gate broke before it could judge" in failure_text(result, "gate")
    shown = evaluations(result)
    assert {name for name, check in shown.items() if not check.passed} == {"enough", "balanced"}
    assert "No answer" in str(shown["enough"].description)


def test_an_undeclared_report_is_not_taken_for_an_answer(toy: Path, instance: dg.DagsterInstance) -> None:
    (toy / "suite.json").write_text(json.dumps([*SUITE["expectations"], {"name": "forgotten", "severity": "error"}]))
    result = materialize(toy, instance)
    assert not result.success
    assert "out/report.json holds no answer to it" in str(evaluations(result)["forgotten"].description)
    assert set(materialized(result)) == {"make", "gate"}


def test_snapshot_of_the_real_graph() -> None:
    from pipelines.definitions import build_definitions

    graph = build_definitions(ROOT).resolve_asset_graph()
    found = {
        key.to_user_string(): {
            "group": graph.get(key).group_name,
            "deps": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            "kinds": sorted(graph.get(key).kinds),
            "checks": sorted(check.name for check in graph.get(key).check_keys),
        }
        for key in sorted(graph.get_all_asset_keys())
    }
    if os.environ.get("AIGC_WRITE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(SNAPSHOT.read_text()), (
        "write it again if the change is meant; see this file's first lines"
    )


def test_mlflow_link_comes_from_the_run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.definitions import Translator

    stage = next(stage for stage in read_stages(ROOT) if stage.address == "train@gan")
    moved = type(stage)(**{**stage.__dict__, "folder": tmp_path})
    assert Translator().metadata(moved) == {}
    (tmp_path / ".work/runs").mkdir(parents=True)
    (tmp_path / ".work/runs/train@gan.json").write_text('{"run_id": "r1", "experiment_id": "7"}')
    monkeypatch.setenv("AIGC_MLFLOW_UI", "http://127.0.0.1:5001")
    assert Translator().metadata(moved)["mlflow run"].value == "http://127.0.0.1:5001/#/experiments/7/runs/r1"


def test_no_two_groups_depend_on_each_other() -> None:
    """Collapsed to its groups, the graph still runs one way: otherwise the page draws a circle."""
    graph = json.loads(SNAPSHOT.read_text())
    needs: dict[str, set[str]] = {}
    for asset in graph.values():
        parents = {graph[name]["group"] for name in asset["deps"]} - {asset["group"]}
        needs.setdefault(asset["group"], set()).update(parents)
    assert list(TopologicalSorter(needs).static_order())[:2] == ["dvc", "data"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["interrupt", "one dies"])
def test_ui_starts_both_and_ends_both(toy: Path, ending: str) -> None:
    (toy / "definitions.py").write_text("import dagster as dg\n@dg.asset\ndef one(): ...\n")
    (toy / "pyproject.toml").write_text('[tool.dagster]\nmodule_name = "definitions"\n')
    ports = free_ports(2)
    code = "import sys; from pathlib import Path; from pipelines.ui import serve; sys.exit(serve(Path(sys.argv[1]), *map(int, sys.argv[2:])))"
    log = (toy / "ui.log").open("w+b")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(toy), *map(str, ports)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": ""},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_for(lambda: "Ctrl-C ends both" in (toy / "ui.log").read_text(), 240)
        for port in ports:
            assert f"http://127.0.0.1:{port}" in (toy / "ui.log").read_text()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=30) as answer:
                assert answer.status == 200
        family = descendants(process.pid)
        assert len(family) >= 4
        if ending == "interrupt":
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(timeout=90) == 0
        else:
            os.kill(next(pid for pid in family if "mlflow" in command_line(pid)), signal.SIGKILL)
            assert process.wait(timeout=90) == 1
        wait_for(lambda: not [pid for pid in family if alive(pid)])
        for port in ports:
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert (toy / "mlflow/mlflow.db").exists()
    finally:
        end_group(process)
        log.close()


def test_ui_takes_the_next_port_when_one_is_taken() -> None:
    from pipelines.ui import free_port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def command_line(pid: int) -> str:
    import psutil

    return " ".join(psutil.Process(pid).cmdline())


def descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]

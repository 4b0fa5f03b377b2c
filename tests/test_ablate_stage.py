"""The stage `ablate`: its outs, its words, MLflow's children, and that switched off it says so."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import study_data as data
import yaml
from typer.testing import CliRunner

from aigc_core import cli
from aigc_core.ablation import estimate, worker
from aigc_core.ablation.verdicts import QUESTIONS
from aigc_core.config import Config
from aigc_core.errors import ConfigError, TrainingError
from aigc_core.files import read_json, sha256_file, write_json
from aigc_core.paths import Paths
from aigc_core.stages.ablate import NOT_RUN, ablate

# MLflow's own use of its database library warns; that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A tracked study on a tiny checkout: (paths, config, result)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        paths = data.build(Paths(tmp_path_factory.mktemp("study")))
        config = data.settings(seeds=3, decisions=["curate", "fix_labels"])
        config = Config.model_validate({**config.model_dump(), "tracking": {"enabled": True}})
        yield paths, config, ablate(config, paths)


def outs(paths: Paths) -> dict[str, str]:
    folder = paths.ablation
    return {str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_outs_hold_plan_cells_ledger_checks_and_pictures(study):
    paths, _, result = study
    names = set(outs(paths))
    assert {
        "plan.json",
        "cells.parquet",
        "ledger.json",
        "ledger.csv",
        "checks.json",
        "forest.png",
        "ledger.html",
    } <= names
    ledger = read_json(paths.ablation / "ledger.json")
    assert {line["decision"] for line in ledger["ledger"]} == {"curate"}
    assert result.summary.splitlines()[0] == ledger["headline"]["sentence"]
    answers = {check["name"] for check in read_json(paths.ablation / "checks.json")["checks"]}
    assert answers == set(QUESTIONS)
    assert "fix_labels" in json.dumps(read_json(paths.ablation / "plan.json")["skipped"])
    columns = pq.read_schema(paths.ablation / "cells.parquet").names
    assert "seconds" not in columns


def test_the_checks_are_those_that_the_graph_declares():
    graph = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text())["stages"]
    declared = graph["ablate"]["meta"]["dagster"]["checks"]["names"]
    assert {check["name"] for check in declared} == set(QUESTIONS)


def test_a_second_run_writes_the_same_bytes_without_running_a_cell(study, capsys):
    paths, config, _ = study
    before = outs(paths)
    capsys.readouterr()
    ablate(config, paths)
    assert "15 cells are done, 0 are left" in capsys.readouterr().out
    assert outs(paths) == before


def test_a_question_that_was_asked_before_is_said_on_the_page_that_is_no_out(study):
    paths, config, _ = study
    asked = read_json(paths.work / "ablation" / "asked.json")
    assert [line["plan"] for line in asked] == [read_json(paths.ablation / "plan.json")["digest"]]
    earlier = {**asked[0], "plan": "f" * 64, "seeds": [7, 8, 9]}
    write_json(paths.work / "ablation" / "asked.json", [earlier, *asked])
    before = outs(paths)
    ablate(config, paths)
    assert "was asked of these images before" in (paths.work / "ablation" / "ledger.html").read_text()
    assert "was asked of these images before" not in (paths.ablation / "ledger.html").read_text()
    assert outs(paths) == before
    write_json(paths.work / "ablation" / "asked.json", asked)


def test_mlflow_has_a_parent_with_a_child_for_every_cell(study):
    from mlflow import MlflowClient

    paths, _, _ = study
    client = MlflowClient(f"sqlite:///{paths.root / 'mlflow' / 'mlflow.db'}")
    parent = client.get_run(read_json(paths.run_file("ablate"))["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["plan"] == read_json(paths.ablation / "plan.json")["digest"]
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    cells = pq.read_table(paths.ablation / "cells.parquet").to_pylist()
    assert {run.data.tags["digest"] for run in children} == {line["cell"] for line in cells}
    by_digest = {line["cell"]: line for line in cells}
    for run in children:
        line = by_digest[run.data.tags["digest"]]
        assert (run.data.tags["arm"], run.data.tags["seed"]) == (line["arm"], str(line["seed"]))
        assert run.data.metrics["fd"] == pytest.approx(line["fd"])
        assert {"coverage", "agreement", "rows", "seconds"} <= run.data.metrics.keys()
        assert ("cas" in run.data.metrics) == (line["kind"] in ("baseline", "treatment"))
    assert "ledger.json" in {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_a_frozen_plan_runs_as_it_was_frozen_and_a_budget_says_its_price(study, capsys, monkeypatch):
    paths, config, _ = study
    monkeypatch.setattr(estimate, "past_cost", lambda plan, paths: estimate.Cost(0.01, 2.0, 2.0, "made up"))
    ablate(config, paths, plan_only=True, seeds=4)
    frozen = paths.work / "ablation" / "plan.json"
    assert len(read_json(frozen)["seeds"]) == 4
    result = ablate(config, paths, plan=frozen)
    assert read_json(paths.ablation / "plan.json") == read_json(frozen)
    assert result.metrics["cells"] == 20
    ablate(config, paths, seeds=50, budget="60s", plan_only=True)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "8 seeds instead of 50: the smallest change of the distance that can be seen grows" in said
    )  # four of them are done
    frozen.write_text(frozen.read_text().replace('"steps": 6', '"steps": 7', 1))
    with pytest.raises(ConfigError, match="changed after it was frozen"):
        ablate(config, paths, plan=frozen)


def test_a_budget_drops_the_looks_that_its_seeds_do_not_reach(study, capsys, monkeypatch):
    paths, config, _ = study
    monkeypatch.setattr(estimate, "past_cost", lambda plan, paths: estimate.Cost(0.01, 1.0, 1.0, "made up"))
    values = config.model_dump()
    values |= {"seed": 5, "ablation": {**values["ablation"], "looks": [4, 8, 9, 12]}}
    looked = Config.model_validate({**values, "ablation": {**values["ablation"], "seeds": 20}})
    for _ in range(2):  # planned, and remembered
        ablate(looked, paths, budget="60s", plan_only=True)
        said = " ".join(capsys.readouterr().out.split())
        plan = read_json(paths.work / "ablation" / "plan.json")
        assert len(plan["seeds"]) == 9
        assert plan["settings"]["ablation"]["looks"] == [4, 8], "the last seed is no look before the last"
        assert re.findall(r"no look after ([\d, ]+) seeds", said) == ["9, 12"]
    ablate(looked, paths, budget="10h", plan_only=True)
    assert "no look after" not in capsys.readouterr().out
    assert read_json(paths.work / "ablation" / "plan.json")["settings"]["ablation"]["looks"] == [4, 8, 9, 12]


def test_a_study_that_was_cut_to_a_budget_is_the_same_study_when_it_goes_on(study, capsys, monkeypatch):
    paths, config, _ = study
    plans = []
    for judge, budget in ((1.0, "60s"), (2.0, "60s"), (2.0, "1m"), (2.0, "61s")):
        cost = estimate.Cost(0.01, judge, judge, "made up")
        monkeypatch.setattr(estimate, "past_cost", lambda plan, paths, cost=cost: cost)
        ablate(
            Config.model_validate({**config.model_dump(), "seed": 3}), paths, seeds=20, budget=budget, plan_only=True
        )
        assert "seeds instead of 20" in capsys.readouterr().out
        plans.append(len(read_json(paths.work / "ablation" / "plan.json")["seeds"]))
    assert plans == [9, 9, 9, 4]


def test_a_cell_that_diverges_is_in_the_ledger_the_checks_and_the_page(tmp_path, monkeypatch):
    paths, honest = data.build(Paths(tmp_path)), worker.train
    everything = data.SPLITS["train"] + data.BLANKS + data.COPIES

    def train(images, bench, seed, *more, **named):
        if len(images) == everything and seed == 1:
            raise TrainingError("loss is nan at step 3; lower the learning rate")
        return honest(images, bench, seed, *more, **named)

    monkeypatch.setattr(worker, "train", train)
    monkeypatch.setattr(estimate, "past_cost", lambda plan, paths: estimate.Cost(0.01, 2.0, 2.0, "made up"))
    result = ablate(data.settings(seeds=3), paths)
    cells = pq.read_table(paths.ablation / "cells.parquet").to_pylist()
    failed = [(line["arm"], line["seed"], line["fd"]) for line in cells if line["error"]]
    assert failed == [("without_curate", 1, None)]
    assert len(cells) == 15
    ledger = read_json(paths.ablation / "ledger.json")
    line = next(line for line in ledger["ledger"] if line["metric"] == "fd")
    assert (line["pairs"], line["lost"]) == (2, 1)
    assert "1 seed could not be paired because a cell failed" in result.summary
    check = next(one for one in ledger["checks"] if one["name"] == "every_cell_finished")
    assert (check["passed"], check["observed"]) == (False, "1 failed")
    assert "loss is nan at step 3" in (paths.ablation / "ledger.html").read_text()


def test_a_confirmed_study_shows_the_decision_that_leads_and_no_other(tmp_path, monkeypatch):
    paths = data.build(Paths(tmp_path))
    monkeypatch.setattr(estimate, "past_cost", lambda plan, paths: estimate.Cost(0.01, 2.0, 2.0, "made up"))
    values = data.settings(confirm=1, decisions=["curate", "deduplicate"]).model_dump()
    values["train"]["vae"]["steps"] = 9
    config = Config.model_validate(values)
    result = ablate(config, paths)
    cells = pq.read_table(paths.ablation / "cells.parquet").to_pylist()
    later = {line["decision"] for line in cells if line["kind"] == "confirmation"}
    assert len(later) == 2
    assert None in later
    assert result.metrics["cells"] == 7 * 3 + 2
    pictures = {path.stem for path in (paths.ablation / "samples").iterdir()}
    assert pictures == {line["arm"] for line in cells}
    other = ({"curate", "deduplicate"} - later).pop()
    stray = next(line for line in read_json(paths.ablation / "plan.json")["cells"]
                 if line["arm"] == f"full_budget_without_{other}")  # fmt: skip
    known = paths.work / "ablation" / "cells"
    for suffix in (".json", ".npy"):  # as another study would have left it
        some = known / (cells[0]["cell"] + suffix)
        (known / (stray["cell"] + suffix)).write_bytes(
            some.read_bytes().replace(cells[0]["cell"].encode(), stray["cell"].encode())
        )
    before = outs(paths)
    ablate(config, paths)
    assert outs(paths) == before


def test_switched_off_it_says_so_in_every_out(tmp_path):
    paths = Paths(tmp_path)
    result = ablate(data.settings(enabled=False), paths)
    assert result.summary == NOT_RUN
    assert read_json(paths.ablation / "ledger.json") == {"ran": False, "why": NOT_RUN}
    checks = read_json(paths.ablation / "checks.json")["checks"]
    assert [check["passed"] for check in checks] == [False] * 3
    assert all(check["expected"] == NOT_RUN for check in checks)


@pytest.mark.parametrize(
    ("rows", "ablation", "words"),
    [
        (180, {"decisions": ["curate"]}, "curate changes no training row"),
        (
            180,
            {"decisions": ["curate", "deduplicate"], "sweep": {"blank": [0.5]}},
            "deduplicate changes no training row",
        ),
        (18, {"decisions": ["curate"], "subsample": 0.5}, "fewer than one batch of 16"),
    ],
)
def test_clean_data_is_no_error_and_every_out_says_why(tmp_path, rows, ablation, words):
    paths = data.build(Paths(tmp_path), train_rows=rows, clean=True)
    told = ablate(data.settings(**ablation), paths, plan_only=True)
    assert told.summary.startswith("not run: ")
    assert not paths.ablation.exists()
    result = ablate(data.settings(**ablation), paths)
    assert result.summary == told.summary
    assert words in result.summary
    assert read_json(paths.ablation / "ledger.json") == {"ran": False, "why": result.summary}
    checks = read_json(paths.ablation / "checks.json")["checks"]
    assert all(not check["passed"] and check["expected"] == result.summary for check in checks)
    assert pq.read_metadata(paths.ablation / "cells.parquet").num_rows == 0


def test_a_curve_is_something_to_measure_on_clean_data(tmp_path, monkeypatch):
    paths = data.build(Paths(tmp_path), clean=True)
    monkeypatch.setattr(estimate, "past_cost", lambda plan, paths: estimate.Cost(0.01, 2.0, 2.0, "made up"))
    ablate(data.settings(decisions=["curate"], sizes=[0.5, 1.0]), paths, plan_only=True)
    plan = read_json(paths.work / "ablation" / "plan.json")
    assert plan["sizes"] == [0.5, 1.0]
    assert "without_curate" in {line["arm"] for line in plan["skipped"]}


@pytest.mark.parametrize("arguments", [["--seeds", "600000"], ["--seeds", "9" * 400]])
def test_the_command_answers_a_number_of_seeds_that_no_study_has_at_once(tmp_path, monkeypatch, arguments):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["ablate", "--plan-only", *arguments])
    assert result.exit_code == 2
    assert "1000" in result.output
    (tmp_path / "params.yaml").write_text("ablation: {seeds: 600000}\n")
    result = CliRunner().invoke(cli.app, ["ablate", "--plan-only"])
    assert isinstance(result.exception, ConfigError)
    assert "ablation.seeds = 600000" in str(result.exception)


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    notebook = json.loads((Path(__file__).parents[1] / "docs" / "ablation.ipynb").read_text())
    paths = data.build(Paths(tmp_path / "checkout"))
    (paths.root / "params.yaml").write_text(yaml.safe_dump(data.settings().model_dump()))
    monkeypatch.chdir(paths.root)
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs are not kept in git"
            exec(compile("".join(cell["source"]), "ablation.ipynb", "exec"), names)
    assert set(names["study"].ledger["decision"]) == {"curate"}


def test_the_command_refuses_sizes_that_are_no_shares(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["ablate", "--sizes", "half"])
    assert isinstance(result.exception, ConfigError)
    assert "write shares of the training rows" in str(result.exception)
    result = CliRunner().invoke(cli.app, ["ablate", "--sizes", "0.5,2"])
    assert isinstance(result.exception, ConfigError)
    assert "less than or equal to 1" in str(result.exception)
    result = CliRunner().invoke(cli.app, ["ablate", "--plan", "plan.json", "--seeds", "10"])
    assert isinstance(result.exception, ConfigError)
    assert "plan.json is frozen" in str(result.exception)

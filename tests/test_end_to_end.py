"""The main job through its own front door: dvc repro on the embedded digits, with a few training steps."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from stage_inputs import locked_stages, recorded, unlisted

ROOT = Path(__file__).parents[1]
CHECKED_IN = ["aigc_core", "pipelines", "dvc.yaml", "params.yaml", ".dvcignore"]


def environment(checkout: Path) -> dict[str, str]:
    """The tests' own interpreter first on the path; the copied code, not the installed one, is imported."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


def run(checkout: Path, *command: str, records: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`records` is a folder where every stage writes down what it reads."""
    variables = environment(checkout)
    if records is not None:
        search = f"{checkout}{os.pathsep}{ROOT / 'tests/recorder'}"
        variables |= {"PYTHONPATH": search, "READ_RECORDS": str(records)}
    return subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, timeout=850)


def make_checkout(folder: Path, **changes: object) -> Path:
    """A checkout with few training steps; `changes` are dotted parameter names with __ for the dot."""
    folder.mkdir()
    for name in CHECKED_IN:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for place in ("raw", "ids", "weights"):
        (folder / "data" / place).mkdir(parents=True)
    shutil.copy(ROOT / "data/raw/README.md", folder / "data/raw")
    (folder / "data/profile.json").write_text("{}\n")
    shutil.copy(ROOT / "data/decisions.csv", folder / "data")
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
    # DVC without git: the tests must not touch a user's git settings.
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    quick = {
        "extractor__steps": 100, "train__vae__steps": 40, "train__gan__steps": 40, "train__grid_every": 20,
        "pretrain__steps": 20, "finetune__steps": 20, "evaluate__floor_draws": 3, "ablation__seeds": 3, "ablation__steps": 20,
        "evaluate__memorization__cells": 4, "evaluate__jackknife_groups": 5,
    }  # fmt: skip
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    for dotted, value in {**quick, **changes}.items():
        *sections, key = dotted.split("__")
        place = parameters
        for section in sections:
            place = place[section]
        place[key] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    return folder


def outs(checkout: Path) -> dict[str, str]:
    """Out path to md5, over all stages of dvc.lock."""
    stages = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    checkout = make_checkout(tmp_path_factory.mktemp("demo") / "checkout")
    (checkout.parent / "records").mkdir()
    result = run(checkout, "dvc", "repro", records=checkout.parent / "records")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout


@pytest.mark.slow
def test_repro_goes_from_raw_files_to_a_report_and_then_rests(finished):
    page = (finished / "data/report/report.html").read_text()
    assert "</html>" in page
    assert "http://127.0.0.1" not in page, "an out holds no address"
    status = run(finished, "dvc", "status")
    assert "up to date" in status.stdout
    again = run(finished, "dvc", "repro")
    assert "Running stage" not in again.stdout


@pytest.mark.slow
def test_a_stage_depends_on_all_that_it_reads(finished):
    lines, locked = recorded(finished.parent / "records"), locked_stages(finished)
    assert lines.keys() == locked.keys()
    assert unlisted(lines, finished, locked) == {}
    # The test of the test: a dep, a parameter and a section's file that are taken away are each missed.
    locked["train@gan"]["deps"] = [
        dep for dep in locked["train@gan"]["deps"] if dep["path"] not in ("aigc_core/modalities", "data/content")
    ]
    del locked["train@gan"]["params"]["params.yaml"]["train.batch_size"]
    locked["curate"]["deps"] = [dep for dep in locked["curate"]["deps"] if dep["path"] != "aigc_core/config/quality.py"]
    missed = unlisted(lines, finished, locked)
    assert missed.keys() == {"train@gan", "curate"}
    assert {"aigc_core/modalities/fitting.py", "Train.batch_size"} <= missed["train@gan"]
    assert any(name.startswith("data/content/") for name in missed["train@gan"])
    assert missed["curate"] == {"aigc_core/config/quality.py"}


@pytest.mark.slow
def test_metrics_have_the_promised_keys(finished):
    metrics = json.loads((finished / "data/evaluation/gan/metrics.json").read_text())
    assert {"fd", "fd_floor", "fd_real", "coverage", "coverage_real", "density", "density_real", "cas",
            "cas_real"} <= metrics.keys()  # fmt: skip
    assert metrics.keys() > read_headline(finished).keys() - {"measured_as"}


def read_headline(checkout: Path) -> dict[str, float | str]:
    headline: dict[str, float | str] = json.loads((checkout / "data/evaluation/gan/headline.json").read_text())
    return headline


@pytest.mark.slow
def test_dvc_compares_headlines_and_draws_without_a_network(finished):
    (shown,) = (one["data"] for one in json.loads(run(finished, "dvc", "metrics", "show", "--json").stdout).values())
    assert {Path(name).name for name in shown} == {"headline.json"}
    assert shown["data/evaluation/gan/headline.json"]["data"] == read_headline(finished)
    assert next(iter(shown["data/ablation/headline.json"]["data"])) == "curate"
    assert len(read_headline(finished)) <= 13
    plots = run(finished, "dvc", "plots", "show", "-o", "plots")
    assert plots.returncode == 0, plots.stderr
    page = (finished / "plots/index.html").read_text()
    assert "<script src" not in page
    for part in ("vegaEmbed", "losses of the GAN", "generator_loss", "classes.png", "forest.png"):
        assert part in page


@pytest.mark.slow
def test_a_second_checkout_makes_the_same_bytes(finished, tmp_path):
    other = make_checkout(tmp_path / "other", tracking__enabled=False)
    # Two stages back from the models are enough to hold every kind of out: tables, content, weights, pictures.
    result = run(other, "dvc", "repro", "evaluate@gan")
    assert result.returncode == 0, result.stdout + result.stderr
    first, second = outs(finished), outs(other)
    assert second.items() <= first.items()


@pytest.mark.slow
def test_generated_files_carry_their_provenance(finished, tmp_path):
    made = run(
        finished,
        "aigc",
        "generate",
        "--model",
        "gan",
        "--label",
        "7",
        "-n",
        "3",
        "--allow-memorized",
        "--out",
        str(tmp_path / "o"),
    )
    assert made.returncode == 0, made.stderr
    pictures = sorted(path for path in (tmp_path / "o").glob("*.png") if "contact" not in path.name)
    assert len(pictures) == 3
    assert "unchanged" in run(finished, "aigc", "verify", str(pictures[0])).stdout
    unknown = run(finished, "aigc", "generate", "--model", "gan", "--label", "x", "--out", str(tmp_path / "p"))
    assert unknown.returncode != 0
    assert "'x'" in unknown.stderr


@pytest.mark.slow
def test_a_refusing_gate_stops_before_training_and_recovers(tmp_path):
    checkout = make_checkout(tmp_path / "gate", expectations__min_rows=100_000)
    refused = run(checkout, "dvc", "repro", "train@gan")
    assert refused.returncode != 0
    assert "100" in refused.stderr + refused.stdout
    assert not (checkout / "data/models").exists()
    assert not json.loads((checkout / "data/validation.json").read_text())["success"]
    parameters = yaml.safe_load((checkout / "params.yaml").read_text())
    parameters["expectations"]["min_rows"] = 500
    (checkout / "params.yaml").write_text(yaml.safe_dump(parameters))
    assert run(checkout, "dvc", "repro", "validate").returncode == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train__gann": 1}, "did you mean 'gan'"),
        ({"source__kind": "folder", "source__path": "nowhere"}, "nowhere"),
        ({"source__kind": "folder", "source__path": "data/raw"}, "data/raw"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, changes, sentence):
    checkout = make_checkout(tmp_path / "bad", **changes)
    result = run(checkout, "aigc", "ingest")
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert not (checkout / "data/content").exists()
    assert not (checkout / "data/ingested").exists()

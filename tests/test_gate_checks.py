"""The real gate's answers as Dagster asset checks, one by one: its report file read by the loader that knows no suite."""

import dataclasses
import shutil
from pathlib import Path

import dagster as dg
import pytest

from aigc_core import config as configuration
from aigc_core.data.store import Version
from aigc_core.files import read_json, write_json
from aigc_core.paths import Paths
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.validate import validate
from pipelines.checks import check_results, declared_checks
from pipelines.stages import read_stages

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """The stage `validate` of dvc.yaml, as if the repository were a folder in which it has just run."""
    config, paths = (
        configuration.parse({"expectations": {"max_share": {"blank": 0.001}}}),
        Paths(tmp_path_factory.mktemp("checks")),
    )
    for stage in (ingest, measure, curate, validate):
        stage(config, paths)
    suite = paths.root / "aigc_core/quality/suite.json"
    suite.parent.mkdir(parents=True)
    shutil.copy(ROOT / "aigc_core/quality/suite.json", suite)
    found = next(stage for stage in read_stages(ROOT) if stage.address == "validate")
    return dataclasses.replace(found, folder=paths.root), paths


def test_every_question_is_a_check_with_its_observed_value(gate):
    stage, paths = gate
    suite = read_json(paths.root / "aigc_core/quality/suite.json")["expectations"]
    results = {result.check_name: result for result in check_results(stage, dg.AssetKey("validate"))}
    assert list(results) == [item["name"] for item in suite]
    assert {c.name for c in declared_checks(stage) if c.blocking} == {
        i["name"] for i in suite if i["severity"] == "error"
    }
    assert [name for name, result in results.items() if not result.passed] == ["share_blank"]
    blank = results["share_blank"]
    assert blank.severity is dg.AssetCheckSeverity.WARN
    assert blank.metadata["observed"].value > 0.01
    assert blank.metadata["expected"].value == "at most 0.001"
    assert results["enough_rows"].metadata["observed"].value == Version.open(paths.curated).rows.num_rows
    assert "aigc quality accept" in results["drift_mean"].metadata["expected"].value
    assert "observed" not in results["drift_mean"].metadata


def test_a_question_without_an_answer_fails(gate):
    stage, paths = gate
    whole = read_json(paths.validation)
    write_json(paths.validation, {**whole, "checks": whole["checks"][1:]})
    results = check_results(stage, dg.AssetKey("validate"))
    write_json(paths.validation, whole)
    assert not results[0].passed
    assert "no answer" in results[0].description
    assert results[1].passed


def test_training_waits_for_the_small_file_and_not_for_the_answers():
    stages = {stage.address: stage for stage in read_stages(ROOT)}
    for address in ("augment", "train@vae", "train@gan", "pretrain@vae", "pretrain@gan"):
        names = {path.name for path in stages[address].deps}
        assert "gate.json" in names, address
        assert "validation.json" not in names, "a warning that comes or goes would train again"
        assert "validate" in stages[address].upstream

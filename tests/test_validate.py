"""The gate, evaluated by Great Expectations itself on small tables: pass, warn, refuse, and what it leaves on disk."""

import hashlib
import json
import re

import pandas as pd
import pyarrow.parquet as pq
import pytest

from aigc_core import config as configuration
from aigc_core.config import Expectations
from aigc_core.errors import ConfigError, GateError
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.quality import expectations
from aigc_core.quality.reasons import REASONS
from aigc_core.records import MEASURE_SCHEMA
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.validate import validate

SUITE = read_json(expectations.SUITE)
ROWS = 600


def tables(measures=None, kept=None, **facts):
    """Three tables that pass every check; `measures` and `kept` are edits, column to {row: value}."""
    base = {name: [None] * ROWS for name in MEASURE_SCHEMA.names}
    base |= {
        "id": [f"{n:04d}" for n in range(ROWS)],
        "channels": [1] * ROWS,
        "mean": [0.5] * ROWS,
        "aspect": [1.0] * ROWS,
    }
    frames = {}
    for name, edits in (("measures", measures), ("kept", kept)):
        columns = {column: list(values) for column, values in base.items()}
        for column, changes in (edits or {}).items():
            for place, value in changes.items():
                columns[column][place] = value
        frames[name] = pd.DataFrame(columns)
    numbers = {"rows_kept": ROWS, "unaccounted": 0, "smallest_class": 40, "class_share_ratio": 0.9}
    numbers |= {f"share_{reason}": 0.0 for reason in REASONS}
    return {**frames, "facts": pd.DataFrame([{**numbers, **facts}])}


def failed(data, **numbers):
    _, checks = expectations.run(data, Expectations.model_validate(numbers))
    return {check.name: check for check in checks if not check.passed}


def test_the_suite_is_readable_and_well_named():
    names = [item["name"] for item in SUITE["expectations"]]
    assert len(names) == len(set(names))
    for item in SUITE["expectations"]:
        assert re.fullmatch(r"[a-z0-9_]+", item["name"])
        assert item["severity"] in ("error", "warning")
        assert item["description"].endswith(".")
        assert item["type"].startswith("expect_")
        assert item["table"] in ("measures", "kept", "facts")
    assert {f"share_{reason}" for reason in REASONS} <= set(names)


def test_every_number_of_the_suite_is_a_parameter():
    resolved = expectations.resolve(SUITE, Expectations())
    assert [item["name"] for item in resolved] == [item["name"] for item in SUITE["expectations"]]
    assert not [value for item in resolved for value in item["kwargs"].values() if str(value).startswith("$")]


def test_good_tables_pass_every_check():
    name, checks = expectations.run(tables(), Expectations())
    assert name == SUITE["name"]
    assert [check.name for check in checks] == [item["name"] for item in SUITE["expectations"]]
    assert all(check.passed for check in checks)


@pytest.mark.parametrize(
    ("changes", "name", "severity"),
    [
        ({"measures": {"id": {1: "0000"}}}, "ids_unique", "error"),
        ({"kept": {"error": {3: "cut short"}}}, "kept_rows_readable", "error"),
        ({"kept": {"channels": {0: 2}}}, "channels_known", "error"),
        ({"kept": {"mean": {0: 1.2}}}, "luma_in_range", "error"),
        ({"kept": {"aspect": {0: 3.5}}}, "aspect_in_range", "warning"),
        ({"unaccounted": 1}, "nothing_lost", "error"),
        ({"unaccounted": -1}, "nothing_lost", "error"),
        ({"rows_kept": 499}, "enough_rows", "error"),
        ({"smallest_class": 19}, "enough_rows_per_class", "error"),
        ({"class_share_ratio": 0.4}, "class_balance", "warning"),
        *[({f"share_{reason}": 0.5}, f"share_{reason}", "warning") for reason in REASONS],
    ],
)
def test_each_defect_fails_its_own_check_and_no_other(changes, name, severity):
    wrong = failed(tables(**changes))
    assert wrong.keys() == {name}
    assert wrong[name].severity == severity


def test_a_missing_measure_fails_the_schema():
    data = tables()
    data["measures"] = data["measures"].drop(columns="sharpness")
    assert failed(data).keys() == {"schema"}


def test_numbers_come_from_the_parameters():
    assert "enough_rows" in failed(tables(), min_rows=601)
    assert "enough_rows" not in failed(tables(rows_kept=10), min_rows=10)
    check = failed(tables(share_blank=0.2), max_share={"blank": 0.15})["share_blank"]
    assert (check.observed, check.expected) == (0.2, "at most 0.15")


def test_a_reason_without_a_bound_is_unbounded():
    _, checks = expectations.run(tables(share_corrupt=0.9), Expectations(max_share={"blank": 0.1}))
    assert {check.name: check for check in checks}["share_corrupt"].passed


def test_an_unknown_reason_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'blurry'.*duplicate_exact"):
        expectations.resolve(SUITE, Expectations(max_share={"blurry": 0.1}))


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    config, paths = configuration.parse({}), Paths(tmp_path_factory.mktemp("gate"))
    ingest(config, paths)
    measure(config, paths)
    curate(config, paths)
    return config, paths


def with_numbers(config, **numbers):
    return config.model_copy(update={"expectations": config.expectations.model_copy(update=numbers)})


def test_the_digits_pass_and_two_runs_make_the_same_bytes(curated):
    config, paths = curated
    digests = []
    for _ in range(2):
        result = validate(config, paths)
        digests.append(hashlib.sha256(paths.validation.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    assert result.metrics["warnings"] == 0
    outcome = json.loads(paths.validation.read_text())
    assert outcome.keys() == {"suite", "success", "checks"}
    assert outcome["success"]
    assert outcome["checks"][0].keys() == {"name", "description", "severity", "passed", "observed", "expected"}


def test_an_error_refuses_and_leaves_the_answer(curated):
    config, paths = curated
    paths.validation.unlink(missing_ok=True)
    kept = pq.read_metadata(paths.curated / "rows.parquet").num_rows
    with pytest.raises(GateError, match=rf"enough_rows observed {kept}.*at least 5000") as raised:
        validate(with_numbers(config, min_rows=5000), paths)
    assert raised.value.exit_code == 3
    outcome = json.loads(paths.validation.read_text())
    assert not outcome["success"]
    assert [check["name"] for check in outcome["checks"] if not check["passed"]] == ["enough_rows"]


def test_a_warning_does_not_refuse(curated):
    config, paths = curated
    result = validate(with_numbers(config, max_share={"blank": 0.001}), paths)
    assert result.metrics["warnings"] == 1
    assert "share_blank" in result.summary
    assert json.loads(paths.validation.read_text())["success"]


def test_an_unknown_reason_writes_nothing(curated):
    config, paths = curated
    paths.validation.unlink(missing_ok=True)
    with pytest.raises(ConfigError):
        validate(with_numbers(config, max_share={"blurry": 0.1}), paths)
    assert not paths.validation.exists()

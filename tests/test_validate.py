"""The gate, evaluated by Great Expectations itself on small tables: pass, warn, refuse, and what it leaves on disk."""

import hashlib
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from aigc_core import config as configuration
from aigc_core.config import Expectations
from aigc_core.errors import ConfigError, GateError
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.quality import expectations
from aigc_core.quality.ranges import POSSIBLE
from aigc_core.quality.reasons import REASONS
from aigc_core.records import MEASURE_SCHEMA
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.parts import gate_facts
from aigc_core.stages.validate import validate

SUITE = read_json(expectations.SUITE)
ROWS = 600


def tables(kept=None, **facts):
    """Three tables that pass every check; `kept` are edits, column to {row: value}."""
    base = {"channels": [1] * ROWS, "aspect": [1.0] * ROWS, "error": [None] * ROWS}
    for column, changes in (kept or {}).items():
        for place, value in changes.items():
            base[column][place] = value
    numbers = {
        "repeated_ids": 0, "unmeasured": 0, "unaccounted": 0, "condemned_kept": 0, "leaks_kept": 0,
        "conflicts_kept": 0, "silent_detectors": 0, "unchecked_classes": 0, "incomplete_kept": 0,
        "impossible_kept": 0, "repeated_pictures": 0, "rows_kept": ROWS, "classes": 10, "smallest_class": 40,
        "class_share_ratio": 0.9, "classes_without_test": 0, "classes_without_train": 0, "rows_to_compare": 80, "smallest_split_share": 0.2, "unlabelled_share": 0.0,
        "channels_share": 1.0, "largest_psi": 0.01, "class_shift": 0.0, "classes_lost": 0, "rows_ratio": 1.0,
        **{f"share_{reason}": 0.0 for reason in expectations.bounded_reasons()},
        **{f"outside_{name}": 0.0 for name in POSSIBLE}, **{f"psi_{name}": 0.0 for name in POSSIBLE},
    }  # fmt: skip
    return {
        "measures": MEASURE_SCHEMA.empty_table().to_pandas(),
        "kept": pd.DataFrame(base),
        "facts": pd.DataFrame([{**numbers, **facts}], dtype=object),
    }


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
    assert set(REASONS) <= set(expectations.bounded_reasons()), "every reason has a share that the gate looks at"
    assert set(Expectations().max_share) == set(expectations.bounded_reasons())


def test_every_number_of_the_suite_is_a_parameter():
    resolved = expectations.resolve(SUITE, Expectations())
    assert [item["name"] for item in resolved] == [item["name"] for item in SUITE["expectations"]]
    assert not [value for item in resolved for value in item["kwargs"].values() if str(value).startswith("$")]


def test_good_tables_pass_every_check():
    name, checks = expectations.run(tables(), Expectations())
    assert name == SUITE["name"]
    assert [check.name for check in checks] == [item["name"] for item in SUITE["expectations"]]
    assert all(check.passed for check in checks)


WRONG = {
    "repeated_ids": (1, "ids_unique", "error"),
    "unmeasured": (1, "every_row_measured", "error"),
    "unaccounted": (-1, "nothing_lost", "error"),
    "condemned_kept": (1, "no_quarantined_row_kept", "error"),
    "leaks_kept": (1, "no_leak_kept", "error"),
    "incomplete_kept": (1, "kept_rows_complete", "error"),
    "impossible_kept": (1, "measures_possible", "error"),
    "repeated_pictures": (1, "pictures_unique", "warning"),
    "conflicts_kept": (1, "no_conflict_kept", "warning"),
    "silent_detectors": (2, "detectors_can_fire", "warning"),
    "unchecked_classes": (3, "labels_checked", "warning"),
    "rows_kept": (499, "enough_rows", "error"),
    "classes": (0, "enough_classes", "error"),
    "smallest_class": (19, "enough_rows_per_class", "error"),
    "class_share_ratio": (0.4, "class_balance", "warning"),
    "classes_without_test": (1, "classes_in_test", "warning"),
    "classes_without_train": (1, "classes_in_train", "warning"),
    "rows_to_compare": (79, "enough_to_compare", "error"),
    "smallest_split_share": (0.04, "split_shares", "warning"),
    "unlabelled_share": (0.06, "labels_present", "warning"),
    "channels_share": (0.8, "channels_agree", "warning"),
    "largest_psi": (1.1, "drift_refused", "error"),
    "class_shift": (0.06, "drift_classes", "warning"),
    "classes_lost": (1, "drift_classes_lost", "warning"),
    "rows_ratio": (0.4, "drift_rows", "warning"),
    **{f"share_{reason}": (0.5, f"share_{reason}", "warning") for reason in expectations.bounded_reasons()},
    **{f"outside_{name}": (0.03, f"range_{name}", "warning") for name in POSSIBLE},
    **{f"psi_{name}": (0.2, f"drift_{name}", "warning") for name in POSSIBLE},
}
BAD_ROWS = {
    "kept_rows_readable": ("error", {3: "cut short"}),
    "channels_known": ("channels", {0: 2}),
    "aspect_in_range": ("aspect", {0: 3.5}),
}


def test_every_expectation_but_the_schema_has_a_case_below():
    names = {item["name"] for item in SUITE["expectations"]}
    assert {name for _, name, _ in WRONG.values()} | set(BAD_ROWS) | {"schema"} == names


def test_one_wrong_number_each_fails_its_own_check():
    wrong = failed(tables(**{fact: value for fact, (value, _, _) in WRONG.items()}))
    assert {name: check.severity for name, check in wrong.items()} == {name: sev for _, name, sev in WRONG.values()}
    assert all(wrong[name].observed == pytest.approx(value) for value, name, _ in WRONG.values())


@pytest.mark.parametrize("fact", ["unaccounted", "smallest_class", "share_blank"])
def test_a_wrong_number_fails_no_other_check(fact):
    value, name, severity = WRONG[fact]
    wrong = failed(tables(**{fact: value}))
    assert {check.name: check.severity for check in wrong.values()} == {name: severity}


def test_bad_rows_are_counted():
    wrong = failed(tables(kept=dict(BAD_ROWS.values())))
    assert wrong.keys() == BAD_ROWS.keys()
    assert {check.observed for check in wrong.values()} == {f"1 of {ROWS} rows differ"}


@pytest.mark.parametrize(
    ("channels", "share"),
    [([1, 3, 3, 1], 1.0), ([4, 4, 4, 3], 0.75), ([1, 3, 4, np.nan], 0.5), ([4] * 4, 1.0), ([np.nan] * 4, 0.0)],
)
def test_grey_among_colour_agrees_and_alpha_among_opaque_does_not(channels, share):
    kept = SimpleNamespace(
        ids=[0] * 4,
        picture=np.arange(4),
        label=np.zeros(4, np.int32),
        split=np.zeros(4),
        channels=np.array(channels, np.float32),
        measures={},
    )
    assert gate_facts._content(kept)["channels_share"] == share


def test_pictures_with_two_labels_are_counted_once_each():
    kept = SimpleNamespace(
        ids=[0] * 8,
        picture=np.array([0, 0, 1, 1, 2, 2, 2, -1]),
        label=np.array([0, 1, 0, 0, 0, -1, 1, 3], np.int32),
        split=np.zeros(8),
        channels=np.ones(8, np.float32),
        measures={},
    )
    assert gate_facts._content(kept)["conflicts_kept"] == 2


def test_a_missing_measure_fails_the_schema():
    data = tables()
    data["measures"] = data["measures"].drop(columns="sharpness")
    assert failed(data).keys() == {"schema"}


def test_a_fact_that_may_be_absent_passes_in_words_and_any_other_fails():
    _, checks = expectations.run(tables(outside_noise=None, largest_psi=None), Expectations())
    found = {check.name: check for check in checks}
    assert all(check.passed for check in checks)
    assert "too few reference rows" in found["range_noise"].expected
    assert "aigc quality accept" in found["drift_refused"].expected
    lost = tables()
    lost["facts"] = lost["facts"].drop(columns="rows_kept")
    assert failed(lost).keys() == {"enough_rows"}


def test_rows_without_any_label_are_all_of_one_kind():
    kept = SimpleNamespace(
        counts={"train": {"": 30}, "test": {"": 10}, "reference": {"": 10}},
        rows_of=lambda split: np.arange(50) < (30 if split == "train" else 10),
    )
    found = gate_facts._classes(kept)
    assert (found["classes"], found["smallest_class"], found["unlabelled_share"]) == (0, 30, 1)
    assert (found["class_share_ratio"], found["classes_without_test"], found["smallest_split_share"]) == (1, 0, 0.2)


def test_never_refusing_drift_is_a_choice():
    assert "drift_refused" not in failed(tables(largest_psi=50.0), drift={"refuse_psi": None})


def test_numbers_come_from_the_parameters():
    assert "enough_rows" in failed(tables(), min_rows=601)
    assert "enough_rows" not in failed(tables(rows_kept=10), min_rows=10)
    check = failed(tables(share_blank=0.2), max_share={"blank": 0.15})["share_blank"]
    assert (check.observed, check.expected) == (0.2, "at most 0.15")


def test_a_reason_without_a_bound_is_unbounded():
    _, checks = expectations.run(tables(share_corrupt=0.9), Expectations(max_share={"blank": 0.1}))
    assert {check.name: check for check in checks}["share_corrupt"].passed


def test_an_unknown_reason_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'mouldy'.*duplicate_exact"):
        configuration.parse({"expectations": {"max_share": {"mouldy": 0.1}}})
    assert set(expectations.bounded_reasons()) == set(REASONS)


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
    version = read_json(paths.curated / "card.json")["version"]
    assert read_json(paths.gate) == {"suite": SUITE["name"], "passed": True, "dataset": version}
    outcome = json.loads(paths.validation.read_text())
    assert outcome.keys() == {"suite", "dataset", "success", "checks"}
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
    assert not paths.gate.exists(), "training must not find a gate that passed once"
    assert [check["name"] for check in outcome["checks"] if not check["passed"]] == ["enough_rows"]


def test_a_warning_does_not_refuse(curated):
    config, paths = curated
    validate(config, paths)
    before = paths.gate.read_bytes()
    result = validate(with_numbers(config, max_share={"blank": 0.001}), paths)
    assert paths.gate.read_bytes() == before, "a warning trains nothing again"
    assert result.metrics["warnings"] == 1
    assert "share_blank" in result.summary
    assert read_json(paths.gate)["passed"]
    assert json.loads(paths.validation.read_text())["success"]


def test_rows_that_evaluate_would_refuse_are_refused_before_training(tmp_path):
    few = {"source": {"limit": 60}, "tracking": {"enabled": False}, "digits": {"plant": {"too_small": 0, "corrupt": 0}}}
    config, paths = configuration.parse(few), Paths(tmp_path)
    for stage in (ingest, measure, curate):
        stage(config, paths)
    lowered = with_numbers(config, min_rows=1, min_rows_per_class=1)
    with pytest.raises(GateError, match=r"enough_to_compare observed \d+(\.0)?, expected at least 80 .*split\.test"):
        validate(lowered, paths)
    assert not paths.gate.exists()
    validate(with_numbers(lowered, min_compared=0), paths)
    assert paths.gate.exists()

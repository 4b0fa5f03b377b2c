"""A changed upload is noticed, an unchanged one is not, and ranges follow the reference rows of any data set."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from aigc_core import config as configuration
from aigc_core.commands.quality_accept import accept
from aigc_core.config import Ranges
from aigc_core.errors import DataError, GateError
from aigc_core.files import read_json, write_json, write_table
from aigc_core.paths import Paths
from aigc_core.quality import drift, ranges
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.validate import validate


def column(*values):
    return np.array(values, dtype=np.float32)


def test_psi_of_two_bins_by_hand():
    then, now = [5_000_000, 5_000_000], [8_000_000, 2_000_000]
    by_hand = (0.8 - 0.5) * np.log(0.8 / 0.5) + (0.2 - 0.5) * np.log(0.2 / 0.5)
    assert drift.psi_above_chance(then, now) == pytest.approx(by_hand, abs=1e-5)
    assert drift.psi_above_chance(then, now) == drift.psi_above_chance(now, then)
    assert drift.psi_above_chance(then, then) == 0


def test_small_samples_of_one_population_stay_near_zero_and_a_moved_one_does_not():
    rng = np.random.default_rng(0)
    base = rng.normal(size=100_000).astype(np.float32)
    edges = drift.bin_edges(base, 10)
    assert len(edges) == 9

    def mean_psi(shift):
        values = [
            drift.psi_above_chance(*(drift.histogram(rng.normal(at, size=60).astype(np.float32), edges) for at in (0, shift)))
            for _ in range(200)
        ]  # fmt: skip
        return np.mean(values)

    assert mean_psi(0) < 0.1, "plain PSI would be 9 (1/60 + 1/60) = 0.3 here"
    assert mean_psi(1) > 0.5


def test_values_that_many_rows_share_have_a_bin_of_their_own():
    edges = drift.bin_edges(column(*[8] * 50), 10)
    assert [drift.histogram(column(value), edges).index(1) for value in (7, 8, 9)] == [0, 1, 2]
    mixed = drift.bin_edges(column(*[1] * 50, *range(2, 52)), 4)
    assert drift.histogram(column(1, 1, 1.5), mixed)[1] == 2
    assert drift.bin_edges(column(np.nan), 10) == []


def test_class_shift_is_half_the_summed_change():
    profile = {"version": "v", "rows": 100, "labels": {"a": 50, "b": 50}, "measures": {}}
    found = drift.compare(profile, {}, {"a": 90, "c": 10})
    assert found["class_shift"] == pytest.approx(0.5)
    assert (found["classes_lost"], found["rows_ratio"]) == (1, 1.0)
    assert set(drift.compare({}, {"mean": column(1)}, {"a": 1}).values()) == {None}
    with pytest.raises(DataError, match="aigc quality accept"):
        drift.compare({"labels": {}}, {"mean": column(1)}, {"a": 1})


@pytest.mark.parametrize("side", [8, 28, 105])
def test_ranges_follow_the_reference_rows(side):
    values = np.full(300, side, dtype=np.float32)
    values[290:] = side * 2
    reference, train = np.arange(300) < 100, np.arange(300) >= 100
    found = ranges.outside_shares({"width": values}, reference, train, Ranges())
    assert found["width"] == pytest.approx(10 / 200)
    assert found["noise"] is None, "a measure that was not taken has no range"
    few = ranges.outside_shares({"width": values}, np.arange(300) < 49, train, Ranges())
    assert few["width"] is None


def test_what_a_definition_forbids_is_impossible():
    good = {"mean": column(0, 1, 0.5), "std": column(0, 0.5, 0.1), "p01": column(0, 0.1, 0), "p99": column(1, 0.1, 0.2)}
    assert not ranges.impossible(good).any()
    assert ranges.impossible({"mean": column(-0.1, 1.2, 0.5)}).tolist() == [True, True, False]
    assert ranges.impossible({**good, "p99": column(1, 0.05, np.inf)}).tolist() == [False, True, True]


# -- through the stages -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def accepted(tmp_path_factory):
    config, paths = configuration.parse({}), Paths(tmp_path_factory.mktemp("drift"))
    for stage in (ingest, measure, curate, validate):
        stage(config, paths)
    accept(config, paths)
    return config, paths


@pytest.fixture
def copied(accepted, tmp_path):
    config, paths = accepted
    shutil.copytree(paths.data, tmp_path / "data", ignore=shutil.ignore_patterns("content"))
    return config, Paths(tmp_path)


def change(paths, name, values):
    place = paths.measures / "part-0.parquet"
    table = pq.read_table(place)
    index = table.schema.get_field_index(name)
    write_table(place, table.set_column(index, table.schema.field(index), values(table)))


def failures(paths):
    return {c["name"]: c["severity"] for c in read_json(paths.validation)["checks"] if not c["passed"]}


def test_the_same_data_has_not_moved(accepted):
    config, paths = accepted
    first = paths.profile.read_bytes()
    assert validate(config, paths).metrics["warnings"] == 0
    asked = {c["name"]: c["observed"] for c in read_json(paths.validation)["checks"]}
    assert (asked["drift_refused"], asked["drift_classes"], asked["drift_rows"]) == (0, 0, 1)
    accept(config, paths)
    assert paths.profile.read_bytes() == first


def test_a_slightly_brighter_upload_warns(copied):
    config, paths = copied
    change(paths, "mean", lambda table: pc.add(table["mean"], 0.02))
    validate(config, paths)
    assert failures(paths).keys() == {"drift_mean"}


def test_another_data_set_is_refused_until_somebody_accepts_it(copied):
    config, paths = copied
    change(paths, "mean", lambda table: pc.subtract(1, table["mean"]))
    with pytest.raises(GateError, match=r"drift_refused observed.*aigc quality accept"):
        validate(config, paths)
    assert not paths.gate.exists()
    accept(config, paths)
    assert validate(config, paths).metrics["warnings"] == 0


def test_a_lost_class_is_noticed(copied):
    config, paths = copied
    rows = pq.read_table(paths.curated / "rows.parquet")
    lost = rows.filter(pc.equal(rows["label"], "3"))
    write_table(paths.curated / "rows.parquet", rows.filter(pc.invert(pc.equal(rows["label"], "3"))))
    card = read_json(paths.curated / "card.json")
    write_json(paths.curated / "card.json",
               {**card, "counts": {s: {k: v for k, v in c.items() if k != "3"} for s, c in card["counts"].items()}})  # fmt: skip
    place = paths.quarantine / "part-0.parquet"
    table = pq.read_table(place)
    columns = {n: lost[n] if n in lost.schema.names else pa.nulls(len(lost), table.schema.field(n).type) for n in table.schema.names}  # fmt: skip
    write_table(place, pa.concat_tables([table, pa.table(columns, schema=table.schema)]))
    validate(config, paths)
    assert failures(paths).keys() == {"drift_classes", "drift_classes_lost"}


def test_data_that_the_gate_refuses_cannot_become_normal(copied):
    config, paths = copied
    before = paths.profile.read_bytes()
    strict = config.model_copy(update={"expectations": config.expectations.model_copy(update={"min_rows": 9999})})
    with pytest.raises(GateError):
        validate(strict, paths)
    with pytest.raises(GateError, match="enough_rows"):
        accept(strict, paths)
    assert paths.profile.read_bytes() == before


def test_what_the_gate_has_not_seen_cannot_become_normal(copied):
    config, paths = copied
    card = read_json(paths.curated / "card.json")
    write_json(paths.curated / "card.json", {**card, "version": "0" * 16})
    with pytest.raises(GateError, match=r"the present one is 0000.*aigc validate"):
        accept(config, paths)
    (paths.measures / "part-0.parquet").unlink()
    with pytest.raises(DataError, match="aigc measure"):
        validate(config, paths)


@pytest.mark.parametrize("content", ["not json", "[1]"])
def test_a_broken_profile_is_one_sentence(copied, content):
    config, paths = copied
    paths.profile.write_text(content)
    with pytest.raises(DataError, match=r"data/profile.json.*write \{\}"):
        validate(config, paths)


# -- what the gate counts from the tables ------------------------------------------------------------


def test_a_row_kept_against_its_verdict_is_refused(copied):
    config, paths = copied
    kept = pq.read_table(paths.curated / "rows.parquet")["id"][0].as_py()
    place = paths.verdicts / "part-0.parquet"
    table = pq.read_table(place)
    line = {**dict.fromkeys(table.schema.names), "id": kept, "source": "x", "reason": "leak", "action": "quarantine",
            "measure": "perceptual_hash"}  # fmt: skip
    write_table(place, pa.concat_tables([table, pa.Table.from_pylist([line], table.schema)]))
    with pytest.raises(GateError, match="no_quarantined_row_kept observed 1"):
        validate(config, paths)


def test_equal_pixels_in_two_splits_are_refused(copied):
    config, paths = copied
    place = paths.curated / "rows.parquet"
    rows = pq.read_table(place).to_pylist()
    train, test = (next(row for row in rows if row["split"] == split) for split in ("train", "test"))
    train["content_hash"] = test["content_hash"]
    write_table(place, pa.Table.from_pylist(rows, pq.read_schema(place)))
    with pytest.raises(GateError, match="no_leak_kept observed 1"):
        validate(config, paths)
    assert failures(paths).keys() == {"no_leak_kept", "pictures_unique", "no_conflict_kept"}, "the labels differ, too"


def test_a_row_without_measures_is_refused(copied):
    config, paths = copied
    place = paths.measures / "part-0.parquet"
    kept = pq.read_table(paths.curated / "rows.parquet")["id"][0].as_py()
    table = pq.read_table(place)
    write_table(place, table.filter(pc.not_equal(table["id"], kept)))
    with pytest.raises(GateError):
        validate(config, paths)
    assert failures(paths).keys() == {"every_row_measured", "kept_rows_complete", "kept_rows_readable"}

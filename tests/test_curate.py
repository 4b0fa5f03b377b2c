"""Verdicts and the curated version: nothing is lost, each defect is found, thresholds are parameters."""

import hashlib
import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest

from aigc_core import config as configuration
from aigc_core.config import Quality
from aigc_core.data.store import Version
from aigc_core.errors import DataError, GateError
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.reasons import REASONS
from aigc_core.quality.verdicts import judge, refuse_excess
from aigc_core.records import QUARANTINE_SCHEMA, VERDICT_SCHEMA
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure


def row(number, **changes):
    """One healthy row with its measures; its hashes are its own."""
    value = {
        "id": f"{number:04d}", "source": f"a/{number}.png", "split": "train", "parent": None, "error": None,
        "width": 16, "height": 16, "std": 0.2, "content_hash": f"content {number}",
        "perceptual_hash": hashlib.sha256(str(number).encode()).hexdigest()[:16],
    }  # fmt: skip
    return {**value, **changes}


def lines(rows, **quality):
    return judge(rows, Quality.model_validate(quality)).to_pylist()


def found(rows, **quality):
    return {(line["id"], line["reason"]) for line in lines(rows, **quality)}


def test_healthy_rows_get_no_verdict():
    assert found([row(number) for number in range(50)]) == set()


def test_every_reason_has_a_rule_among_the_parameters():
    assert set(REASONS) == set(Quality.model_fields) - {"max_quarantined_share"}


def test_a_verdict_carries_the_measure_that_decided():
    rows = [row(0, width=5), row(1, std=0.004), row(2, error="not an image", width=None, height=None, std=None,
                                                    content_hash=None, perceptual_hash=None)]  # fmt: skip
    small, blank, corrupt = lines(rows)
    assert (small["reason"], small["measure"], small["value"], small["threshold"]) == ("too_small", "width", 5, 8)
    assert (blank["reason"], blank["measure"], blank["value"], blank["threshold"]) == ("blank", "std", 0.004, 0.01)
    assert (corrupt["reason"], corrupt["measure"], corrupt["detail"]) == ("corrupt", "error", "not an image")
    assert {line["action"] for line in (small, blank, corrupt)} == {"quarantine"}


@pytest.mark.parametrize(("side", "is_small"), [(7, True), (8, False), (9, False)])
def test_the_bound_on_the_side_is_inclusive(side, is_small):
    assert bool(found([row(0, height=side)])) == is_small


def test_thresholds_come_from_the_parameters():
    rows = [row(0, width=10), row(1, std=0.05)]
    assert found(rows) == set()
    strict = {"too_small": {"action": "warn", "min_side": 12}, "blank": {"action": "inform", "max_std": 0.06}}
    assert found(rows, **strict) == {("0000", "too_small"), ("0001", "blank")}
    assert [line["action"] for line in lines(rows, **strict)] == ["warn", "inform"]


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_off_means_not_checked(reason):
    rows = [
        row(0, width=2, std=0.0), row(1), row(2, content_hash="content 1"), row(3, perceptual_hash="0" * 16),
        row(4, perceptual_hash="0" * 16), row(5, error="cut short", content_hash=None, perceptual_hash=None),
    ]  # fmt: skip
    assert reason in {name for _, name in found(rows)}
    rule = getattr(Quality(), reason).model_dump() | {"action": "off"}
    assert {name for _, name in found(rows, **{reason: rule})} == set(REASONS) - {reason}


def test_a_row_keeps_every_reason_and_the_table_is_sorted():
    rows = [row(3, width=2, std=0.0), row(1, width=2, std=0.0, content_hash="content 3"), row(2)]
    table = judge(rows, Quality())
    assert table.schema.equals(VERDICT_SCHEMA)
    keys = [(line["id"], line["reason"]) for line in table.to_pylist()]
    assert keys == sorted(keys)
    assert {("0003", "too_small"), ("0003", "blank"), ("0001", "too_small"), ("0001", "blank")} <= set(keys)
    assert sum(reason == "duplicate_exact" for _, reason in keys) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_exact_copies_the_test_row_survives_whatever_the_order(order):
    copies = [row(0, split="train"), row(1, split="reference"), row(2, split="test")]
    copies = [{**item, "content_hash": "same"} for item in copies]
    verdicts = lines([copies[index] for index in order])
    assert {line["id"] for line in verdicts if line["reason"] == "duplicate_exact"} == {"0000", "0001"}
    assert {line["detail"] for line in verdicts} == {"0002"}


def test_of_equal_ranks_the_lowest_id_survives():
    verdicts = lines([row(number, content_hash="same") for number in (7, 3, 5)])
    assert {line["id"] for line in verdicts} == {"0005", "0007"}


def flipped(value, *bits):
    return f"{int(value, 16) ^ sum(1 << bit for bit in bits):016x}"


@pytest.mark.parametrize(("bits", "near"), [((), True), ((5,), True), ((5, 40), True), ((5, 40, 63), False)])
def test_near_duplicates_are_those_within_the_distance(bits, near):
    first = row(0)
    second = row(1, perceptual_hash=flipped(first["perceptual_hash"], *bits))
    verdicts = lines([first, second, row(2)])
    assert [(line["id"], line["value"], line["detail"]) for line in verdicts] == (
        [("0001", len(bits), "0000")] if near else []
    )
    assert all(line["action"] == "warn" for line in verdicts)


def test_near_duplicates_agree_with_brute_force():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(150):
        origin = rows[number % 40]["perceptual_hash"] if number >= 40 else row(number)["perceptual_hash"]
        rows.append(
            row(number, perceptual_hash=flipped(origin, *set(rng.integers(0, 64, rng.integers(0, 4)).tolist())))
        )
    hashes = [int(item["perceptual_hash"], 16) for item in rows]
    expected = {
        rows[right]["id"] for right in range(150)
        if any((hashes[left] ^ hashes[right]).bit_count() <= 2 for left in range(right))
    }  # fmt: skip
    assert {identity for identity, _ in found(rows)} == expected
    assert len(expected) > 50


def test_exact_copies_are_not_called_near_as_well():
    rows = [row(0), row(1, content_hash="content 0", perceptual_hash=row(0)["perceptual_hash"])]
    assert found(rows) == {("0001", "duplicate_exact")}


def test_too_much_quarantine_is_refused_with_share_bound_and_reason():
    quality = Quality()
    verdicts = judge([row(n, std=0.0 if n < 3 else 0.2, width=2 if n == 0 else 9) for n in range(10)], quality)
    with pytest.raises(GateError, match=r"3 of 10 rows \(30\.0%\).*max_quarantined_share = 25%.*blank \(3\)") as raised:
        refuse_excess(verdicts, 10, quality)
    assert raised.value.exit_code == 3
    assert refuse_excess(verdicts, 12, quality) == {"0000", "0001", "0002"}


def test_warned_rows_do_not_count_as_quarantined():
    quality = Quality.model_validate({"blank": {"action": "warn", "max_std": 0.01}})
    assert refuse_excess(judge([row(n, std=0.0) for n in range(10)], quality), 10, quality) == set()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The embedded digits with their planted defects, measured and curated once."""
    config, paths = configuration.parse({}), Paths(tmp_path_factory.mktemp("digits"))
    ingest(config, paths)
    measure(config, paths)
    return config, paths, curate(config, paths)


def test_kept_and_quarantined_are_what_was_read(digits):
    _, paths, result = digits
    read = Version.open(paths.ingested).rows["id"].to_pylist()
    kept = Version.open(paths.curated).rows["id"].to_pylist()
    quarantined = pq.read_table(paths.quarantine)["id"].to_pylist()
    assert sorted(kept + quarantined) == sorted(read)
    assert (result.metrics["kept"], result.metrics["quarantined"]) == (len(kept), len(quarantined))


def test_every_planted_defect_is_found_and_no_clean_row_is_lost(digits):
    _, paths, _ = digits
    kinds = {line["id"]: line["kind"] for line in pq.read_table(paths.ingested / "truth.parquet").to_pylist()}
    quarantined = {line["id"]: line["reasons"] for line in pq.read_table(paths.quarantine).to_pylist()}
    sources = {line["id"]: line for line in Version.open(paths.ingested).rows.to_pylist()}
    for identity, kind in kinds.items():
        if kind in ("corrupt", "blank", "too_small"):
            assert kind in quarantined[identity], sources[identity]["source"]
    # Of an exact copy and its original one goes, either of the two.
    groups = {identity: {identity, sources[identity]["parent"]} for identity, kind in kinds.items()
              if kind == "duplicate_exact"}  # fmt: skip
    assert all(len(group & quarantined.keys()) == 1 for group in groups.values())
    allowed = kinds.keys() | set().union(*groups.values())
    assert quarantined.keys() <= allowed
    warned = {line["id"] for line in pq.read_table(paths.verdicts).to_pylist() if line["reason"] == "duplicate_near"}
    near = [{identity, sources[identity]["parent"]} for identity, kind in kinds.items() if kind == "duplicate_near"]
    assert sum(bool(pair & warned) for pair in near) >= 0.9 * len(near)


def test_quarantine_holds_the_original_bytes_and_all_reasons(digits):
    _, paths, _ = digits
    table = pq.read_table(paths.quarantine)
    assert table.schema.equals(QUARANTINE_SCHEMA)
    originals = dict(Version.open(paths.ingested).contents())
    reasons = {}
    for line in pq.read_table(paths.verdicts).to_pylist():
        reasons.setdefault(line["id"], []).append(line["reason"])
    for line in table.to_pylist():
        assert line["content"] == originals[line["id"]]
        assert line["reasons"] == reasons[line["id"]]


def test_the_card_tells_the_parent_and_what_was_dropped(digits):
    config, paths, _ = digits
    parent, card = Version.open(paths.ingested).card, Version.open(paths.curated).card
    assert (card.operation, card.parent) == ("curate", parent.version)
    assert card.image == parent.image
    assert card.parameters == config.quality.model_dump()
    expected = {}
    for line in pq.read_table(paths.verdicts).to_pylist():
        if line["action"] == "quarantine":
            expected[line["reason"]] = expected.get(line["reason"], 0) + 1
    assert card.dropped == expected


def snapshot(paths):
    return {
        str(file.relative_to(paths.data)): hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in (paths.verdicts, paths.quarantine, paths.curated) for file in sorted(folder.rglob("*"))
    }  # fmt: skip


def test_two_runs_make_the_same_bytes(digits):
    config, paths, _ = digits
    first = snapshot(paths)
    curate(config, paths)
    assert snapshot(paths) == first
    assert len(first) == 4


def test_a_refusal_leaves_what_was_there_untouched(digits):
    config, paths, _ = digits
    before = snapshot(paths)
    quality = config.quality.model_copy(update={"max_quarantined_share": 0.01})
    with pytest.raises(GateError):
        curate(config.model_copy(update={"quality": quality}), paths)
    assert snapshot(paths) == before


def test_a_folder_of_blanks_leaves_nothing_to_train_on(make):
    blank = np.zeros((12, 12, 1), np.uint8)
    files = {f"train/a/{n}.png": image.encode_png(blank + n) for n in range(8)}
    files |= {f"test/a/{n}.png": make.png(n) for n in range(8)}
    config = make.config("folder", make.folder(files), quality={"max_quarantined_share": 1.0})
    paths = make.paths()
    ingest(config, paths)
    measure(config, paths)
    with pytest.raises(DataError, match="training"):
        curate(config, paths)
    assert not paths.curated.exists()
    assert not paths.quarantine.exists()


def test_a_training_copy_of_a_test_image_goes(make):
    files = {f"train/{label}/{n}.png": make.png(n + 50 * (label == "b")) for label in "ab" for n in range(12)}
    files |= {f"test/{label}/{n}.png": make.png(1000 + n + 50 * (label == "b")) for label in "ab" for n in range(6)}
    files["train/a/leaked.png"] = files["test/a/0.png"]
    config, paths = make.config("folder", make.folder(files)), make.paths()
    ingest(config, paths)
    measure(config, paths)
    curate(config, paths)
    quarantined = pq.read_table(paths.quarantine).to_pylist()
    assert [line["source"].split("/")[-1] for line in quarantined] == ["leaked.png"]
    assert quarantined[0]["reasons"] == ["duplicate_exact"]

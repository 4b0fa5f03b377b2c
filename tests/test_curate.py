"""Verdicts and the curated version: nothing is lost, each defect is found, thresholds are parameters."""

import hashlib
import itertools
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from judged_rows import UNREADABLE, found, lines, references, row, table

from aigc_core import config as configuration
from aigc_core.config import Quality
from aigc_core.data.store import Version
from aigc_core.errors import DataError, GateError
from aigc_core.files import read_json
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.calibration import FEW_ROWS
from aigc_core.quality.reasons import REASONS
from aigc_core.quality.rules import STATISTICS
from aigc_core.quality.verdicts import judge, refuse_excess
from aigc_core.records import CALIBRATION_FILE, QUARANTINE_SCHEMA, VERDICT_SCHEMA
from aigc_core.stages import curate as curate_module
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure


def test_healthy_rows_get_no_verdict():
    assert found([row(number) for number in range(50)]) == set()


def test_every_reason_has_a_rule_among_the_parameters():
    assert set(REASONS) == set(Quality.model_fields) - {"max_quarantined_share"}


def test_a_verdict_carries_the_measure_that_decided():
    rows = [row(0, width=5), row(1, std=0.004), row(2, error="not an image", **UNREADABLE)]
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


def many_defects():
    """At least one training row for every reason, beside references."""
    return [
        *references(), row(0, error="cut short", **UNREADABLE), row(1, source="a/1.jpg"), row(2, provenance="aigc"),
        row(3, width=2), row(4, std=0.0), row(5, width=160, height=160), row(6, width=80, height=16, aspect=5.0),
        row(7, entropy=1.0), row(8, p99=0.2), row(9, p01=0.7), row(10, noise=0.001), row(11, noise=0.4),
        row(12, domain_distance=9.0), row(13), row(14, content_hash="content 13"), row(15), row(16),
        row(17, content_hash="content 9000"), row(19, content_hash="content 61"), row(61, label="b"), row(18, label_probability=0.0001, label_predicted="b"),
        *(row(n, label_probability=0.99, label=label) for n, label in zip(range(20, 60), "ab" * 20, strict=True)),
        *(row(8000 + n, split="reference", domain_distance=1 + n / 100) for n in range(60)),
    ]  # fmt: skip


def test_each_defect_gets_its_reason_and_no_other():
    expected = {
        0: "corrupt", 1: "wrong_type", 2: "generated", 3: "too_small", 4: "blank", 5: "odd_size", 6: "odd_aspect",
        7: "low_information", 8: "dark", 9: "bright", 10: "blurry", 11: "noisy", 12: "out_of_domain",
        14: "duplicate_exact", 16: "duplicate_near", 18: "label_suspect",
    }  # fmt: skip
    named = {(f"{number:04d}", reason) for number, reason in expected.items()}
    named |= {("0017", "leak"), ("0017", "duplicate_exact")}
    named |= {("0019", "label_conflict"), ("0061", "label_conflict"), ("0061", "duplicate_exact")}
    judged = {line for line in found(many_defects(), [(15, 16, 0.98)]) if line[0] < "8000"}
    assert judged == named
    assert {reason for _, reason in named} == set(REASONS)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_off_means_not_checked(reason):
    rule = getattr(Quality(), reason).model_dump() | {"action": "off"}
    names = {name for _, name in found(many_defects(), [(15, 16, 0.98)], **{reason: rule})}
    assert names == set(REASONS) - {reason}


def test_a_row_keeps_every_reason_and_the_table_is_sorted():
    rows = [row(3, width=2, std=0.0), row(1, width=2, std=0.0, content_hash="content 3"), row(2)]
    verdicts = judge(table(rows), Quality()).verdicts
    assert verdicts.schema.equals(VERDICT_SCHEMA)
    keys = [(line["id"], line["reason"]) for line in verdicts.to_pylist()]
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
    assert {line["cluster"] for line in verdicts} == {"0002"}


def test_a_copy_that_goes_for_its_own_sake_does_not_take_the_picture_with_it():
    rows = [row(0, content_hash="same", provenance="aigc"), row(1, content_hash="same")]
    assert found(rows) == {("0000", "generated"), ("0000", "duplicate_exact")}


def test_of_equal_ranks_the_lowest_id_survives():
    verdicts = lines([row(number, content_hash="same") for number in (7, 3, 5)])
    assert {line["id"] for line in verdicts} == {"0005", "0007"}


def test_near_duplicates_are_pairs_at_or_above_the_similarity():
    verdicts = lines([row(0), row(1), row(2), row(3)], [(0, 1, 0.993), (2, 3, 0.992)])
    assert [(v["id"], v["value"], v["threshold"], v["cluster"]) for v in verdicts] == [("0001", 0.993, 0.993, "0000")]
    assert verdicts[0]["action"] == "warn"
    assert verdicts[0]["score"] == pytest.approx(0.007)


def test_of_a_chain_of_near_duplicates_one_row_stays_the_best():
    rows = [row(0), row(1, sharpness=0.03), row(2), row(3)]
    verdicts = lines(rows, [(0, 1, 0.997), (1, 2, 0.998), (2, 3, 0.999)])
    assert {v["id"] for v in verdicts} == {"0000", "0002", "0003"}
    assert {v["cluster"] for v in verdicts} == {"0001"}


def test_how_alike_copies_must_be_follows_from_the_reference():
    rows = [*references(), row(0), row(1)]
    assert found(rows, [(0, 1, 0.975)]) == {("0001", "duplicate_near")}
    assert found(rows, [(0, 1, 0.945)]) == set()
    alike = [(9000 + n, 9001 + n, 0.9 + 0.09 * n / 200) for n in range(199)]
    assert "0001" not in {identity for identity, _ in found(rows, [(0, 1, 0.975), *alike])}
    assert "0001" in {identity for identity, _ in found(rows, [(0, 1, 0.996), *alike])}
    strict = Quality().duplicate_near.model_dump() | {"min_similarity": 0.98}
    assert found(rows, [(0, 1, 0.975)], duplicate_near=strict) == set()


def test_exact_copies_are_not_called_near_as_well():
    rows = [row(0), row(1, content_hash="content 0")]
    assert found(rows, [(0, 1, 1.0)]) == {("0001", "duplicate_exact")}


@pytest.mark.parametrize("action", ["off", "warn"])
def test_exact_copies_that_stay_are_near_ones_of_similarity_one(action):
    rows = [row(0), row(1, content_hash="content 0"), row(2)]
    verdicts = lines(rows, [(0, 1, 1.0), (0, 2, 0.995)], duplicate_exact={"action": action})
    near = {v["id"]: (v["value"], v["score"]) for v in verdicts if v["reason"] == "duplicate_near"}
    assert near == {"0001": (0.995, pytest.approx(0.005)), "0002": (0.995, pytest.approx(0.005))}
    verdicts = lines(rows, [(0, 1, 1.0)], duplicate_exact={"action": action})
    assert [(v["id"], v["value"], v["score"]) for v in verdicts if v["reason"] == "duplicate_near"] == [("0001", 1, 0)]


@pytest.mark.parametrize("held", ["test", "reference"])
def test_a_leak_takes_the_training_row_and_never_the_judged_one(held):
    rows = [row(0, split=held, sharpness=0.001), row(1), row(2), row(3, content_hash="content 0")]
    verdicts = lines(rows, [(0, 1, 0.996), (1, 2, 0.996)])
    leaks = {v["id"]: v for v in verdicts if v["reason"] == "leak"}
    assert leaks.keys() == {"0001", "0003"}, "0002 is alike to a training row only"
    assert {v["detail"] for v in leaks.values()} == {"0000"}
    assert {v["action"] for v in leaks.values()} == {"quarantine"}
    assert (leaks["0003"]["value"], leaks["0001"]["value"]) == (1.0, 0.996)
    assert "0000" not in {v["id"] for v in verdicts}


def test_a_copy_of_a_judged_copy_leaks_through_pairs_of_the_first():
    rows = [
        row(0, split="test"),
        row(1, split="test", content_hash="content 0"),
        row(2),
        row(3, content_hash="content 2"),
    ]
    leaks = {v["id"] for v in lines(rows, [(0, 2, 0.997)]) if v["reason"] == "leak"}
    assert leaks == {"0002", "0003"}


@pytest.mark.parametrize(("labels", "blamed"), [("aab", {2}), ("ab", {0, 1}), ("aabb", {0, 1, 2, 3}), ("aaa", set())])
def test_of_one_image_under_two_labels_the_minority_is_blamed_or_all(labels, blamed):
    rows = [row(n, content_hash="same", label=label) for n, label in enumerate(labels)]
    assert {v["id"] for v in lines(rows) if v["reason"] == "label_conflict"} == {f"{n:04d}" for n in blamed}


def test_the_copy_with_the_label_of_the_majority_survives():
    rows = [row(0, content_hash="same", label="b"), *(row(n, content_hash="same") for n in (1, 2))]
    assert {v["id"] for v in lines(rows) if v["reason"] == "duplicate_exact"} == {"0000", "0002"}


@pytest.mark.parametrize(
    ("source", "actual", "wrong"),
    [
        ("a/1.JPG", "JPEG", False), ("a/1.jpe", "MPO", False), ("a/1.tif", "TIFF", False), ("a/1.png", "JPEG", True),
        ("a/1.jpeg", "PNG", True), ("a/1", "PNG", False), ("a/1.v2", "PNG", False), ("x.zip/a/1.gif", "PNG", True),
        ("t.png#4", "JPEG", False), ("a/1.png", None, False),
    ],
)  # fmt: skip
def test_wrong_type_is_an_ending_that_announces_another_format(source, actual, wrong):
    assert bool(found([row(0, source=source, format=actual)])) == wrong


def test_generated_rows_are_refused_unless_allowed():
    rows = [row(0, provenance="trainedAlgorithmicMedia")]
    assert [(v["reason"], v["action"], v["detail"]) for v in lines(rows)] == [
        ("generated", "quarantine", "trainedAlgorithmicMedia")
    ]
    assert found(rows, generated={"action": "quarantine", "allow": True}) == set()


def test_fitted_rules_only_warn_of_judged_rows():
    rows = [*references(), row(0, p99=0.2), row(1, p99=0.2, split="test"), row(2, std=0.0, split="test")]
    rule = {"action": "quarantine", "false_positives": 0.001, "margin": 0.2}
    actions = {(v["id"], v["reason"]): v["action"] for v in lines(rows, dark=rule)}
    assert actions == {
        ("0000", "dark"): "quarantine", ("0001", "dark"): "warn", ("0002", "blank"): "quarantine",
    }  # fmt: skip


def test_a_fitted_verdict_gives_value_and_threshold_in_the_unit_of_its_column():
    (line,) = lines([*references(), row(0, noise=0.001, std=0.25)])
    assert (line["reason"], line["measure"], line["value"]) == ("blurry", "noise", 0.001)
    assert 0.001 < line["threshold"] < 0.02 * (0.25 / 0.2) ** 0.5
    assert 0 <= line["score"] < 0.001


def test_thresholds_do_not_depend_on_the_rows_judged():
    dark = row(0, p99=0.3)
    few = lines([*references(), dark])
    many = lines([*references(), dark, *(row(n, p99=0.3) for n in range(1, 400))])
    assert few[0] == next(line for line in many if line["id"] == "0000")
    assert len(many) == 400


def test_without_reference_rows_only_absolute_rules_speak():
    rows = [row(0, p99=0.0), row(1, std=0.0)]
    judged = judge(table(rows), Quality())
    assert [(v["id"], v["reason"]) for v in judged.verdicts.to_pylist()] == [("0001", "blank")]
    assert judged.calibration["reference_rows"] == 0
    assert not any(tail["applied"] for tail in judged.calibration["tails"])


def test_thresholds_rest_on_each_sound_reference_picture_once():
    copies = [row(n, split="reference", content_hash="content 9000", p99=0.3) for n in range(40)]
    blanks = [row(100 + n, split="reference", std=0.0, p99=0.3) for n in range(40)]
    notes = [judge(table([*references(60), *more]), Quality()).calibration for more in ([], copies, blanks)]
    # Of equal pictures the first id counts; here it is one of the copies.
    assert [note["reference_rows"] for note in notes] == [60, 60, 60]
    assert notes[0]["tails"] == notes[2]["tails"]


def test_the_distance_is_fitted_on_rows_that_other_rules_leave():
    """Some reference rows are dark, as many bright, and all of these far away: too many together to stand apart."""
    usual = [row(n, split="reference", domain_distance=1 + (n % 20) / 100, p99=0.9 - n / 2000) for n in range(140)]
    dark = [row(200 + n, split="reference", domain_distance=3.0 + n / 10, p99=0.01) for n in range(30)]
    bright = [row(300 + n, split="reference", domain_distance=3.0 + n / 10, p01=0.99) for n in range(30)]
    reasons = {}
    for line in lines([*usual, *dark, *bright, row(999, domain_distance=4.0)]):
        reasons.setdefault(line["id"], set()).add(line["reason"])
    assert reasons.pop("0999") == {"out_of_domain"}
    assert len(reasons) == 60
    assert {frozenset(own) for own in reasons.values()} == {
        frozenset({"dark", "out_of_domain"}), frozenset({"bright", "out_of_domain"}),
    }  # fmt: skip


def test_what_no_image_could_get_is_told_with_its_cause():
    pale = [row(n, split="reference", p01=0.99, entropy=0.02) for n in range(60)]
    silent = judge(table([*pale, row(1000, domain_distance=3.0)]), Quality()).calibration["silent"]
    assert set(silent) == {"bright", "low_information", "out_of_domain", "label_suspect"}
    assert set(judge(table([row(n) for n in range(20)]), Quality()).calibration["silent"]) >= {
        "dark",
        "blurry",
        "noisy",
    }
    usual = [row(n, split="reference", domain_distance=1 + n / 100, label_probability=0.9) for n in range(60)]
    assert judge(table([*usual, row(99, label_probability=0.9)]), Quality()).calibration["silent"] == {}


@pytest.mark.parametrize(("predicted", "silent"), [(0.5, True), (0.999999, False)])
def test_classes_that_look_too_much_alike_are_told(predicted, silent):
    known = {"label_probability": predicted, "label_predicted_probability": predicted}
    rows = [row(n, label="abcdefghij"[n % 10], label_predicted="a", **known) for n in range(100)]
    assert ("label_suspect" in judge(table(rows), Quality()).calibration["silent"]) == silent


def test_classes_that_nothing_is_said_of_are_named():
    rows = [row(n, label="big", label_probability=0.9) for n in range(20)] + [
        row(90 + n, label="rare") for n in range(3)
    ]
    assert judge(table(rows), Quality()).calibration["unchecked_classes"] == {"rare": 3}


def test_a_class_that_is_a_kind_of_its_own_is_not_flagged_and_its_outliers_are():
    rng = np.random.default_rng(1)
    night = [row(n, split="reference", label="night", p99=0.3 + 0.02 * rng.standard_normal()) for n in range(20)]
    rows = [
        *references(),
        *night,
        row(900, label="night", p99=0.31),
        row(901, label="night", p99=0.05),
        row(902, p99=0.31),
    ]
    assert {i for i, reason in found(rows) if reason == "dark"} == {"0901", "0902"}


def test_a_kind_within_one_class_is_not_flagged_and_rows_of_other_classes_like_it_are():
    """A third of the class `ones` is dark: too many for a defect. Of `a` one row in fifty is."""
    ones = [row(300 + n, split="reference", label="ones", p99=0.3 if n % 3 == 0 else 0.9 - n / 2000) for n in range(60)]
    usual = [row(n, split="reference", p99=0.9 - n / 4000) for n in range(200)]
    rows = [*usual, *ones, row(900, label="ones", p99=0.3), row(901, p99=0.3), row(902, label="ones", p99=0.02)]
    assert {i for i, reason in found(rows) if reason == "dark"} == {"0901", "0902"}


def test_of_one_picture_in_two_classes_no_accident_of_an_id_decides():
    for first, second in (("a", "b"), ("b", "a")):
        tie = [row(0, content_hash="same", label=first), row(1, content_hash="same", label=second), row(2)]
        going = {line["id"] for line in lines(tie) if line["action"] == "quarantine"}
        assert going == {"0000", "0001"}
    three = [row(n, content_hash="same", label=label, split=split)
             for n, (label, split) in enumerate([("b", "test"), ("a", "train"), ("a", "train")])]  # fmt: skip
    kept = {"0000", "0001", "0002"} - {line["id"] for line in lines(three) if line["action"] == "quarantine"}
    assert len(kept) == 1
    assert "0000" not in kept, "the majority stays, also where the other lies in the test split"


def test_two_pictures_that_are_only_alike_and_have_two_labels_are_no_certain_leak():
    rows = [row(0, split="test"), row(1, label="b"), row(2)]
    actions = {
        line["id"]: line["action"] for line in lines(rows, [(0, 1, 0.999), (0, 2, 0.999)]) if line["reason"] == "leak"
    }
    assert actions == {"0001": "warn", "0002": "quarantine"}
    equal = [row(0, split="test", content_hash="same"), row(1, label="a", content_hash="same")]
    assert {line["action"] for line in lines(equal) if line["reason"] == "leak"} == {"quarantine"}


def test_two_tails_of_a_reason_share_its_false_positives():
    tails = judge(table(references()), Quality()).calibration["tails"]
    shares = {
        name: [tail["false_positives"] for tail in tails if tail["reason"] == name]
        for name in ("odd_size", "noisy", "dark")
    }
    assert shares == {"odd_size": [0.0005] * 2, "noisy": [pytest.approx(0.001 / 3)] * 3, "dark": [0.001]}


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.reason)
def test_a_threshold_goes_back_to_the_unit_of_its_column(statistic):
    rng = np.random.default_rng(0)
    names = (
        "side",
        "aspect",
        "entropy",
        "p01",
        "p99",
        "std",
        "noise",
        "colour_noise",
        "equal_neighbours",
        "sharpness",
        "domain_distance",
    )
    columns = {name: rng.uniform(0.1, 2, 1) for name in names}
    back = statistic.back(float(statistic.forward(columns)[0]), columns)
    assert np.asarray(back).item() == pytest.approx(columns[statistic.column][0])


def test_a_judged_row_that_only_a_fitted_rule_dislikes_still_finds_its_leaks():
    rule = {"action": "quarantine", "false_positives": 0.001, "margin": 0.2}
    rows = [*references(), row(0, split="test", p99=0.2), row(1), row(2, split="test", std=0.0), row(3)]
    named = found(rows, [(0, 1, 0.999), (2, 3, 0.999)], dark=rule)
    assert {identity for identity, reason in named if reason == "leak"} == {"0001"}, "the blank test row goes"


def test_too_much_quarantine_is_refused_with_share_bound_and_reason():
    quality = Quality()
    rows = [row(n, std=0.0 if n < 3 else 0.2, width=2 if n == 0 else 9) for n in range(10)]
    verdicts = judge(table(rows), quality).verdicts
    with pytest.raises(GateError, match=r"3 of 10 rows \(30\.0%\).*max_quarantined_share = 0\.25.*blank \(3") as raised:
        refuse_excess(verdicts, 10, quality)
    assert raised.value.exit_code == 3
    assert all(f"a/{n}.png" in str(raised.value) for n in range(3)), "three examples"
    assert "quality.blank.action" in str(raised.value)
    assert refuse_excess(verdicts, 12, quality) == {"0000", "0001", "0002"}


def test_warned_rows_do_not_count_as_quarantined():
    quality = Quality.model_validate({"blank": {"action": "warn", "max_std": 0.01}})
    verdicts = judge(table([row(n, std=0.0) for n in range(10)]), quality).verdicts
    assert refuse_excess(verdicts, 10, quality) == set()


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
    lost = quarantined.keys() - allowed
    assert {tuple(quarantined[identity]) for identity in lost} <= {("duplicate_near", "leak"), ("leak",)}
    assert len(lost) <= 0.005 * len(sources), "two different digits of 8 px may be as alike as a copy"
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
    assert len(first) == 5


def test_a_refusal_leaves_what_was_there_untouched(digits):
    config, paths, _ = digits
    before = snapshot(paths)
    quality = config.quality.model_copy(update={"max_quarantined_share": 0.01})
    with pytest.raises(GateError):
        curate(config.model_copy(update={"quality": quality}), paths)
    assert snapshot(paths) == before


@pytest.mark.parametrize("name", ["part-0", "learned", "pairs"])
def test_without_measures_curate_says_what_to_run(digits, tmp_path, name):
    config, paths, _ = digits
    shutil.copytree(paths.data, tmp_path / "data")
    (tmp_path / f"data/measures/{name}.parquet").unlink()
    with pytest.raises(DataError, match=rf"{name}\.parquet is missing: run `aigc measure`"):
        curate(config, Paths(tmp_path))


def test_large_files_reach_the_quarantine_in_small_batches(digits, tmp_path, monkeypatch):
    config, paths, _ = digits
    shutil.copytree(paths.data, tmp_path / "data")
    monkeypatch.setattr(curate_module, "CHUNK_BYTES", 1000)
    curate(config, Paths(tmp_path))
    parts = [pq.ParquetFile(place.quarantine / "part-0.parquet") for place in (paths, Paths(tmp_path))]
    assert parts[0].read().equals(parts[1].read())
    assert parts[1].num_row_groups > parts[0].num_row_groups


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
    files |= {f"train/a/leaked{n}.png": files[f"test/a/{n}.png"] for n in range(6)}
    config, paths = make.config("folder", make.folder(files)), make.paths()
    ingest(config, paths)
    measure(config, paths)
    curate(config, paths)
    quarantined = pq.read_table(paths.quarantine).to_pylist()
    assert {line["source"].split("/")[-1] for line in quarantined} == {f"leaked{n}.png" for n in range(6)}
    named = {"train": ["duplicate_exact", "leak"], "reference": ["duplicate_exact"]}
    assert all(line["reasons"] == named[line["split"]] for line in quarantined)
    assert {line["split"] for line in quarantined} == set(named)


def test_nothing_is_said_of_the_label_of_an_image_that_shows_nothing():
    learnt = {"label_probability": 0.0001, "label_predicted": "b", "label_predicted_probability": 0.9}
    certain = {"label_probability": 0.99, "label_predicted": "a", "label_predicted_probability": 0.99}
    rows = [row(n, **certain) if n % 20 else row(n, **learnt) for n in range(200)]
    rows += [row(500 + n, label="ab"[n], std=0.0, content_hash="flat", **learnt) for n in range(2)]
    rows.append(row(502, width=3, height=3, **learnt))
    rows.append(row(503, label="b"))
    reasons = found(rows)
    assert ("0000", "label_suspect") in reasons
    assert {reason for identity, reason in reasons if identity >= "0500"} == {"blank", "duplicate_exact", "too_small"}


def test_without_a_training_row_the_error_says_what_the_rows_are(make):
    files = {f"test/a/{n}.png": make.png(n) for n in range(6)}
    config, paths = make.config("folder", make.folder(files)), make.paths()
    for stage in (ingest, measure):
        stage(config, paths)
    with pytest.raises(DataError, match="6 test rows"):
        curate(config, paths)
    assert not paths.verdicts.exists()


@pytest.mark.parametrize("rows", [3, 500])
def test_the_line_names_the_labels_that_nobody_could_judge(rows):
    def line(silent, classes):
        return curate_module._basis({"reference_rows": rows, "silent": silent, "unchecked_classes": classes})

    assert "could not look for" not in line({}, {})
    assert "heron" in line({}, {"heron": 7})
    assert "(7)" in line({}, {"heron": 7})
    both = line({"label_suspect": "no classes"}, {"heron": 7})
    assert "label_suspect (no classes)" in both
    assert "heron" not in both, "all labels were not judged, and so these are among them"
    assert both.count("label_suspect") == 1
    many = line({}, {f"class{n}": n for n in range(1200)})
    assert [name in many for name in ("class0", "class2", "class3")] == [True, True, False]
    assert "1,200 classes" in many
    assert "1,197 more" in many
    assert "more" not in line({}, {"a": 1, "b": 2, "c": 3})


def test_the_line_names_detectors_that_could_find_nothing_where_thresholds_are_fitted():
    def line(rows):
        return curate_module._basis({"reference_rows": rows, "silent": {"dark": "all dark"}, "unchecked_classes": {}})

    assert "dark (all dark)" in line(1500)
    assert "1,500 reference rows" in line(1500)
    assert "3 sound reference rows" in line(3)
    assert "dark" not in line(3), "no threshold at all was fitted"
    assert "wide" in line(FEW_ROWS - 1)
    assert "wide" not in line(FEW_ROWS)


def test_the_line_of_the_stage_tells_what_the_thresholds_rest_on(digits):
    _, paths, result = digits
    calibration = read_json(paths.verdicts / CALIBRATION_FILE)
    assert f"{calibration['reference_rows']:,} reference rows" in result.summary
    assert result.metrics["warned"] == len(
        {line["id"] for line in pq.read_table(paths.verdicts).to_pylist() if line["action"] == "warn"}
    )
    assert f"warned of {result.metrics['warned']:,}" in result.summary

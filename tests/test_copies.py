"""Copies across splits and classes: which twin a leak names, when it is certain, and which row of a group stays."""

import pytest
from judged_rows import found, lines, row


def leaks(rows, pairs=(), **quality):
    return {line["id"]: line for line in lines(rows, pairs, **quality) if line["reason"] == "leak"}


@pytest.mark.parametrize(
    ("one", "other", "action"), [("a", "b", "warn"), (None, "b", "quarantine"), ("a", None, "quarantine")]
)
def test_a_missing_label_contradicts_no_other(one, other, action):
    found = leaks([row(0, split="test", label=one), row(1, label=other)], [(0, 1, 0.999)])
    assert {line["action"] for line in found.values()} == {action}


def test_a_leak_names_the_twin_whose_label_agrees_before_one_that_is_more_alike():
    rows = [row(0, split="test", label="b"), row(1, split="test"), row(2)]
    (line,) = leaks(rows, [(0, 2, 0.9995), (1, 2, 0.996)]).values()
    assert (line["action"], line["detail"], line["value"]) == ("quarantine", "0001", 0.996)
    (line,) = leaks([rows[0], row(1, split="test", label="b"), row(2)], [(0, 2, 0.996), (1, 2, 0.9995)]).values()
    assert (line["action"], line["detail"], line["value"]) == ("warn", "0001", 0.9995)


def test_of_equal_twins_a_test_row_is_named_before_a_reference_row():
    rows = [row(0, split="reference", content_hash="same"), row(3, split="test", content_hash="same"),
            row(2, split="test", content_hash="same"), row(4, content_hash="same")]  # fmt: skip
    (line,) = leaks(rows).values()
    assert (line["id"], line["detail"]) == ("0004", "0002")


def test_an_equal_twin_is_named_before_one_that_is_only_alike():
    rows = [row(0, split="test", content_hash="same"), row(1, split="test"), row(2, content_hash="same")]
    (line,) = leaks(rows, [(0, 1, 0.999)]).values()
    assert (line["detail"], line["value"]) == ("0000", 1.0)


def test_copies_that_all_go_for_their_own_sake_leave_one_of_them():
    rows = [row(n, content_hash="same", provenance="aigc") for n in range(3)]
    assert {identity for identity, reason in found(rows) if reason == "duplicate_exact"} == {"0001", "0002"}


def test_a_pair_of_a_row_with_its_exact_copy_is_no_other_picture():
    rows = [row(0), row(1, content_hash="content 0"), row(2, split="test")]
    assert leaks(rows, [(0, 1, 1.0)]) == {}


def test_an_unreadable_row_has_no_copies():
    rows = [row(n, content_hash=None, split=split) for n, split in enumerate(("test", "train"))]
    assert found(rows) == set()


def test_the_share_of_a_label_is_its_score_and_rows_without_one_are_not_blamed():
    rows = [row(n, content_hash="same", label=label) for n, label in enumerate(["a", "a", "a", "b", None])]
    (line,) = (line for line in lines(rows) if line["reason"] == "label_conflict")
    assert (line["id"], line["score"], line["value"]) == ("0003", 0.25, 2)
    assert line["detail"].split()[-1] == "a"


@pytest.mark.parametrize("held", [0, 1])
def test_a_leak_is_found_whichever_row_of_the_pair_is_the_judged_one(held):
    rows = [row(n, split="test" if n == held else "train") for n in range(2)]
    assert leaks(rows, [(0, 1, 0.999)]).keys() == {f"{1 - held:04d}"}


def test_of_twins_with_equal_pixels_the_one_whose_label_agrees_is_named():
    held = [row(n, split="test", content_hash="same", label=label) for n, label in enumerate("bac")]
    (line,) = leaks([*held, row(3)], [(0, 3, 0.999)], label_conflict={"action": "warn"}).values()
    assert (line["action"], line["detail"]) == ("quarantine", "0001")


def test_equal_pixels_leak_whatever_the_labels():
    rows = [row(0, split="test", content_hash="same", label="b"), row(1, content_hash="same")]
    (line,) = leaks(rows, label_conflict={"action": "warn"}).values()
    assert (line["id"], line["action"]) == ("0001", "quarantine")

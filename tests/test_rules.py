"""Rules of single rows, one behaviour each: what stands apart, classes that are a kind of image, what cannot be looked for."""

import numpy as np
import pytest
from judged_rows import found, lines, references, row, table

from aigc_core.config import Quality
from aigc_core.quality import rules
from aigc_core.quality.rules import STATISTICS
from aigc_core.quality.verdicts import judge


def reference(number, **changes):
    return row(number, split="reference", **changes)


def flagged(rows, reason, **quality):
    return {identity for identity, name in found(rows, **quality) if name == reason}


def columns(count=60, **changes):
    """Measures of rows that are all alike, but for the named columns."""
    usual = {name: row(0)[name] for name in ("width", "height", "aspect", "std", "entropy", "sharpness", "noise",
                                             "colour_noise", "equal_neighbours", "p01", "p99")}  # fmt: skip
    usual |= {"side": 16.0, "domain_distance": 1.0, **changes}
    return {name: np.broadcast_to(np.asarray(value, float), (count,)).copy() for name, value in usual.items()}


def test_one_stranger_among_few_reference_rows_stands_apart():
    """As the darkest of fifteen rows it would be the end of their tail."""
    usual = [reference(n, domain_distance=1 + n / 100, p99=0.9 - n / 1000) for n in range(14)]
    assert flagged([*usual, reference(50, domain_distance=16.0)], "out_of_domain") == {"0050"}
    assert flagged([*usual, reference(50, p99=0.1)], "dark") == set()


def test_two_strangers_within_a_class_of_far_images_stand_apart():
    usual = [reference(n, domain_distance=1 + (n % 20) / 100) for n in range(200)]
    far = [reference(300 + n, label="far", domain_distance=9 + n / 100) for n in range(28)]
    strangers = [reference(400 + n, label="far", domain_distance=25.0 + n / 10) for n in range(2)]
    assert flagged([*usual, *far, *strangers], "out_of_domain") == {"0400", "0401"}


def test_a_gap_of_distances_has_to_be_wider_than_others():
    """Five of four hundred rows lie behind a gap that parts other measures, and still are the end of a long tail."""
    body = np.minimum(1 - np.log((np.arange(400) + 0.5) / 400), 4.2)
    end = 4.35 + np.cumsum([0.01, 0.01, 0.22, *[0.02] * 4])
    values = np.append(body, end)
    assert [
        fit.tail.apart for fit in fitted(domain_distance=values**2) if fit.statistic.column == "domain_distance"
    ] == [0]
    assert [fit.tail.apart for fit in fitted(aspect=np.exp(values)) if fit.statistic.column == "aspect"] == [5]


def fitted(labels="a", **changes):
    """The tails of reference rows that differ in the named columns alone."""
    count = max(np.size(value) for value in changes.values())
    names = np.broadcast_to(np.asarray(labels), (count,))
    return rules.fit(columns(count, **changes), names, np.ones(count, bool), Quality())


@pytest.mark.parametrize(
    ("own", "others", "gathered"),
    [
        ((200, 10), (1000, 0), False),  # so many in a hundred may be defects
        ((200, 24), (1000, 0), True),
        ((60, 60), (1000, 0), True),  # a class that lies beyond as a whole
        ((60, 60), (60, 60), False),  # and where every class does
        ((40, 8), (400, 4), True),
        ((40, 5), (343, 6), False),  # as likely as one in two hundred
        ((10, 1), (200, 6), False),  # one row of ten is chance
        ((12, 2), (12, 0), False),
        ((200, 30), (1000, 300), False),
    ],
)
def test_a_class_is_a_kind_where_chance_and_defects_do_not_explain_it(own, others, gathered):
    one, other = (np.arange(rows) < beyond for rows, beyond in (own, others))
    assert rules._gathered(one, other) == gathered


def test_one_dark_row_of_a_small_class_is_a_defect():
    usual = [reference(n, p99=0.3 if n % 40 == 0 else 0.9 - n / 4000) for n in range(240)]
    few = [reference(500 + n, label="few", p99=0.3 if n == 0 else 0.9 - n / 1000) for n in range(10)]
    assert "0500" in flagged([*usual, *few], "dark")


def test_a_twentieth_of_a_class_that_is_dark_is_defects():
    usual = [reference(n, p99=0.9 - n / 8000) for n in range(800)]
    some = [reference(2000 + n, label="some", p99=0.3 if n % 20 == 0 else 0.9 - n / 4000) for n in range(200)]
    assert flagged([*usual, *some], "dark") == {f"{2000 + n:04d}" for n in range(0, 200, 20)}


def test_a_class_is_never_judged_more_strictly_than_the_others():
    """The rows of `tight` are of one brightness but for some; a row between is usual among the others."""
    usual = [reference(n, p99=0.9 - 0.4 * n / 200) for n in range(200)]
    tight = [reference(300 + n, label="tight", p99=0.1 if n < 9 else 0.9) for n in range(60)]
    rows = [*usual, *tight, row(900, label="tight", p99=0.45)]
    assert flagged(rows, "dark") == {f"{300 + n:04d}" for n in range(9)}


def test_a_verdict_on_a_class_that_is_a_kind_of_its_own_names_the_threshold_of_the_class():
    rng = np.random.default_rng(1)
    night = [reference(n, label="night", p99=0.3 + 0.02 * rng.standard_normal()) for n in range(20)]
    rows = [*references(), *night, row(901, label="night", p99=0.02), row(902, p99=0.02)]
    dark = {line["id"]: line for line in lines(rows) if line["reason"] == "dark"}
    assert 0.02 < dark["0901"]["threshold"] < 0.3 < dark["0902"]["threshold"]
    assert dark["0902"]["score"] < dark["0901"]["score"] < 0.001
    (note,) = (tail for tail in judge(table(rows), Quality()).calibration["tails"] if tail["reason"] == "dark")
    assert note["kinds"] == ["night"]


def test_rows_without_a_label_are_no_class():
    usual = [reference(n, p99=0.9 - n / 4000) for n in range(200)]
    unnamed = [reference(300 + n, label=None, p99=0.3) for n in range(40)]
    assert flagged([*usual, *unnamed], "dark") == {f"{300 + n:04d}" for n in range(40)}


def test_a_blank_row_gets_no_reason_that_follows_from_it():
    rows = [*references(), row(0, std=0.0, p99=0.0, p01=0.0, entropy=0.0), row(1, width=3, p99=0.0)]
    named = found(rows)
    assert {reason for identity, reason in named if identity == "0000"} == {"blank"}
    assert {reason for identity, reason in named if identity == "0001"} == {"too_small"}


@pytest.mark.parametrize(
    ("column", "end", "silent"),
    [
        ("p99", 0.01, True), ("p99", 0.2, False), ("p01", 0.99, True), ("p01", 0.8, False), ("entropy", 0.02, True),
        ("entropy", 0.5, False), ("equal_neighbours", 0.0, True), ("equal_neighbours", 0.3, False),
    ],
)  # fmt: skip
def test_a_threshold_at_the_end_of_what_an_image_can_be_finds_nothing(column, end, silent):
    (fit,) = (fit for fit in fitted(**{column: np.full(60, end)}) if fit.statistic.column == column)
    assert fit.silent == silent


def test_a_reason_is_silent_where_all_its_tails_are():
    tails = fitted(equal_neighbours=np.zeros(60), p99=np.zeros(60))
    assert set(rules.silent(tails)) == {"dark"}, "noise has two other tails"
    few = rules.silent(fitted(p99=np.full(5, 0.9)))
    assert set(few) == {statistic.reason for statistic in STATISTICS}
    assert set(few.values()) == {rules.TOO_FEW}
    assert rules.TOO_FEW not in rules.silent(tails).values()


def test_scores_of_absolute_rules_are_shares_of_the_bound():
    small, blank = rules.absolute(columns(2, side=[4, 80], width=[4, 90], height=[9, 80], std=[0.005, 0.3]), Quality())
    assert small.scores.tolist() == [0.5, 1]
    assert [small.measure(place) for place in range(2)] == ["width", "height"]
    assert blank.scores.tolist() == [0.5, 1]


def test_distances_are_compared_by_their_roots():
    """The margin of 0.2 beyond reference rows of distance 1 ends at 1.44."""
    usual = [reference(n, domain_distance=1.0) for n in range(60)]
    (line,) = lines([*usual, row(900, domain_distance=1.4), row(901, domain_distance=1.5)])
    assert (line["id"], line["reason"], line["value"]) == ("0901", "out_of_domain", 1.5)
    assert line["threshold"] == pytest.approx(1.44)


def silent(rows, **quality):
    return set(judge(table(rows), Quality.model_validate(quality)).calibration["silent"])


def test_without_labels_no_wrong_one_is_missed():
    usual = [reference(n, domain_distance=1.0) for n in range(60)]
    unnamed = [reference(n, domain_distance=1.0, label=None) for n in range(60)]
    assert silent(usual) == {"label_suspect"}
    assert silent(unnamed) == set()
    assert silent(usual, label_suspect={"action": "off"}) == set()


def test_where_a_wrong_label_was_found_labels_can_be_told():
    known = {"label_predicted": "a", "label_probability": 0.5, "label_predicted_probability": 0.5}
    rows = [reference(n, domain_distance=1.0) for n in range(60)]
    rows += [row(100 + n, label="abcdefghij"[n % 10], **known) for n in range(100)]
    assert silent(rows) == {"label_suspect"}
    rows.append(row(900, label="b", **known | {"label_probability": 1e-6}))
    assert flagged(rows, "label_suspect") == {"0900"}
    assert silent(rows) == set()


def test_images_that_show_nothing_do_not_tell_labels_apart():
    known = {"label_predicted": "a", "label_probability": 0.5, "label_predicted_probability": 0.5}
    sure = known | {"label_probability": 0.999999, "label_predicted_probability": 0.999999}
    rows = [reference(n, domain_distance=1.0) for n in range(60)]
    rows += [row(100 + n, label="abcdefghij"[n % 10], **known) for n in range(60)]
    assert silent([*rows, *(row(300 + n, std=0.0, **sure) for n in range(40))]) == {"label_suspect"}
    assert silent([*rows, *(row(300 + n, **sure) for n in range(40))]) == set()

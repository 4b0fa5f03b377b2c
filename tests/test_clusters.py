"""Groups of copies and their survivors, against groups that can be written down by hand."""

import numpy as np
import pyarrow as pa
import pytest

from aigc_core.quality.clusters import exact_groups, near_groups, survivor
from aigc_core.records import PAIR_SCHEMA


def pairs(*lines):
    columns = list(zip(*[(*line, "same") for line in lines], strict=True)) or [[]] * 4
    return pa.table([list(column) for column in columns], schema=PAIR_SCHEMA)


def row(identity, **changes):
    return {"id": identity, "width": 8, "height": 8, "sharpness": 0.1, "label": "x", "split": "train", **changes}


def test_exact_groups_are_those_of_equal_hashes():
    rows = [{"id": i, "content_hash": h} for i, h in [("d", "1"), ("a", "1"), ("b", "2"), ("c", None), ("e", None)]]
    assert exact_groups(rows) == [["a", "d"]]


def test_near_groups_are_connected_and_respect_the_threshold():
    table = pairs(("a", "b", 0.95), ("b", "c", 0.96), ("d", "e", 0.94), ("f", "g", 0.89))
    everyone = set("abcdefg")
    assert near_groups(table, everyone, 0.9) == [["a", "b", "c"], ["d", "e"]]
    assert near_groups(table, everyone, 0.955) == [["b", "c"]]
    assert near_groups(table, everyone, 0.99) == []
    assert near_groups(pairs(), everyone, 0.5) == []


def test_rows_that_do_not_take_part_connect_nothing():
    table = pairs(("a", "b", 0.95), ("b", "c", 0.96))
    assert near_groups(table, {"a", "c"}, 0.9) == []
    assert near_groups(table, {"a", "b", "z"}, 0.9) == [["a", "b"]]


def test_a_row_takes_part_with_the_pairs_of_its_exact_copy():
    table = pairs(("a", "b", 1.0), ("a", "c", 0.95))
    assert near_groups(table, {"b", "c"}, 0.9) == [["b", "c"]], "a was removed as a copy of b"
    assert near_groups(table, {"c"}, 0.9) == []


def test_near_groups_equal_a_flood_fill():
    rng = np.random.default_rng(1)
    names = [f"{n:03d}" for n in range(120)]
    edges = {tuple(sorted(rng.choice(120, 2, replace=False).tolist())) for _ in range(70)}
    lines = [(names[a], names[b], float(rng.uniform(0.85, 0.99))) for a, b in sorted(edges)]
    beside = {name: set() for name in names}
    for a, b, similarity in lines:
        if similarity >= 0.9:
            beside[a].add(b)
            beside[b].add(a)
    expected, seen = [], set()
    for name in names:
        group, waiting = set(), [name]
        while waiting:
            item = waiting.pop()
            if item not in seen:
                seen.add(item)
                group.add(item)
                waiting += beside[item]
        if len(group) > 1:
            expected.append(sorted(group))
    assert near_groups(pairs(*lines), set(names), 0.9) == sorted(expected)
    assert len(expected) > 3


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"width": 9}, {"sharpness": 0.9, "split": "test"}),
        ({"sharpness": 0.2}, {"split": "test"}),
        ({"split": "test"}, {"split": "reference"}),
        ({"split": "reference"}, {"split": "train"}),
        ({"label": "x"}, {"label": None, "split": "test"}),
    ],
)
def test_the_best_row_survives(better, worse):
    assert survivor([row("a", **worse), row("b", **better)]) == "b"


def test_majority_label_then_id():
    assert survivor([row("a", label="y"), row("b"), row("c")]) == "b"
    assert survivor([row("b", label=None), row("a", label=None)]) == "a"

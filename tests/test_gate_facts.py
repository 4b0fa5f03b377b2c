"""What the gate looks at, counted from small tables: each fact moves with what it is named for, and with nothing else."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from aigc_core.errors import DataError
from aigc_core.files import write_json, write_table
from aigc_core.paths import Paths
from aigc_core.records import CALIBRATION_FILE, MEASURE_SCHEMA, ROW_SCHEMA, VERDICT_SCHEMA
from aigc_core.stages.parts import gate_facts

REFERENCE, TRAIN, TEST = range(3)
#: A measured image, complete and possible.
SOUND = {
    "width": 8,
    "height": 8,
    "aspect": 1.0,
    "channels": 3,
    "mean": 0.5,
    "std": 0.2,
    "entropy": 4.0,
    "sharpness": 0.1,
}


def kept_of(rows):
    """The columns of `Kept` that `_content` reads, from (picture, label, split) and changes of the measures."""
    rows = [(*row, {}) if len(row) == 3 else row for row in rows]
    measures = {name: np.array([(SOUND | row[3])[name] for row in rows], np.float32) for name in SOUND}
    return SimpleNamespace(
        ids=[0] * len(rows),
        picture=np.array([row[0] for row in rows]),
        label=np.array([row[1] for row in rows], np.int32),
        split=np.array([row[2] for row in rows], np.int8),
        channels=measures.pop("channels"),
        measures=measures,
    )


USUAL = [(0, 0, TRAIN), (1, 0, TRAIN), (2, 1, TEST), (3, 1, REFERENCE)]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], {}),
        ([(0, 0, TRAIN)], {"repeated_pictures": 1}),
        ([(2, 1, TRAIN)], {"repeated_pictures": 1, "leaks_kept": 1}),
        ([(2, 1, TRAIN), (2, 1, REFERENCE), (2, 1, TRAIN)], {"repeated_pictures": 3, "leaks_kept": 2}),
        ([(0, 1, TRAIN)], {"repeated_pictures": 1, "conflicts_kept": 1}),
        ([(0, -1, TRAIN)], {"repeated_pictures": 1}),
        ([(-1, 0, TRAIN), (-1, 1, TEST)], {}),
        ([(9, 0, TRAIN, {"mean": np.nan})], {"incomplete_kept": 1}),
        (
            [(9, 0, TRAIN, {"channels": np.nan}), (8, 0, TRAIN, {"sharpness": np.nan})],
            {"incomplete_kept": 2, "channels_share": pytest.approx(5 / 6)},
        ),
        ([(9, 0, TRAIN, {"std": 0.7}), (8, 0, TRAIN, {"entropy": -1})], {"impossible_kept": 2}),
        ([(9, 0, TRAIN, {"channels": 4})], {"channels_share": 0.8}),
    ],
)
def test_of_what_was_kept_each_fault_is_counted(more, expected):
    usual = {"incomplete_kept": 0, "impossible_kept": 0, "repeated_pictures": 0, "leaks_kept": 0, "conflicts_kept": 0,
             "channels_share": 1.0}  # fmt: skip
    assert gate_facts._content(kept_of([*USUAL, *more])) == usual | expected


def test_without_a_measure_no_row_is_complete_and_without_any_none_is_possible():
    kept = kept_of(USUAL)
    del kept.measures["entropy"]
    assert gate_facts._content(kept)["incomplete_kept"] == len(USUAL)
    kept.measures.clear()
    assert gate_facts._content(kept)["impossible_kept"] == len(USUAL)


def test_classes_are_those_of_the_training_rows():
    counts = {"train": {"a": 30, "b": 10, "c": 0, "": 10}, "test": {"a": 5, "d": 9}, "reference": {"b": 4}}
    size = {"train": 50, "test": 14, "reference": 4}
    kept = SimpleNamespace(counts=counts, rows_of=lambda split: np.arange(68) < size[split])
    found = gate_facts._classes(kept)
    assert found == {
        "classes": 2, "smallest_class": 10, "class_share_ratio": pytest.approx(1 / 3), "classes_without_test": 1,
        "classes_without_train": 1,
        "smallest_split_share": pytest.approx(4 / 68), "unlabelled_share": 0.2,
    }  # fmt: skip


def lay_out(tmp_path, read="abcd", measured="abcd", quarantined="d", verdicts=(("d", "blank", "quarantine"),)):
    """The tables that stages leave, with the ids of the rows."""
    paths = Paths(tmp_path)

    def table(names, schema, **values):
        return pa.Table.from_pylist([{"id": name, **values} for name in names], schema)

    write_table(paths.ingested / "rows.parquet", table(read, ROW_SCHEMA, split="train", source="x"))
    write_table(paths.measures / "part-0.parquet", table(measured, MEASURE_SCHEMA))
    write_table(paths.quarantine / "part-0.parquet", table(quarantined, ROW_SCHEMA, split="train", source="x"))
    said = [
        {"id": i, "reason": reason, "action": action, "source": "x", "measure": "m"} for i, reason, action in verdicts
    ]
    write_table(paths.verdicts / "part-0.parquet", pa.Table.from_pylist(said, VERDICT_SCHEMA))
    return paths


@pytest.mark.parametrize(
    ("changes", "kept", "expected"),
    [
        ({}, "abc", {}),
        ({"measured": "abc"}, "abc", {"unmeasured": 1}),
        ({"measured": "abcde"}, "abc", {"unmeasured": 1}),
        ({"measured": "abcdd"}, "abc", {"repeated_ids": 1, "unmeasured": 1}),
        ({"quarantined": ""}, "abc", {"unaccounted": 1}),
        ({}, "abcd", {"rows_kept": 4, "unaccounted": -1, "condemned_kept": 1}),
        ({"quarantined": "c"}, "abd", {"condemned_kept": 1}),
        ({"verdicts": (("a", "blank", "warn"), ("b", "dark", "inform"))}, "abc", {}),
    ],
)
def test_every_row_is_somewhere_once(tmp_path, changes, kept, expected):
    usual = {"rows_kept": 3, "repeated_ids": 0, "unmeasured": 0, "unaccounted": 0, "condemned_kept": 0}
    paths = lay_out(tmp_path, **changes)
    assert gate_facts._accounts(paths, SimpleNamespace(ids=pa.array(list(kept)))) == usual | expected


def test_a_row_counts_once_for_a_reason_and_of_the_rows_read(tmp_path):
    verdicts = [("a", "blank", "warn"), ("a", "blank", "warn"), ("b", "blank", "quarantine"), ("b", "dark", "warn")]
    found = gate_facts._shares(lay_out(tmp_path, verdicts=verdicts))
    assert {name: share for name, share in found.items() if share} == {"share_blank": 0.5, "share_dark": 0.25}


def test_what_could_not_be_looked_for_is_counted(tmp_path):
    paths = Paths(tmp_path)
    with pytest.raises(DataError, match="aigc curate"):
        gate_facts._blind(paths)
    write_json(
        paths.verdicts / CALIBRATION_FILE, {"silent": {"dark": "x", "noisy": "y"}, "unchecked_classes": {"heron": 7}}
    )
    assert gate_facts._blind(paths) == {"silent_detectors": 2, "unchecked_classes": 1}

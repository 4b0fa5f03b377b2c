"""Several tables together: files that differ, splits by name and by column, files that are none, saved data sets."""

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_makers import (
    IMAGE,
    NAMED,
    cells,
    codes,
    contents,
    errors,
    features,
    labels,
    named,
    one,
    opened,
    pictures,
    said,
    splits,
    table,
    write,
)

from aigc_core.data.sources.split_words import file_splits
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import cell_split, is_split_word, said_splits, settled, split_name
from aigc_core.errors import SourceError
from aigc_core.modalities import image


class TestShards:
    def test_another_label(self, make):
        tables = {
            "a.parquet": table(image=cells(make), label=[1] * 4),
            "b.parquet": table(image=cells(make), label=["x"] * 4),
        }
        source = opened("parquet", write(make, {**tables, "c.parquet": table(image=cells(make))}))
        assert labels(source) == ["1"] * 4 + ["x"] * 4 + [None] * 4
        assert codes(source) == {"tables_disagree": 2}
        assert "b.parquet" in said(source, "tables_disagree")
        assert "c.parquet" in said(source, "tables_disagree")

    def test_numbers_take_the_one_list_of_class_names(self, make):
        told = table(features(image=IMAGE, label=named("x", "y")), image=cells(make), label=[0, 1, 0, 1])
        bare = table(image=cells(make), label=[1, 0, 5, -1])
        source = opened("parquet", write(make, {"a.parquet": bare, "b.parquet": told}))
        assert labels(source) == ["y", "x", None, None, "x", "y", "x", "y"]
        assert codes(source) == {"class_names_borrowed": 1, "labels_out_of_range": 1, "rows_without_label": 1}
        assert "a.parquet" in said(source, "class_names_borrowed")

    def test_two_lists_of_class_names_are_each_their_own(self, make):
        tables = {
            f"{name}.parquet": table(features(image=IMAGE, label=named(*names)), image=cells(make), label=[0] * 4)
            for name, names in (("a", "xy"), ("b", "yx"))
        }
        source = opened("parquet", write(make, {**tables, "c.parquet": table(image=cells(make), label=[0] * 4)}))
        assert labels(source) == ["x"] * 4 + ["y"] * 4 + ["0"] * 4
        assert codes(source) == {"class_lists_differ": 1, "tables_disagree": 1}
        assert "b.parquet" in said(source, "class_lists_differ")
        assert "c.parquet" in said(source, "tables_disagree")

    @pytest.mark.parametrize(
        "other", [{"mean": [1.0]}, {"image": ["a.png"], "caption": ["c"]}, {"content": ["a text"]}]
    )
    def test_a_file_without_images_is_left_out(self, make, other):
        tables = {"a.parquet": table(**other), "train.parquet": table(image=cells(make))}
        source = opened("parquet", write(make, tables))
        assert len(source.entries) == 4
        assert codes(source)["tables_without_images"] == 1
        assert "a.parquet" in said(source, "tables_without_images")

    def test_no_file_has_images(self, make):
        with pytest.raises(SourceError, match=r"a\.parquet has no column .* x \(int64\)"):
            opened("parquet", write(make, {"a.parquet": table(x=[1]), "b.parquet": table(y=[1])}))

    def test_many_files_are_never_open_together(self, make):
        # The module of the standard library that sets such a limit does not exist on Windows, which has none to set.
        resource = pytest.importorskip("resource", reason="only Unix limits how many files a process may open")
        path = write(make, {f"{i:03}.parquet": table(image=pictures(make, 1)) for i in range(80)})
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name.name) for name in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
        try:
            assert contents(opened("parquet", path)) == pictures(make, 1) * 80
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestSplitWords:
    @pytest.mark.parametrize(
        "name",
        ["train", "training", "trn", "Train", "TRAIN", "train-00000-of-00002.parquet", "data_train.parquet", "train2017",
         "trainA", "mnistTrain", "emnist-letters-train-images-idx3-ubyte.gz", "my train set", "trainset", "TrainSet.parquet",
         "TRAINset", "MNISTTrain.parquet", "trainimages.idx3", "trainlabels.idx1", "trainval.parquet", "train01"],
    )  # fmt: skip
    def test_train(self, name):
        assert said_splits(name) == {"train"}
        assert file_splits([name], Tally()) == {name: "train"}
        assert cell_split(name) == "train"

    @pytest.mark.parametrize(
        "name",
        ["test", "tst", "testing", "t10k", "T10K-images", "val", "valid", "validation", "dev", "eval", "evaluation",
         "holdout", "heldout", "hold-out", "held_out", "unseen", "mnist_test.parquet", "cifar-validation.parquet",
         "dev-0.parquet", "val2017", "testB", "PublicTest", "my_test_images.idx3", "qmnist-test-images-idx3-ubyte",
         "testset", "valSet", "testset.parquet", "MNISTTest.parquet", "TESTset", "hold.out", "HoldOut", "t10kImages",
         "testlabels.idx1", "cross_val", "crossvalidation", "validate", "development", "evaluate", "tests"],
    )  # fmt: skip
    def test_held_out(self, name):
        assert said_splits(name) == {"test"}
        assert file_splits([name], Tally()) == {name: "test"}
        assert cell_split(name) == "test"

    @pytest.mark.parametrize(
        "name", ["train_val", "train-test-split", "trainVal", "train/val", "training or validation"]
    )
    def test_both(self, name):
        assert settled(said_splits(name)) == "test"
        assert cell_split(name) == "test"

    @pytest.mark.parametrize("held", ["query", "gallery", "predictions", "ood", "benchmark", "cv"])
    def test_words_that_hold_out_beside_files_that_say_a_split(self, held):
        names = [f"{held}-0.parquet", "train-0.parquet"]
        assert file_splits(names, Tally()) == dict(zip(names, ["test", "train"], strict=True))
        assert file_splits([names[0], "0.parquet"], Tally()) == {names[0]: None, "0.parquet": None}
        inside = [f"{held}/train.parquet", f"{held}/other.parquet"]
        assert list(file_splits(inside, Tally()).values()) == ["train", None]
        assert cell_split(held) == "test"

    @pytest.mark.parametrize("name", ["reference", " Reference "])
    def test_a_cell_may_say_reference(self, name):
        assert cell_split(name) == "reference"
        assert is_split_word(name)
        assert not is_split_word(f"{name} sheet")
        assert cell_split("the reference") is None

    @pytest.mark.parametrize(
        "name",
        ["contest", "latest", "trains", "device", "interval", "evaluator", "0000", "at10k", "t10kg", "strain", "holdouts",
         "threshold out", "übertest", "testy", "TESTAMENT", "ContestData", "invalid", ""],
    )  # fmt: skip
    def test_parts_of_words_are_none(self, name):
        assert said_splits(name) == set()
        assert cell_split(name) is None
        assert split_name(name) is None

    def test_nearer_words_win_over_folders_that_all_share(self):
        tally = Tally()
        names = ["my_test/train/0.parquet", "my_test/dev/0.parquet"]
        assert file_splits(names, tally) == dict(zip(names, ["train", "test"], strict=True))
        assert tally.notices() == []
        assert file_splits(["my_test/0.parquet"], tally) == {"my_test/0.parquet": "test"}

    def test_a_path_that_says_both_is_held_out(self):
        tally = Tally()
        names = ["train/train-0.parquet", "test/train-0.parquet", "train/val-0.parquet"]
        assert list(file_splits(names, tally).values()) == ["train", "test", "test"]
        assert tally.counts == {"split_unclear": 2}

    def test_where_only_such_paths_could_be_learnt_from_they_say_nothing(self):
        assert file_splits(["train_test.parquet"], Tally()) == {"train_test.parquet": None}
        names = ["train_test.parquet", "test.parquet"]
        assert list(file_splits(names, Tally()).values()) == [None, "test"]

    def test_names_without_a_word_beside_others(self):
        tally = Tally()
        assert file_splits(["train.parquet", "extra.parquet"], tally)["extra.parquet"] is None
        assert tally.counts == {"names_without_split": 1}
        quiet = Tally()
        file_splits(["a.parquet", "b.parquet"], quiet)
        assert not quiet.counts


class TestSplits:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("train-00000-of-00002.parquet", "test-00000-of-00001.parquet"),
            ("data_train.parquet", "data_holdout.parquet"),
            ("train-0.parquet", "dev-0.parquet"),
            ("train/0000.parquet", "validation/0000.parquet"),
            ("default/train/0.parquet", "default/test/0.parquet"),
            ("split=train/part-0.parquet", "split=val/part-0.parquet"),
        ],
    )
    def test_names(self, make, train, test):
        source = opened("parquet", write(make, {name: table(image=cells(make)) for name in (train, test)}))
        assert splits(source) == {train: "train", test: "test"}
        assert codes(source) == {}

    def test_a_column_decides_over_names(self, make):
        column = ["train", "Validation", "unlabeled", None]
        source = one(make, table(image=cells(make), split=column))
        assert [entry.split for entry in source.entries] == ["train", "test", None, None]
        assert codes(source) == {"split_values_unknown": 2}
        assert "unlabeled" in said(source, "split_values_unknown")
        tables = {
            "train.parquet": table(image=cells(make), split=["test"] * 4),
            "a.parquet": table(image=cells(make), split=["train"] * 4),
        }
        both = opened("parquet", write(make, tables, "both"))
        assert splits(both) == {"train.parquet": "test", "a.parquet": "train"}
        assert codes(both) == {}

    @pytest.mark.parametrize(
        ("name", "values", "expected"),
        [
            ("phase", ["train", "test", "val", None], ["train", "test", "test", None]),
            ("Set", ["Training", "PublicTest", "PrivateTest", ""], ["train", "test", "test", None]),
            ("Usage", ["test"] * 4, ["test"] * 4),
            ("data set", ["train2017", "val2017", "reference", "train2017"], ["train", "test", "reference", "train"]),
            ("is_test", [0, 1, 0, None], ["train", "test", "train", None]),
            ("is_test", [False, True, False, True], ["train", "test", "train", "test"]),
            ("isTrain", [1.0, 0.0, 1.0, 1.0], ["train", "test", "train", "train"]),
            ("is_validation", ["no", "yes", "no", "no"], ["train", "test", "train", "train"]),
        ],
    )
    def test_columns_that_are_splits_where_all_of_their_values_are(self, make, name, values, expected):
        source = one(make, table(image=cells(make), label=list("abab"), **{name: values}))
        assert [entry.split for entry in source.entries] == expected
        assert labels(source) == list("abab")
        told = codes(source)
        assert told.pop("split_guessed") == 1
        assert name in said(source, "split_guessed")
        assert set(told) <= {"nothing_to_learn_from"}

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("set", ["75192", "10179", "10179", "21325"]),
            ("set", ["train", "test", "train", "75192"]),
            ("set", ["Train", "Train", "Train", "Train"]),
            ("phase", ["liquid", "solid", "liquid", "solid"]),
            ("is_test", [0, 1, 2, 0]),
            ("is_valid", [1, 1, 1, 1]),
            ("is_good", [0, 1, 0, 1]),
            ("fold", ["train", "test", "train", "test"]),
            ("subset", ["a", "b", "a", "b"]),
            ("partition", [0, 1, 2, 0]),
            ("dataset_split", ["1", "2", None, "1"]),
        ],
    )
    def test_columns_that_are_no_splits_are_told(self, make, name, values):
        source = one(make, table(image=cells(make), label=list("abab"), **{name: values}))
        assert {entry.split for entry in source.entries} == {None}
        assert codes(source) == {"columns_not_used": 1}
        assert name in said(source, "columns_not_used")

    def test_what_a_file_or_a_column_holds_out_is_held_out(self, make):
        tables = {
            "train.parquet": table(image=cells(make), is_test=[0, 1, 0, 0]),
            "test.parquet": table(image=cells(make), is_test=[1, 0, 1, 1]),
        }
        source = opened("parquet", write(make, tables))
        assert [entry.split for entry in source.entries] == ["test"] * 4 + ["train", "test", "train", "train"]
        own = table(image=cells(make), split=["train", "train", "test", "test"], is_test=[0, 1, 0, 1], set=["val"] * 4)
        beside = opened("parquet", write(make, {"a.parquet": own}, "beside"))
        assert [entry.split for entry in beside.entries] == ["train", "test", "test", "test"]
        assert codes(beside) == {"split_guessed": 1, "columns_not_used": 1}

    @pytest.mark.parametrize("called", [{"subset": list("abab")}, {"partition": [0, 1] * 2}, {"split": [None] * 4}])
    @pytest.mark.parametrize("name", ["phase", "usage", "partition "])
    def test_a_column_that_is_only_called_like_a_split_hides_no_other(self, make, called, name):
        content = table(image=cells(make), label=list("abab"), **called, **{name: ["train", "test"] * 2})
        source = one(make, content)
        assert [entry.split for entry in source.entries] == ["train", "test"] * 2
        assert codes(source) == {"split_guessed": 1, "columns_not_used": 1}
        assert name in said(source, "split_guessed")
        assert next(iter(called)) in said(source, "columns_not_used")

    @pytest.mark.parametrize("name", ["phase", "partition", "data set"])
    def test_beside_a_column_that_says_splits_another_counts_in_other_tables_only(self, make, name):
        other = {name: ["train", "test"] * 2}
        own = ["train", None, "test", "train"]
        source = one(make, table(image=cells(make), split=own, **other))
        assert [entry.split for entry in source.entries] == own
        assert name in said(source, "columns_not_used")
        assert "split_guessed" not in codes(source)
        for beside in (other, {name: ["liquid", "solid"] * 2}):
            first, second = table(image=cells(make), split=own, **beside), table(image=cells(make), **other)
            source = opened("parquet", write(make, {"a.parquet": first, "b.parquet": second}, beside[name][0]))
            assert [entry.split for entry in source.entries] == [*own, *other[name]]
            assert codes(source).get("split_guessed", 0) == int(name != "partition")  # which is a split's own name
            assert codes(source)["columns_not_used"] == 1

    @pytest.mark.parametrize(
        ("first", "second"),
        [(["train"] * 4, ["test"] * 4), (["test"] * 4, ["train"] * 4), ([None] * 4, ["train", "test"] * 2)],
    )
    def test_columns_of_one_name_in_several_tables_are_judged_as_one(self, make, first, second):
        tables = {
            "a.parquet": table(image=cells(make), subset=list("abab"), phase=pa.array(first, pa.string())),
            "b.parquet": table(image=cells(make), phase=second),
        }
        source = opened("parquet", write(make, tables))
        assert [entry.split for entry in source.entries] == [*first, *second]
        assert codes(source) == {"split_guessed": 1, "columns_not_used": 1, "tables_disagree": 1}

    def test_names_are_told_of_where_the_column_beside_them_says_no_split(self, make):
        names = ("train.parquet", "other.parquet", "train_val.parquet")
        tables = {name: table(image=cells(make), partition=[0, 1] * 2) for name in names}
        source = opened("parquet", write(make, tables))
        assert splits(source) == dict(zip(sorted(names), [None, "train", "test"], strict=True))
        assert codes(source) == {"columns_not_used": 1, "split_unclear": 1, "names_without_split": 1}
        tables = {name: table(image=cells(make), partition=["train", "val"] * 2) for name in names}
        assert codes(opened("parquet", write(make, tables, "said"))) == {}

    def test_one_value_in_one_table_speaks_against_a_column_in_all(self, make):
        tables = {
            "a.parquet": table(image=cells(make), set=["train", "test"] * 2),
            "b.parquet": table(image=cells(make), set=["10179"] * 4),
        }
        source = opened("parquet", write(make, tables))
        assert {entry.split for entry in source.entries} == {None}
        assert codes(source) == {"columns_not_used": 1}

    def test_folders_may_be_such_columns(self, make):
        names = ("phase=train/p.parquet", "phase=val/p.parquet")
        source = opened("parquet", write(make, {name: table(image=cells(make)) for name in names}))
        assert splits(source) == dict(zip(names, ["train", "test"], strict=True))
        assert codes(source) == {"split_guessed": 1}

    def test_a_class_label_called_set_is_the_split_where_its_names_are(self, make):
        told = features(image=IMAGE, set=named("train", "test"))
        source = one(make, table(told, image=cells(make), set=[0, 1, 0, 1]))
        assert [entry.split for entry in source.entries] == ["train", "test"] * 2
        assert labels(source) == [None] * 4
        toys = features(image=IMAGE, set=named("castle", "train"))
        source = one(make, table(toys, image=cells(make), set=[0, 1, 0, 1]))
        assert labels(source) == ["castle", "train"] * 2
        assert {entry.split for entry in source.entries} == {None}

    def test_a_chosen_column_is_the_split_whatever_else_there_is(self, make):
        content = table(image=cells(make), fold=["train", "test"] * 2, phase=["test", "train"] * 2)
        source = one(make, content, columns={"split": "fold"})
        assert [entry.split for entry in source.entries] == ["train", "test"] * 2
        assert "phase" in said(source, "columns_not_used")
        other = one(make, table(image=cells(make), fold=["a"] * 4), columns={"split": "fold"})
        assert codes(other) == {"split_values_unknown": 4}

    def test_class_names_and_other_types_of_a_split_column(self, make):
        told = features(image=IMAGE, split=named("train", "test"))
        source = one(make, table(told, image=cells(make), split=[0, 1, 0, 1], label=["a"] * 4))
        assert [entry.split for entry in source.entries] == ["train", "test"] * 2
        assert labels(source) == ["a"] * 4
        coded = pa.array(["train", "test"] * 2).dictionary_encode()
        assert [e.split for e in one(make, table(image=cells(make), subset=coded)).entries] == ["train", "test"] * 2

    def test_a_class_called_train_is_no_split(self, make):
        content = table(image=cells(make), label=["train", "test", "bus", "bus"], fold=["test"] * 4)
        source = one(make, content)
        assert {entry.split for entry in source.entries} == {None}
        assert labels(source) == ["train", "test", "bus", "bus"]
        assert "fold" in said(source, "columns_not_used")

    def test_folders_that_are_columns(self, make):
        path = write(
            make,
            {
                "year=2020/label=test/p.parquet": table(image=cells(make)),
                "year=2020/label=a%20b/p.parquet": table(image=cells(make)),
                "year=2021/label=__HIVE_DEFAULT_PARTITION__/p.parquet": table(image=cells(make)),
            },
        )
        source = opened("parquet", path)
        assert {(entry.label, entry.split) for entry in source.entries} == {("test", None), ("a b", None), (None, None)}
        assert codes(source) == {"columns_not_used": 1, "rows_without_label": 4}
        inside = write(make, {"label=a/p.parquet": table(image=cells(make), label=["b"] * 4)}, "inside")
        assert labels(opened("parquet", inside)) == ["b"] * 4

    def test_nothing_to_learn_from_is_said(self, make):
        source = opened("parquet", write(make, {"test.parquet": table(image=cells(make))}))
        assert codes(source) == {"nothing_to_learn_from": 4}


class TestFiles:
    def test_no_rows(self, make):
        content = table(image=cells(make))
        source = opened("parquet", write(make, {"train.parquet": content, "test.parquet": content.slice(0, 0)}))
        assert len(source.entries) == 4
        assert codes(source) == {"tables_without_rows": 1}
        with pytest.raises(SourceError, match="without a single row"):
            opened("parquet", write(make, {"a.parquet": content.slice(0, 0)}, "none"))

    def test_row_groups_without_rows(self, make):
        content = table(image=pictures(make), label=list("abcd"))
        (make.root / "set").mkdir()
        with pq.ParquetWriter(make.root / "set/a.parquet", content.schema) as writer:
            for part in (
                content.slice(0, 0),
                content.slice(0, 2),
                content.slice(0, 0),
                content.slice(2),
                content.slice(0, 0),
            ):
                writer.write_table(part)
        source = opened("parquet", make.root / "set")
        assert contents(source) == pictures(make)
        assert labels(source) == list("abcd")

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "no bytes"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
            (b"PARE" + bytes(99) + b"PARE", "encrypted"),
            (b"PAR1" + bytes(99), "its end is missing"),
            (b"PAR1" + bytes(99) + b"\x09\0\0\0PAR1", "fetch it again"),
            (b"ARROW1\0\0" + bytes(99), "Arrow file"),
            (b"\n<html>not found</html>", "web page"),
            (b"hello there" * 9, "not a parquet file"),
        ],
    )
    def test_files_that_are_none(self, make, content, why):
        path = write(make, {"a.parquet": content, "b.parquet": table(image=cells(make))})
        with pytest.raises(SourceError, match=rf"a\.parquet is not a readable Parquet file.*{why}"):
            opened("parquet", path)

    def test_what_spark_and_delta_lake_leave(self, make):
        beside = ("_SUCCESS", "_metadata", ".part-0.snappy.parquet.crc", "_temporary/0/p.parquet", "._p.parquet")
        files = dict.fromkeys(beside, b"x")
        files |= dict.fromkeys(
            ("_delta_log/0.checkpoint.parquet", "__MACOSX/p.parquet", "@eaDir/p.parquet", "Thumbs.db"), b"x"
        )
        source = opened("parquet", write(make, {**files, "part-0.snappy.parquet": table(image=cells(make))}))
        assert len(source.entries) == 4
        assert source.skipped == {"no suffix": 2, "hidden": 7}
        assert codes(source) == {"stale_rows": 1}

    def test_links_that_leave_are_rows(self, make):
        outside = write(make, {"a.parquet": table(image=cells(make))}, "outside")
        (make.root / "set").mkdir()
        (make.root / "set/l.parquet").symlink_to(outside / "a.parquet")
        assert errors(opened("parquet", make.root / "set")) == ["a link that leaves the source"]


class TestSaved:
    """What `save_to_disk` wrote."""

    def saved(self, make, told, options=None, **columns):
        table = datasets.Dataset.from_dict(columns, features=datasets.Features(told))
        table.save_to_disk(make.root / "saved")
        return opened("hf", make.root / "saved", **(options or {}))

    def test_pixels_and_lists_of_class_labels(self, make):
        pixels = [make.pixels(number, 6) for number in range(3)]
        kinds = datasets.Sequence(datasets.ClassLabel(names=["a", "b"]))
        told = {"image": datasets.Array3D((6, 6, 3), "uint8"), "labels": kinds}
        source = self.saved(make, told, NAMED, image=pixels, labels=[[0], [1], [0, 1]])
        for content, expected in zip(contents(source), pixels, strict=True):
            np.testing.assert_array_equal(image.decode(content).pixels, expected)
        assert labels(source) == ["a", "b", None]
        assert codes(source) == {"images_as_numbers": 3, "labels_from_lists": 2, "labels_in_lists": 1}

    @pytest.mark.parametrize("decode", [True, False])
    def test_images_are_never_decoded(self, make, decode):
        rows = [{"bytes": png, "path": None} for png in pictures(make)]
        told = {"image": datasets.Image(decode=decode), "label": datasets.Value("float32")}
        source = self.saved(make, told, image=rows, label=[0.0, 1.0, 0.5, float("nan")])
        assert contents(source) == pictures(make)
        assert labels(source) == ["0", "1", "0.5", None]

    def test_splits_by_their_words_and_without_rows_or_images(self, make):
        told = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})

        def rows(count):
            cells = [{"bytes": png, "path": None} for png in pictures(make, count)]
            return datasets.Dataset.from_dict({"image": cells, "label": [1] * count}, features=told)

        parts = {"train_clean": rows(3), "dev_other": rows(2), "extra": rows(1), "empty_test": rows(0)}
        parts["statistics"] = datasets.Dataset.from_dict({"mean": [1.0]})
        datasets.DatasetDict(parts).save_to_disk(make.root / "saved")
        source = opened("hf", make.root / "saved")
        assert splits(source) == {"train_clean": "train", "dev_other": "test", "extra": None}
        assert codes(source) == {"tables_without_images": 1, "tables_without_rows": 1, "names_without_split": 1}

    def test_a_name_that_leads_out_of_the_folder(self, make):
        rows = datasets.Dataset.from_dict({"image": pictures(make)})
        datasets.DatasetDict({"train": rows}).save_to_disk(make.root / "saved")
        (make.root / "saved/dataset_dict.json").write_text(json.dumps({"splits": ["train", "../saved/train"]}))
        with pytest.raises(SourceError, match="leads out of the folder"):
            opened("hf", make.root / "saved")

    def test_a_file_of_a_split_that_leads_out_of_the_folder(self, make):
        rows = datasets.Dataset.from_dict({"image": pictures(make)})
        rows.save_to_disk(make.root / "saved")
        rows.save_to_disk(make.root / "other")
        state = make.root / "saved/state.json"
        told = json.loads(state.read_text())
        told["_data_files"][0]["filename"] = "../other/" + told["_data_files"][0]["filename"]
        state.write_text(json.dumps(told))
        with pytest.raises(SourceError, match="leads out of the folder"):
            opened("hf", make.root / "saved")

    def test_a_stream_says_the_same(self, make):
        told = {"images": datasets.Sequence(datasets.Image()), "label": datasets.Sequence(datasets.Value("int8"))}
        rows = [[{"bytes": png, "path": None}] for png in pictures(make)]
        data = datasets.Dataset.from_dict(
            {"images": rows, "label": [[1], [2], [1], [2, 3]]}, features=datasets.Features(told)
        )
        (make.root / "hub").mkdir()
        data.to_parquet(make.root / "hub/train-0.parquet")
        with pytest.raises(SourceError, match=r"'images' holds .*source\.columns\.image"):
            opened("hf", make.root, name=str(make.root / "hub"))
        source = opened("hf", make.root, name=str(make.root / "hub"), columns={"image": "images"})
        assert contents(source) == pictures(make)
        assert labels(source) == ["1", "2", "1", None]
        assert codes(source) == {"images_in_lists": 4, "labels_from_lists": 3, "labels_in_lists": 1}

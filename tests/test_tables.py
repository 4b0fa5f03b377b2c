"""Tables as other tools write them: which label, caption, split and bytes they give, and what is said of the rest."""

import base64
import decimal
import gzip
import json
import struct

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened import kept

from aigc_core.config import Reading
from aigc_core.data.sources.base import readers
from aigc_core.data.sources.split_words import file_splits, named_split
from aigc_core.data.sources.tally import SENTENCES, Tally
from aigc_core.errors import SourceError
from aigc_core.modalities import image

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def opened(kind, path, **options):
    return kept(readers[kind](path, Reading.model_validate(options)))


def codes(source):
    return {notice.code: notice.count for notice in source.notices}


def said(source, code):
    return next(notice.text for notice in source.notices if notice.code == code)


def labels(source):
    return [entry.label for entry in source.entries]


def texts(source):
    return [entry.text for entry in source.entries]


def splits(source):
    return {entry.key.rpartition("#")[0]: entry.split for entry in source.entries}


def contents(source):
    return [content for _, content, _ in source.items()]


def errors(source):
    return [error for _, _, error in source.items()]


def pictures(make, count=4):
    return [make.png(number, 8) for number in range(count)]


def cells(make, count=4):
    return pa.array([{"bytes": png, "path": f"{i}.png"} for i, png in enumerate(pictures(make, count))], CELL)


def features(**told):
    return {"huggingface": json.dumps({"info": {"features": told}})}


def named(*names):
    return {"_type": "ClassLabel", "names": list(names)}


IMAGE = {"_type": "Image"}


def table(metadata=None, **columns):
    return pa.table(columns).replace_schema_metadata(metadata)


def write(make, tables, folder="set"):
    for name, content in tables.items():
        path = make.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(content, path)
    return make.root / folder


def one(make, content, **options):
    return opened("parquet", write(make, {"data.parquet": content}), **options)


class TestLabels:
    @pytest.mark.parametrize(
        ("column", "expected"),
        [
            (pa.array([1.0, 0.5, -0.0, 2.0]), ["1", "0.5", "0", "2"]),
            (pa.array([0.1, 1.0, 2.5, 3.0], pa.float32()), ["0.1", "1", "2.5", "3"]),
            (pa.array([1, 2, 3, 4], pa.float16()), ["1", "2", "3", "4"]),
            (pa.array([1, 2, 3, 255], pa.uint8()), ["1", "2", "3", "255"]),
            (pa.array([-1, 2, 3, 4], pa.int16()), ["-1", "2", "3", "4"]),
            (pa.array([2**63, 1, 2, 3], pa.uint64()), ["9223372036854775808", "1", "2", "3"]),
            (pa.array([True, False, True, False]), ["True", "False", "True", "False"]),
            (pa.array([decimal.Decimal("1.00"), decimal.Decimal("2.50")] * 2), ["1", "2.5"] * 2),
            (pa.array([b"cat", "käfer".encode()] * 2), ["cat", "käfer"] * 2),
            (pa.array([b"cat\0", b"bird"] * 2, pa.binary(4)), ["cat", "bird"] * 2),
            (pa.array(["a", "b"] * 2, pa.large_string()), ["a", "b"] * 2),
            (pa.array(["a", "b"] * 2, pa.string_view()), ["a", "b"] * 2),
            (pa.array(["a", "b"] * 2).dictionary_encode(), ["a", "b"] * 2),
            (pa.array([7, 8] * 2).dictionary_encode(), ["7", "8"] * 2),
        ],
    )
    def test_every_type_that_names_a_class(self, make, column, expected):
        source = one(make, table(image=cells(make), label=column))
        assert labels(source) == expected
        assert codes(source) == {}

    @pytest.mark.parametrize(
        "column",
        [
            pa.array([1.0, None, float("nan"), float("inf")]),
            pa.array(["1", None, "", "  "]),
            pa.array(["1", None, None, None]).dictionary_encode(),
            pa.array([1, None, None, None]),
        ],
    )
    def test_null_nan_and_empty_are_no_label(self, make, column):
        source = one(make, table(image=cells(make), label=column))
        assert labels(source) == ["1", None, None, None]
        assert codes(source) == {"rows_without_label": 3}
        assert "data.parquet#1, data.parquet#2, data.parquet#3" in said(source, "rows_without_label")

    def test_bytes_that_are_no_text(self, make):
        source = one(make, table(image=cells(make), label=pa.array([b"cat", b"\xff", b"cat", b"\xfe"])))
        assert labels(source) == ["cat", None, "cat", None]
        assert codes(source) == {"labels_not_text": 2}

    def test_lists_of_one_are_labels_and_longer_ones_are_none(self, make):
        source = one(make, table(image=cells(make), label=pa.array([["a"], ["a", "b"], [], None])))
        assert labels(source) == ["a", None, None, None]
        assert codes(source) == {"labels_from_lists": 1, "labels_in_lists": 1, "rows_without_label": 2}
        fixed = pa.array([[3], [4], [5], [6]], pa.list_(pa.int8(), 1))
        assert labels(one(make, table(image=cells(make), label=fixed))) == ["3", "4", "5", "6"]

    def test_a_type_that_names_no_class_is_named(self, make):
        source = one(make, table(image=cells(make), label=pa.array([0] * 4, pa.date32())))
        assert labels(source) == [None] * 4
        assert codes(source) == {"columns_not_used": 1}
        assert "label (date32[day])" in said(source, "columns_not_used")

    @pytest.mark.parametrize("wrapped", [False, True, "old"])
    def test_class_names_also_inside_lists(self, make, wrapped):
        told = {False: named("a", "b"), True: {"_type": "List", "feature": named("a", "b")}, "old": [named("a", "b")]}
        numbers = [[0], [1], [-1], [7]] if wrapped else [0, 1, -1, 7]
        content = table(features(image=IMAGE, kinds=told[wrapped]), image=cells(make), kinds=pa.array(numbers))
        source = one(make, content)
        assert labels(source) == ["a", "b", None, None]
        found = codes(source)
        found.pop("labels_from_lists", None)
        assert found == {"rows_without_label": 1, "labels_out_of_range": 1}

    @pytest.mark.parametrize(
        "column",
        [pa.array([0.0, 1.0, float("nan"), None]), pa.array([False, True, None, None]), pa.array([0, 1, -1, -1])],
    )
    def test_class_names_of_other_numbers(self, make, column):
        source = one(make, table(features(image=IMAGE, label=named("a", "b")), image=cells(make), label=column))
        assert labels(source) == ["a", "b", None, None]
        assert codes(source) == {"rows_without_label": 2}

    def test_one_obvious_field_of_a_struct(self, make):
        info = pa.array([{"label": "x", "size": 1}, None, {"label": None, "size": 2}, {"label": "y", "size": 3}])
        source = one(make, table(image=cells(make), info=info))
        assert labels(source) == ["x", None, None, "y"]
        assert codes(source) == {"column_guessed": 1, "rows_without_label": 2}
        assert "info.label" in said(source, "column_guessed")
        told = features(image=IMAGE, info={"label": named("a", "b")})
        classes = table(told, image=cells(make), info=pa.array([{"label": number} for number in (0, 1, 1, 0)]))
        assert labels(one(make, classes)) == ["a", "b", "b", "a"]

    def test_two_fields_of_a_struct_are_named(self, make):
        source = one(make, table(image=cells(make), info=pa.array([{"label": "x", "class": "y"}] * 4)))
        assert labels(source) == [None] * 4
        assert codes(source) == {"label_columns_not_used": 2}


class TestColumns:
    def test_text_is_no_caption_label_or_split_for_its_type(self, make):
        content = table(image=cells(make), file_name=["a"] * 4, url=["b"] * 4, kind=["train"] * 4, number=[1] * 4)
        source = one(make, content)
        assert {(entry.label, entry.text, entry.split) for entry in source.entries} == {(None, None, None)}
        assert codes(source) == {"columns_not_used": 4}
        assert "file_name, url, kind, number" in said(source, "columns_not_used")

    @pytest.mark.parametrize(
        "name", ["label", "Labels", "class", "Category", "target", "fine_label", "y", "class-name"]
    )
    def test_usual_names_in_any_case(self, make, name):
        source = one(make, table(**{"Image": cells(make), name: ["a", "b"] * 2, "Caption": ["c"] * 4}))
        assert labels(source) == ["a", "b"] * 2
        assert texts(source) == ["c"] * 4
        assert codes(source) == {}

    def test_a_class_label_of_any_name_is_the_label(self, make):
        told = features(
            image=IMAGE, dx=named("a", "b"), sex=named("f", "m"), note={"_type": "Value", "dtype": "string"}
        )
        source = one(make, table(told, image=cells(make), dx=[1] * 4, sex=[0] * 4, note=["n"] * 4))
        assert {(entry.label, entry.text) for entry in source.entries} == {("b", None)}
        assert codes(source) == {"label_columns_not_used": 1, "columns_not_used": 1}
        assert "sex" in said(source, "label_columns_not_used")

    def test_fine_labels_before_coarse_ones(self, make):
        told = features(image=IMAGE, coarse_label=named("a", "b"), fine_label=named("c", "d"))
        content = table(told, image=cells(make), coarse_label=[0] * 4, fine_label=[1] * 4)
        assert labels(one(make, content)) == ["d"] * 4
        bare = table(image=cells(make), coarse_label=[0] * 4, fine_label=[1] * 4)
        assert labels(one(make, bare)) == ["1"] * 4

    def test_single_values_before_lists(self, make):
        content = table(image=cells(make), label=pa.array([[1, 2]] * 4), category=["a"] * 4)
        assert labels(one(make, content)) == ["a"] * 4

    def test_of_two_columns_of_images_the_other_is_named(self, make):
        told = features(before=IMAGE, after=IMAGE)
        source = one(make, table(told, before=cells(make), after=pictures(make)))
        assert contents(source) == pictures(make)
        assert codes(source) == {"image_columns_not_used": 1}
        assert "after" in said(source, "image_columns_not_used")
        usual = one(make, table(mask=cells(make).take([3, 2, 1, 0]), image=cells(make)))
        assert contents(usual) == pictures(make)
        assert "mask" in said(usual, "image_columns_not_used")

    def test_a_lonely_column_of_bytes_is_guessed_and_a_digest_is_not(self, make):
        source = one(make, table(blob=pictures(make), md5=pa.array([bytes(16)] * 4, pa.binary(16))))
        assert contents(source) == pictures(make)
        assert codes(source) == {"column_guessed": 1, "columns_not_used": 1}

    def test_bytes_go_before_a_path_of_a_better_name(self, make):
        assert contents(one(make, table(image=["a.png"] * 4, bytes=pictures(make)))) == pictures(make)

    def test_fields_of_structs_can_be_asked_for(self, make):
        sample = pa.array([{"image": {"bytes": png, "path": None}, "kind": "a"} for png in pictures(make)])
        source = one(make, table(sample=sample), columns={"image": "sample.image", "label": "sample.kind"})
        assert contents(source) == pictures(make)
        assert labels(source) == ["a"] * 4

    def test_two_columns_of_one_name(self, make):
        content = pa.table([cells(make), pa.array(["a"] * 4), pa.array(["b"] * 4)], names=["image", "label", "label"])
        source = one(make, content)
        assert labels(source) == ["a"] * 4
        assert codes(source) == {"columns_not_used": 1}

    def test_captions(self, make):
        lists = pa.array([["", "one", "two", None, "three"], ["four"], [], None])
        source = one(make, table(image=cells(make), captions=lists))
        assert texts(source) == ["one", "four", None, None]
        assert codes(source) == {"captions_left_out": 2}
        coded = one(make, table(image=cells(make), text=pa.array(["a", "b"] * 2).dictionary_encode()))
        assert texts(coded) == ["a", "b"] * 2


class TestImages:
    @pytest.mark.parametrize(
        "kind",
        [
            pa.binary(),
            pa.large_binary(),
            pa.binary_view(),
            pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())]),
            pa.dictionary(pa.int32(), pa.binary()),
        ],
    )
    def test_bytes_of_every_type(self, make, kind):
        rows = [{"bytes": png, "path": None} if pa.types.is_struct(kind) else png for png in pictures(make)]
        column = pa.array(rows).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(rows, kind)
        source = one(make, table(image=column))
        assert contents(source) == pictures(make)
        assert codes(source) == {}

    def test_bytes_of_fixed_width(self, make):
        rows = [png.ljust(600, b"\0") for png in pictures(make)]
        assert contents(one(make, table(image=pa.array(rows, pa.binary(600))))) == rows

    @pytest.mark.parametrize(
        "written",
        [
            lambda png: base64.b64encode(png).decode(),
            lambda png: base64.b64encode(png),
            lambda png: base64.urlsafe_b64encode(png).decode().rstrip("="),
            lambda png: base64.encodebytes(png).decode(),
            lambda png: "data:image/png;base64," + base64.b64encode(png).decode(),
        ],
    )
    def test_base64(self, make, written):
        source = one(make, table(image=[written(png) for png in pictures(make)]))
        assert contents(source) == pictures(make)
        assert codes(source) == {"images_as_text": 4}

    def test_text_that_is_no_image_costs_its_row(self, make):
        encoded = base64.b64encode(pictures(make)[0]).decode()
        source = one(make, table(image=[encoded, "abcd", "https://a/b.png", None]))
        assert contents(source) == [pictures(make)[0], None, None, None]
        assert ["address" in (error or "") for error in errors(source)] == [False, False, True, False]

    def test_an_image_format_that_is_text_stays_bytes(self, make):
        portable = b"P1\n2 2\n1 0\n0 1\n"
        assert contents(one(make, table(image=[portable]))) == [portable]

    @pytest.mark.parametrize("kind", [pa.uint8(), pa.int64()])
    @pytest.mark.parametrize("axes", [None, (0, 1, 2), (2, 0, 1)])
    def test_pixels_as_numbers(self, make, kind, axes):
        pixels = [make.pixels(number, 6, 3) for number in range(3)]
        if axes is None:
            rows, expected = [p[..., 0] for p in pixels], [p[..., :1] for p in pixels]
        else:
            rows, expected = [p.transpose(axes) for p in pixels], pixels
        depth = 2 if axes is None else 3
        nested = kind
        for _ in range(depth):
            nested = pa.list_(nested)
        source = one(make, table(image=pa.array([row.tolist() for row in rows], nested)))
        for content, wanted in zip(contents(source), expected, strict=True):
            np.testing.assert_array_equal(image.decode(content).pixels, wanted)
        assert codes(source) == {"images_as_numbers": 3}

    def test_numbers_that_are_no_image_cost_their_row(self, make):
        rows = [[[1, 2], [3, 4]], [[1, 2], [3]], [[1, 300], [3, 4]], [], None, [[1, None], [3, 4]]]
        found = contents(one(make, table(image=pa.array(rows, pa.list_(pa.list_(pa.int64()))))))
        assert [content is None for content in found] == [False, True, True, True, True, True]

    def test_encoded_bytes_as_numbers(self, make):
        rows = pa.array([list(png) for png in pictures(make)], pa.list_(pa.uint8()))
        source = one(make, table(image=rows))
        assert contents(source) == pictures(make)
        assert codes(source) == {"images_as_numbers": 4}

    def test_lists_of_images(self, make):
        cell = [{"bytes": png, "path": None} for png in pictures(make)]
        source = one(make, table(images=pa.array([cell[:1], cell[1:3], [], None], pa.list_(CELL))))
        assert contents(source) == [pictures(make)[0], None, None, None]
        assert codes(source) == {"images_in_lists": 4}

    def test_a_path_or_null_costs_its_row(self, make):
        rows = [{"bytes": pictures(make)[0], "path": None}, {"bytes": None, "path": "a.png"}, None, {"bytes": None}]
        source = one(make, table(image=pa.array(rows, CELL)))
        assert contents(source) == [pictures(make)[0], None, None, None]
        assert "path" in errors(source)[1]
        assert "null" in errors(source)[2]

    @pytest.mark.parametrize(
        ("column", "why"),
        [
            (pa.array([{"bytes": None, "path": "a.png"}] * 4, CELL), "path"),
            (pa.array([{"bytes": None, "path": "a.png"}] * 4), "path"),
            (pa.array([{"path": "a.png"}] * 4), "path"),
            (pa.array(["a.png"] * 4), "path"),
            (pa.array(["ab" * 32] * 4), "base64"),
            (pa.array(["https://a/b.png"] * 4), "address"),
            (pa.array([list(range(256))] * 4, pa.list_(pa.uint8())), "256 numbers"),
            (pa.array([[b"a", b"b"]] * 4), "list of 2 images"),
            (pa.nulls(4), "null"),
            (pa.nulls(4, CELL), "null"),
        ],
    )
    def test_not_one_image_is_one_sentence(self, make, column, why):
        with pytest.raises(SourceError, match=f"'image' holds an image .*{why}.*source.columns.image"):
            one(make, table(image=column, label=[1] * 4))

    @pytest.mark.parametrize("column", [pa.array([[[0.5]]] * 4), pa.array([1] * 4), pa.array([{"data": b"a"}] * 4)])
    def test_a_type_that_holds_no_image(self, make, column):
        with pytest.raises(SourceError, match="no column of encoded images"):
            one(make, table(image=column))

    def test_one_batch_of_one_file_is_held(self, make):
        tables = {f"{i:02}.parquet": table(image=pictures(make, 100)) for i in range(3)}
        source = opened("parquet", write(make, tables))
        backwards = [source.read(entry) for entry in reversed(source.entries)]
        assert backwards == (pictures(make, 100) * 3)[::-1]


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
        resource = pytest.importorskip("resource")
        path = write(make, {f"{i:03}.parquet": table(image=pictures(make, 1)) for i in range(80)})
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name.name) for name in __import__("pathlib").Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
        try:
            assert contents(opened("parquet", path)) == pictures(make, 1) * 80
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestSplitWords:
    @pytest.mark.parametrize(
        "name",
        ["train", "training", "trn", "Train", "TRAIN", "train-00000-of-00002.parquet", "data_train.parquet", "train2017",
         "trainA", "mnistTrain", "emnist-letters-train-images-idx3-ubyte.gz", "my train set"],
    )  # fmt: skip
    def test_train(self, name):
        assert named_split(name) == "train"

    @pytest.mark.parametrize(
        "name",
        ["test", "tst", "testing", "t10k", "T10K-images", "val", "valid", "validation", "dev", "eval", "evaluation",
         "holdout", "heldout", "hold-out", "held_out", "unseen", "mnist_test.parquet", "cifar-validation.parquet",
         "dev-0.parquet", "val2017", "testB", "PublicTest", "my_test_images.idx3", "qmnist-test-images-idx3-ubyte",
         "train_val", "train-test-split"],
    )  # fmt: skip
    def test_held_out(self, name):
        assert named_split(name) == "test"

    @pytest.mark.parametrize(
        "name", ["contest", "latest", "trains", "device", "interval", "evaluator", "0000", "at10k", ""]
    )
    def test_parts_of_words_are_none(self, name):
        assert named_split(name) is None

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
            (b"<html>not found</html>", "not a parquet file"),
        ],
    )
    def test_files_that_are_none(self, make, content, why):
        path = write(make, {"a.parquet": content, "b.parquet": table(image=cells(make))})
        with pytest.raises(SourceError, match=rf"a\.parquet is not a readable Parquet file.*{why}"):
            opened("parquet", path)

    def test_what_spark_and_delta_lake_leave(self, make):
        beside = ("_SUCCESS", "_metadata", ".part-0.snappy.parquet.crc", "_temporary/0/p.parquet", "._p.parquet")
        files = dict.fromkeys(beside, b"x")
        files["_delta_log/0.checkpoint.parquet"] = b"x"
        source = opened("parquet", write(make, {**files, "part-0.snappy.parquet": table(image=cells(make))}))
        assert len(source.entries) == 4
        assert source.skipped == {"no suffix": 2, "hidden": 4}
        assert codes(source) == {"stale_rows": 1}

    def test_links_that_leave_are_rows(self, make):
        outside = write(make, {"a.parquet": table(image=cells(make))}, "outside")
        (make.root / "set").mkdir()
        (make.root / "set/l.parquet").symlink_to(outside / "a.parquet")
        assert errors(opened("parquet", make.root / "set")) == ["a link that leaves the source"]


class TestSaved:
    """What `save_to_disk` wrote."""

    def saved(self, make, told, **columns):
        table = datasets.Dataset.from_dict(columns, features=datasets.Features(told))
        table.save_to_disk(make.root / "saved")
        return opened("hf", make.root / "saved")

    def test_pixels_and_lists_of_class_labels(self, make):
        pixels = [make.pixels(number, 6) for number in range(3)]
        kinds = datasets.Sequence(datasets.ClassLabel(names=["a", "b"]))
        told = {"image": datasets.Array3D((6, 6, 3), "uint8"), "labels": kinds}
        source = self.saved(make, told, image=pixels, labels=[[0], [1], [0, 1]])
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

    def test_a_stream_says_the_same(self, make):
        told = {"images": datasets.Sequence(datasets.Image()), "label": datasets.Sequence(datasets.Value("int8"))}
        rows = [[{"bytes": png, "path": None}] for png in pictures(make)]
        data = datasets.Dataset.from_dict(
            {"images": rows, "label": [[1], [2], [1], [2, 3]]}, features=datasets.Features(told)
        )
        (make.root / "hub").mkdir()
        data.to_parquet(make.root / "hub/train-0.parquet")
        source = opened("hf", make.root, name=str(make.root / "hub"))
        assert contents(source) == pictures(make)
        assert labels(source) == ["1", "2", "1", None]
        assert codes(source) == {"images_in_lists": 4, "labels_from_lists": 3, "labels_in_lists": 1}


def idx(array, code=8, *, magic=None, extra=b""):
    array = np.asarray(array)
    kind = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4"}[code]
    head = magic or struct.pack(">HBB", 0, code, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(kind).tobytes() + extra


def grey(seed=0, count=4):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5), dtype=np.uint8)


FOUR = np.arange(4)


class TestIdx:
    @pytest.mark.parametrize(
        "pattern",
        ["my_{split}_{what}.{form}", "emnist-letters-{split}-{what}-{form}-ubyte", "{split}/{what}.{form}", "{what}/{split}-{form}",
         "{split}-{what}.{form}-ubyte", "{split}-{what}-{form}-ubyte/{split}-{what}-{form}-ubyte", "{split}{what}.{form}"],
    )  # fmt: skip
    def test_pairs_and_splits_by_words_anywhere(self, make, pattern):
        files = {}
        for seed, split in enumerate(("train", "test")):
            what = {"images": "Images", "labels": "Labels"} if "{split}{what}" in pattern else {}
            for kind, form, values in (("images", "idx3", grey(seed)), ("labels", "idx1", FOUR + 4 * seed)):
                files[pattern.format(split=split, what=what.get(kind, kind), form=form)] = idx(values)
        source = opened("idx", write(make, files))
        assert sorted((entry.split, entry.label) for entry in source.entries) == [
            *(("test", str(number)) for number in range(4, 8)),
            *(("train", str(number)) for number in range(4)),
        ]
        assert set(codes(source)) <= {"images_transposed"}

    def test_qmnist(self, make):
        numbers = np.stack([FOUR, *[FOUR + 50] * 7], axis=1)
        files = {
            "qmnist-test-images-idx3-ubyte": idx(grey()),
            "qmnist-test-labels-idx2-int.gz": gzip.compress(idx(numbers, 12)),
        }
        source = opened("idx", write(make, files))
        assert [(entry.split, entry.label) for entry in source.entries] == [("test", str(i)) for i in range(4)]
        assert codes(source) == {"label_numbers_not_used": 1, "nothing_to_learn_from": 4}

    @pytest.mark.parametrize("values", [np.eye(4), np.zeros((4, 6, 5))])
    def test_labels_that_are_no_classes(self, make, values):
        files = {"a-images-idx3-ubyte": idx(grey()), "a-labels-ubyte": idx(values)}
        source = opened("idx", write(make, files))
        assert labels(source) == [None] * 4
        assert codes(source) == {"labels_not_usable": 1}

    @pytest.mark.parametrize(
        ("values", "code", "expected"),
        [
            (FOUR * 1000, 12, ["0", "1000", "2000", "3000"]),
            ([0, 1, 0.5, np.nan], 13, ["0", "1", "0.5", None]),
            ([[3], [2], [1], [0]], 8, ["3", "2", "1", "0"]),
        ],
    )
    def test_labels_of_other_types(self, make, values, code, expected):
        source = opened("idx", write(make, {"images-idx3": idx(grey()), "labels-idx1": idx(values, code)}))
        assert labels(source) == expected

    def test_files_without_the_other(self, make):
        files = {"train-images-idx3-ubyte": idx(grey()), "train-labels-idx1-ubyte": idx(FOUR)}
        files |= {"more-labels-idx1-ubyte": idx(FOUR), "test-images-idx3-ubyte": idx(grey(1))}
        source = opened("idx", write(make, files))
        assert codes(source) == {"labels_without_images": 1, "images_without_labels": 1}
        assert "more-labels-idx1-ubyte" in said(source, "labels_without_images")
        assert "test-images-idx3-ubyte" in said(source, "images_without_labels")

    def test_channels_last_and_first(self, make):
        colour = np.stack([make.pixels(number, 6) for number in range(4)])
        for stored, found in ((colour, {}), (colour.transpose(0, 3, 1, 2), {"channels_first": 1})):
            source = opened("idx", write(make, {"images-idx4-ubyte": idx(stored), "labels-idx1-ubyte": idx(FOUR)}))
            for content, expected in zip(contents(source), colour, strict=True):
                np.testing.assert_array_equal(image.decode(content).pixels, expected)
            assert codes(source) == found

    def test_numbers_wider_than_bytes(self, make):
        wide = grey().astype(int)
        wide[3, 0, 0] = 256
        source = opened("idx", write(make, {"images-idx3-short": idx(wide, 11), "labels-idx1": idx(FOUR)}))
        np.testing.assert_array_equal(image.decode(contents(source)[0]).pixels[..., 0], wide[0])
        assert [error is None for error in errors(source)] == [True, True, True, False]
        assert codes(source) == {"wide_pixels": 1}
        with pytest.raises(SourceError, match="not one image can be read"):
            opened("idx", write(make, {"images-idx3-short": idx(wide + 256, 11)}))

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (idx(grey() / 255.0, 13), "floats of 32 bits"),
            (idx(grey(), magic=b"\3\x08\0\0"), "not an idx file"),
            (idx(np.zeros((4, 30))), "need"),
            (idx(np.zeros((4, 6, 5, 5))), "5 channels"),
            (idx(grey())[:-1], "ends too early"),
            (b"\0\0", "not an idx file"),
        ],
    )
    def test_files_that_are_refused(self, make, content, why):
        with pytest.raises(SourceError, match=why):
            opened("idx", write(make, {"train-images-idx3-ubyte": content}))

    def test_other_files_are_counted_and_named(self, make):
        files = {"images-idx3": idx(grey()), "labels-idx1": idx(FOUR), "class_labels.txt": b"a", "README.md": b"a"}
        source = opened("idx", write(make, files))
        assert source.skipped == {".md": 1}
        assert codes(source) == {"files_not_idx": 1}

    def test_more_bytes_than_the_header_says(self, make):
        files = {"images-idx3": idx(grey(), extra=bytes(30)), "labels-idx1": idx(FOUR)}
        assert codes(opened("idx", write(make, files))) == {"bytes_left_over": 1}

    def test_a_file_without_images_beside_others(self, make):
        files = {
            "train-images-idx3": idx(grey()),
            "train-labels-idx1": idx(FOUR),
            "test-images-idx3": idx(np.zeros((0, 6, 5))),
        }
        source = opened("idx", write(make, files))
        assert len(source.entries) == 4
        assert codes(source) == {"tables_without_rows": 1}

    def test_the_same_file_in_a_folder_is_read_once(self, make):
        files = {
            "train-images-idx3-ubyte": idx(grey()),
            "train-labels-idx1-ubyte": idx(FOUR),
            "test-images-idx3-ubyte": idx(grey()),
        }
        nested = {f"{name}/{name}": content for name, content in list(files.items())[:2]}
        moved = {name.replace("-idx", ".idx"): content for name, content in files.items()}
        source = opened("idx", write(make, {**nested, **moved}))
        assert splits(source) == {"train-images.idx3-ubyte": "train", "test-images.idx3-ubyte": "test"}
        assert source.skipped == {"copies of another file": 2}
        assert codes(source) == {"images_without_labels": 1}

    def test_emnist_is_read_as_it_is_and_two_sets_are_named(self, make):
        files = {}
        for seed, name in enumerate(("emnist-letters-train", "emnist-digits-train")):
            files[f"{name}-images-idx3-ubyte"] = idx(grey(seed))
            files[f"{name}-labels-idx1-ubyte"] = idx(FOUR)
        source = opened("idx", write(make, files))
        np.testing.assert_array_equal(image.decode(contents(source)[4]).pixels[..., 0], grey(0)[0])
        assert codes(source) == {"images_transposed": 2, "labels_of_several_sets": 2}

    def test_one_file_takes_the_labels_beside_it(self, make):
        files = {
            "train-images-idx3-ubyte": idx(grey()),
            "train-labels-idx1-ubyte": idx(FOUR),
            "test-labels-idx1-ubyte": b"x",
        }
        source = opened("idx", write(make, files) / "train-images-idx3-ubyte")
        assert labels(source) == ["0", "1", "2", "3"]
        assert codes(source) == {}


def test_every_sentence_can_be_said():
    tally = Tally()
    for code in SENTENCES:
        for number in range(20):
            tally.add(code, f"name{number}")
    found = {notice.code: notice for notice in tally.notices()}
    assert found.keys() == SENTENCES.keys()
    assert {notice.count for notice in found.values()} == {20}
    assert "name11" in found["columns_not_used"].text
    assert "name3" not in found["rows_without_label"].text

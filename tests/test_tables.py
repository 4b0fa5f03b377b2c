"""Tables as other tools write them: which label, caption and bytes a row gets, and what is said of the rest."""

import base64
import decimal
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from table_makers import (
    CELL,
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
    table,
    texts,
    write,
)

from aigc_core.errors import SourceError
from aigc_core.modalities import image


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
        assert codes(source) == {"column_guessed": 1, "rows_without_label": 2, "columns_not_used": 1}
        assert "info.size" in said(source, "columns_not_used")
        assert "info.label" in said(source, "column_guessed")
        told = features(image=IMAGE, info={"label": named("a", "b")})
        classes = table(told, image=cells(make), info=pa.array([{"label": number} for number in (0, 1, 1, 0)]))
        assert labels(one(make, classes)) == ["a", "b", "b", "a"]

    def test_labels_that_are_hardly_classes(self, make):
        few, many = np.arange(19) / 7, np.arange(20) / 7
        assert codes(one(make, table(image=pictures(make, 19), target=few))) == {}
        assert codes(one(make, table(image=pictures(make, 20), target=many))) == {"labels_mostly_differ": 20}
        assert codes(one(make, table(image=pictures(make, 40), target=[*many, *many]))) == {}

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

    def test_a_class_label_goes_before_a_usual_name_that_is_none(self, make):
        told = features(image=IMAGE, dx=named("a", "b"), label={"_type": "Value", "dtype": "int64"})
        source = one(make, table(told, image=cells(make), label=[5] * 4, dx=[1] * 4))
        assert labels(source) == ["b"] * 4
        assert codes(source) == {"label_columns_not_used": 1}

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

    def test_two_lonely_columns_of_bytes_are_a_question(self, make):
        with pytest.raises(SourceError, match=r"name it in source\.columns\.image"):
            one(make, table(a=pictures(make), b=pictures(make)))

    def test_text_under_a_vague_name_is_no_image(self, make):
        with pytest.raises(SourceError, match="no column of encoded images"):
            one(make, table(content=[base64.b64encode(png).decode() for png in pictures(make)]))

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
        source = one(make, table(image=[written(png) for png in pictures(make)]), **NAMED)
        assert contents(source) == pictures(make)
        assert codes(source) == {"images_as_text": 4}

    @pytest.mark.parametrize(
        "start",
        [b"\0\0\0\x18ftypheic", b"\0\0\0\x18ftyphevx", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\x89PNG\r\n\x1a\n"],
    )
    def test_what_begins_as_an_image_is_one_also_where_pillow_cannot_read_it(self, make, start):
        content = start + bytes(range(60))
        texts = [base64.b64encode(content).decode()] * 2
        assert contents(one(make, table(image=texts), **NAMED)) == [content] * 2
        numbers = pa.array([list(content)] * 2, pa.list_(pa.uint8()))
        assert contents(one(make, table(image=numbers), **NAMED)) == [content] * 2

    def test_text_that_is_no_image_costs_its_row(self, make):
        encoded = base64.b64encode(pictures(make)[0]).decode()
        source = one(make, table(image=[encoded, "abcd", "https://a/b.png", None]), **NAMED)
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
        source = one(make, table(image=pa.array([row.tolist() for row in rows], nested)), **NAMED)
        for content, wanted in zip(contents(source), expected, strict=True):
            np.testing.assert_array_equal(image.decode(content).pixels, wanted)
        assert codes(source) == {"images_as_numbers": 3}

    def test_three_rows_of_pixels_are_no_channels(self, make):
        pixels = make.pixels(0, 6)[:3]
        column = pa.array([pixels.tolist()], pa.list_(pa.list_(pa.list_(pa.uint8()))))
        source = one(make, table(image=column), **NAMED)
        np.testing.assert_array_equal(image.decode(contents(source)[0]).pixels, pixels)

    def test_numbers_that_are_no_image_cost_their_row(self, make):
        rows = [[[1, 2], [3, 4]], [[1, 2], [3]], [[1, 300], [3, 4]], [], None, [[1, None], [3, 4]]]
        found = contents(one(make, table(image=pa.array(rows, pa.list_(pa.list_(pa.int64())))), **NAMED))
        assert [content is None for content in found] == [False, True, True, True, True, True]

    def test_encoded_bytes_as_numbers(self, make):
        rows = pa.array([list(png) for png in pictures(make)], pa.list_(pa.uint8()))
        source = one(make, table(image=rows), **NAMED)
        assert contents(source) == pictures(make)
        assert codes(source) == {"images_as_numbers": 4}

    @pytest.mark.parametrize("start", [b"\n\5", b"\n\0", b"\1\xda", b"BM", b"\0\0\1\0"])
    def test_pixels_that_begin_like_an_image_are_none(self, make, start):
        rows = make.pixels(0, 40, 1).reshape(40, 40)
        rows[7, : len(start)] = list(start)
        with pytest.raises(SourceError, match=r"'image' holds an image .*40 numbers"):
            one(make, table(image=pa.array(rows.tolist(), pa.list_(pa.uint8()))), **NAMED)
        texts = [base64.b64encode(row.tobytes()).decode() for row in rows]
        with pytest.raises(SourceError, match=r"'image' holds an image .*base64"):
            one(make, table(image=texts), **NAMED)

    @pytest.mark.parametrize("kind", ["PCX", "BMP", "TIFF", "WEBP", "SGI", "GIF", "PPM"])
    def test_headers_that_pillow_reads_are_images(self, make, kind):
        stored = io.BytesIO()
        Image.fromarray(make.pixels(0, 9, 3)).save(stored, kind)
        content = stored.getvalue()
        numbers = pa.array([list(content)] * 2, pa.list_(pa.uint8()))
        assert contents(one(make, table(image=numbers), **NAMED)) == [content] * 2
        assert contents(one(make, table(image=[base64.b64encode(content).decode()] * 2), **NAMED)) == [content] * 2

    def test_lists_of_images(self, make):
        cell = [{"bytes": png, "path": None} for png in pictures(make)]
        column = pa.array([cell[:1], cell[1:3], [], None], pa.list_(CELL))
        source = one(make, table(images=column), columns={"image": "images"})
        assert contents(source) == [pictures(make)[0], None, None, None]
        assert codes(source) == {"images_in_lists": 4}

    @pytest.mark.parametrize(
        "written",
        [
            lambda png: pa.scalar(base64.b64encode(png).decode()),
            lambda png: pa.scalar(base64.b64encode(png)),
            lambda png: pa.scalar(list(png), pa.list_(pa.uint8())),
            lambda png: pa.scalar([[0, 1], [2, 3]], pa.list_(pa.list_(pa.uint8()))),
            lambda png: pa.scalar([{"bytes": png, "path": None}], pa.list_(CELL)),
            lambda png: pa.scalar([png], pa.list_(pa.binary())),
        ],
    )
    @pytest.mark.parametrize("name", ["image", "images"])
    def test_what_may_be_no_image_is_decoded_where_it_is_named_alone(self, make, written, name):
        content = table(**{name: pa.array([written(png) for png in pictures(make)]), "label": [1] * 4})
        with pytest.raises(SourceError, match=rf"'{name}' holds .*source\.columns\.image to '{name}'"):
            one(make, content)
        assert None not in contents(one(make, content, columns={"image": name}))

    def test_bytes_beside_a_table_of_text_do_not_name_its_column(self, make):
        text = table(image=[base64.b64encode(png).decode() for png in pictures(make)])
        path = write(make, {"a.parquet": table(image=pictures(make)), "b.parquet": text})
        with pytest.raises(SourceError, match=r"b\.parquet: the column 'image' holds .*source\.columns\.image"):
            opened("parquet", path)
        assert contents(opened("parquet", path, **NAMED)) == pictures(make) * 2

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

"""Tables and captions beside images: which rows they meet, and what is counted where they do not."""

import csv
import io
import json
import tarfile
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened import kept

from aigc_core.data.sources import open_source
from aigc_core.data.sources.metadata.meeting import AMBIGUOUS, FileNames
from aigc_core.errors import SourceError

H = "file_name,label,text\n"
NFC, NFD = (unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD"))


def read(make, names, files, folder="images"):
    """Facts by key and the counts of what was told, of a folder with these images and these other files."""
    pictures = {name: make.png(number) for number, name in enumerate(names)}
    others = {name: content if isinstance(content, bytes) else content.encode() for name, content in files.items()}
    source = kept(open_source("folder", make.folder({**pictures, **others}, folder), None, 0))
    return facts(source), codes(source)


def facts(source):
    return {entry.key: (entry.label, entry.text) for entry in source.entries}


def codes(source):
    return {notice.code: notice.count for notice in source.notices}


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


AB = ["a.png", "b.png"]
BOTH = {"a.png": ("red", "x"), "b.png": ("blue", "y")}
CSV = H + "a.png,red,x\nb.png,blue,y\n"
RECORDS = [{"file_name": "a.png", "label": "red", "text": "x"}, {"file_name": "b.png", "label": "blue", "text": "y"}]
WAYS = {
    "metadata.csv": CSV,
    "Metadata.CSV": CSV,
    "labels.csv": CSV,
    "annotations.csv": CSV,
    "train.csv": CSV,
    "metadata.tsv": CSV.replace(",", "\t"),
    "metadata.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS),
    "labels.json": json.dumps(RECORDS),
    "captions.json": json.dumps({record["file_name"]: record for record in RECORDS}),
    "metadata.parquet": parquet(file_name=AB, label=["red", "blue"], text=["x", "y"]),
}


@pytest.mark.parametrize("name", WAYS)
def test_tables_of_every_format(make, name):
    assert read(make, AB, {name: WAYS[name]}) == (BOTH, {})


@pytest.mark.parametrize(
    "header",
    ["filename,class,caption", "File_Name,Label,Text", "file_name, label, text", "image,category,prompt", "Image Path,Target,Description",
     "path,labels,captions", "img,class_name,text", "id,label,text", "\ufefffile,CLASS,Caption"],
)  # fmt: skip
def test_columns_by_the_names_that_people_use(make, header):
    assert read(make, AB, {"metadata.csv": CSV.replace("file_name,label,text", header)}) == (BOTH, {})


def test_columns_that_are_not_read_are_told_once(make):
    tables = {f"{name}/metadata.csv": "file_name,label,width,height\n1.png,q,3,4\n" for name in ("a", "b")}
    _, told = read(make, ["a/1.png", "b/1.png"], tables)
    assert told == {"columns_not_read": 2, "label_not_folder": 2, "one_class": 1}


def test_the_column_that_meets_files_names_them(make):
    table = "image_id,path,label\n7,a.png,red\n9,b.png,blue\n"
    found, _ = read(make, AB, {"labels.csv": table})
    assert found == {"a.png": ("red", None), "b.png": ("blue", None)}


@pytest.mark.parametrize(
    ("names", "cells", "loosely"),
    [
        (AB, ["./a.png", "./b.png"], 0),
        (AB, ["a.png ", " b.png"], 0),
        (["i/a.png", "i/b.png"], ["i\\a.png", "i\\.\\b.png"], 0),
        ([NFC, "b.png"], [NFD, "b.png"], 0),
        ([NFD, "b.png"], [NFC, "b.png"], 0),
        (["A.PNG", "b.png"], ["a.png", "B.png"], 2),
        (AB, ["a", "b"], 2),
        (["i/a.png", "i/b.png"], ["a.png", "b"], 2),
        (["train/a.png", "train/b.png"], ["a.png", "b.png"], 2),
    ],
)
def test_names_meet_files(make, names, cells, loosely):
    found, told = read(make, names, {"metadata.csv": H + f"{cells[0]},red,x\n{cells[1]},blue,y\n"})
    assert found == dict(zip(names, BOTH.values(), strict=True))
    assert told.get("names_met_loosely", 0) == loosely
    assert "rows_without_file" not in told


def test_a_table_called_like_the_folder_beside_it(make):
    found, told = read(make, ["train/1.png", "test/1.png"], {"train.csv": "id,label\n1.png,a\n"})
    assert found == {"train/1.png": ("a", None), "test/1.png": (None, None)}
    assert told == {"files_without_row": 1, "unlabelled": 1}


def test_absolute_paths_inside_the_source_alone(make):
    root = make.root / "images"
    found, told = read(make, AB, {"metadata.csv": H + f"{root}/a.png,red,x\n{make.root}/b.png,blue,y\n/b.png,blue,y\n"})
    assert found == {"a.png": ("red", "x"), "b.png": (None, None)}
    assert told["rows_without_file"] == 2


@pytest.mark.parametrize("cell", ["../a.png", "x/../../a.png", "/etc/hostname", "images/a.png", "http://x/a.png", ""])
def test_names_that_lead_elsewhere_meet_nothing(make, cell):
    found, told = read(make, AB, {"metadata.csv": H + f"{cell},red,x\nb.png,blue,y\n"})
    assert found["a.png"] == (None, None)
    assert told == {"rows_without_file": 1, "files_without_row": 1, "unlabelled": 1}


def test_names_that_could_mean_several_files(make):
    names = ["x/a.png", "y/a.png", "b.jpg", "b.png"]
    found, told = read(make, names, {"metadata.csv": H + "a.png,red,x\nb,blue,y\nx/a.png,green,z\n"})
    assert found["x/a.png"] == ("green", "z")
    assert (found["y/a.png"], found["b.jpg"], found["b.png"]) == (("y", None), (None, None), (None, None))
    assert told["ambiguous_names"] == 2


@pytest.mark.parametrize("order", [["x/A.png", "a.png", "A"], ["a.png", "A", "x/A.png"], ["a.png", "x/A.png", "A"]])
def test_the_exact_name_wins_over_those_that_differ(make, order):
    rows = "".join(f"{cell},{'right' if '/' in cell else 'wrong'},x\n" for cell in order)
    found, told = read(make, ["x/A.png"], {"metadata.csv": H + rows})
    assert found == {"x/A.png": ("right", "x")}
    assert told["ambiguous_names"] == 2


def test_two_names_that_both_differ_cancel_out(make):
    found, told = read(make, ["x/A.png"], {"metadata.csv": H + "a.png,red,x\nA,blue,y\n"})
    assert found == {"x/A.png": ("x", None)}
    assert told["ambiguous_names"] == 2


def test_rows_and_files_that_do_not_meet(make):
    table = H + "a.png,red,x\nc.png,red,z\nd.png,red,z\na.png,blue,y\na.png,red,x\n"
    found, told = read(make, AB, {"metadata.csv": table})
    assert found == {"a.png": ("red", "x"), "b.png": (None, None)}
    assert told == {"rows_without_file": 2, "files_without_row": 1, "listed_twice": 1, "unlabelled": 1}


def test_labels_are_kept_as_they_are_written(make):
    labels = ["01", "1", "nan", "None", "NA", "0", "1.0", "true"]
    names = [f"{number}.png" for number in range(len(labels))]
    table = "file_name,label,text\n" + "".join(f"{n},{label},{label}\n" for n, label in zip(names, labels, strict=True))
    found, _ = read(make, names, {"metadata.csv": table})
    assert [found[name] for name in names] == [(label, label) for label in labels]


def test_labels_of_other_types(make):
    values = [True, 3, "01", None, [1, 2], 2.5]
    names = [f"{number}.png" for number in range(len(values))]
    lines = "".join(json.dumps({"file_name": n, "label": v}) + "\n" for n, v in zip(names, values, strict=True))
    found, told = read(make, names, {"metadata.jsonl": lines})
    assert [label for label, _ in found.values()] == ["true", "3", "01", None, None, "2.5"]
    assert told == {"values_not_read": 1, "unlabelled": 2}


@pytest.mark.parametrize(
    ("table", "expected", "told"),
    [
        (H + "a.png,red,a dog, running\nb.png,blue,y\n", ("red", "a dog, running"), {"long_rows": 1}),
        ("file_name,text,label\na.png,a dog, running,red\nb.png,y,blue\n", ("red", "a dog, running"), {"long_rows": 1}),
        ("file_name,label\na.png,red,junk\nb.png,blue\n", ("red", None), {"cut_rows": 1}),
        (H + "a.png,red,x,,\nb.png,blue,y,,\n", ("red", "x"), {}),
        (H + "a.png,red\nb.png,blue,y\n", ("red", None), {"short_rows": 1}),
        (H + "a.png\nb.png,blue,y\n", (None, None), {"short_rows": 1, "unlabelled": 1}),
        (H + 'a.png,red,"open\nb.png,blue,y\n', ("red", "open"), {"unclosed_quote": 1}),
        (H + 'a.png,red,"one\ntwo\nb.png,blue,y\n', ("red", "one\ntwo"), {"unclosed_quote": 1}),
        (H + 'a.png,red,"open\nb.png,blue,"y"\n', ("red", "open"), {"unclosed_quote": 1}),
        (H + '"a.png,red,x\nb.png,blue,y\n', ("red", "x"), {"unclosed_quote": 1}),
        (H + 'a.png,red,"one\nb, two"\nb.png,blue,y\n', ("red", "one\nb, two"), {}),
        (H + 'b.png,blue,y\na.png,red,"' + "w" * 200_000 + "\n", ("red", "w" * 200_000), {"unclosed_quote": 1}),
        (H + 'a.png,"red,x\nb.png,blue,y\n', ("red", "x"), {"unclosed_quote": 1}),
        (H + 'a.png,red,"one, two\nb.png,blue,y\n', ("red", "one, two"), {"unclosed_quote": 1}),
        (H + 'b.png,blue,y\na.png,red,"open\n', ("red", "open"), {"unclosed_quote": 1}),
        (H + 'a.png,red,"two\nlines, and ""quotes"""\nb.png,blue,y\n', ("red", 'two\nlines, and "quotes"'), {}),
        (H + "a.png,red,x\0z\nb.png,blue,y\n", ("red", "xz"), {"nul_bytes": 1}),
        (H + "a.png,red," + "w" * 200_000 + "\nb.png,blue,y\n", ("red", "w" * 200_000), {}),
        (CSV.replace("\n", "\r"), ("red", "x"), {}),
        ("\ufeff" + CSV.replace("\n", "\r\n"), ("red", "x"), {}),
        ("\n\nsep=,\n" + H + "\n,,\na.png,red,x\n\nb.png,blue,y", ("red", "x"), {}),
        (",file_name,label\n0,a.png,red\n1,b.png,blue\n", ("red", None), {}),
    ],
)
def test_rows_of_a_csv(make, table, expected, told):
    found, counts = read(make, AB, {"metadata.csv": table})
    assert found["a.png"] == expected
    assert found["b.png"][0] == "blue"
    assert counts == told


def test_the_limit_of_the_csv_module_stays_as_it_was(make):
    before = csv.field_size_limit()
    with pytest.raises(SourceError):
        read(make, AB, {"metadata.csv": "name\n" + "x,y\n" * 9})
    read(make, AB, {"metadata.csv": CSV}, "whole")
    assert csv.field_size_limit() == before


def test_an_open_quote_swallows_no_rows_that_meet_nothing(make):
    table = H + 'a.png,red,"open\n' + "".join(f"z{number},blue,y\n" for number in range(50))
    found, told = read(make, AB, {"metadata.csv": table})
    assert found["a.png"] == ("red", "open")
    assert told["rows_without_file"] == 50


@pytest.mark.parametrize("name", ["metadata.csv", "labels.csv"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CSV.replace(",", ";").encode(), "semicolons"),
        (CSV.replace(",", "\t").encode(), "tabs"),
        (b'"file_name";"label"\n"a.png";"red"\n', "semicolons"),
        (CSV.encode("utf-16"), "UTF-16"),
        (CSV.encode("utf-16-le"), "UTF-16"),
        ((H + "a.png,caf\xe9,x\n").encode("latin-1"), "0xe9 in line 2"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_sentence(make, name, content, words):
    with pytest.raises(SourceError, match=f"{name} .*{words}"):
        read(make, AB, {name: content})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.csv", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("metadata.csv", b"<!DOCTYPE html>", "web page"),
        ("metadata.csv", b"a.png,red\nb.png,blue\n", "no column file_name"),
        ("metadata.tsv", CSV.encode(), "commas"),
        ("metadata.jsonl", b"no json\n", "no line with a JSON object"),
        ("metadata.jsonl", b'{"name": 1}\n', "no column file_name"),
        ("metadata.parquet", b"PAR1", "not a readable Parquet"),
    ],
)
def test_metadata_that_is_none_is_one_sentence(make, name, content, words):
    with pytest.raises(SourceError, match=words):
        read(make, AB, {name: content})


def test_a_link_for_a_table_is_refused(make):
    secret = make.folder({"secret.csv": CSV.encode()}, "outside") / "secret.csv"
    path = make.folder({"a.png": make.png(1)})
    (path / "metadata.csv").symlink_to(secret)
    with pytest.raises(SourceError, match="a link that leaves the source"):
        open_source("folder", path, None, 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.csv", "epoch,loss\n1,2\n"),
        ("GT-00000.csv", "Filename;Width;ClassId\na.png;29;0\n"),
        ("scan.csv", (H + "a.png,caf\xe9,x\n").encode("latin-1")),
        ("scores.csv", b"caf\xe9,loss\n"),
        ("other.csv", "image,label\nq.png,x\n"),
        ("labels.csv", "a.png,red\n"),
        ("sample_submission.csv", "file_name,label\na.png,0\n"),
        ("annotations.json", json.dumps({"images": [], "annotations": []})),
        ("data.parquet", parquet(image=[b"x"], label=[1])),
        ("x.parquet", b""),
        ("captions.txt", "image,caption\na.png,x\n"),
        ("list.txt", "a.png 0\nb.png 1\n"),
        ("broken.json", "{"),
    ],
)
def test_tables_that_are_not_read_are_named(make, name, content):
    found, told = read(make, AB, {name: content})
    assert found == {"a.png": (None, None), "b.png": (None, None)}
    assert told == {"table_not_read": 1, "no_labels": 2}


@pytest.mark.parametrize("content", ["", "\n \n", H, "sep=,\n"])
def test_empty_tables_are_told(make, content):
    assert read(make, AB, {"metadata.csv": content})[1] == {"empty_table": 1, "no_labels": 2}


def test_lines_of_json_that_cannot_be_read(make):
    lines = '{"file_name": "a.png", "label": "red"}\n{"file_name": b}\n\n[1]\n'
    found, told = read(make, AB, {"metadata.jsonl": lines})
    assert found["a.png"] == ("red", None)
    assert told == {"bad_rows": 2, "files_without_row": 1, "unlabelled": 1}


def test_halves_of_letters_do_not_stop_the_run(make):
    found, _ = read(make, AB, {"metadata.jsonl": '{"file_name": "a.png", "label": "\\ud800", "text": ["p", "q"]}\n'})
    assert found["a.png"] == ("\\ud800", "p")


class TestStyleGan:
    def pairs(self, labels):
        return {"dataset.json": json.dumps({"labels": labels})}

    def test_pairs_of_files_and_labels(self, make):
        found, told = read(
            make, ["00000/0.png", "00000/1.png"], self.pairs([["00000/0.png", 3], ["00000/1.png", False]])
        )
        assert found == {"00000/0.png": ("3", None), "00000/1.png": ("false", None)}
        assert told == {"not_a_class": 1}

    @pytest.mark.parametrize(
        ("labels", "code"),
        [(None, "empty_table"), ([["a.png", [0.1]], ["b.png", [0.2]]], "values_not_read"), ([1], "table_not_read")],
    )
    def test_without_classes(self, make, labels, code):
        found, told = read(make, AB, self.pairs(labels))
        assert {label for label, _ in found.values()} == {None}
        assert code in told


class TestSplits:
    def splits(self, make, names, files):
        pictures = {name: make.png(number) for number, name in enumerate(names)}
        path = make.folder({**pictures, **{name: content.encode() for name, content in files.items()}})
        source = kept(open_source("folder", path, None, 0))
        return {entry.key: entry.split for entry in source.entries}, codes(source)

    def test_a_column(self, make):
        table = "file_name,label,split\na.png,x,train\nb.png,y,Val\nc.png,y,hold-out\nd.png,y,7\ne.png,y,train/val\n"
        found, told = self.splits(make, [*AB, "c.png", "d.png", "e.png"], {"metadata.csv": table})
        assert found == {"a.png": "train", "b.png": "test", "c.png": "test", "d.png": None, "e.png": "test"}
        assert told == {"unknown_split": 1}

    def test_a_cell_that_says_no_split_leaves_that_of_the_table(self, make):
        files = {"train.csv": "file,label\na.png,x\n", "test.csv": "file,label,split\nb.png,x,7\nc.png,x,train\n"}
        found, told = self.splits(make, [*AB, "c.png"], files)
        assert found == {"a.png": "train", "b.png": "test", "c.png": "train"}
        assert told["unknown_split"] == 1

    def test_files_beside_images(self, make):
        cells = {"a": "train", "b": "hold_out", "c": "Valid set", "d": "7"}
        files = {f"{name}.json": f'{{"label": "x", "split": "{split}"}}' for name, split in cells.items()}
        found, told = self.splits(
            make, [*AB, *(f"{name}.png" for name in "cde")], {**files, "e.json": '{"split": "val"}'}
        )
        assert found == {"a.png": "train", "b.png": "test", "c.png": "test", "d.png": None, "e.png": "test"}
        assert told == {"unknown_split": 1, "unlabelled": 1}

    def test_names_of_tables(self, make):
        files = {
            "a_train.csv": "",
            "train.csv": "file,label\na.png,x\nb.png,y\n",
            "test_labels.csv": "file,label\nb.png,y\nc.png,x\n",
        }
        found, told = self.splits(make, [*AB, "c.png"], files)
        assert found == {"a.png": "train", "b.png": "test", "c.png": "test"}
        assert told["listed_twice"] == 1

    def test_held_out_by_the_folder_or_by_the_table(self, make):
        table = "file_name,split\ntrain/x/1.png,test\ntest/x/2.png,train\ntrain/x/3.png,train\n"
        found, told = self.splits(make, ["train/x/1.png", "test/x/2.png", "train/x/3.png"], {"metadata.csv": table})
        assert found == {"train/x/1.png": "test", "test/x/2.png": "test", "train/x/3.png": "train"}
        assert told["split_conflict"] == 2


class TestBeside:
    def test_captions(self, make):
        names = ["c/a.png", "c/b.JPG", "c/d.png", "c/e.png", f"c/{NFD}"]
        files = {
            "c/a.txt": "a cat\n",
            "c/b.caption": "\ufeffa dog",
            "c/d.png.txt": "an owl",
            "c/e.txt": "",
            f"c/{NFC[:-4]}.txt": "cup",
        }
        found, told = read(make, names, {**files, "c/notes.txt": "of no image"})
        assert [found[name] for name in names] == [("c", text) for text in ("a cat", "a dog", "an owl", None, "cup")]
        assert told == {"one_class": 1}

    def test_what_is_no_caption(self, make):
        files = {"a.txt": "0 0.5 0.5 .1 0.1\n1 .2 .2 .3 .3\n", "b.txt": b"caf\xe9"}
        assert read(make, AB, files) == (
            {"a.png": (None, None), "b.png": (None, None)},
            {"captions_not_read": 2, "no_labels": 2},
        )

    def test_a_table_counts_more(self, make):
        found, told = read(
            make, AB, {"a.txt": "beside", "b.txt": "too", "metadata.csv": H + "a.png,red,table\nb.png,blue,\n"}
        )
        assert found == {"a.png": ("red", "table"), "b.png": ("blue", "too")}
        assert told == {"facts_beside_and_in_table": 1}

    def test_one_text_beside_many_frames_is_no_caption(self, make):
        found, _ = read(make, ["frame.001", "frame.002"], {"frame.txt": "of the set"})
        assert found == {"frame.001": (None, None), "frame.002": (None, None)}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_one_name_are_one_row(make, mode):
    members = {
        "./0.png": make.png(0), "./0.txt": b"a cat", "./0.cls": b"3\n", "./0.json": b'{"label": 9, "caption": "no", "url": 1}',
        "./1.jpg": make.png(1), "./1.json": b'{"class": "owl", "caption": "an owl", "url": 2}',
        "./2.png": make.png(2), "./2.npy": b"x", "./2.json": b'{"url": 3}',
    }  # fmt: skip
    with tarfile.open(make.root / "shard.tar", mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    source = kept(open_source("folder", make.root / "shard.tar", None, 0))
    assert facts(source) == {"0.png": ("3", "a cat"), "1.jpg": ("owl", "an owl"), "2.png": (None, None)}
    assert codes(source) == {"captions_not_read": 1, "columns_not_read": 1, "unlabelled": 1}
    assert source.skipped == {".npy": 1}
    assert {entry.key: content for entry, content, _ in source.items()} == {
        "0.png": members["./0.png"],
        "1.jpg": members["./1.jpg"],
        "2.png": members["./2.png"],
    }


def test_many_rows_meet_in_linear_time():
    rows = [f"c{number}/1.png" for number in range(30_000)]
    names = FileNames(rows, None)
    assert [names.meet(f"x/c{number}/1.PNG", "labels.csv")[0] for number in range(30_000)] == [None] * 30_000
    assert names.meet("1.png", "labels.csv") == (AMBIGUOUS, "")
    assert names.meet("C7/1", "labels.csv") == ("c7/1.png", "without its suffix")


SIX = [f"{name}/{i}.png" for name in ("cat", "dog") for i in (1, 2, 3)]


def splits(make, names, files):
    """Splits by key and the counts of what was told; the splits that the source would lose without test rows are kept."""
    pictures = {name: make.png(number) for number, name in enumerate(names)}
    others = {name: content.encode() for name, content in files.items()}
    source = kept(open_source("folder", make.folder({**pictures, **others}), None, 0))
    return {entry.key: entry.split for entry in source.entries}, codes(source)


@pytest.mark.parametrize(
    ("name", "told"),
    [("test_ids.csv", 0), ("val_list.csv", 0), ("X_test.csv", 0), ("my_test.csv", 0), ("private_test.csv", 0),
     ("heldout_rows.csv", 0), ("splits/test.csv", 0), ("lung_test_v3.csv", 1)],
)  # fmt: skip
def test_a_table_that_is_called_held_out_holds_out_its_rows(make, name, told):
    found, codes = splits(make, SIX, {name: "file_name\ncat/1.png\ndog/3.png\n"})
    assert {key for key, split in found.items() if split == "test"} == {"cat/1.png", "dog/3.png"}
    assert codes.get("table_held_out", 0) == told


@pytest.mark.parametrize("name", ["files.csv", "lung_train.csv"])
def test_a_table_that_says_nothing_of_its_files_is_told(make, name):
    found, codes = splits(make, SIX, {name: "file_name\ncat/1.png\ndog/3.png\n"})
    assert set(found.values()) == {None}
    assert codes["table_not_read"] == 1


@pytest.mark.parametrize(("name", "told"), [("split.json", 0), ("rows.json", 1), ("rows.csv", 1)])
def test_values_that_are_all_words_for_splits_are_splits(make, name, told):
    said = {key: "val" if "1" in key else "train" for key in SIX}
    lines = "".join(f"{key},{word}\n" for key, word in said.items())
    found, codes = splits(make, SIX, {name: json.dumps(said) if "json" in name else f"file_name,label\n{lines}"})
    assert found == {key: "test" if "1" in key else "train" for key in SIX}
    assert codes.get("split_guessed", 0) == told
    assert "label_not_folder" not in codes


def test_a_table_of_splits_may_say_reference(make):
    said = dict(zip(SIX, ["train", "test", "Reference"] * 2, strict=True))
    found, told = splits(make, SIX, {"splits.json": json.dumps(said)})
    assert found == {key: word.casefold() for key, word in said.items()}
    assert told == {}


def test_classes_that_are_called_like_held_out_rows_stay_classes(make):
    found, told = read(make, AB, {"labels.csv": "file_name,label\na.png,val\nb.png,test\n"})
    assert found == {"a.png": ("val", None), "b.png": ("test", None)}
    assert told == {}


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        ("phase", ["train", "test", "val"], ["train", "test", "test"]),
        ("set", ["test", "test", "test"], ["test", "test", "test"]),
        ("data set", ["Train", "Test-Set", ""], ["train", "test", None]),
        ("Usage", ["Training", "PublicTest", "PrivateTest"], ["train", "test", "test"]),
        ("whatever", ["train", "holdout", "train"], ["train", "test", "train"]),
        ("is_test", ["0", "1", "0"], ["train", "test", "train"]),
        ("is_test", ["1", "1", "1"], ["test", "test", "test"]),
        ("is_train", ["True", "False", "true"], ["train", "test", "train"]),
        ("is_valid", ["no", "yes", ""], ["train", "test", None]),
        ("isTest", ["no", "yes", "no"], ["train", "test", "train"]),
        ("set", ["train", "test", "reference"], ["train", "test", "reference"]),
        ("is_valid,is_test", ["1,0", "0,1", "0,0"], ["test", "test", "train"]),
        ("split,is_test", ["train,0", "train,1", "test,0"], ["train", "test", "test"]),
    ],
)
def test_columns_of_splits_under_other_names(make, columns, values, expected):
    names = ["1.png", "2.png", "3.png"]
    rows = "".join(f"{name},{value}\n" for name, value in zip(names, values, strict=True))
    found, told = splits(make, names, {"metadata.csv": f"file_name,{columns}\n{rows}"})
    assert list(found.values()) == expected
    assert told["split_guessed"] == len([name for name in columns.split(",") if name != "split"])
    assert "columns_not_read" not in told


@pytest.mark.parametrize("called", ["subset,a,b,a", "partition,0,1,2", "split,,,"])
@pytest.mark.parametrize("name", ["phase", "Usage", "label", "partition", "whatever"])
def test_a_column_that_is_only_called_like_a_split_hides_no_other(make, called, name):
    names = ["1.png", "2.png", "3.png"]
    column, *values = called.split(",")
    said = ["train", "test", "train"]
    rows = "".join(",".join(row) + "\n" for row in zip(names, values, said, strict=True))
    found, told = splits(make, names, {"metadata.csv": f"file_name,{column},{name}\n{rows}"})
    assert list(found.values()) == said
    assert told["split_guessed"] == 1
    beside = "1.png,train,test\n2.png,test,train\n3.png,,test\n"
    found, told = splits(make, names, {"metadata.csv": f"file_name,{column},{name}\n{beside}"})
    assert list(found.values()) == ["train", "test", None]
    assert "split_guessed" not in told


@pytest.mark.parametrize(
    ("column", "values"),
    [("set", ["75192", "10179", "21325"]), ("set", ["Train", "Train", "Train"]), ("phase", ["train", "test", "liquid"]), ("fold", "123"), ("is_test", ["0", "1", "maybe"]), ("is_valid", "111"), ("whatever", ["test", "test", ""]),
     ("whatever", ["train", "test", "x"])],
)  # fmt: skip
def test_columns_that_are_no_splits_are_told(make, column, values):
    rows = "".join(f"{i}.png,{value}\n" for i, value in enumerate(values))
    found, told = splits(make, ["0.png", "1.png", "2.png"], {"metadata.csv": f"file_name,{column}\n{rows}"})
    assert set(found.values()) == {None}
    assert told["columns_not_read"] == 1
    assert "split_guessed" not in told


def test_a_table_of_ambiguous_names_alone_is_told_as_such(make):
    _, told = splits(make, SIX, {"labels.csv": "file_name,label\n1.png,x\n2.png,y\n"})
    assert told["ambiguous_names"] == 2
    assert "table_not_read" not in told


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        ({"ImageSets/Main/val.txt": "2008_1\n2008_2\n"}, 1),
        ({"ImageSets/Main/cat_val.txt": "\n2008_1 -1\n2008_2  1\n"}, 1),
        ({f"ImageSets/Main/{i}_val.txt": "2008_1\n" for i in range(30)}, 20),
        ({"notes.txt": "2008_1 is blurred\n"}, 0),
        ({"notes.txt": "2008_1\nblurred\n"}, 0),
    ],
)
def test_lists_of_names_without_suffix_are_told(make, texts, count):
    _, told = splits(make, ["JPEGImages/2008_1.png", "JPEGImages/2008_2.png"], texts)
    assert told.get("table_not_read", 0) == count

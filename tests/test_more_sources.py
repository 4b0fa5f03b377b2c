"""Parquet, Hugging Face, torchvision, tar, sprite sheets and mixes: which rows, labels and splits they give."""

import io
import json
import tarfile
import zipfile

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened import kept
from pydantic import ValidationError

from aigc_core.config import Config, Reading, Source, parse
from aigc_core.data.sources import open_source
from aigc_core.data.sources.tally import LABELS, SENTENCES
from aigc_core.data.splits import assign_split
from aigc_core.errors import ConfigError, SourceError
from aigc_core.modalities import image
from aigc_core.records import row_id

FEATURES = {
    "image": {"_type": "Image"},
    "kind": {"_type": "ClassLabel", "names": ["cat", "dog"]},
}


def opened(kind, path, limit=None, **options):
    return kept(open_source(kind, path, limit, 0, Reading.model_validate(options)))


def facts(source):
    return {entry.key: (entry.split, entry.label, entry.text) for entry in source.entries}


def contents(source):
    return {entry.key: content for entry, content, _ in source.items()}


def errors(source):
    return {entry.key: error for entry, _, error in source.items() if error}


def hf_table(make, labels=(0, 1, -1, None), features=FEATURES):
    cells = [{"bytes": make.png(number, 8), "path": f"{number}.png"} for number in range(len(labels))]
    columns = {
        "image": pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "kind": pa.array(list(labels), pa.int64()),
    }
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write(table, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


class TestParquet:
    def test_class_labels_and_splits_of_hugging_face_files(self, make):
        root = make.root / "set"
        write(hf_table(make), root / "data" / "train-00000-of-00001.parquet")
        write(hf_table(make, [1, 0]), root / "data" / "validation-00000.parquet")
        make.folder({"README.md": b"card"}, "set")
        source = opened("parquet", root)
        found = facts(source)
        train = "data/train-00000-of-00001.parquet"
        assert [found[f"{train}#{i}"][:2] for i in range(4)] == [
            ("train", "cat"),
            ("train", "dog"),
            ("train", None),
            ("train", None),
        ]
        assert found["data/validation-00000.parquet#0"] == ("test", "dog", None)
        assert contents(source)[f"{train}#2"] == make.png(2, 8)
        assert source.skipped == {".md": 1}

    def test_plain_columns_with_text_and_split(self, make):
        table = pa.table(
            {
                "png": [make.png(i, 8) for i in range(3)],
                "class": ["a", "b", None],
                "caption": ["one", "", None],
                "split": ["train", "Test", "reference"],
            }
        )
        source = opened("parquet", write(table, make.root / "x.parquet"))
        assert list(facts(source).values()) == [("train", "a", "one"), ("test", "b", None), ("reference", None, None)]
        assert all(entry.pinned for entry in source.entries), "a source with reference rows is taken as it is"

    def test_many_row_groups_in_any_order(self, make):
        pictures = [make.png(i, 8) for i in range(90)]
        path = write(
            pa.table({"image": pictures, "label": [i % 3 for i in range(90)]}),
            make.root / "x.parquet",
            row_group_size=40,
        )
        source = opened("parquet", path)
        assert list(contents(source).values()) == pictures
        backwards = [source.read(entry) for entry in reversed(source.entries)]
        assert backwards == pictures[::-1]
        part = opened("parquet", path, limit=9)
        assert all(content == pictures[int(key.partition("#")[2])] for key, content in contents(part).items())
        assert len(part.entries) == 9

    def test_damaged_row_group_costs_its_rows_alone(self, make):
        rng = np.random.default_rng(0)
        rows = [rng.bytes(400) for _ in range(40)]
        path = write(pa.table({"image": rows}), make.root / "x.parquet", row_group_size=10, compression="zstd")
        raw = bytearray(path.read_bytes())
        place = raw.index(rows[15])
        raw[place - 4000 : place] = bytes(4000)
        path.write_bytes(raw)
        found = contents(opened("parquet", path))
        assert list(found) == [f"x.parquet#{i}" for i in range(40)]
        assert [found[f"x.parquet#{i}"] for i in range(20, 40)] == rows[20:]
        assert None in found.values()

    def test_wanted_columns(self, make):
        table = pa.table({"a": [make.png(1, 8)], "b": [make.png(2, 8)], "genus": [4], "label": [1]})
        path = write(table, make.root / "x.parquet")
        source = opened("parquet", path, columns={"image": "b", "label": "genus"})
        assert facts(source) == {"x.parquet#0": (None, "4", None)}
        assert source.read(source.entries[0]) == make.png(2, 8)
        with pytest.raises(SourceError, match=r"source\.columns\.image; its columns are a \(binary\), b"):
            opened("parquet", path)
        with pytest.raises(SourceError, match="'label' is no such column"):
            opened("parquet", path, columns={"image": "label"})

    def test_files_that_are_none(self, make):
        with pytest.raises(SourceError, match="does not exist"):
            opened("parquet", make.root / "nowhere")
        with pytest.raises(SourceError, match=r"x\.parquet is not a readable Parquet file"):
            opened("parquet", make.folder({"x.parquet": b"PAR1 no"}))
        with pytest.raises(SourceError, match=r"no \.parquet file"):
            opened("parquet", make.folder({"x.png": b""}, "empty"))


class TestHuggingFace:
    def table(self, make, count, shift=0):
        features = datasets.Features(
            {
                "image": datasets.Image(),
                "label": datasets.ClassLabel(names=["cat", "dog"]),
                "text": datasets.Value("string"),
            }
        )
        cells = [{"bytes": make.png(i + shift, 8), "path": None} for i in range(count)]
        rows = {"image": cells, "label": [i % 2 for i in range(count)], "text": [f"t{i}" for i in range(count)]}
        return datasets.Dataset.from_dict(rows, features=features)

    def test_what_save_to_disk_wrote(self, make):
        both = datasets.DatasetDict({"train": self.table(make, 5), "test": self.table(make, 3, 50)})
        both.save_to_disk(make.root / "saved")
        source = opened("hf", make.root / "saved")
        assert len(source.entries) == 8
        assert facts(source)["test#1"] == ("test", "dog", "t1")
        assert contents(source)["train#4"] == make.png(4, 8)
        only = opened("hf", make.root / "saved", split="train")
        assert {entry.split for entry in only.entries} == {None}, "no test rows, no split worth keeping"
        with pytest.raises(SourceError, match=r"'dev' does not exist: choose one of train, test"):
            opened("hf", make.root / "saved", split="dev")
        both["train"].save_to_disk(make.root / "one")
        with pytest.raises(SourceError, match=r"'dev' does not exist: choose one of all"):
            opened("hf", make.root / "one", split="dev")
        with pytest.raises(SourceError, match="save_to_disk"):
            opened("hf", make.root)

    def test_a_name_is_streamed(self, make):
        write(hf_table(make, [0, 1, 1, 0]), make.root / "hub" / "train-0.parquet")
        write(hf_table(make, [0, 1]), make.root / "hub" / "test-0.parquet")
        source = opened("hf", make.root / "raw", name=str(make.root / "hub"))
        assert facts(source)["train#1"] == ("train", "dog", None)
        assert contents(source) == {
            f"{s}#{i}": make.png(i, 8) for s, n in (("train", 4), ("test", 2)) for i in range(n)
        }
        assert source.read(source.entries[0]) == make.png(0, 8), "reading again begins the stream again"

    def test_without_a_network_one_sentence(self, make, monkeypatch):
        def unreachable(*args, **kwargs):
            raise ConnectionError("Couldn't reach\nthe Hub")

        monkeypatch.setattr(datasets, "load_dataset", unreachable)
        with pytest.raises(SourceError, match=r"source\.name 'a/b' cannot be read .*Couldn't reach the Hub.*network"):
            opened("hf", make.root, name="a/b")

    def test_a_stream_that_breaks_stops_the_stage(self, make, monkeypatch):
        write(hf_table(make, [0, 1]), make.root / "hub" / "train-0.parquet")
        source = opened("hf", make.root, name=str(make.root / "hub"))
        for file in (make.root / "hub").iterdir():
            file.unlink()
        with pytest.raises(SourceError, match="cannot be read"):
            list(source.items())


class TestTorchvision:
    def idx(self, make, name, train=6, test=4):
        rng = np.random.default_rng(0)
        folder = f"root/{name}/raw"
        for prefix, count in (("train", train), ("t10k", test)):
            make.idx(
                f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), folder=folder
            )
            make.idx(f"{prefix}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8), folder=folder)
        return make.root / "root"

    def test_rows_labels_and_splits(self, make):
        root = self.idx(make, "MNIST")
        source = opened("torchvision", root, name="MNIST")
        assert facts(source)["MNIST/train#5"] == ("train", "5", None)
        assert facts(source)["MNIST/test#3"] == ("test", "3", None)
        expected = opened("idx", root / "MNIST" / "raw")
        assert list(contents(source).values()) == [
            content for _, content in sorted(contents(expected).items(), key=lambda item: item[0][1] != "r")
        ]
        assert facts(opened("torchvision", self.idx(make, "FashionMNIST"), name="FashionMNIST"))[
            "FashionMNIST/train#0"
        ] == ("train", "T-shirt/top", None)

    def test_missing_files_and_names(self, make, monkeypatch):
        with pytest.raises(SourceError, match=r"CIFAR10 cannot be read .*source\.download: true"):
            opened("torchvision", make.root, name="CIFAR10")
        with pytest.raises(ConfigError, match="MNIST, FashionMNIST, CIFAR10"):
            opened("torchvision", make.root, name="ImageNet")
        import torchvision

        def offline(root, train, download):
            assert download
            raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

        monkeypatch.setattr(torchvision.datasets, "MNIST", offline)
        with pytest.raises(SourceError, match=r"Error downloading .*check the network"):
            opened("torchvision", make.root, name="MNIST", download=True)


@pytest.fixture
def archives(monkeypatch):
    """Every ZipFile that the test opened; one that was closed has no `fp`."""
    found = []

    class Recorded(zipfile.ZipFile):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            found.append(self)

    monkeypatch.setattr("aigc_core.data.sources.archives.zipfile.ZipFile", Recorded)
    yield found
    for archive in found:
        archive.close()


@pytest.mark.parametrize("files", [{"notes.txt": b"x"}, {"metadata.csv": b"name\n", "1.png": b"x"}])
def test_an_archive_that_is_refused_is_closed(make, archives, files):
    path = make.zip(files)
    archives.clear()
    with pytest.raises(SourceError):
        opened("folder", path)
    assert [archive.fp for archive in archives] == [None]


def test_cells_of_an_archive_that_is_stopped(make, archives, monkeypatch):
    path = make.zip({"1.png": make.png(1)})
    archives.clear()
    monkeypatch.setattr(image, "decode", lambda _: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):
        opened("folder", path, sheet={"width": 4, "height": 4})
    assert [archive.fp for archive in archives] == [None]


def tar(make, files, mode="w", name="images.tar"):
    with tarfile.open(make.root / name, mode) as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(file)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return make.root / name


class TestTar:
    @pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
    def test_read_in_place_in_the_order_of_the_archive(self, make, mode):
        files = {
            f"x/{split}/{name}/{i}.png": make.png(i, 8) for split in ("test", "train") for name in "ba" for i in (2, 1)
        }
        path = tar(make, {**files, "x/metadata.csv": b"file_name,text\ntest/a/1.png,hello\n", "x/notes.txt": b""}, mode)
        before = sorted(make.root.rglob("*"))
        source = opened("folder", path)
        assert contents(source) == files
        assert [entry.key for entry in source.entries] == list(files), "one pass over a compressed stream"
        assert facts(source)["x/test/a/1.png"] == ("test", "a", "hello")
        assert facts(source)["x/train/b/2.png"] == ("train", "b", None)
        assert source.skipped == {".txt": 1}
        assert sorted(make.root.rglob("*")) == before
        source.close()

    def test_a_compressed_archive_is_read_forwards(self, make, monkeypatch):
        import gzip

        path = tar(make, {f"{99 - i:03}.png": make.png(i) for i in range(100)}, "w:gz")
        source = opened("folder", path)
        rewinds = []
        original = gzip._GzipReader._rewind
        monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda self: rewinds.append(1) or original(self))
        assert len(contents(source)) == 100
        assert not rewinds
        source.read(source.entries[0])
        assert rewinds, "going back begins the stream again: the count above can see it"

    def test_cut_off_archive_is_one_sentence(self, make):
        path = tar(make, {f"{i}.png": make.png(i) for i in range(20)}, "w:gz")
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(SourceError, match="neither a folder nor a readable"):
            opened("folder", path)


class TestSheet:
    def sheet(self, make, rows=2, columns=3, extra=(0, 0), blank=0):
        cells = [make.pixels(10 + i, 4) for i in range(rows * columns - blank)]
        canvas = np.zeros((rows * 4 + extra[0], columns * 4 + extra[1], 3), np.uint8)
        for i, cell in enumerate(cells):
            canvas[i // columns * 4 : i // columns * 4 + 4, i % columns * 4 : i % columns * 4 + 4] = cell
        return canvas, cells

    def test_cells_are_rows_with_their_sheet_as_parent(self, make):
        canvas, cells = self.sheet(make, extra=(1, 2))
        path = make.folder(
            {"hero/walk.png": image.encode_png(canvas), "hero/tiny.png": make.png(1, 3), "hero/bad.png": b"no"}
        )
        source = opened("folder", path, sheet={"width": 4, "height": 4})
        keys = [f"hero/walk.png#{row},{column}" for row in range(2) for column in range(3)]
        assert [entry.key for entry in source.entries] == ["hero/bad.png", "hero/tiny.png", *keys]
        entry = source.entries[2]
        assert (entry.label, entry.parent) == ("hero", row_id("hero/walk.png"))
        assert "2 px at the right and 1 px below left over" in entry.op
        assert source.skipped == {"images without a whole cell, read uncut": 2}
        found = contents(source)
        for key, cell in zip(keys, cells, strict=True):
            np.testing.assert_array_equal(image.decode(found[key]).pixels, cell)
        assert found["hero/bad.png"] == b"no"

    def test_padding_at_the_end_is_counted_and_a_hole_is_a_row(self, make):
        canvas, _ = self.sheet(make, blank=2)
        canvas[:4, 4:8] = 7
        source = opened("folder", make.folder({"a.png": image.encode_png(canvas)}), sheet={"width": 4, "height": 4})
        assert [entry.key for entry in source.entries] == ["a.png#0,0", "a.png#0,1", "a.png#0,2", "a.png#1,0"]
        assert source.skipped == {"padding cells at the end of a sheet": 2}

    def test_a_sheet_that_vanishes_costs_its_cells_alone(self, make):
        canvas, _ = self.sheet(make)
        path = make.folder({"a.png": image.encode_png(canvas), "b.png": image.encode_png(canvas[::-1])})
        source = opened("folder", path, sheet={"width": 4, "height": 4})
        (path / "a.png").unlink()
        assert len(errors(source)) == 6
        assert len(contents(source)) == 12


class TestMix:
    def parts(self, make):
        make.folder({f"{name}/{i}.png": make.png(i) for name in "ab" for i in range(10)}, "all/one")
        make.zip({f"{i}.png": make.png(100 + i) for i in range(8)}, "all/two.zip")

    def mix(self, make, *sources, seed=0, limit=None):
        settings = Source.model_validate({"kind": "mix", "path": "all", "sources": sources})
        return open_source("mix", make.root / "all", limit, seed, settings)

    def test_weights_are_shares_stratified_by_class(self, make):
        self.parts(make)
        one = {"kind": "folder", "path": "one", "weight": 0.4}
        two = {"kind": "folder", "path": "two.zip", "weight": 0.25, "label": "c"}
        source = self.mix(make, one, two)
        labels = [entry.label for entry in source.entries]
        assert {label: labels.count(label) for label in "abc"} == {"a": 4, "b": 4, "c": 2}
        assert all(content is not None for content in contents(source).values())
        assert contents(source)[source.entries[-1].key] == make.png(100 + int(source.entries[-1].key[8:-4]))
        again, other = self.mix(make, one, two), self.mix(make, one, two, seed=1)
        assert source.entries == again.entries
        assert {entry.key for entry in source.entries} != {entry.key for entry in other.entries}
        assert len(self.mix(make, one, two, limit=5).entries) == 5

    @pytest.mark.parametrize("held", ["test", "val.zip", "Hold-Out", "inner/test_set"])
    def test_a_part_that_is_called_like_held_out_rows_is_held_out(self, make, held):
        self.parts(make)
        for name in (held, "train"):
            files = {f"cat/{name[:3]}{i}.png": make.png(50 + i) for i in range(4)}
            make.zip(files, f"all/{name}") if ".zip" in name else make.folder(files, f"all/{name}")
        paths = ("one", held, "train")
        source = self.mix(make, *({"kind": "folder", "path": path} for path in paths))
        found = {path: {entry.split for entry in source.entries if entry.key.startswith(f"{path}/")} for path in paths}
        assert found == {"one": {None}, held: {"test"}, "train": {"train"}}
        assert [notice.count for notice in source.notices if notice.code == "part_by_name"] == [1]
        assert len(contents(source)) == 28

    def test_a_part_with_splits_of_its_own_keeps_them(self, make):
        self.parts(make)
        make.folder({f"{split}/{i}.png": make.png(i) for split in ("train", "test") for i in range(3)}, "all/val")
        source = self.mix(make, {"kind": "folder", "path": "one"}, {"kind": "folder", "path": "val"})
        assert {entry.split for entry in source.entries if entry.key.startswith("val/train/")} == {"train"}
        assert "part_by_name" not in {notice.code for notice in source.notices}

    def test_where_every_part_is_called_held_out_all_are_divided(self, make):
        make.folder({f"cat/{i}.png": make.png(i) for i in range(3)}, "all/test")
        source = self.mix(make, {"kind": "folder", "path": "test"})
        assert {entry.split for entry in source.entries} == {None}
        assert "part_by_name" in {notice.code for notice in source.notices}

    @pytest.mark.parametrize(
        "columns",
        [
            {"label": [None] * 30},
            {"label": [str(number) for number in range(30)]},
            {"label": ["cat", "cat ", "CAT"] * 10},
            {"label": [["a"], ["a", "b"]] * 15},
            {"label": [b"cat", b"\xff"] * 15},
            {"label": ["a", "b"] * 15, "category": ["c", "d"] * 15},
        ],
    )
    def test_a_part_that_names_its_class_is_told_nothing_of_labels(self, make, columns):
        pictures = [make.png(number, 8) for number in range(30)]
        (make.root / "all").mkdir()
        pq.write_table(pa.table({"image": pictures, **columns}), make.root / "all/p.parquet")
        part = {"kind": "parquet", "path": "p.parquet"}
        assert self.mix(make, part).notices, "there is something to be told without the class"
        assert self.mix(make, {**part, "label": "cat"}).notices == []

    def test_folders_of_a_part_that_names_its_class_are_told_of_where_they_are_splits(self, make):
        names = ("train/cat/1", "train/CAT/2", "train/cat/x/3", "test/cat/4", "other/CAT/5")
        make.folder({f"{name}.png": make.png(number) for number, name in enumerate(names)}, "all/one")
        found = [
            {notice.code for notice in self.mix(make, {"kind": "folder", "path": "one", **label}).notices}
            for label in ({}, {"label": "cat"})
        ]
        assert found[0] - found[1] == found[0] & LABELS != set()
        assert found[1] == {"beside_splits"}

    def test_the_codes_of_labels_are_codes_of_notices(self):
        # Which folders are splits, and that a file of labels has no file of images, holds whatever the class is.
        others = {"split_or_class", "labels_without_images"}
        named = {code for code in SENTENCES if "label" in code or "class" in code}
        assert SENTENCES.keys() > LABELS
        assert named - LABELS == others

    @pytest.mark.parametrize("inner", ["one", "one/a", ".", "two/../one"])
    def test_parts_are_disjoint(self, make, inner):
        self.parts(make)
        # An entry that is there twice is refused where the configuration is read.
        with pytest.raises((ConfigError, ValidationError), match=r"the same files: name disjoint paths|twice"):
            self.mix(make, {"kind": "folder", "path": "one"}, {"kind": "folder", "path": inner})

    def test_cells_name_their_sheet(self, make):
        make.folder({"s.png": make.png(0, 8)}, "all/sheets")
        source = self.mix(make, {"kind": "folder", "path": "sheets", "sheet": {"width": 4, "height": 4}})
        assert {entry.parent for entry in source.entries} == {row_id("sheets/s.png")}
        assert len(contents(source)) == 4

    @pytest.mark.parametrize("path", ["../one", "/etc", "one/../../x"])
    def test_outside_is_refused(self, make, path):
        self.parts(make)
        with pytest.raises(ConfigError, match="does not lie below source"):
            self.mix(make, {"kind": "folder", "path": path})

    def test_an_empty_part_is_refused(self, make):
        self.parts(make)
        (make.root / "all/none").mkdir()
        with pytest.raises(SourceError, match="'none' holds no images"):
            self.mix(make, {"kind": "folder", "path": "none"})

    @pytest.mark.parametrize("later", ["none", "nowhere"])
    def test_a_part_that_fails_leaves_no_other_open(self, make, archives, later):
        self.parts(make)
        (make.root / "all/none").mkdir()
        archives.clear()
        with pytest.raises(SourceError):
            self.mix(make, {"kind": "folder", "path": "two.zip"}, {"kind": "folder", "path": later})
        assert [archive.fp for archive in archives] == [None]

    @pytest.mark.parametrize(
        ("source", "sentence"),
        [
            ({"kind": "mix"}, "need each other"),
            ({"kind": "folder", "sources": [{"kind": "idx", "path": "a"}]}, "need each other"),
            ({"kind": "mix", "sources": [{"kind": "idx", "path": "a", "wieght": 1}]}, "did you mean 'weight'"),
            ({"kind": "mix", "sources": [{"kind": "idx", "path": "a", "weight": 0}]}, "greater than 0"),
            ({"sheet": {"widht": 4, "height": 4}}, "did you mean 'width'"),
        ],
    )
    def test_mistakes_in_params(self, source, sentence):
        with pytest.raises(ConfigError, match=sentence):
            parse({"source": source})


def test_splits_that_a_source_pins():
    shares = Config().split
    assert {assign_split(str(i), "reference", shares) for i in range(50)} == {"reference"}
    assert {assign_split(str(i), "train", shares, divide=False) for i in range(50)} == {"train"}
    assert {assign_split(str(i), "train", shares) for i in range(50)} == {"reference", "train"}


def test_a_part_that_names_its_class_is_not_said_to_have_none(make):
    root = make.folder(
        {**{f"flat/{n}.png": make.png(n) for n in range(4)}, **{f"b/dog/{n}.png": make.png(9 + n) for n in range(4)}}
    )
    parts = [{"kind": "folder", "path": "flat", "label": "hero"}, {"kind": "folder", "path": "b", "label": "dog"}]
    options = Source.model_validate({"kind": "mix", "path": str(root), "sources": parts})
    source = open_source("mix", root, None, 0, options)
    assert {entry.label for entry in source.entries} == {"hero", "dog"}
    assert not {notice.code for notice in source.notices} & {"no_labels", "unlabelled", "one_class"}

"""Readers: what becomes a row, with which label and split, and what is refused."""

from collections import Counter

import numpy as np
import pytest
from opened import kept

from aigc_core.data.sources import open_source
from aigc_core.data.sources.base import Entry, sample
from aigc_core.errors import ConfigError, SourceError
from aigc_core.modalities import image


def listed(kind, path, limit=None, seed=0):
    return kept(open_source(kind, path, limit, seed))


def facts(source):
    return {entry.key: (entry.split, entry.label) for entry in source.entries}


def test_digits_are_the_uci_digits_scaled(make):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = list(listed("digits", make.root).items())
    assert len(rows) == 1797
    assert rows[1][0].key == "digits/0001"
    assert [entry.label for entry, _, _ in rows] == [str(label) for label in bunch.target]
    pixels = image.decode(rows[5][1]).pixels[..., 0]
    np.testing.assert_array_equal(pixels, np.round(bunch.images[5] * 255 / 16))


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_pairs_labels_and_reads_splits_from_names(make, zipped):
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 256, (2, 5, 9, 7), dtype=np.uint8)
    end = ".gz" if zipped else ""
    make.idx(f"train-images-idx3-ubyte{end}", train, zipped=zipped)
    make.idx(f"train-labels-idx1-ubyte{end}", np.arange(5, dtype=np.uint8), zipped=zipped)
    make.idx(f"t10k-images-idx3-ubyte{end}", test, zipped=zipped)
    path = make.idx(f"t10k-labels-idx1-ubyte{end}", np.full(5, 7, np.uint8), zipped=zipped)
    rows = {entry.key: (entry, content) for entry, content, _ in listed("idx", path).items()}
    assert len(rows) == 10
    entry, content = rows[f"train-images-idx3-ubyte{end}#3"]
    assert (entry.split, entry.label) == ("train", "3")
    np.testing.assert_array_equal(image.decode(content).pixels[..., 0], train[3])
    assert rows[f"t10k-images-idx3-ubyte{end}#0"][0].split == "test"


def test_idx_without_test_rows_is_divided_anew(make):
    path = make.idx("train-images-idx3-ubyte", np.zeros((5, 8, 8), np.uint8))
    assert {entry.split for entry in listed("idx", path).entries} == {None}


def test_idx_beside_its_gzipped_twin_is_read_once(make):
    images = make.pixels(0)[..., :1].reshape(1, 12, 12)
    make.idx("t10k-images-idx3-ubyte.gz", images, zipped=True)
    path = make.idx("t10k-images-idx3-ubyte", images)
    (path / "old-images").mkdir()
    source = listed("idx", path)
    assert facts(source) == {"t10k-images-idx3-ubyte#0": ("test", None)}
    assert source.skipped == {"packed copies": 1}


class TestBadIdx:
    images = np.zeros((4, 8, 8), np.uint8)

    @pytest.mark.parametrize("zipped", [False, True])
    def test_truncated(self, make, zipped):
        path = make.idx("train-images-idx3-ubyte", self.images, cut=10, zipped=zipped)
        with pytest.raises(SourceError, match="ends too early"):
            list(listed("idx", path).items())

    def test_labels_of_another_length(self, make):
        make.idx("train-images-idx3-ubyte", self.images)
        path = make.idx("train-labels-idx1-ubyte", np.zeros(3, np.uint8))
        with pytest.raises(SourceError, match="3 labels for 4 images"):
            listed("idx", path)

    def test_labels_without_a_count(self, make):
        make.idx("train-images-idx3-ubyte", self.images)
        path = make.folder({"train-labels-idx1-ubyte": b"\0\0\x08\0"}, "idx")
        with pytest.raises(SourceError, match="holds no labels for 4 images"):
            listed("idx", path)

    def test_other_content(self, make):
        path = make.folder({"train-images-idx3-ubyte": b"PK\x03\x04 something else"})
        with pytest.raises(SourceError, match="not an idx file"):
            listed("idx", path)


def test_folder_with_classes_and_splits(make):
    files = {f"set/{split}/{name}/{i}.png": make.png(i) for split in ("train", "val") for name in "ab" for i in (1, 2)}
    source = listed("folder", make.folder(files))
    assert facts(source)["set/train/a/1.png"] == ("train", "a")
    assert facts(source)["set/val/b/2.png"] == ("test", "b")
    assert len(source.entries) == 8


def test_flat_folder_has_no_labels(make):
    source = listed("folder", make.folder({"1.png": make.png(1), "2.png": make.png(2)}))
    assert facts(source) == {"1.png": (None, None), "2.png": (None, None)}


def test_metadata_gives_labels_and_captions(make):
    table = 'file_name,label,text\na/1.png,cat,"a cat, asleep"\na/2.png,,\n'
    files = {"metadata.csv": table.encode(), "a/1.png": make.png(1), "a/2.png": make.png(2), "b/3.png": make.png(3)}
    rows = {entry.key: entry for entry in listed("folder", make.folder(files)).entries}
    assert (rows["a/1.png"].label, rows["a/1.png"].text) == ("cat", "a cat, asleep")
    assert (rows["a/2.png"].label, rows["a/2.png"].text) == ("a", None)
    assert rows["b/3.png"].label == "b"


def test_metadata_without_file_names_is_an_error(make):
    with pytest.raises(SourceError, match="file_name"):
        listed("folder", make.folder({"metadata.csv": b"name,label\n1.png,a\n", "1.png": make.png(1)}))


def test_by_catch_is_skipped_and_counted(make):
    files = {"a/1.png": make.png(1), "a/notes.txt": b"x", ".DS_Store": b"x", "__MACOSX/a/1.png": b"x", "a/odd": b"x"}
    source = listed("folder", make.folder(files))
    assert set(facts(source)) == {"a/1.png", "a/odd"}
    assert source.skipped == {".txt": 1, "hidden": 2}


def test_links_that_leave_are_rows_with_an_error(make):
    outside = make.folder({"secret.png": make.png(9)}, "outside")
    path = make.folder({"a/1.png": make.png(1)})
    (path / "a/leaves.png").symlink_to(outside / "secret.png")
    (path / "away").symlink_to(outside)
    (path / "a/gone.png").symlink_to(path / "nothing.png")
    rows = {entry.key: (content, error) for entry, content, error in listed("folder", path).items()}
    assert set(rows) == {"a/1.png", "a/leaves.png", "a/gone.png", "away"}
    assert rows["a/leaves.png"] == (None, "a link that leaves the source")
    assert rows["away"] == (None, "a link that leaves the source")
    assert rows["a/gone.png"][0] is None
    assert rows["a/gone.png"][1]


def test_zip_is_read_in_place_and_its_climbers_are_refused(make):
    files = {"x/train/a/1.png": make.png(1), "x/test/b/2.png": make.png(2)}
    path = make.zip({**files, "../evil.png": make.png(3), "/root.png": make.png(4)})
    before = sorted(make.root.rglob("*"))
    rows = {entry.key: (entry, content, error) for entry, content, error in listed("folder", path).items()}
    assert len(rows) == 4
    for name, expected in files.items():
        assert rows[name][1] == expected
    for name in ("../evil.png", "/root.png"):
        assert rows[name][1:] == (None, "its name climbs out of the archive")
    assert sorted(make.root.rglob("*")) == before


def test_damaged_zip_member_is_a_row(make):
    path = make.zip({"a/1.png": make.png(1), "a/2.png": make.png(2)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"IDAT") + 6] ^= 255
    path.write_bytes(bytes(raw))
    errors = [error for _, _, error in listed("folder", path).items()]
    assert sum(error is not None for error in errors) == 1


@pytest.mark.parametrize("kind", ["idx", "folder"])
def test_missing_and_empty_sources(make, kind):
    with pytest.raises(SourceError, match="does not exist"):
        listed(kind, make.root / "nowhere")
    with pytest.raises(SourceError, match="holds no"):
        listed(kind, make.folder({"README.md": b"hello"}))


def test_neither_folder_nor_zip(make):
    path = make.folder({"x.bin": b"hello"}) / "x.bin"
    with pytest.raises(SourceError, match="neither a folder nor a readable"):
        listed("folder", path)


def test_unknown_kind_lists_the_known(make):
    with pytest.raises(ConfigError, match="digits, folder, hf, idx, parquet, torchvision"):
        listed("csv", make.root)


class TestSample:
    entries = tuple(
        Entry(f"{split}/{label}/{i}", label=label, split=split)
        for split, count in (("train", 40), ("test", 10))
        for label in "abc"
        for i in range(count)
    )

    def test_exact_size_and_shares(self):
        chosen = sample(list(self.entries), 31, seed=0)
        counts = Counter((entry.split, entry.label) for entry in chosen)
        assert len(chosen) == 31
        assert all(8 <= counts["train", label] <= 9 and 2 <= counts["test", label] <= 3 for label in "abc")

    def test_depends_on_the_seed_and_not_on_the_order(self):
        keys = {entry.key for entry in sample(list(self.entries), 30, seed=0)}
        assert keys == {entry.key for entry in sample(list(self.entries[::-1]), 30, seed=0)}
        assert keys != {entry.key for entry in sample(list(self.entries), 30, seed=1)}

    def test_is_no_head(self):
        keys = {entry.key for entry in sample(list(self.entries), 30, seed=0)}
        assert keys != {entry.key for entry in self.entries if int(entry.key.split("/")[2]) < 8}

    def test_a_limit_above_the_size_takes_all(self):
        assert sample(list(self.entries), 999, seed=0) == list(self.entries)

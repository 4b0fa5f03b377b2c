"""Files of a source that are rows, and files that are none and are counted."""

import unicodedata
import zipfile

import pytest
from opened import kept

from aigc_core.data.sources import open_source
from aigc_core.data.sources.kinds import may_be_image, sort_out, suffix_of
from aigc_core.errors import SourceError


def opened(path):
    return kept(open_source("folder", path, None, 0))


def keys(source):
    return {entry.key for entry in source.entries}


HIDDEN = ["Thumbs.db", "x/ehthumbs.db", "desktop.ini", ".DS_Store", "Icon\r", "@eaDir/a.png/t.jpg", "__MACOSX/a.png", "._a.png",
          "$RECYCLE.BIN/a.png", ".ipynb_checkpoints/a.png"]  # fmt: skip
NO_ROWS = {
    "README": "text without a suffix", "LICENSE": "text without a suffix", "CITATION.cff": ".cff", "Readme.first": ".first",
    "x.npy": ".npy", "x.npz": ".npz", "m.pt": ".pt", "m.pth": ".pth", "m.ckpt": ".ckpt", "m.safetensors": ".safetensors",
    "m.onnx": ".onnx", "m.h5": ".h5", "m.pkl": ".pkl", "a.zip": ".zip", "b.tar": ".tar", "c.RAR": ".rar", "d.7z": ".7z",
    "e.tar.gz": ".gz", "f.docx": ".docx", "g.xlsx": ".xlsx", "h.pptx": ".pptx", "i.odt": ".odt", "v.MP4": ".mp4", "w.mov": ".mov",
    "s.wav": ".wav", "p.aae": ".aae", "q.ini": ".ini", "r.db": ".db", "t.log": ".log", "u.lnk": ".lnk", "y.url": ".url",
    "z.part": ".part", "1.crdownload": ".crdownload", "2.tmp": ".tmp", "model.bin": ".bin", "IM.0001": "odd suffix",
}  # fmt: skip


def test_files_that_are_no_rows_are_counted_and_not_quarantined(make):
    files = {**dict.fromkeys(HIDDEN, b"x"), **dict.fromkeys(NO_ROWS, b"junk")}
    source = opened(make.folder({**files, "a.png": make.png(1)}))
    assert keys(source) == {"a.png"}
    counts = {name: list(NO_ROWS.values()).count(name) for name in NO_ROWS.values()}
    assert source.skipped == {**counts, "hidden": len(HIDDEN)}
    assert {notice.code: notice.count for notice in source.notices} == {"archive_inside": 5, "no_labels": 1}


def test_what_may_be_an_image_is_a_row(make):
    good = {
        name: make.png(1) for name in ("a.PNG", "b", "c.png.part", "d.jpg_large", "e.dat", "f.bak", "g.jpeg ", "h.001")
    }
    bad = dict.fromkeys(["README.png", "notice.jpg", "x.psd", "y.tga", "z.svg", "noext"], b"junk")
    later = {"phone.HEIC": b"junk", "phone.x": b"\0\0\0\x18ftypheic\0\0", "new.y": b"\xff\x0a\0"}
    source = opened(make.folder({**good, **bad, **later}))
    assert keys(source) == {*good, *bad, *later}
    assert source.skipped == {}


@pytest.mark.parametrize(
    ("start", "is_one"),
    [(b"", False), (b"junk", False), (bytes(32), False), (b"PK\3\4", False), (b"\x89PNG\r\n\x1a\n", True), (b"BM", True),
     (b"\xff\xd8\xff\xe0", True), (b"RIFF0000WEBPVP8 ", True), (b"RIFF0000WAVE", False), (b"\x89HDF\r\n\x1a\n", False),
     (b"\0\0\0\x20ftypisom", False), (b"\0\0\0\x20ftypavif", True), (b"\0\0\0\x20ftyphevx", True), (b"\0\0\0\x20ftypmif2", True),
     (b"\0\0\0\x0cJXL \r\n\x87\n", True)],
)  # fmt: skip
def test_first_bytes(start, is_one):
    assert may_be_image(start) is is_one


def test_a_file_that_may_not_be_read_stays_a_row():
    found = sort_out(["a.strange", "b.mp4"], ["a.strange", "b.mp4"], lambda name: pytest.fail(f"{name} was read"))
    assert (found.rows, found.skipped) == (["a.strange"], {".mp4": 1})


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.PNG", ".png"), ("x.y/a", ""), ("a.", ""), (".png", ""), ("a.jpg ", ".jpg"), ("a.b.c", ".c")],
)
def test_suffixes(name, suffix):
    assert suffix_of(name) == suffix


def test_a_source_of_archives_alone_says_what_to_name(make):
    with pytest.raises(SourceError, match=r"archives 2 \(\.tar \.zip\).*an archive itself"):
        opened(make.folder({"a.zip": b"PK", "b.tar": b"x"}))


@pytest.mark.parametrize(
    ("start", "words"), [(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"\n<html>", "web page")]
)
def test_what_stands_in_an_archives_place(make, start, words):
    with pytest.raises(SourceError, match=words):
        opened(make.folder({"set.zip": start + b"x" * 99}) / "set.zip")


def test_backslashes_in_a_zip_are_separators(make):
    files = {"set\\train\\a\\1.png": make.png(1), "set\\test\\a\\2.png": make.png(2), "set\\": b"", "set\\empty\\": b""}
    refused = {"\\root.png": b"", "set\\..\\..\\x.png": b"", "D:\\a.png": b"", "d:/b.png": b""}
    source = opened(make.zip({**files, **refused}))
    good = {entry.key: (entry.label, entry.split) for entry in source.entries if not entry.refused}
    assert good == {"set/train/a/1.png": ("a", "train"), "set/test/a/2.png": ("a", "test")}
    assert {entry.key for entry in source.entries if entry.refused} == set(refused)
    assert {entry.key: content for entry, content, _ in source.items()}["set/test/a/2.png"] == make.png(2)
    assert {notice.code for notice in source.notices} == {"empty_folders", "one_class"}


def test_zip_names_without_the_flag_for_utf8(make):
    path = make.root / "names.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("caf_e/1.png", "caf_x/2.png"):
            archive.writestr(name, make.png(1))
    content = path.read_bytes().replace(b"caf_e", b"caf\xc3\xa9").replace(b"caf_x", b"caf\x82x")
    path.write_bytes(content)
    source = opened(path)
    assert [entry.label for entry in source.entries] == ["café", "caféx"]
    assert unicodedata.is_normalized("NFC", source.entries[0].label)
    assert {notice.code: notice.count for notice in source.notices} == {"names_guessed": 1}

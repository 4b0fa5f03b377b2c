"""What ingest says of its reading: in a file, below its summary, and in the error that ends it."""

import json

import datasets
import numpy as np
import pytest
from opened import kept
from PIL import Image
from table_makers import pictures, table, write
from typer.testing import CliRunner

from aigc_core import cli
from aigc_core.config import Reading, Source
from aigc_core.data.sources import open_source
from aigc_core.data.sources.base import Notice
from aigc_core.data.sources.kinds import WORDS
from aigc_core.data.sources.notices import DecodeNotes, left_out, shown
from aigc_core.data.sources.tally import EXAMPLES, SENTENCES, Tally
from aigc_core.errors import SourceError
from aigc_core.modalities import image
from aigc_core.stages.ingest import ingest


@pytest.fixture
def dirty(make):
    """Twelve good images, three with wide grey, two that are cut off, a video, and a row of a table without a file."""
    files = {f"cat/{i}.png": make.png(i) for i in range(12)}
    for i in range(3):
        path = make.root / "images/dog" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 65536, (12, 12)).astype(np.uint16)).save(path)
    files |= {"dog/cut1.png": make.png(1)[:90], "dog/cut2.png": make.png(1)[:95], "film.mp4": b"x"}
    return make.folder({**files, "labels.csv": b"file,label,age\ndog/0.png,dog,3\ndog/9.png,dog,4\n"})


def told(paths):
    return {line["code"]: line["count"] for line in json.loads((paths.ingested / "notices.json").read_text())}


def test_notices_are_part_of_the_version(make, dirty):
    first, second = make.paths("one"), make.paths("two")
    result = ingest(make.config("folder", dirty), first)
    ingest(make.config("folder", dirty), second)
    assert told(first) == {
        "rows_without_file": 1,
        "files_without_row": 16,
        "columns_not_read": 1,
        "left_out": 1,
        "undecodable": 2,
        "decode_note": 3,
    }
    written = [(paths.ingested / "notices.json").read_bytes() for paths in (first, second)]
    assert written[0] == written[1]
    lines = [line["text"] for line in json.loads(written[0])]
    assert result.facts["notices"] == lines
    assert any("dog/9.png" in line and "labels.csv line 3" in line for line in lines)


def test_a_clean_source_says_nothing(make):
    files = {f"{name}/{i}.png": make.png(i + 9 * (name == "b")) for name in "ab" for i in range(9)}
    assert ingest(make.config("folder", make.folder(files)), make.paths()).facts["notices"] == []
    assert told(make.paths()) == {}


@pytest.mark.parametrize(
    ("most", "bright", "told_of"),
    [(1, 0, 200), (10, 0, 200), (11, 0, None), (3, 2, 198), (3, 3, None), (200, 0, None)],
)
def test_a_source_of_nearly_black_images_is_told(make, most, bright, told_of):
    dark = {f"{i}.png": image.encode_png(np.full((9, 9, 1 + 2 * (i % 2)), most, np.uint8)) for i in range(200 - bright)}
    files = dark | {f"bright/{i}.png": make.png(i) for i in range(bright)}
    result = ingest(make.config("folder", make.folder(files)), make.paths())
    assert told(make.paths()).get("nearly_black") == told_of
    lines = [line for line in result.facts["notices"] if "nearly black" in line]
    assert len(lines) == (told_of is not None)
    assert all(f"{most}.0 of 255" in line and f"{told_of} of 200" in line for line in lines)


def test_one_nearly_black_image_is_told_in_the_form_of_many(make):
    result = ingest(
        make.config("folder", make.folder({"1.png": image.encode_png(np.zeros((9, 9, 1), np.uint8))})), make.paths()
    )
    line = next(line for line in result.facts["notices"] if "nearly black" in line)
    assert "1 of 1 " in line
    assert "1 images" not in line


def test_notices_are_printed_below_the_summary(make, dirty, monkeypatch):
    folder = make.root / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text(json.dumps({"source": {"kind": "folder", "path": str(dirty)}}))
    monkeypatch.chdir(folder)
    printed = CliRunner().invoke(cli.app, ["ingest"]).output.splitlines()
    place = next(number for number, line in enumerate(printed) if line.startswith("read 17 rows"))
    notices = [json.loads((folder / "data/ingested/notices.json").read_text())][0]
    assert printed[place + 1 : place + 1 + len(notices)] == [f"  {notice['text']}" for notice in notices]


def test_lines_beyond_the_twelfth_are_counted():
    notices = [Notice("bad_rows", 1, str(number)) for number in range(20)]
    lines = shown(notices)
    assert lines[:11] == [str(number) for number in range(11)]
    assert len(lines) == 12
    assert lines[-1].startswith("9 more")
    assert len(shown(notices[:12])) == 12


def test_why_nothing_could_be_decoded(make):
    outside = make.folder({"1.png": make.png(1), "2.png": make.png(2)}, "outside")
    path = make.folder({"a.png": b"no", "b.png": b"image", "c.png": b"at all", "set.zip": b"PK", "film.mov": b"x"})
    for name in ("1.png", "2.png"):
        (path / name).symlink_to(outside / name)
    with pytest.raises(SourceError) as error:
        ingest(make.config("folder", path), make.paths())
    sentence = str(error.value)
    assert sentence.index("3 rows: not an image") < sentence.index("2 rows: a link that leaves the source (copy")
    assert "set.zip" in sentence
    assert "videos 1" in sentence


class TestDecodeNotes:
    def test_kinds_differ_by_more_than_numbers(self):
        notes = DecodeNotes()
        for note in (
            "first of 3 frames; mode P read as RGB",
            "first of 12 frames",
            "first of 3 frames",
            "mode P read as RGBA",
            None,
        ):
            notes.add(note, decoded=True)
        notes.add("truncated (3 bytes, 1.5 missing)", decoded=False)
        notes.add("truncated (40 bytes, 12 missing)", decoded=False)
        counts = [(notice.code, notice.count) for notice in notes.notices()]
        assert counts == [("undecodable", 2), ("decode_note", 3), ("decode_note", 1), ("decode_note", 1)]
        assert "3 frames" in notes.notices()[1].text
        assert "other numbers" in notes.notices()[1].text

    def test_at_most_eight_kinds_are_told(self):
        notes = DecodeNotes()
        for number in range(12):
            for _ in range(number + 1):
                notes.add(f"kind {'abcdefghijkl'[number]}", decoded=False)
        counts = [notice.count for notice in notes.notices()]
        assert counts == [12, 11, 10, 9, 8, 7, 6, 5, 4 + 3 + 2 + 1]
        assert "12 rows: kind l" in notes.reasons()

    def test_memory_is_bounded(self):
        notes = DecodeNotes()
        for number in range(5000):
            notes.add("x" * number, decoded=True)
        assert sum(notice.count for notice in notes.notices()) == 5000
        assert len(notes._read) <= 1001


class TestTally:
    def test_examples_are_few_short_and_printable(self):
        tally = Tally()
        for name in ("a\nb", "x" * 500, "c", "d"):
            tally.add("bad_rows", name)
        (notice,) = tally.notices()
        assert notice.count == 4
        assert "\n" not in notice.text
        assert "a\\nb" in notice.text
        assert notice.text.count(",") <= EXAMPLES
        assert len(notice.text) < 400

    def test_merging_adds(self):
        one, other = Tally(), Tally()
        one.add("bad_rows", "a", 2)
        other.add("bad_rows", "b", 3)
        other.add("short_rows", "c")
        other.add("long_rows", "nothing", 0)
        one.merge(other)
        assert {notice.code: notice.count for notice in one.notices()} == {"short_rows": 1, "bad_rows": 5}

    def test_every_sentence_takes_its_values(self):
        tally = Tally()
        for code in SENTENCES:
            for number in range(20):
                tally.add(code, f"name{number}")
        found = {notice.code: notice for notice in tally.notices()}
        assert list(found) == list(SENTENCES)
        assert {notice.count for notice in found.values()} == {20}
        assert not any("{" in notice.text for notice in found.values())
        assert "name11" in found["columns_not_used"].text
        assert "name3" not in found["rows_without_label"].text
        assert "name3" not in found["bad_rows"].text

    def test_equal_examples_are_named_once(self):
        tally = Tally()
        for name in ("a", "a", "b"):
            tally.add("split_values_unknown", name)
        (notice,) = tally.notices()
        assert notice.count == 3
        assert "a, b:" in notice.text


def test_skipped_files_are_told_by_kind():
    skipped = {".mp4": 2, ".mov": 1, "hidden": 5, ".strange": 1, "packed copies": 3, "text without a suffix": 1}
    notices = left_out(skipped, WORDS)
    assert [(notice.code, notice.count) for notice in notices] == [("skipped", 3), ("left_out", 10)]
    assert "videos 3 (.mov .mp4)" in notices[1].text
    assert left_out({}, WORDS) == []


class TestOtherReaders:
    def test_a_mix_names_the_part(self, make):
        make.folder({"1.png": make.png(1), "x.mp4": b""}, "all/one")
        make.folder({"cat/1.png": make.png(2)}, "all/two")
        parts = [{"kind": "folder", "path": "one"}, {"kind": "folder", "path": "two"}]
        settings = Source.model_validate({"kind": "mix", "path": "all", "sources": parts})
        source = kept(open_source("mix", make.root / "all", None, 0, settings))
        assert [(notice.code, notice.text.split(":")[0]) for notice in source.notices] == [
            ("no_labels", "one"),
            ("one_class", "two"),
        ]
        assert source.skipped == {".mp4": 1}

    def test_sheets_and_samples_pass_them_on(self, make):
        path = make.folder({f"{i}.png": make.png(i, 8) for i in range(4)})
        options = Reading.model_validate({"sheet": {"width": 4, "height": 4}})
        source = kept(open_source("folder", path, 3, 0, options))
        assert len(source.entries) == 3
        assert {notice.code: notice.count for notice in source.notices} == {"no_labels": 4}


def of_parquet(make):
    return write(make, {"p.parquet": table(image=pictures(make), number=[1] * 4)}, "all/parquet")


def of_hf(make):
    data = datasets.Dataset.from_dict({"image": pictures(make), "number": [1] * 4, "other": [2] * 4})
    data.save_to_disk(make.root / "all/hf")
    return make.root / "all/hf"


def of_idx(make):
    make.idx("train-labels-idx1-ubyte", np.arange(3, dtype=np.uint8), folder="all/idx")
    return make.idx("test-images-idx3-ubyte", make.pixels(0, 8, 4).transpose(2, 0, 1), folder="all/idx")


def of_folder(make):
    return make.folder({f"{i}.png": make.png(i, 8) for i in range(4)}, "all/folder")


READERS = {
    "parquet": (of_parquet, {"columns_not_used": 1}),
    "hf": (of_hf, {"columns_not_used": 2}),
    "idx": (of_idx, {"images_without_labels": 1, "labels_without_images": 1, "nothing_to_learn_from": 4}),
    "folder": (of_folder, {"no_labels": 4}),
}


class TestReaders:
    """What each reader tells reaches the source that ingest opens, and the file that ingest writes."""

    @staticmethod
    def told(make, **source):
        config = make.config(source["kind"], source=source)
        opened = kept(open_source(source["kind"], make.root / source["path"], None, 0, config.source))
        ingest(config, make.paths())
        assert told(make.paths()) == {notice.code: notice.count for notice in opened.notices}
        texts = [line["text"] for line in json.loads((make.paths().ingested / "notices.json").read_text())]
        assert texts == [notice.text for notice in opened.notices]
        return opened

    @pytest.mark.parametrize("kind", READERS)
    @pytest.mark.parametrize("sheet", [None, {"width": 4, "height": 4}])
    def test_alone_and_cut(self, make, kind, sheet):
        maker, expected = READERS[kind]
        opened = self.told(make, kind=kind, path=str(maker(make)), sheet=sheet)
        assert len(opened.entries) == (16 if sheet else 4)
        assert {notice.code: notice.count for notice in opened.notices} == expected

    @pytest.mark.parametrize("sheet", [None, {"width": 4, "height": 4}])
    def test_in_a_mix(self, make, sheet):
        parts = []
        for kind, (maker, _) in READERS.items():
            parts.append({"kind": kind, "path": maker(make).name, "sheet": sheet})
        settings = Source.model_validate({"kind": "mix", "path": str(make.root / "all"), "sources": parts})
        opened = kept(open_source("mix", make.root / "all", None, 0, settings))
        expected = [
            (kind, code, count)
            for kind, (_, codes) in READERS.items()
            for code, count in sorted(codes.items(), key=lambda item: list(SENTENCES).index(item[0]))
        ]
        assert [(n.text.partition(":")[0], n.code, n.count) for n in opened.notices] == expected
        ingest(make.config("mix", source=settings.model_dump()), make.paths())
        lines = json.loads((make.paths().ingested / "notices.json").read_text())
        assert [(line["text"].partition(":")[0], line["code"], line["count"]) for line in lines] == expected

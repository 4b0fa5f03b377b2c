"""An exported version is read by Hugging Face's datasets, pixel for pixel, and by the source that reads Parquet."""

import hashlib
import json

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from aigc_core import cli
from aigc_core.commands.export import VERSIONS, export
from aigc_core.config import Reading
from aigc_core.data import export as writer
from aigc_core.data.sources import open_source
from aigc_core.data.store import Version
from aigc_core.errors import ConfigError, DataError
from aigc_core.modalities import image
from aigc_core.modalities.decoding.canonical import canonical
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

COLUMNS = ["image", "label", "text", "id", "split", "source"]


@pytest.fixture
def versions(make):
    """Forty images of two classes with a caption, one without a label, one broken."""
    lines = "".join(f"{name}/{i}.png,text {name}{i}\n" for name in ("2", "10") for i in range(20))
    files = {f"{name}/{i}.png": make.png(i + 100 * len(name)) for name in ("2", "10") for i in range(20)}
    table = {"metadata.csv": f"file_name,text\n{lines}".encode()}
    path = make.folder({**files, **table, "bare.png": make.png(7, channels=4), "2/broken.png": make.png(8)[:50]})
    config = make.config("folder", path, quality={"max_quarantined_share": 1.0})
    paths = make.paths()
    for stage in (ingest, measure, curate):
        stage(config, paths)
    return paths


def loaded(out, cache, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets.disable_progress_bars()
    splits = sorted({path.name.partition("-")[0] for path in out.iterdir()})
    files = {split: str(out / f"{split}-*.parquet") for split in splits}
    return datasets.load_dataset("parquet", data_files=files, cache_dir=str(cache))


def test_datasets_reads_the_same_pixels(versions, make, monkeypatch):
    out = make.root / "deep" / "out"
    result = export(versions, "curated", out)
    read = loaded(out, make.root / "cache", monkeypatch)
    version = Version.open(versions.curated)
    contents = dict(version.contents())
    rows = {row["id"]: row for row in version.rows.to_pylist()}
    assert result.metrics["rows"] == len(rows) == sum(len(part) for part in read.values())
    assert set(read) == {"reference", "train", "test"}
    for split, part in read.items():
        assert part.column_names == COLUMNS
        assert part.features["label"].names == ["2", "10"]
        for line in part:
            row = rows.pop(line["id"])
            label = None if line["label"] is None else part.features["label"].int2str(line["label"])
            assert (label, line["text"], line["split"], line["source"]) == (
                row["label"],
                row["text"],
                split,
                row["source"],
            )
            assert row["split"] == split
            pixels = canonical(np.asarray(line["image"]))
            np.testing.assert_array_equal(pixels, image.decode(contents[row["id"]]).pixels)
    assert not rows


def test_our_own_reader_gets_rows_labels_and_splits_back(versions, make):
    export(versions, "curated", make.root / "out")
    source = open_source("parquet", make.root / "out", None, 0, Reading())
    before = {row["id"]: row for row in Version.open(versions.curated).rows.to_pylist()}
    by_content = {content: before[identity] for identity, content in Version.open(versions.curated).contents()}
    found = list(source.items())
    assert len(found) == len(before)
    for entry, content, _ in found:
        row = by_content[content]
        assert (entry.label, entry.text, entry.split) == (row["label"], row["text"], row["split"])
    paths = make.paths("again")
    ingest(make.config("parquet", make.root / "out"), paths)
    source.close()
    again = {row["content_hash"]: row["split"] for row in Version.open(paths.ingested).rows.to_pylist()}
    assert again == {row["content_hash"]: row["split"] for row in before.values()}, "a way there and back moves no row"


def test_quarantine_keeps_its_reasons_and_bytes(versions, make):
    export(versions, "quarantine", make.root / "out")
    rows = [row for path in (make.root / "out").iterdir() for row in pq.read_table(path).to_pylist()]
    broken = next(row for row in rows if row["source"] == "2/broken.png")
    assert broken["reasons"] == ["corrupt"]
    assert broken["image"] == {"bytes": make.png(8)[:50], "path": "broken.png"}


def test_equal_versions_make_equal_bytes_and_small_files_add_up(versions, make, monkeypatch):
    monkeypatch.setattr(writer, "GROUP_ROWS", 3)
    monkeypatch.setattr(writer, "FILE_BYTES", 2000)
    for name in ("one", "two"):
        export(versions, "ingested", make.root / name)
    first, second = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (make.root / name).iterdir()}
        for name in ("one", "two")
    )
    assert first == second
    assert len(first) > 5
    assert sum(pq.read_metadata(path).num_rows for path in (make.root / "one").iterdir()) == 42


def test_what_is_refused_leaves_nothing(versions, make):
    full = make.folder({"mine.txt": b"kept"}, "full")
    with pytest.raises(ConfigError, match="not an empty folder"):
        export(versions, "curated", full)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="augmented: this dataset version does not exist yet"):
        export(versions, "augmented", make.root / "new")
    with pytest.raises(DataError, match="quarantine: this dataset version"):
        export(make.paths("empty"), "quarantine", make.root / "new")
    with pytest.raises(ConfigError, match="curated, ingested, augmented, quarantine"):
        export(versions, "newest", make.root / "new")
    (versions.content / "content-0.parquet").unlink()
    with pytest.raises(DataError, match="have no content"):
        export(versions, "ingested", make.root / "new")
    assert not (make.root / "new").exists()
    assert not list(make.root.glob(".new*"))


def test_without_labels_the_column_stays(make, monkeypatch):
    paths = make.paths()
    ingest(make.config("folder", make.folder({f"{i}.png": make.png(i) for i in range(30)})), paths)
    export(paths, "ingested", make.root / "out")
    read = loaded(make.root / "out", make.root / "cache", monkeypatch)
    assert read["train"].column_names == COLUMNS
    assert read["train"][0]["label"] is None


def test_the_command(versions, make, monkeypatch):
    (versions.root / "params.yaml").write_text("{}")
    monkeypatch.chdir(versions.root)
    result = CliRunner().invoke(cli.app, ["data", "export", "curated", str(make.root / "out")])
    assert result.exit_code == 0
    assert "load_dataset('parquet'" in result.output
    assert tuple(cli.ExportedVersion) == VERSIONS
    told = json.loads(pq.read_schema(make.root / "out/train-00000.parquet").metadata[b"huggingface"])
    assert told["info"]["features"]["image"] == {"_type": "Image"}

"""Ingest: every row once, split by content, defects planted into digits alone, the same bytes every time."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from aigc_core.data.store import Version
from aigc_core.errors import DecodeError, SourceError
from aigc_core.modalities import image
from aigc_core.records import ROW_SCHEMA, TRUTH_SCHEMA, row_id
from aigc_core.stages import ingest as stage
from aigc_core.stages.ingest import ingest, model_channels, model_side

REAL = Path(__file__).parents[2] / "shared/data"


def rows_by_key(paths):
    return {row["source"]: row for row in Version.open(paths.ingested).rows.to_pylist()}


def fingerprint(paths):
    files = sorted(path for path in paths.data.rglob("*") if path.is_file())
    return {str(path.relative_to(paths.data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def many(make):
    """Two classes of twenty images, a broken one and two equal ones."""
    files = {f"{name}/{i}.png": make.png(i + 100 * (name == "b")) for name in "ab" for i in range(20)}
    return {**files, "a/broken.png": make.png(1)[:40], "b/twin.png": make.png(3)}


def test_every_file_is_a_row_and_its_bytes_are_kept(make, many):
    paths = make.paths()
    result = ingest(make.config("folder", make.folder(many)), paths)
    version = Version.open(paths.ingested)
    assert version.rows.schema.equals(ROW_SCHEMA)
    assert dict(version.contents()) == {row_id(key): content for key, content in many.items()}
    rows = rows_by_key(paths)
    assert rows["a/broken.png"]["content_hash"] is None
    assert rows["a/broken.png"]["note"]
    assert rows["b/twin.png"]["content_hash"] == rows["a/3.png"]["content_hash"]
    assert rows["b/twin.png"]["split"] == rows["a/3.png"]["split"], "copies of one image straddle no splits"
    assert version.card.image == {"size": 12, "channels": 3, "resize": "lanczos-cover"}
    assert result.metrics["rows"] == 42
    assert result.metrics["undecodable"] == 1
    assert "42" in result.summary


def test_the_bytes_do_not_depend_on_workers_or_on_how_rows_are_cut(make, many, monkeypatch):
    folder = make.folder(many)
    (folder / "a/gone.png").symlink_to("nowhere")  # a row without bytes
    config = make.config("folder", folder)
    found = []
    for workers, rows in ((1, 256), (2, 256), (2, 5)):
        monkeypatch.setattr(stage, "CHUNK_ROWS", rows)
        paths = make.paths(f"{workers}-{rows}")
        ingest(config, paths, workers)
        found.append(fingerprint(paths))
    assert found[0] == found[1] == found[2]


def test_a_new_file_moves_no_row(make, many):
    ingest(make.config("folder", make.folder(many)), make.paths("one"))
    ingest(make.config("folder", make.folder({**many, "a/new.png": make.png(77)})), make.paths("two"))
    before, after = rows_by_key(make.paths("one")), rows_by_key(make.paths("two"))
    assert set(after) - set(before) == {"a/new.png"}
    assert all(after[key] == row for key, row in before.items())
    one, two = fingerprint(make.paths("one")), fingerprint(make.paths("two"))
    assert {name for name in two if name.startswith("content/") and one.get(name) != two[name]} == {
        f"content/content-{row_id('a/new.png')[0]}.parquet"
    }


def test_two_runs_write_the_same_bytes(make, many):
    for kind, path in (("digits", None), ("folder", make.folder(many))):
        first, second = make.paths(f"{kind}1"), make.paths(f"{kind}2")
        ingest(make.config(kind, path), first)
        ingest(make.config(kind, path), second)
        assert fingerprint(first) == fingerprint(second)


def test_named_splits_win(make):
    files = {
        f"{split}/a/{i}.png": make.png(i + 1000 * (split == "test")) for split in ("train", "test") for i in range(60)
    }
    paths = make.paths()
    ingest(make.config("folder", make.folder(files)), paths)
    rows = rows_by_key(paths).values()
    assert all((row["split"] == "test") == row["source"].startswith("test/") for row in rows)
    counts = Counter(row["split"] for row in rows)
    assert 6 <= counts["reference"] <= 30, "train rows are divided 2:5 between reference and train"


def test_limit_is_stratified_and_exact(make, many):
    paths = make.paths()
    ingest(make.config("folder", make.folder(many), limit=10), paths)
    rows = rows_by_key(paths).values()
    assert Counter(row["label"] for row in rows) == {"a": 5, "b": 5}


def test_source_that_holds_no_image_writes_nothing(make):
    paths = make.paths()
    with pytest.raises(SourceError, match="decoded"):
        ingest(make.config("folder", make.folder({"a/1.png": b"no", "a/2.png": b"image"})), paths)
    assert not [path for path in paths.data.rglob("*") if path.is_file()]


def test_missing_source_leaves_the_old_version(make, many):
    paths = make.paths()
    ingest(make.config("folder", make.folder(many)), paths)
    before = fingerprint(paths)
    with pytest.raises(SourceError):
        ingest(make.config("folder", make.root / "nowhere"), paths)
    assert fingerprint(paths) == before


@pytest.mark.parametrize(
    ("side", "expected"), [(3, 8), (8, 8), (11, 11), (16, 16), (19, 16), (28, 28), (31, 28), (900, 32)]
)
def test_model_side(side, expected):
    assert model_side(side) == expected


@pytest.mark.parametrize(("side", "expected"), [(None, 32), (64, 64), (40, 40)])
def test_the_side_can_be_chosen(make, side, expected):
    path = make.folder({f"{name}.png": make.png(name, side=70) for name in range(3)})
    config = make.config("folder", source={"kind": "folder", "path": str(path), "side": side})
    ingest(config, make.paths())
    assert Version.open(make.paths().ingested).card.image["size"] == expected


def test_rare_channels_do_not_decide():
    assert model_channels(Counter({1: 97, 3: 3})) == 1
    assert model_channels(Counter({1: 90, 3: 10})) == 3
    assert model_channels(Counter({3: 50, 4: 50})) == 4


def test_ingest_pays_for_no_torch():
    code = "import sys, aigc_core.stages.ingest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    from aigc_core.config import Config
    from aigc_core.paths import Paths

    plant = {"label_flip": 0.05}
    clean, dirty = (Paths(tmp_path_factory.mktemp(name)) for name in ("clean", "dirty"))
    nothing = dict.fromkeys(["corrupt", "blank", "duplicate_exact", "duplicate_near", "too_small"], 0)
    ingest(Config.model_validate({"digits": {"plant": nothing}}), clean)
    ingest(Config.model_validate({"digits": {"plant": plant}}), dirty)
    return clean, dirty


class TestPlanting:
    def test_without_rates_nothing_is_planted(self, planted):
        clean, _ = planted
        assert not (clean.ingested / "truth.parquet").exists()
        rows = rows_by_key(clean)
        counts = Counter(row["split"] for row in rows.values())
        assert len(rows) == 1797
        for split, share in (("reference", 0.2), ("train", 0.5), ("test", 0.3)):
            assert abs(counts[split] / 1797 - share) < 0.035

    def test_counts_follow_the_rates(self, planted):
        clean, dirty = planted
        train = Counter(row["split"] for row in rows_by_key(clean).values())["train"]
        truth = pq.read_table(dirty.ingested / "truth.parquet")
        assert truth.schema.equals(TRUTH_SCHEMA)
        rates = {"corrupt": 0.01, "blank": 0.03, "duplicate_exact": 0.03, "duplicate_near": 0.02, "too_small": 0.01}
        expected = {kind: round(rate * train) for kind, rate in {**rates, "label_flip": 0.05}.items()}
        assert Counter(truth["kind"].to_pylist()) == expected

    def test_only_training_rows_are_touched_and_names_go_on(self, planted):
        clean, dirty = (rows_by_key(paths) for paths in planted)
        truth = {row["id"]: row for row in pq.read_table(planted[1].ingested / "truth.parquet").to_pylist()}
        added = {key: row for key, row in dirty.items() if key not in clean}
        assert sorted(added) == [f"digits/{number:04d}" for number in range(1797, 1797 + len(added))]
        assert all(row["split"] == "train" and row["id"] in truth for row in added.values())
        by_id = {row["id"]: row for row in clean.values()}
        assert all(by_id[truth[row["id"]]["parent"]]["split"] == "train" for row in added.values())
        for key, row in clean.items():
            flipped = row["id"] in truth
            assert {**row, "label": None} == {**dirty[key], "label": None}
            assert (row["label"] != dirty[key]["label"]) == flipped
            assert not flipped or row["split"] == "train"

    def test_defects_are_what_they_say(self, planted):
        version = Version.open(planted[1].ingested)
        contents = dict(version.contents())
        levels = set()
        for row in pq.read_table(planted[1].ingested / "truth.parquet").to_pylist():
            content, kind = contents[row["id"]], row["kind"]
            if kind == "label_flip":
                continue
            if kind == "corrupt":
                with pytest.raises(DecodeError):
                    image.decode(content)
                continue
            pixels = image.decode(content).pixels
            parent = image.decode(contents[row["parent"]]).pixels
            if kind == "blank":
                levels.add(int(pixels[0, 0, 0]))
                assert pixels.std() == 0
            elif kind == "too_small":
                assert pixels.shape[:2] == (3, 3)
            elif kind == "duplicate_exact":
                np.testing.assert_array_equal(pixels, parent)
            else:
                assert 0 < np.abs(pixels.astype(int) - parent).max() <= 30
        assert len(levels) > 5, "blanks have many grey levels"


@pytest.mark.real
class TestRealData:
    @pytest.fixture(autouse=True)
    def _data(self):
        if not REAL.exists():
            # Both data sets (75 MB, with terms of their own) may not be part of the repository, and no test downloads anything: without them
            # the tests of these readers run on files that tests/ makes, and these two say that they had nothing to read.
            pytest.skip("MNIST and CIFAR-10 do not lie in ../shared/data: they are not part of the repository")

    def test_cifar_zip(self, make):
        paths = make.paths()
        ingest(make.config("folder", REAL / "cifar10.zip", limit=300), paths)
        card = Version.open(paths.ingested).card
        assert card.image["size"] == 32
        assert card.image["channels"] == 3
        assert len(card.classes) == 10
        assert sum(card.counts["test"].values()) == 50
        assert set(card.counts["test"].values()) == {5}

    def test_mnist(self, make):
        paths = make.paths()
        ingest(make.config("idx", REAL / "mnist", limit=700), paths)
        card = Version.open(paths.ingested).card
        assert card.image == {"size": 28, "channels": 1, "resize": "lanczos-cover"}
        assert card.classes == [str(digit) for digit in range(10)]
        assert sum(card.counts["test"].values()) == pytest.approx(100, abs=6)

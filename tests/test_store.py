"""The content store and the versions over it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aigc_core.data.store import BUFFER_BYTES, ContentWriter, Version, natural, write_version
from aigc_core.errors import DataError
from aigc_core.modalities import image
from aigc_core.records import ROW_SCHEMA, row_id


def rows_of(facts):
    """Rows from (source, label, split)."""
    return pa.Table.from_pylist(
        [{"id": row_id(source), "source": source, "label": label, "split": split} for source, label, split in facts],
        schema=ROW_SCHEMA,
    )


def write(root, facts, contents, name="version", parameters=None):
    with ContentWriter(root / "content") as writer:
        for source, content in contents.items():
            writer.add(row_id(source), content)
    return write_version(
        root / name, rows_of(facts), operation="made", parameters=parameters or {}, parent=None,
        content=["../content"], image={"size": 8, "channels": 1, "resize": image.RESIZE_MODE},
    )  # fmt: skip


FACTS = [("1", "10", "train"), ("2", "9", "train"), ("3", None, "test"), ("4", "x", "reference")]
CONTENTS = {"1": b"one", "2": b"two", "3": None, "4": b"four"}


def test_round_trip(tmp_path):
    card = write(tmp_path, FACTS, CONTENTS)
    version = Version.open(tmp_path / "version")
    assert version.card == card
    assert dict(version.contents()) == {row_id(key): value for key, value in CONTENTS.items()}
    assert dict(version.contents([row_id("2")])) == {row_id("2"): b"two"}
    assert version.rows["id"].to_pylist() == sorted(map(row_id, CONTENTS))
    assert version.select("train").num_rows == 2
    assert version.select().num_rows == 4


def test_card_counts_and_natural_classes(tmp_path):
    card = write(tmp_path, FACTS, CONTENTS)
    assert card.classes == ["9", "10"]
    assert card.counts == {"train": {"9": 1, "10": 1}, "test": {"": 1}, "reference": {"x": 1}}
    assert sorted(["10", "b2", "2", "b10"], key=natural) == ["2", "10", "b2", "b10"]
    assert sorted(["1", "²", "01"], key=natural) == sorted(["01", "²", "1"], key=natural) == ["01", "1", "²"]


def test_version_names_rows_and_parameters_not_their_order(tmp_path):
    first = write(tmp_path / "a", FACTS, CONTENTS).version
    assert len(first) == 16
    assert write(tmp_path / "b", FACTS[::-1], CONTENTS).version == first
    assert write(tmp_path / "c", FACTS, CONTENTS, parameters={"x": 1}).version != first
    relabelled = [("1", "9", "train"), *FACTS[1:]]
    assert write(tmp_path / "d", relabelled, CONTENTS).version != first


def test_missing_version_names_what_to_run(tmp_path):
    with pytest.raises(DataError, match="run"):
        Version.open(tmp_path / "nothing")


def test_a_new_row_rewrites_its_shard_only(tmp_path):
    contents = {str(number): bytes([number]) * 50 for number in range(200)}
    write(tmp_path / "a", FACTS, contents)
    write(tmp_path / "b", FACTS, {**contents, "new": b"new"})
    before = {path.name: path.read_bytes() for path in (tmp_path / "a/content").iterdir()}
    after = {path.name: path.read_bytes() for path in (tmp_path / "b/content").iterdir()}
    assert len(after) == 16
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"content-{row_id('new')[0]}.parquet"}


def test_a_failed_write_leaves_the_old_content(tmp_path):
    write(tmp_path, FACTS, CONTENTS)
    with pytest.raises(RuntimeError), ContentWriter(tmp_path / "content") as writer:
        writer.add(row_id("1"), b"changed")
        raise RuntimeError("stopped")
    assert dict(Version.open(tmp_path / "version").contents())[row_id("1")] == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content", "version"]


def test_buffers_are_flushed_by_size(tmp_path):
    big = bytes(BUFFER_BYTES // 2)
    same_shard = [source for source in map(str, range(200)) if row_id(source)[0] == "a"][:6]
    write(tmp_path, FACTS, dict.fromkeys(same_shard, big))
    assert pq.ParquetFile(tmp_path / "content/content-a.parquet").num_row_groups == 3


class TestLoader:
    @pytest.fixture
    def version(self, tmp_path):
        pictures = {str(number): image.encode_png(np.full((8, 8, 1), number, np.uint8)) for number in range(30)}
        facts = [(key, "ab"[int(key) % 2], "train" if int(key) < 20 else "test") for key in pictures]
        facts += [("broken", "a", "test"), ("other", "c", "train")]
        write(tmp_path, facts, {**pictures, "broken": b"x", "other": pictures["0"]})
        return Version.open(tmp_path / "version")

    def test_sorted_by_id_with_matching_pixels_and_labels(self, version):
        from aigc_core.data.loader import load_images

        found = load_images(version, "train", size=8, channels=1, classes=["b", "a"])
        assert found.pixels.shape == (20, 1, 8, 8)
        assert found.ids == sorted(row_id(str(number)) for number in range(20))
        number = {row_id(str(number)): number for number in range(20)}
        for index, identity in enumerate(found.ids):
            assert found.pixels[index].unique().tolist() == [number[identity]]
            assert found.labels[index] == 1 - number[identity] % 2

    def test_subset_keeps_rows_together(self, version):
        import torch

        from aigc_core.data.loader import load_images

        found = load_images(version, "train", size=16, channels=3, classes=["a", "b"])
        part = found.subset(torch.tensor([5, 2]))
        assert len(part) == 2
        assert part.ids == [found.ids[5], found.ids[2]]
        assert torch.equal(part.pixels, found.pixels[[5, 2]])
        assert part.pixels.shape[1:] == (3, 16, 16)

    def test_undecodable_rows(self, version):
        from aigc_core.data.loader import load_decodable, load_images

        with pytest.raises(DataError, match="cannot be decoded"):
            load_images(version, "test", size=8, channels=1, classes=["a", "b"])
        assert len(load_decodable(version, "test", size=8, channels=1, classes=["a", "b"])) == 10

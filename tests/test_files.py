"""Files are whole or absent, and equal values make equal bytes."""

import pyarrow as pa
import pytest

from aigc_core.files import atomic_file, atomic_folder, digest, write_json, write_table


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as scratch:
        (scratch / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target) as scratch:
        (scratch / "a").write_text("half")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "table.parquet"
    write_table(target, pa.table({"x": [1]}))
    before = target.read_bytes()
    with pytest.raises(RuntimeError), atomic_file(target) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert target.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_equal_values_make_equal_bytes(tmp_path):
    write_json(tmp_path / "a", {"x": 1, "y": 2})
    write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1}) != digest({"x": 2, "y": 2})


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a", {"x": float("nan")})
    assert not (tmp_path / "a").exists()

"""A source that another reader reads, or that is no source: the error ends with what to do."""

import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aigc_core.config import Reading
from aigc_core.data.sources import open_source
from aigc_core.errors import SourceError
from aigc_core.modalities import image


def picture(seed=0):
    return image.encode_png(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("kind", "name", "content", "told"),
    [
        ("folder", "a.png", picture(), "name the folder that it lies in"),
        ("folder", "a.csv", b"file_name,label\n", "name the folder of the images"),
        ("folder", "a.rar", b"Rar!", "unpack it"),
        ("folder", "x.parquet", b"PAR1", "source.kind: parquet"),
        ("folder", "train-images-idx3-ubyte.gz", b"\x1f\x8b", "source.kind: idx"),
        ("folder", "train-images-idx3", b"\0\0\x08\x03", "source.kind: idx"),
        ("folder", "set.idx4", b"\0\0\x08\x04", "source.kind: idx"),
        ("folder", "in/x.parquet", b"PAR1", "source.kind: parquet"),
        ("folder", "in/x.pq", b"PAR1", "source.kind: parquet"),
        ("folder", "in/x.rar", b"Rar!", "unpack"),
        ("folder", "in/x.dmg", b"koly", "unpack"),
        *(
            ("folder", f"{place}x{end}", b"x", "unpack")
            for place in ("", "in/")
            for end in (".tar.zst", ".TAR.LZ4", ".tar.7z")
        ),
        *(("folder", f"in/x.tar.{end}", b"x", "an archive itself") for end in ("xz", "bz2", "gz")),
        ("folder", "in/._x.parquet", b"PAR1", "name another path"),
        ("folder", "in/t10k-images-idx3-ubyte.gz", b"\x1f\x8b", "source.kind: idx"),
        ("parquet", "in/a.png", picture(), "source.kind: folder"),
        ("parquet", "in/train-images-idx3", b"\0\0\x08\x03", "source.kind: idx"),
        ("parquet", "in/qmnist-test-labels-idx2-int.gz", b"\x1f\x8b", "source.kind: idx"),
        ("parquet", "in/class_idx.json", b"{}", "name a file"),
        ("idx", "in/a.png", picture(), "source.kind: folder"),
        ("idx", "in/x.parquet", b"PAR1", "source.kind: parquet"),
    ],
)
def test_the_reader_that_would_do_is_named(tmp_path, kind, name, content, told):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(SourceError, match=told):
        open_source(kind, path.parent if "/" in name else path, None, 0, Reading())


def test_an_idx_header_in_the_other_byte_order_is_told(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(b"\0\0\x08\x03" + struct.pack("<3I", 2, 8, 8) + bytes(128))
    with pytest.raises(SourceError, match="big-endian"):
        open_source("idx", path, None, 0, Reading())


def test_labels_of_a_table_that_differ_in_case_or_blanks_alone_are_told(tmp_path):
    labels = ["cat", "cat ", "CAT", "dog", "dog", "cat"] * 5
    table = pa.table({"image": [picture(n) for n in range(30)], "label": labels})
    pq.write_table(table, tmp_path / "data.parquet")
    source = open_source("parquet", tmp_path / "data.parquet", None, 0, Reading())
    assert {"names_alike", "padded_names"} <= {notice.code for notice in source.notices}
    assert {entry.label for entry in source.entries} == {"cat", "cat ", "CAT", "dog"}

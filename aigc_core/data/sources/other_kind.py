"""What a path holds that one reader cannot read and another can, in words for the end of an error."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from aigc_core.data.sources.idx_pairs import ends_like_idx
from aigc_core.data.sources.kinds import IMAGES, PACKED, PARQUET, TAR_READ, is_hidden, suffix_of

#: Endings of tables that lie beside images.
BESIDE_IMAGES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".txt", ".xlsx"})
#: Files of a folder that are looked at.
MOST = 10_000


def advice(path: Path, kind: str) -> str | None:
    """What to do about `path`, which `source.kind` = `kind` cannot read; null where nothing is known."""
    if not path.is_dir():
        return _of_file(path, kind)
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not is_hidden(f"{name}/")]
        found.update(_kind(name) for name in names if not is_hidden(name))
        if found.total() > MOST:
            break
    others = [name for name in ("folder", "parquet", "idx", "packed") if found[name] and name != kind]
    if not others:
        return None
    if others[0] == "packed":
        return "unpack what lies in it: .rar, .7z and the like are not read"
    what = {"folder": "images", "parquet": "Parquet files", "idx": "idx files"}[others[0]]
    return f"it holds {what}, which `source.kind: {others[0]}` reads"


def _of_file(path: Path, kind: str) -> str | None:
    own = _kind(path.name)
    if own == "folder":
        return "a single image is no data set: name the folder that it lies in"
    if own == "packed":
        return "unpack it: this format is not read"
    if suffix_of(path.name) in BESIDE_IMAGES:
        return "name the folder of the images: a table beside them is read with them"
    return f"`source.kind: {own}` reads it" if own and own != kind else None


def _kind(name: str) -> str:
    """The kind of source that reads a file, by its name: folder, parquet or idx; `packed`, or empty for others."""
    suffix = suffix_of(name)
    if suffix in IMAGES:
        return "folder"
    if suffix in PARQUET:
        return "parquet"
    if ends_like_idx(name):
        return "idx"
    is_read = suffix in TAR_READ and Path(name).stem.lower().endswith(".tar")
    return "packed" if suffix in PACKED and not is_read else ""

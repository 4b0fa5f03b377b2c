"""Files that are whole or absent: everything is written beside its place and renamed into it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` when the block ends, and vanishes when it raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes it private
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to; it replaces `target` when the block ends, and vanishes when it raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept at the end, because Pillow and matplotlib choose a format by it.
    scratch = target.parent / f".{os.getpid()}-{target.name}"
    try:
        yield scratch
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def write_json(target: Path, value: Any) -> None:
    """Write `value` with sorted keys and no NaN, so that equal values make equal bytes."""
    with atomic_file(target) as scratch:
        scratch.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file."""
    return json.loads(path.read_text())


def write_table(target: Path, table: pa.Table) -> None:
    """Write one Parquet file; equal tables make equal bytes."""
    with atomic_file(target) as scratch:
        pq.write_table(table.combine_chunks(), scratch, compression="zstd", write_statistics=False)


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def source_digest(places: Iterable[str]) -> str:
    """Hex sha256 over this package's source in `places`, which are folders and files below aigc_core/."""
    root = Path(__file__).parent
    found = [root / place for place in places]
    files = sorted(file for place in found for file in ([place] if place.is_file() else place.rglob("*.py")))
    return digest({str(file.relative_to(root)): sha256_file(file) for file in files})


def digest(value: Any) -> str:
    """Hex sha256 of a JSON-serialisable value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()

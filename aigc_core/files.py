"""Files that are whole or absent: everything is written beside its place and renamed into it.

A process holds a lock on what it is writing, which the system takes back however the process ends. So the next process that
writes into the same folder knows what killed ones have left there, and removes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a killed process left has to be removed by hand there
    fcntl = None  # type: ignore[assignment]

#: In the name of everything unfinished, and in no name that a user would choose: what bears it may be removed.
UNFINISHED = "aigc-unfinished"


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that vanishes when the block ends."""
    with _scratch(target, lambda: _new_folder(target)) as scratch:
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` when the block ends, and vanishes when it raises."""
    with scratch_folder(target) as scratch:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes it private
        # Removing the old folder takes time: a process that is killed meanwhile must not leave a part of it in its place.
        with scratch_folder(target) as old:
            if target.exists():
                target.rename(old / target.name)
            scratch.rename(target)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield an empty file to write to; it replaces `target` when the block ends, and vanishes when it raises."""
    with _scratch(target, lambda: _new_file(target)) as scratch:
        try:
            yield scratch
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)


def _new_folder(target: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=f".{UNFINISHED}", dir=target.parent))


def _new_file(target: Path) -> Path:
    # The suffix is kept at the end, because Pillow and matplotlib choose a format by it.
    scratch = target.parent / f".{UNFINISHED}-{secrets.token_hex(4)}-{target.name}"
    scratch.touch(exist_ok=False)
    return scratch


@contextmanager
def _scratch(target: Path, make: Callable[[], Path]) -> Iterator[Path]:
    """Yield what `make` makes beside `target`, locked until the block ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield make()
        return
    _remove_abandoned(target.parent.absolute())
    scratch, descriptor = _locked(make)
    try:
        yield scratch
    finally:
        os.close(descriptor)


def _locked(make: Callable[[], Path]) -> tuple[Path, int]:
    """What `make` made, and the open descriptor that holds its lock."""
    while True:
        scratch = make()
        # A process that looks for abandoned ones may find it before it is locked, and remove it.
        with suppress(FileNotFoundError):
            descriptor = os.open(scratch, os.O_RDONLY)
            _lock(descriptor, fcntl.LOCK_EX)
            if scratch.exists():
                return scratch, descriptor
            os.close(descriptor)


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that are gone left unfinished in `folder`; once in a process, because listing a folder takes time.

    What somebody holds stays, and so does what cannot be locked (not every file system can) or removed.
    """
    for path in (*folder.glob(f".*-????????.{UNFINISHED}"), *folder.glob(f".{UNFINISHED}-????????-*")):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    """Take the lock of an open file or folder, until it is closed; whether that was possible."""
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        return False
    return True


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

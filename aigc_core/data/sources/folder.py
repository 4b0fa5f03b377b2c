"""Folders and archives (.zip, .tar) of images: class sub-folders or flat, `train/` and `test/`, `metadata.csv`.

An archive is read in place. Nothing outside the source is ever read: a link that leaves the folder, or an archive
member that climbs out with `..`, becomes a row that cannot be read, and is quarantined as such.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from aigc_core.config import Reading
from aigc_core.data.sources.archives import Files, Names, open_archive
from aigc_core.data.sources.base import MAX_BYTES, Entry, OpenSource, closed_on_error, own_splits, readers
from aigc_core.data.splits import SPLIT_NAMES
from aigc_core.errors import SourceError

#: Files that lie beside images without being any. Everything else is a row, and a bad one is quarantined.
NOT_ROWS = {".csv", ".tsv", ".txt", ".md", ".json", ".jsonl", ".html", ".htm", ".pdf", ".xml", ".yaml", ".yml", ".py"}


@readers.register("folder")
def open_folder(path: Path, options: Reading) -> OpenSource:  # noqa: ARG001  (a folder has no options)
    """List a folder, a .zip or a .tar. Raises SourceError when it does not exist or cannot be listed."""
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name a folder of images, a .zip or a .tar")
    files = walk(path) if path.is_dir() else open_archive(path)
    with closed_on_error(files.close):
        return _listed(files)


def walk(root: Path) -> Files:
    """Files below `root` by name. Links that leave it, and what is no plain file, are refused.

    Raises SourceError where `root` itself cannot be listed.
    """
    inside = os.path.realpath(root)
    unique = Names()
    places: dict[str, Path] = {}
    refused: dict[str, str] = {}

    def unlistable(error: OSError) -> None:
        if Path(error.filename) == root:
            raise SourceError(f"source.path {str(root)!r} cannot be listed: {error.strerror}") from None
        name = unique.take(Path(error.filename).relative_to(root).as_posix())
        places[name] = Path(error.filename)
        refused[name] = f"a folder that cannot be listed: {error.strerror}"

    for folder, folders, files in os.walk(root, onerror=unlistable):
        folders.sort()
        for file in sorted([*files, *(f for f in folders if (Path(folder) / f).is_symlink())]):
            path = Path(folder) / file
            leaves = path.is_symlink() and not _is_inside(path, inside)
            if path.is_symlink() and path.is_dir() and not leaves:
                continue  # the folder it points to is inside, and is walked there
            name = unique.take(path.relative_to(root).as_posix())
            places[name] = path
            if leaves:
                refused[name] = "a link that leaves the source"
            elif not path.is_file():
                refused[name] = "not a plain file, or a link that leads nowhere"
    return Files(list(places), refused, lambda name: _read_inside(places[name], inside), lambda name: name, _nothing)


def _nothing() -> None:
    """A folder keeps no file open."""


def _is_inside(path: Path, root: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _read_inside(path: Path, root: str) -> bytes:
    """The bytes of a file, which may have been swapped since it was listed."""
    if not _is_inside(path, root):
        raise OSError("it has become a link that leaves the source")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise OSError(f"{size:,} bytes are more than {MAX_BYTES:,}")
    return path.read_bytes()


def _listed(files: Files) -> OpenSource:
    skipped: Counter[str] = Counter()
    rows: list[str] = []
    tables: list[str] = []
    for name in sorted(files.names):
        parts = PurePosixPath(name).parts
        suffix = PurePosixPath(name).suffix.lower()
        if any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts:
            skipped["hidden"] += 1
        elif parts[-1] == "metadata.csv":
            tables.append(name)
        elif suffix in NOT_ROWS:
            skipped[suffix] += 1
        else:
            rows.append(name)
    for table in tables:
        if table in files.refused:
            raise SourceError(f"{table} is {files.refused[table]}: replace it with a plain file")
    metadata = {key: value for table in tables for key, value in _metadata(table, files.read).items()}
    depth = _common_depth([name for name in rows if name not in files.refused])
    entries = [
        Entry(name, refused=files.refused[name])
        if name in files.refused
        else _entry(name, depth, metadata.get(name, {}))
        for name in sorted(rows, key=files.order)
    ]
    return OpenSource(own_splits(entries), lambda entry: files.read(entry.key), dict(skipped), files.close)


def _common_depth(names: list[str]) -> int:
    """How many leading folders wrap everything: an archive often has one. A stray file beside it changes nothing."""
    depth = 0
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while True:
        here = Counter(parts[depth] for parts in folders if len(parts) > depth)
        deeper = sum(len(parts) > depth + 1 for parts in folders)
        if len(here) != 1 or 2 * deeper <= len(folders) or next(iter(here)).lower() in SPLIT_NAMES:
            return depth
        depth += 1


def _entry(name: str, depth: int, facts: dict[str, str]) -> Entry:
    folders = list(PurePosixPath(name).parts[depth:-1])
    split = SPLIT_NAMES[folders.pop(0).lower()] if folders and folders[0].lower() in SPLIT_NAMES else None
    label = facts.get("label") or (folders[0] if folders else None)
    return Entry(name, label=label, text=facts.get("text") or None, split=split)


def _metadata(name: str, read: Callable[[str], bytes]) -> dict[str, dict[str, str]]:
    """Rows of one metadata.csv by file name; the names in it are relative to its own folder."""
    try:
        lines = csv.DictReader(io.StringIO(read(name).decode("utf-8-sig")))
        if "file_name" not in (lines.fieldnames or []):
            raise SourceError(
                f"{name} has no column file_name: its columns are {', '.join(lines.fieldnames or ['none'])}"
            )
        folder = PurePosixPath(name).parent
        return {str(folder / line["file_name"]): line for line in lines if line["file_name"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{name} is not a readable CSV file in UTF-8 ({error})") from None

"""Folders and zip archives of images: class sub-folders or flat, `train/` and `test/`, `metadata.csv`.

A zip is read in place. Nothing outside the source is ever read: a link that leaves the folder, or an archive
member that climbs out with `..`, becomes a row that cannot be read, and is quarantined as such.
"""

from __future__ import annotations

import csv
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from aigc_core.data.sources.base import Entry, OpenSource, readers
from aigc_core.errors import SourceError
from aigc_core.records import Split

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test", "val": "test", "valid": "test", "validation": "test",
}  # fmt: skip
#: What damaged compressed bytes raise.
DAMAGE = (zlib.error, lzma.LZMAError, struct.error)
#: An archive member that says it unpacks to more is refused unread.
MAX_MEMBER = 256 << 20
#: Files that lie beside images without being any. Everything else is a row, and a bad one is quarantined.
NOT_ROWS = {".csv", ".tsv", ".txt", ".md", ".json", ".jsonl", ".html", ".htm", ".pdf", ".xml", ".yaml", ".yml", ".py"}


@readers.register("folder")
def open_folder(path: Path) -> OpenSource:
    """List a folder or a .zip. Raises SourceError when it does not exist or cannot be listed."""
    if path.is_dir():
        names, refused = _walk(path)
        return _listed(names, refused, lambda name: names[name].read_bytes())
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name a folder of images or a .zip")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(f"source.path {str(path)!r} is neither a folder nor a readable .zip ({error})") from None
    members = _members(archive)
    refused = {name: "its name climbs out of the archive" for name in members if _climbs(name)}
    refused |= {
        name: f"unpacks to more than {MAX_MEMBER:,} bytes" for name, m in members.items() if m.file_size > MAX_MEMBER
    }

    def read(name: str) -> bytes:
        try:
            return archive.read(members[name])
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, *DAMAGE) as error:
            raise OSError(f"damaged archive member: {error}") from None

    return _listed(members, refused, read)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Files of an archive by name; a name that stands twice in it is told apart by `#2`."""
    found: dict[str, zipfile.ZipInfo] = {}
    times: Counter[str] = Counter()
    for member in archive.infolist():
        if not member.is_dir():
            times[member.filename] += 1
            count = times[member.filename]
            found[member.filename if count == 1 else f"{member.filename}#{count}"] = member
    return found


def _climbs(name: str) -> bool:
    posix = PurePosixPath(name.replace("\\", "/"))
    return posix.is_absolute() or ".." in posix.parts


def _walk(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Files below `root` by name, and the names among them that may not be read, with the reason."""
    inside = Path(os.path.realpath(root))
    names: dict[str, Path] = {}
    refused: dict[str, str] = {}

    def unlistable(error: OSError) -> None:
        name = _printable(Path(error.filename).relative_to(root).as_posix())
        names[name] = Path(error.filename)
        refused[name] = f"a folder that cannot be listed: {error.strerror}"

    for folder, folders, files in os.walk(root, onerror=unlistable):
        folders.sort()
        for file in [*files, *(f for f in folders if (Path(folder) / f).is_symlink())]:
            path = Path(folder) / file
            name = _printable(path.relative_to(root).as_posix())
            leaves = path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside)
            if path.is_symlink() and path.is_dir() and not leaves:
                continue  # the folder it points to is inside, and is walked there
            names[name] = path
            if leaves:
                refused[name] = "a link that leaves the source"
            elif not path.is_file():
                refused[name] = "not a plain file, or a link that leads nowhere"
    return names, refused


def _printable(name: str) -> str:
    """A name that UTF-8 can hold; bytes that are no text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _listed(names: Iterable[str], refused: dict[str, str], read: Callable[[str], bytes]) -> OpenSource:
    skipped: Counter[str] = Counter()
    rows: list[str] = []
    tables: list[str] = []
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts:
            skipped["hidden"] += 1
        elif parts[-1] == "metadata.csv":
            tables.append(name)
        elif PurePosixPath(name).suffix.lower() in NOT_ROWS:
            skipped[PurePosixPath(name).suffix.lower()] += 1
        else:
            rows.append(name)
    for table in tables:
        if table in refused:
            raise SourceError(f"{table} is {refused[table]}: replace it with a plain file")
    metadata = {key: value for table in tables for key, value in _metadata(table, read).items()}
    depth = _common_depth([name for name in rows if name not in refused])
    entries = [
        Entry(name, refused=refused[name]) if name in refused else _entry(name, depth, metadata.get(name, {}))
        for name in rows
    ]
    if not any(entry.split == "test" for entry in entries):
        # Without test rows of its own the source has no split worth keeping: everything is divided anew.
        entries = [replace(entry, split=None) for entry in entries]
    return OpenSource(entries, lambda entry: read(entry.key), dict(skipped))


def _common_depth(names: list[str]) -> int:
    """How many leading folders wrap everything: an archive often has one. A stray file beside it changes nothing."""
    depth = 0
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while True:
        here = Counter(parts[depth] for parts in folders if len(parts) > depth)
        deeper = sum(len(parts) > depth + 1 for parts in folders)
        if len(here) != 1 or 2 * deeper <= len(folders) or next(iter(here)).lower() in SPLIT_FOLDERS:
            return depth
        depth += 1


def _entry(name: str, depth: int, facts: dict[str, str]) -> Entry:
    folders = list(PurePosixPath(name).parts[depth:-1])
    split = SPLIT_FOLDERS[folders.pop(0).lower()] if folders and folders[0].lower() in SPLIT_FOLDERS else None
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
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{name} is not a readable CSV file in UTF-8 ({error})") from None

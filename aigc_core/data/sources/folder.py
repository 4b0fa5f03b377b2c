"""Folders and archives (.zip, .tar) of images: class sub-folders or flat, `train/` and `test/`, tables and captions beside.

An archive is read in place. Nothing outside the source is ever read: a link that leaves the folder, or an archive
member that climbs out with `..`, becomes a row that cannot be read, and is quarantined as such.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from aigc_core.config import Reading
from aigc_core.data.sources.alike_names import tell_alike
from aigc_core.data.sources.archives import Files, Names, open_archive
from aigc_core.data.sources.base import MAX_BYTES, Entry, OpenSource, closed_on_error, own_splits, readers
from aigc_core.data.sources.kinds import START_BYTES, Sorted, is_hidden, sort_out
from aigc_core.data.sources.layout import Place, arrange
from aigc_core.data.sources.metadata import Facts, read_metadata
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import held_out_first, said_splits, settled
from aigc_core.errors import SourceError

#: The first word of a file's name, where a number or a sign follows.
_FIRST_WORD = re.compile(r"[A-Za-z]+(?=[\W\d_])")


@readers.register("folder")
def open_folder(path: Path, options: Reading) -> OpenSource:  # noqa: ARG001  (a folder has no options)
    """List a folder, a .zip or a .tar. Raises SourceError when it does not exist or cannot be listed."""
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name a folder of images, a .zip or a .tar")
    files = walk(path) if path.is_dir() else open_archive(path)
    with closed_on_error(files.close):
        return _listed(files, path if path.is_dir() else None)


def walk(root: Path) -> Files:
    """Files below `root` by name. Links that leave it, and what is no plain file, are refused.

    Raises SourceError where `root` itself cannot be listed.
    """
    inside = os.path.realpath(root)
    unique = Names()
    places: dict[str, Path] = {}
    refused: dict[str, str] = {}
    empty: list[str] = []
    todo = [(root, "")]
    while todo:
        folder, prefix = todo.pop()
        try:
            with os.scandir(folder) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            if folder == root:
                raise SourceError(f"source.path {str(root)!r} cannot be listed: {error.strerror}") from None
            name = unique.take(prefix.removesuffix("/"))
            places[name], refused[name] = folder, f"a folder that cannot be listed: {error.strerror}"
            continue
        if not items and prefix:
            empty.append(prefix.removesuffix("/"))
        for item in items:
            path, written = folder / item.name, prefix + item.name
            if item.is_dir(follow_symlinks=False):
                todo.append((path, f"{written}/"))
            elif (reason := _refusal(item, path, inside)) is not SKIPPED:
                name = unique.take(written)
                places[name] = path
                if reason:
                    refused[name] = reason
    return Files(
        list(places), refused, lambda name: _read_inside(places[name], inside),
        lambda name: _read_inside(places[name], inside, START_BYTES), lambda name: name, _nothing, sorted(empty),
    )  # fmt: skip


#: Stands for a link to a folder that lies inside, and is walked there.
SKIPPED = "skipped"


def _refusal(item: os.DirEntry[str], path: Path, inside: str) -> str | None:
    """Why what lies at `path` may not be read, null where it may, SKIPPED where it is read at another place."""
    if not item.is_symlink():
        return None if item.is_file(follow_symlinks=False) else "not a plain file, or a link that leads nowhere"
    if not _is_inside(path, inside):
        return "a link that leaves the source"
    if path.is_dir():
        return SKIPPED
    return None if path.is_file() else "not a plain file, or a link that leads nowhere"


def _nothing() -> None:
    """A folder keeps no file open."""


def _is_inside(path: Path, root: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _read_inside(path: Path, root: str, count: int | None = None) -> bytes:
    """The bytes of a file, or its first `count`; it may have been swapped since it was listed."""
    if not _is_inside(path, root):
        raise OSError("it has become a link that leaves the source")
    if count is not None:
        with path.open("rb") as handle:
            return handle.read(count)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise OSError(f"{size:,} bytes are more than {MAX_BYTES:,}")
    return path.read_bytes()


def _listed(files: Files, root: Path | None) -> OpenSource:
    """The rows in a folder or archive, with what folders, tables and files beside them say of each."""
    tally = Tally()
    found = sort_out(sorted(files.names), files.refused, files.start)
    facts = read_metadata(files, found, root, tally)
    folders = Counter(name.rpartition("/")[0] for name in found.rows if name not in files.refused)
    places = arrange(folders, tally)
    entries = [
        Entry(name, refused=files.refused[name])
        if name in files.refused
        else _entry(name, places[name.rpartition("/")[0]], facts.get(name), tally)
        for name in sorted(found.rows, key=files.order)
    ]
    _tell(files, found, entries, tally)
    return OpenSource(
        own_splits(entries), lambda entry: files.read(entry.key), dict(found.skipped), files.close, tally.notices()
    )


def _entry(name: str, place: Place, facts: Facts | None, tally: Tally) -> Entry:
    """One row. A table's label counts more than the folder's; a row that either of them holds out is held out."""
    label, split = place
    if facts is None:
        return Entry(name, label=label, split=split)
    if facts.label is not None and label is not None and facts.label != label:
        tally.add("label_not_folder", f"{name}: {facts.label}")
    if facts.split is not None and split is not None and facts.split != split:
        tally.add("split_conflict", name)
    label = facts.label if facts.label is not None else label
    return Entry(name, label, facts.text, held_out_first(facts.split, split))


def _tell(files: Files, found: Sorted, entries: Iterable[Entry], tally: Tally) -> None:
    """Count what a person should know of the rows as a whole."""
    for name in files.empty:
        if not is_hidden(f"{name}/"):
            tally.add("empty_folders", name)
    for name in files.guessed:
        tally.add("names_guessed", name)
    for name in found.archives:
        tally.add("archive_inside", name)
    labels = Counter(entry.label for entry in entries if not entry.refused)
    unlabelled = labels.pop(None, 0)
    missing = (entry.key for entry in entries if entry.label is None and not entry.refused)
    for name in missing:
        tally.add("unlabelled" if labels else "no_labels", name if labels else "")
    if len(labels) == 1 and not unlabelled:
        tally.add("one_class", next(iter(labels)) or "")
    _tell_file_names(entries, tally)
    tell_alike((name for name in labels if name is not None), tally)


def _tell_file_names(entries: Iterable[Entry], tally: Tally) -> None:
    """Count files that are called `train_1` and `test_1`, where neither a folder nor a table names a split."""
    found: dict[str, list[str]] = {"train": [], "test": []}
    for entry in entries:
        word = _FIRST_WORD.match(entry.key.rpartition("/")[2])
        split = settled(said_splits(word[0])) if word else None
        if entry.split is not None or split is None:
            return
        found[split].append(entry.key)
    if found["train"] and found["test"]:
        for name in (found["train"][0], found["test"][0]):
            tally.add("split_in_file_names", name)
        tally.add("split_in_file_names", count=sum(map(len, found.values())) - 2)

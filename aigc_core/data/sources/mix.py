"""Several sources as one: a share of each, under the name of its path."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aigc_core.config import Part
from aigc_core.data.sources.base import Entry, Notice, OpenSource, closed_on_error, sample
from aigc_core.data.sources.sheet import open_cut
from aigc_core.data.sources.tally import LABELS, Tally
from aigc_core.data.splits import SPLIT_NAMES, split_name
from aigc_core.errors import ConfigError, SourceError
from aigc_core.records import Split, row_id

#: Suffixes of archives, after the name.
_ARCHIVE = re.compile(r"(\.(zip|tar|tgz|gz|bz2|xz))+$", re.IGNORECASE)


def open_mix(root: Path, parts: list[Part], seed: int) -> OpenSource:
    """List the parts one after another.

    Of a part with n rows, round(weight * n), but at least one, are taken: the seeded sample of `sample`, stratified
    by split and class. A part that names no split itself and is called like one (`test`) has that split. Keys begin with
    the part's path, so that no two parts share a row's id.
    Raises ConfigError for a path outside of `root` and for a part inside another, SourceError for an empty part.
    """
    opened: dict[str, OpenSource] = {}
    entries: list[Entry] = []
    skipped: Counter[str] = Counter()
    tally = Tally()
    held_out = _held_out(parts)
    notices: list[Notice] = []

    def close() -> None:
        for source in opened.values():
            source.close()

    with closed_on_error(close):
        for part in parts:
            prefix = _prefix(root, part)
            _check_apart(prefix, opened)
            source = opened[prefix] = open_cut(part.kind, root / part.path, part)
            if not source.entries:
                raise SourceError(
                    f"source {prefix!r} holds no images: put files there or leave it out of source.sources"
                )
            split = _split(prefix, part, source.entries, held_out, tally)
            entries += _taken(prefix, part, source.entries, split, seed)
            skipped.update(source.skipped)
            told = [notice for notice in source.notices if part.label is None or notice.code not in LABELS]
            notices += [replace(notice, text=f"{prefix}: {notice.text}") for notice in told]

    def read(entry: Entry) -> bytes:
        prefix = next(name for name in opened if entry.key.startswith(f"{name}/"))
        return opened[prefix].read(replace(entry, key=entry.key.removeprefix(f"{prefix}/")))

    return OpenSource(entries, read, dict(skipped), close, [*notices, *tally.notices()])


def _check_apart(prefix: str, others: Iterable[str]) -> None:
    for other in others:
        if Path(prefix).is_relative_to(other) or Path(other).is_relative_to(prefix):
            raise ConfigError(
                f"source.sources: {prefix!r} and {other!r} are or hold the same files: name disjoint paths"
            )


def _named_split(part: Part) -> Split | None:
    """The split that the last folder of a part's path, or its archive, is called like and nothing else."""
    found = split_name(_ARCHIVE.sub("", Path(os.path.normpath(part.path)).name))
    return found.split if found and not found.rest and found.word in SPLIT_NAMES else None


def _held_out(parts: list[Part]) -> bool:
    """Whether some of the parts are called like held-out rows; where all are, they are divided anew."""
    return {_named_split(part) for part in parts} > {"test"}


def _split(prefix: str, part: Part, entries: list[Entry], held_out: bool, tally: Tally) -> Split | None:
    """The split of a part that names none itself, by the name of its folder, which is told."""
    named = _named_split(part)
    if named is None or any(entry.split for entry in entries):
        return None
    if named == "test":
        tally.add("part_by_name", f"{prefix}: {'held out' if held_out else 'divided, as no part is for training'}")
    return named if held_out else None


def _taken(prefix: str, part: Part, entries: list[Entry], split: Split | None, seed: int) -> list[Entry]:
    """The sample of a part's entries, under its name."""
    count = max(1, round(part.weight * len(entries)))
    return [_below(prefix, entry, part.label, split) for entry in sample(entries, count, seed)]


def _below(prefix: str, entry: Entry, label: str | None, split: Split | None) -> Entry:
    """The entry under its part's name; a cell of a sheet goes on naming its sheet. `split` counts where it has none."""
    parent = entry.parent and row_id(f"{prefix}/{entry.key.rpartition('#')[0]}")
    return replace(
        entry, key=f"{prefix}/{entry.key}", label=label or entry.label, split=entry.split or split, parent=parent
    )


def _prefix(root: Path, part: Part) -> str:
    if Path(part.path).is_absolute() or not (root / part.path).resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"source.sources: the path {part.path!r} does not lie below source.path: DVC watches that one"
        )
    return "/".join(piece for piece in (Path(os.path.normpath(part.path)).as_posix(), part.name) if piece)

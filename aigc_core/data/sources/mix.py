"""Several sources as one: a share of each, under the name of its path."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from aigc_core.config import Part
from aigc_core.data.sources.base import Entry, Notice, OpenSource, closed_on_error, sample
from aigc_core.data.sources.sheet import open_cut
from aigc_core.errors import ConfigError, SourceError
from aigc_core.records import row_id


def open_mix(root: Path, parts: list[Part], seed: int) -> OpenSource:
    """List the parts one after another.

    Of a part with n rows, round(weight * n), but at least one, are taken: the seeded sample of `sample`, stratified
    by split and class. Keys begin with the part's path, so that no two parts share a row's id.
    Raises ConfigError for a path outside of `root` and for a part inside another, SourceError for an empty part.
    """
    opened: dict[str, OpenSource] = {}
    entries: list[Entry] = []
    skipped: Counter[str] = Counter()
    notices: list[Notice] = []

    def close() -> None:
        for source in opened.values():
            source.close()

    with closed_on_error(close):
        for part in parts:
            prefix = _prefix(root, part)
            for other in opened:
                if Path(prefix).is_relative_to(other) or Path(other).is_relative_to(prefix):
                    raise ConfigError(
                        f"source.sources: {prefix!r} and {other!r} are or hold the same files: name disjoint paths"
                    )
            source = opened[prefix] = open_cut(part.kind, root / part.path, part)
            if not source.entries:
                raise SourceError(
                    f"source {prefix!r} holds no images: put files there or leave it out of source.sources"
                )
            count = max(1, round(part.weight * len(source.entries)))
            entries += [_below(prefix, entry, part.label) for entry in sample(source.entries, count, seed)]
            skipped.update(source.skipped)
            notices += [replace(notice, text=f"{prefix}: {notice.text}") for notice in source.notices]

    def read(entry: Entry) -> bytes:
        prefix = next(name for name in opened if entry.key.startswith(f"{name}/"))
        return opened[prefix].read(replace(entry, key=entry.key.removeprefix(f"{prefix}/")))

    return OpenSource(entries, read, dict(skipped), close, notices)


def _below(prefix: str, entry: Entry, label: str | None) -> Entry:
    """The entry under its part's name; a cell of a sheet goes on naming its sheet."""
    parent = entry.parent and row_id(f"{prefix}/{entry.key.rpartition('#')[0]}")
    return replace(entry, key=f"{prefix}/{entry.key}", label=label or entry.label, parent=parent)


def _prefix(root: Path, part: Part) -> str:
    if Path(part.path).is_absolute() or not (root / part.path).resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"source.sources: the path {part.path!r} does not lie below source.path: DVC watches that one"
        )
    return "/".join(piece for piece in (Path(os.path.normpath(part.path)).as_posix(), part.name) if piece)

"""Readers of raw data, by `source.kind`."""

from __future__ import annotations

from pathlib import Path

from aigc_core.data.sources import digits, folder, idx  # noqa: F401  (each registers its reader)
from aigc_core.data.sources.base import OpenSource, readers, sample
from aigc_core.errors import SourceError


def open_source(kind: str, path: Path, limit: int | None, seed: int) -> OpenSource:
    """List a source and take the configured sample of it.

    Raises SourceError when the source does not exist, is empty, or is of another kind.
    """
    opened = readers[kind](path)
    if not opened.entries:
        raise SourceError(f"source.path {str(path)!r} holds no images: put files there or name another path")
    return OpenSource(sample(opened.entries, limit, seed), opened.read, opened.skipped)

"""Readers of raw data, by `source.kind`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aigc_core.config import Reading, Source
from aigc_core.data.sources import digits, folder, hf, idx, parquet, vision  # noqa: F401  (each registers its reader)
from aigc_core.data.sources.base import OpenSource, closed_on_error, sample
from aigc_core.data.sources.kinds import ARCHIVES, WORDS
from aigc_core.data.sources.mix import open_mix
from aigc_core.data.sources.notices import left_out
from aigc_core.data.sources.other_kind import advice
from aigc_core.data.sources.sheet import open_cut
from aigc_core.errors import SourceError


def open_source(kind: str, path: Path, limit: int | None, seed: int, options: Reading | None = None) -> OpenSource:
    """List a source and take the configured sample of it. The caller closes what it gets.

    `options` is the section that says more than kind and path; `mix` needs a whole `Source`.
    Raises SourceError when the source does not exist, is empty, or is of another kind.
    """
    if isinstance(options, Source) and options.sources:
        opened = open_mix(path, options.sources, seed)
    else:
        opened = open_cut(kind, path, options or Reading())
    with closed_on_error(opened.close):
        if not opened.entries:
            others = "".join(f" ({notice.text})" for notice in left_out(opened.skipped, WORDS))
            archives = ", or an archive itself" if not ARCHIVES.isdisjoint(opened.skipped) else ""
            instead = advice(path, kind) or f"put files there or name another path{archives}"
            raise SourceError(f"source.path {str(path)!r} holds no images{others}: {instead}")
    return replace(opened, entries=sample(opened.entries, limit, seed))

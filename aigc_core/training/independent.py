"""Which held-out rows are no copies of rows that a model learns from; known before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.quality.reasons import DUPLICATE_EXACT, DUPLICATE_NEAR, LEAK

#: Verdicts that say which other row a row looks like.
ALIKE = (DUPLICATE_EXACT, DUPLICATE_NEAR, LEAK)


def independent_test_rows(version: Version, verdicts: Path) -> set[str]:
    """Ids of the test rows of which no training row is a copy; see `independent_rows`."""
    return independent_rows(version, verdicts, "test", ("train",))


def independent_rows(version: Version, verdicts: Path, held: str, learnt: tuple[str, ...]) -> set[str]:
    """Ids of the rows of the split `held` of which no row of the splits `learnt` is a copy, by content hash or by a verdict of any action.

    A row's twin is named by the verdict's `cluster`, or by its `detail` where there is no cluster. Raises DataError
    where the verdicts are missing.
    """
    if not (verdicts / "part-0.parquet").exists():
        raise DataError(f"{verdicts.name}/part-0.parquet is missing: run `aigc curate` first, or `dvc repro`")
    seen = pa.concat_tables([version.select(split) for split in learnt])
    unseen = version.select(held)
    hashes = pc.drop_null(seen["content_hash"])
    ids = set(unseen.filter(pc.invert(pc.is_in(unseen["content_hash"], hashes)))["id"].to_pylist())
    return ids - _alike(pq.read_table(verdicts / "part-0.parquet"), set(seen["id"].to_pylist()))


def _alike(verdicts: pa.Table, seen: set[str]) -> set[str]:
    """Ids of every row in a group of look-alikes that holds one of `seen`."""
    told = verdicts.filter(pc.is_in(verdicts["reason"], pa.array(ALIKE)))
    names = pc.coalesce(told["cluster"], told["detail"])
    groups: dict[str, set[str]] = {}
    for identity, name in zip(told["id"].to_pylist(), names.to_pylist(), strict=True):
        if name is not None:
            groups.setdefault(name, {name}).add(identity)
    return {identity for group in groups.values() if group & seen for identity in group}

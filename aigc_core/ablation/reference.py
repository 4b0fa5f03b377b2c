"""The held-out images that all arms are judged by: one set, free of twins of whatever an arm may train on.

The whole pool counts, so that a study that asks about one more decision keeps its reference and its cells.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.ablation.pool import Pool
from aigc_core.errors import DataError
from aigc_core.paths import Paths
from aigc_core.quality.hashing import near_pairs


def held_out(pool: Pool, paths: Paths, trained_on: Collection[str], max_distance: int) -> tuple[pa.Table, int]:
    """Test rows (ROW_SCHEMA, by id) without twins of the ids in `trained_on`, and how many twins were left out.

    A twin has the same pixels, or is a pair of data/measures/pairs.parquet (confirmed on pixels) with a training row;
    data that was measured without pairs goes by perceptual hashes that differ in at most `max_distance` bits.
    Raises DataError where no row is left.
    """
    rows = pool.curated.select("test").sort_by("id")
    rows = rows.filter(pc.is_in(rows["label"], value_set=pa.array(pool.classes, pa.string())))
    hashes = {pool.hashes[identity] for identity in trained_on}
    pairs = zip(rows["id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True)
    twins = {identity for identity, content in pairs if content in hashes}
    tests = set(rows["id"].to_pylist())
    table = paths.measures / "pairs.parquet"
    if table.exists():
        twins |= _paired(pq.read_table(table, columns=["a", "b"]), tests, trained_on)
    else:
        twins |= _alike(paths, tests, trained_on, max_distance)
    left = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=pa.array(sorted(twins), pa.string()))))
    if left.num_rows == 0:
        raise DataError(
            f"all {rows.num_rows:,} test rows are twins of training rows: nothing is left to judge by; give the source a "
            "test/ folder of its own"
        )
    return left, rows.num_rows - left.num_rows


def _paired(pairs: pa.Table, tests: Collection[str], trained_on: Collection[str]) -> set[str]:
    found = set()
    for a, b in zip(pairs["a"].to_pylist(), pairs["b"].to_pylist(), strict=True):
        if a in tests and b in trained_on:
            found.add(a)
        elif b in tests and a in trained_on:
            found.add(b)
    return found


def _alike(paths: Paths, tests: Collection[str], trained_on: Collection[str], max_distance: int) -> set[str]:
    """Test ids with a training row within `max_distance` bits; distinct hashes are compared, not rows."""
    table = pq.read_table(paths.measures / "part-0.parquet", columns=["id", "perceptual_hash"])
    codes = {i: int(h, 16) for i, h in zip(*(table[n].to_pylist() for n in table.column_names), strict=True) if h}
    training = {codes[identity] for identity in trained_on if identity in codes}
    held = {codes[identity] for identity in tests if identity in codes}
    distinct = np.array(sorted(training | held), dtype=np.uint64)
    close = training & held
    for left, right in near_pairs(distinct, max_distance).tolist():
        one, two = int(distinct[left]), int(distinct[right])
        close |= {code for code, other in ((one, two), (two, one)) if other in training}
    return {identity for identity in tests if codes.get(identity) in close}

"""The held-out images that all arms are judged by: one set, free of twins of whatever an arm may train on.

The whole pool counts, so that a study that asks about one more decision keeps its reference and its cells.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.ablation.pool import Pool
from aigc_core.errors import DataError
from aigc_core.evaluation.distances import MIN_DIMENSIONS, ROWS_PER_DIMENSION
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.records import CALIBRATION_FILE

#: With fewer images there is no distance between distributions.
LEAST = MIN_DIMENSIONS * ROWS_PER_DIMENSION


def held_out(pool: Pool, paths: Paths, trained_on: Collection[str]) -> tuple[pa.Table, int]:
    """Test rows (ROW_SCHEMA, by id) without twins of the ids in `trained_on`, and how many twins were left out.

    A twin has the same pixels, or is as similar to a training row as makes a `leak` of one: curate's fitted threshold
    on the pairs of data/measures/pairs.parquet. Raises DataError where none or too few are left for that.
    """
    rows = pool.curated.select("test").sort_by("id")
    rows = rows.filter(pc.is_in(rows["label"], value_set=pa.array(pool.classes, pa.string())))
    hashes = {pool.hashes[identity] for identity in trained_on}
    pairs = zip(rows["id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True)
    twins = {identity for identity, content in pairs if content in hashes}
    tests = set(rows["id"].to_pylist())
    alike = pq.read_table(paths.measures / "pairs.parquet")
    threshold = read_json(paths.verdicts / CALIBRATION_FILE)["leak"]["threshold"]
    twins |= _paired(alike.filter(pc.greater_equal(alike["similarity"], threshold)), tests, trained_on)
    left = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=pa.array(sorted(twins), pa.string()))))
    if left.num_rows == 0:
        raise DataError(
            f"all {rows.num_rows:,} test rows are twins of training rows: nothing is left to judge by; give the source a "
            "test/ folder of its own"
        )
    if twins and left.num_rows < LEAST:
        raise DataError(
            f"{left.num_rows:,} of {rows.num_rows:,} test rows are left to judge by, fewer than {LEAST}, because {rows.num_rows - left.num_rows:,} are "
            "twins of training rows: leave the copies out of the source, or give it a test/ folder of its own"
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

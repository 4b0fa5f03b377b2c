"""A tiny checkout whose rows have measures: some training rows are blurry, the more the lower their number."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import study_data as data

from aigc_core.files import write_table
from aigc_core.paths import Paths
from aigc_core.records import MEASURE_SCHEMA, row_id

#: Training rows that lie beyond the reference by their noise, in the order of how far.
BLURRY = [row_id(f"train/{index}.png") for index in range(12)]


def build(paths: Paths, **columns: dict[str, float]) -> Paths:
    """`columns` are further measures: name to id to value, 0.5 where an id is not named."""
    data.build(paths)
    place, chance = paths.measures / "part-0.parquet", np.random.default_rng(1)
    lines = pq.read_table(place).to_pylist()
    for line in sorted(lines, key=lambda one: one["id"]):
        line |= {"width": 8, "height": 8, "std": 0.2, "noise": float(np.exp(chance.normal(-4, 0.1)))}
        line |= {name: values.get(line["id"], 0.5) for name, values in columns.items()}
        if line["id"] in BLURRY:
            line["noise"] = 0.0001 * (1 + BLURRY.index(line["id"]))
    write_table(place, pa.Table.from_pylist(lines, MEASURE_SCHEMA))
    return paths

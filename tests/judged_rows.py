"""Rows with measures as `judge` takes them, and what it says of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from aigc_core.config import Quality
from aigc_core.quality.verdicts import judge
from aigc_core.records import LEARNED_SCHEMA, MEASURE_SCHEMA, PAIR_SCHEMA, ROW_SCHEMA


def row(number, **changes):
    """One healthy row with its measures; its hashes are its own."""
    value = {
        "id": f"{number:04d}", "source": f"a/{number}.png", "split": "train", "parent": None, "error": None,
        "label": "a", "width": 16, "height": 16, "aspect": 1.0, "std": 0.2, "entropy": 5.0, "sharpness": 0.02,
        "noise": 0.02, "colour_noise": 0.01, "equal_neighbours": 0.2, "p01": 0.1, "p99": 0.9, "content_hash": f"content {number}", "format": "PNG",
        "provenance": None,
    }  # fmt: skip
    return {**value, **changes}


SCHEMA = pa.unify_schemas([pa.schema([*ROW_SCHEMA, *(f for f in MEASURE_SCHEMA if f.name not in ROW_SCHEMA.names)]),
                           LEARNED_SCHEMA])  # fmt: skip
UNREADABLE = dict.fromkeys(["width", "height", "aspect", "std", "entropy", "sharpness", "noise", "colour_noise",
                            "equal_neighbours", "p01", "p99", "content_hash", "format"])  # fmt: skip


def table(rows):
    return pa.Table.from_pylist(rows, SCHEMA)


def lines(rows, pairs=(), **quality):
    similar = pa.Table.from_pylist(
        [{"a": f"{a:04d}", "b": f"{b:04d}", "similarity": s, "transform": "same"} for a, b, s in pairs], PAIR_SCHEMA
    )
    return judge(table(rows), Quality.model_validate(quality), similar).verdicts.to_pylist()


def found(rows, pairs=(), **quality):
    return {(line["id"], line["reason"]) for line in lines(rows, pairs, **quality)}


def references(count=200, start=9000):
    """Healthy reference rows whose measures vary a little."""
    rng = np.random.default_rng(0)
    return [
        row(start + n, split="reference", **{
            name: base * (1 + spread * rng.standard_normal())
            for name, base, spread in (("std", 0.2, 0.1), ("entropy", 5, 0.05), ("sharpness", 0.02, 0.03),
                                       ("noise", 0.02, 0.03), ("colour_noise", 0.01, 0.1), ("equal_neighbours", 0.2, 0.1), ("p01", 0.1, 0.1), ("p99", 0.9, 0.03))
        }) for n in range(count)
    ]  # fmt: skip

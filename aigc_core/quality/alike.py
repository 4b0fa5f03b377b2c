"""How alike two rows must be to be called copies: as alike as two different reference rows hardly ever are.

Two different digits on 8 x 8 px correlate better than a photograph with its own compressed copy, so one number does not
serve all sets. The nearest other reference row of each reference row shows how alike different images are here; the
threshold lies in the exponential tail of that, between the two bounds of params.yaml. The upper bound keeps the rule
alive where the reference itself is full of copies. Without enough reference rows the upper bound is the threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.config import Alike
from aigc_core.quality.calibration import LEAST_ROWS
from aigc_core.quality.clusters import EQUAL

#: The statistic is -log(1 - similarity + this): differences near 1 count most.
SMALLEST = 1e-5
#: The tail is drawn through the quantiles that leave these shares of the reference rows above them.
TAIL, END = 0.05, 0.01


def threshold(rows: pa.Table, pairs: pa.Table, rule: Alike) -> tuple[float, dict[str, Any]]:
    """The similarity from which a pair counts, and a note on it. `pairs` is a PAIR_SCHEMA table.

    A row has more neighbours among all rows than among the reference rows, and so a higher best one by chance: the
    share of false positives is divided by how many times more.
    """
    reference = rows.filter(pc.equal(rows["split"], "reference"))
    hashes = reference["content_hash"].drop_null()
    ids, count = reference["id"], len(pc.unique(hashes))
    different = pairs.filter(pc.less(pairs["similarity"], EQUAL))
    inside = different.filter(
        pc.and_(pc.is_in(different["a"], value_set=ids), pc.is_in(different["b"], value_set=ids))
    )  # fmt: skip
    best = np.zeros(len(ids))
    for side in ("a", "b"):
        np.maximum.at(best, pc.index_in(inside[side], value_set=ids).to_numpy(), inside["similarity"].to_numpy())
    # A row without a pair has nothing above the floor that measure keeps pairs from: it lies in the body, not the tail.
    paired = best[best > 0]
    nearest = np.concatenate([paired, np.full(max(count - len(paired), 0), paired.min() if len(paired) else 0.0)])
    if count < LEAST_ROWS:
        return rule.max_similarity, {"applied": False}
    start, end = np.quantile(-np.log(1 - nearest + SMALLEST), [1 - TAIL, 1 - END]).tolist()
    share = rule.false_positives * count / rows.num_rows
    reach = end + (end - start) / np.log(TAIL / END) * max(np.log(END / share), 0)
    fitted = float(1 + SMALLEST - np.exp(-reach))
    bound = min(max(fitted, rule.min_similarity), rule.max_similarity)
    return bound, {"applied": True, "rows": count, "fitted": round(fitted, 6)}

"""How alike two rows must be to be called copies: more alike than two different pictures of this set are.

Two different digits on 8 x 8 px correlate better than a photograph with its own compressed copy, so one number does not
serve all sets. The nearest other row of each reference row shows what there is: different pictures make a heap that ends
somewhere, copies another one near 1. The threshold lies between the bounds of params.yaml where fewest reference rows
have their nearest row, so that copies among the reference rows, however many, do not move it. Without enough reference
rows the upper bound is the threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.config import Alike
from aigc_core.quality.calibration import LEAST_ROWS
from aigc_core.quality.clusters import EQUAL

#: Similarities are compared as -log(1 - similarity + this): differences near 1 count most.
SMALLEST = 1e-5
#: Rows are counted within this distance of a threshold on that scale, and thresholds are tried in steps of this size.
REACH, STEP = 0.25, 0.05

Values = npt.NDArray[np.float64]


def threshold(rows: pa.Table, pairs: pa.Table, rule: Alike) -> tuple[float, dict[str, Any]]:
    """The similarity from which a pair counts, and a note on it. `pairs` is a PAIR_SCHEMA table."""
    nearest, count = _nearest(rows, pairs)
    if count < LEAST_ROWS:
        return rule.max_similarity, {"applied": False}
    low, high = (float(_scaled(np.array(bound))) for bound in (rule.min_similarity, rule.max_similarity))
    tried = np.append(np.arange(low, high, STEP), high)
    known = np.sort(_scaled(nearest))
    around = np.searchsorted(known, tried + REACH) - np.searchsorted(known, tried - REACH)
    # The first of those that are as good as the best but for chance: a lower threshold finds more copies.
    chosen = float(tried[np.flatnonzero(around <= around.min() + max(1.0, rule.false_positives * count))[0]])
    bound = min(max(float(1 + SMALLEST - np.exp(-chosen)), rule.min_similarity), rule.max_similarity)
    return bound, {"applied": True, "rows": count, "around": int(around.min())}


def _scaled(similarity: Values) -> Values:
    return np.asarray(-np.log(1 - similarity + SMALLEST))


def _nearest(rows: pa.Table, pairs: pa.Table) -> tuple[Values, int]:
    """The similarity of the nearest other picture of each reference row that has a pair, and how many pictures the reference
    rows show."""
    reference = rows.filter(pc.equal(rows["split"], "reference"))
    ids, count = reference["id"], len(pc.unique(reference["content_hash"].drop_null()))
    different = pairs.filter(pc.less(pairs["similarity"], EQUAL))
    best = np.zeros(len(ids))
    for side in ("a", "b"):
        own = different.filter(pc.is_in(different[side], value_set=ids))
        np.maximum.at(best, pc.index_in(own[side], value_set=ids).to_numpy(), own["similarity"].to_numpy())
    return best[best > 0], count

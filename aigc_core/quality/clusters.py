"""Groups of rows that show the same thing, and the one row of a group that stays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Row = dict[str, Any]
#: A test row stays before a training row, so that no training row equals one that models are judged by.
SPLIT_RANK = {"test": 0, "reference": 1, "train": 2}
#: From here on a pair counts as the same pixels (PAIR_SCHEMA gives 1 to those alone).
EQUAL = 1.0 - 1e-9


def exact_groups(rows: list[Row]) -> list[list[str]]:
    """Ids of rows with equal decoded pixels, in groups of two or more; sorted inside and by first id.

    `rows` carry `id` and `content_hash`; a null hash (undecodable) belongs to no group.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["content_hash"] is not None:
            found.setdefault(row["content_hash"], []).append(row["id"])
    return sorted(sorted(group) for group in found.values() if len(group) > 1)


def near_groups(pairs: pa.Table, ids: set[str], threshold: float) -> list[list[str]]:
    """Ids of rows that are connected by pairs of at least `threshold`, in groups of two or more.

    `pairs` is a PAIR_SCHEMA table. Only rows of `ids` take part, with one exception: pairs stand between the first rows
    of each set of equal pixels, so a row counts with the pairs of its exact copies also where those are not in `ids`.
    Groups are sorted inside and by first id.
    """
    pairs = pairs.filter(pc.greater_equal(pairs["similarity"], threshold))
    if pairs.num_rows == 0:
        return []
    names = pc.unique(pa.chunked_array([*pairs["a"].chunks, *pairs["b"].chunks], pa.string())).sort()
    left, right = (pc.index_in(pairs[side], value_set=names).to_numpy() for side in ("a", "b"))
    same = pairs["similarity"].to_numpy() >= EQUAL
    copies = _components(len(names), left[same], right[same])
    wanted = pc.is_in(names, value_set=pa.array(sorted(ids), pa.string())).to_numpy(zero_copy_only=False)
    alive = np.zeros(len(names), dtype=np.bool_)
    alive[copies[wanted]] = True
    left, right = copies[left], copies[right]
    used = alive[left] & alive[right]
    group = _components(len(names), left[used], right[used])[copies]
    return _members(names.filter(pa.array(wanted)).to_pylist(), group[wanted])


def _components(count: int, left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """The component of each of `count` nodes under undirected edges."""
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    labels: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def _members(names: list[str], group: npt.NDArray[np.int32]) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for name, number in zip(names, group.tolist(), strict=True):
        found.setdefault(number, []).append(name)
    return sorted(sorted(members) for members in found.values() if len(members) > 1)


def survivor(rows: list[Row]) -> str:
    """Id of the row of one group that stays: the largest, then the sharpest, then one with the label of the majority,
    then test before reference before train, then the smallest id.

    `rows` carry `id`, `width`, `height` (px), `sharpness`, `label` (may be null) and `split`.
    """
    labels = Counter(row["label"] for row in rows if row["label"] is not None)
    most = max(labels.values(), default=0)

    def rank(row: Row) -> tuple[float, float, int, int, str]:
        return (
            -(row["width"] or 0) * (row["height"] or 0),
            -(row["sharpness"] or 0.0),
            0 if row["label"] is not None and labels[row["label"]] == most else 1,
            SPLIT_RANK[row["split"]],
            row["id"],
        )

    return str(min(rows, key=rank)["id"])

"""What only a model can say of a row (LEARNED_SCHEMA), in one pass over the images and in bounded memory.

Out-of-fold predictions learn from training and reference rows; no test label is looked at. Distances are from the bulk of
the reference rows, and each of these is measured by others.

Legend: N = images, S = side in px, C = channels, D = features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aigc_core.config import LabelSuspect
from aigc_core.quality import domain
from aigc_core.quality.descriptors import fit_descriptor
from aigc_core.quality.labels import out_of_fold
from aigc_core.quality.lens import Lens, Seen
from aigc_core.records import LEARNED_SCHEMA

Array = npt.NDArray[np.float32]
Stored = np.memmap[Any, np.dtype[np.float16]]
#: Images that filters are drawn from.
SAMPLE = 1000
#: A class needs this many rows in each fold on average to be learnt.
PER_FOLD = 4
#: Significant digits of what is stored: the last ones would differ from one processor to another.
DIGITS = 4


class Learner:
    """Fed with what its `lens` saw of every decodable row, it says in the end what it learnt of each.

    `lens` is null where there are too few reference rows; then nothing can be added.

    `rows` carry id, content_hash, label and split (ROW_SCHEMA). `ids` and `images` (N, S, S, C) are reference rows, at most
    MOST_REFERENCE of them. `scratch` is a folder for the features of the rows.
    """

    def __init__(
        self, rows: pa.Table, ids: list[str], images: npt.NDArray[np.uint8], rule: LabelSuspect, scratch: Path
    ) -> None:
        self.rule = rule
        self.rows = {row["id"]: row for row in rows.select(["id", "content_hash", "label", "split"]).to_pylist()}
        self.classes = _classes(self.rows.values(), rule.folds)
        self.lens = _fit(images)
        self.own = {} if self.lens is None else dict(zip(ids, self.lens.view.own.tolist(), strict=True))
        self.distances: dict[str, float] = {}
        self.kept: list[str] = []
        self.features: Stored | None = None
        if self.lens is not None and len(self.classes) > 1:
            shape = (sum(map(self._in_pool, self.rows)), self.lens.descriptor.dimensions)
            self.features = np.memmap(scratch / "features.f16", np.float16, "w+", shape=shape)

    def wanted(self, ids: list[str]) -> list[bool]:
        """Which rows `add` wants described: those that labels are learnt from or said of."""
        return [self.features is not None and self._in_pool(identity) for identity in ids]

    def add(self, ids: list[str], seen: Seen) -> None:
        """Take one batch: ids (N), what the lens saw of them. Every id comes once."""
        self.distances.update(zip(ids, seen.distances.tolist(), strict=True))
        if self.features is not None and len(seen.described):
            end = len(self.kept) + len(seen.described)
            self.features[len(self.kept) : end] = seen.described
            self.kept += [ids[place] for place in np.flatnonzero(seen.which)]

    def _in_pool(self, identity: str) -> bool:
        row = self.rows[identity]
        return row["split"] != "test" and row["label"] in self.classes

    def table(self, advance: Callable[[float], object] = lambda _: None) -> pa.Table:
        """LEARNED_SCHEMA of all rows, by id; what cannot be said of a row is null. `advance` is told shares that are done."""
        said = self._labels(advance)
        lines = [
            {
                "id": identity,
                "domain_distance": self.own.get(identity, self.distances.get(identity)),
                **said.get(identity, {}),
            }
            for identity in sorted(self.rows)
        ]
        for line in lines:
            line.update({name: _rounded(value) for name, value in line.items() if isinstance(value, float)})
        return pa.Table.from_pylist(lines, LEARNED_SCHEMA)

    def _labels(self, advance: Callable[[float], object]) -> dict[str, dict[str, Any]]:
        """Id to the label columns, for the rows that took part."""
        # By id, so that the sums of products, and with them the last bits, do not depend on the store's order.
        order = np.argsort(np.array(self.kept)) if self.kept else np.empty(0, np.int64)
        if self.features is None or len(order) < len(self.classes) * self.rule.folds:
            return {}
        ids = [self.kept[place] for place in order]
        number = {label: index for index, label in enumerate(self.classes)}
        labels = np.array([number[self.rows[i]["label"]] for i in ids])
        # By content, so that copies of one image, with whatever labels, never vouch for each other.
        folds = np.array([int(self.rows[i]["content_hash"][:8], 16) % self.rule.folds for i in ids])
        learnt = np.arange(len(ids)) < self.rule.max_rows
        found = out_of_fold(_Ordered(self.features, order), labels, folds, learnt, len(self.classes), advance)
        columns = zip(found.given.tolist(), found.predicted.tolist(), found.probability.tolist(), strict=True)
        return {
            identity: {
                "label_probability": given, "label_predicted": self.classes[best], "label_predicted_probability": share,
            }
            for identity, (given, best, share) in zip(ids, columns, strict=True)
        }  # fmt: skip


def _fit(images: npt.NDArray[np.uint8]) -> Lens | None:
    """The lens that reference images (N, S, S, C) make; null where they are too few."""
    if len(images) < domain.LEAST_REFERENCE:
        return None
    descriptor = fit_descriptor(images[:SAMPLE])
    sample = descriptor(images[:SAMPLE])
    centre, spread = sample.mean(axis=0), sample.std(axis=0)
    view = domain.fit_view(domain.statistics(images))
    return Lens(view, descriptor, centre, spread + 0.001 * spread.max() + 1e-6)


class _Ordered:
    """Rows of a memory-mapped matrix in another order, read block by block."""

    def __init__(self, matrix: Stored, order: npt.NDArray[np.int64]) -> None:
        self.matrix, self.order = matrix, order
        self.shape = (len(order), matrix.shape[1])

    def __getitem__(self, part: slice) -> npt.NDArray[np.float16]:
        rows: npt.NDArray[np.float16] = self.matrix[self.order[part]]
        return rows


def _classes(rows: Iterable[dict[str, Any]], folds: int) -> list[str]:
    """Labels, sorted, that have rows enough outside the test split."""
    counts = Counter(row["label"] for row in rows if row["split"] != "test" and row["content_hash"] is not None)
    return sorted(label for label, count in counts.items() if label is not None and count >= PER_FOLD * folds)


def reference_ids(rows: pa.Table) -> Sequence[str]:
    """Ids of the reference rows that views are fitted on: all, or a sample that does not depend on other rows."""
    some = [
        identity
        for identity, split, content in zip(
            rows["id"].to_pylist(), rows["split"].to_pylist(), rows["content_hash"].to_pylist(), strict=True
        )
        if split == "reference" and content is not None
    ]
    return sorted(some)[: domain.MOST_REFERENCE]  # an id is a hash: the lowest are a random sample


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

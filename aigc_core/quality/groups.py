"""What only shows beside other rows: copies, near copies, leaks across splits, and one image under two labels.

Where rows of several splits are in one group the survivor is a test row, or else a reference row: a training row that
equals an image that models are judged by has to go, never the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.quality import reasons
from aigc_core.quality.clusters import EQUAL, SPLIT_RANK, exact_groups, near_groups, survivor
from aigc_core.records import Verdict

Row = dict[str, Any]
Found = Iterator[tuple[str, Verdict]]  # id and what is said of it


def exact(rows: dict[str, Row], condemned: set[str]) -> Found:
    """All but one row of each group of equal pixels. `condemned` are ids that go for their own sake."""
    for group in exact_groups(list(rows.values())):
        kept = _survivor(group, rows, condemned)
        for identity in group:
            if identity != kept:
                yield identity, Verdict(
                    False, reasons.DUPLICATE_EXACT, "content_hash", len(group), 1, kept, score=0.0, cluster=kept
                )  # fmt: skip


def _survivor(group: list[str], rows: dict[str, Row], condemned: set[str]) -> str:
    """The row that stays: of those that are not condemned, of those with the first split, the best one."""
    able = [rows[identity] for identity in group if identity not in condemned] or [rows[i] for i in group]
    first = min(SPLIT_RANK[row["split"]] for row in able)
    return survivor([row for row in able if SPLIT_RANK[row["split"]] == first])


def near(rows: dict[str, Row], pairs: pa.Table, ids: set[str], threshold: float) -> Found:
    """All but one row of each group of rows that are connected by pairs of at least `threshold`."""
    best = _best(rows, pairs, threshold)
    for group in near_groups(pairs, ids, threshold):
        kept = _survivor(group, rows, set())
        for identity in group:
            if identity != kept:
                # A row of the group that is like no other picture has the same pixels as another row.
                similarity = best.get(rows[identity]["content_hash"], 1.0)
                yield identity, Verdict(
                    False, reasons.DUPLICATE_NEAR, "similarity", similarity, threshold, kept,
                    score=1 - similarity, cluster=kept,
                )  # fmt: skip


def _edges(rows: dict[str, Row], pairs: pa.Table, threshold: float) -> Iterator[tuple[str, str, float]]:
    """Pairs of different content hashes; a pair stands for all copies of its two rows."""
    strong = pairs.filter(pc.greater_equal(pairs["similarity"], threshold))
    for a, b, similarity in zip(*(strong[name].to_pylist() for name in ("a", "b", "similarity")), strict=True):
        if a in rows and b in rows and rows[a]["content_hash"] != rows[b]["content_hash"]:
            yield rows[a]["content_hash"], rows[b]["content_hash"], min(float(similarity), 1.0)


def _best(rows: dict[str, Row], pairs: pa.Table, threshold: float) -> dict[str, float]:
    """Content hash to its highest similarity with another one."""
    best: dict[str, float] = {}
    for a, b, similarity in _edges(rows, pairs, threshold):
        best[a], best[b] = max(similarity, best.get(a, 0)), max(similarity, best.get(b, 0))
    return best


def leaks(rows: dict[str, Row], pairs: pa.Table, condemned: set[str], threshold: float) -> Found:
    """Training rows that equal, or pair directly with, a row of test or reference; the twin most alike is named.

    Two pictures that are only alike and have different labels may be two pictures: such a leak is not certain.
    """
    by_content: dict[str, list[Row]] = {}
    for row in rows.values():
        if row["content_hash"] is not None and row["id"] not in condemned:
            by_content.setdefault(row["content_hash"], []).append(row)
    twins: dict[str, tuple[bool, float, str]] = {}

    def note(training: str, judged: str, similarity: float) -> None:
        held = sorted(
            (row for row in by_content.get(judged, ()) if row["split"] != "train"),
            key=lambda row: (SPLIT_RANK[row["split"]], row["id"]),
        )
        for row in by_content.get(training, ()) if held else ():
            if row["split"] == "train":
                agreeing = [twin["id"] for twin in held if similarity >= EQUAL or _one_label(row, twin)]
                best = (bool(agreeing), similarity, (agreeing or [held[0]["id"]])[0])
                twins[row["id"]] = max(twins.get(row["id"], (False, -1.0, "")), best)

    for content, members in by_content.items():
        if len(members) > 1:
            note(content, content, 1.0)
    for a, b, similarity in _edges(rows, pairs, threshold):
        note(a, b, similarity)
        note(b, a, similarity)
    for identity, (certain, similarity, twin) in sorted(twins.items()):
        yield identity, Verdict(
            False, reasons.LEAK, "similarity", similarity, threshold, twin, score=1 - similarity, cluster=twin, certain=certain
        )  # fmt: skip


def _one_label(one: Row, other: Row) -> bool:
    """Whether the labels of two rows could be the same."""
    return one["label"] is None or other["label"] is None or one["label"] == other["label"]


def conflicts(rows: Iterable[Row]) -> Found:
    """Rows of equal pixels whose label is not the majority's; all labelled ones where no label has the majority."""
    rows = list(rows)
    by_id = {row["id"]: row for row in rows}
    for group in exact_groups(rows):
        labels = Counter(by_id[i]["label"] for i in group if by_id[i]["label"] is not None)
        if len(labels) < 2:
            continue
        most = max(labels.values())
        winners = sorted(label for label, count in labels.items() if count == most)
        for identity in group:
            label = by_id[identity]["label"]
            if label is not None and (len(winners) > 1 or label != winners[0]):
                share = labels[label] / labels.total()
                others = ", ".join(sorted(other for other in labels if other != label))
                yield identity, Verdict(
                    False, reasons.LABEL_CONFLICT, "content_hash", len(labels), 1, f"also labelled {others}", score=share
                )  # fmt: skip

"""From measures and thresholds to verdicts: every reason of every row, and which of them lead to quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from aigc_core.config import Quality
from aigc_core.errors import GateError
from aigc_core.quality import reasons
from aigc_core.quality.hashing import near_pairs
from aigc_core.records import VERDICT_SCHEMA, Verdict

Row = dict[str, Any]
#: The survivor of copies: a test row first, so that no training row equals one that models are judged by.
SPLIT_RANK = {"test": 0, "reference": 1, "train": 2}


def judge(rows: list[Row], quality: Quality) -> pa.Table:
    """Verdicts (VERDICT_SCHEMA, by id and reason) on rows that carry id, source, split and the measures."""
    found: list[tuple[Row, Verdict]] = []
    for row in rows:
        found += [(row, verdict) for verdict in single(row, quality) if not verdict.keep]
    condemned = {row["id"] for row, verdict in found if _action(verdict.reason, quality) == "quarantine"}
    exact = list(_exact(rows, condemned)) if quality.duplicate_exact.action != "off" else []
    copies = {row["id"] for row, _ in exact}
    found += exact
    if quality.duplicate_near.action != "off":
        found += _near(
            [row for row in rows if row["id"] not in condemned | copies], quality.duplicate_near.max_distance
        )
    lines = [
        {
            "id": row["id"], "source": row["source"], "reason": verdict.reason, "action": _action(verdict.reason, quality),
            "measure": verdict.measure, "value": verdict.value, "threshold": verdict.threshold, "detail": verdict.detail,
            "score": verdict.score, "cluster": verdict.cluster,
        }
        for row, verdict in found
    ]  # fmt: skip
    return pa.Table.from_pylist(lines, VERDICT_SCHEMA).sort_by([("id", "ascending"), ("reason", "ascending")])


def single(row: Row, quality: Quality) -> Iterator[Verdict]:
    """What can be said of one row alone."""
    if row["error"] is not None:
        if quality.corrupt.action != "off":
            yield Verdict(False, reasons.CORRUPT, "error", detail=row["error"])
        return
    side, least = min(row["width"], row["height"]), quality.too_small.min_side
    if quality.too_small.action != "off":
        yield Verdict(side >= least, reasons.TOO_SMALL, "width" if row["width"] == side else "height", side, least)
    most = quality.blank.max_std
    if quality.blank.action != "off":
        yield Verdict(row["std"] > most, reasons.BLANK, "std", row["std"], most)


def _action(reason: str, quality: Quality) -> str:
    return str(getattr(quality, reason).action)


def _exact(rows: list[Row], condemned: set[str]) -> Iterator[tuple[Row, Verdict]]:
    """All but one row of each group of equal pixels; a row that stays for its own sake survives before one that goes."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["content_hash"] is not None:
            groups.setdefault(row["content_hash"], []).append(row)
    for group in groups.values():
        if len(group) > 1:
            first, *others = sorted(group, key=lambda r: (r["id"] in condemned, SPLIT_RANK[r["split"]], r["id"]))
            for row in others:
                yield (
                    row,
                    Verdict(
                        False, reasons.DUPLICATE_EXACT, "content_hash", len(group), 1, first["id"], cluster=first["id"]
                    ),
                )


def _near(rows: list[Row], max_distance: int) -> list[tuple[Row, Verdict]]:
    """Every row that has an earlier-ranked neighbour within `max_distance` bits, with its nearest such neighbour."""
    rows = sorted(
        (row for row in rows if row["perceptual_hash"]),
        key=lambda r: (SPLIT_RANK[r["split"]], r["parent"] or "", r["id"]),
    )
    values = np.array([int(row["perceptual_hash"], 16) for row in rows], dtype=np.uint64)
    # Rows with the same hash are compared through their first: a million rows have far fewer hashes.
    distinct, first = np.unique(values, return_index=True)
    order = np.argsort(first)
    distinct, first = distinct[order], first[order]
    nearest: dict[int, tuple[int, int]] = {}
    for left, right in near_pairs(distinct, max_distance).tolist():
        bits = int(np.bitwise_count(distinct[left] ^ distinct[right]))
        candidate = (bits, int(first[left]))
        nearest[int(first[right])] = min(candidate, nearest.get(int(first[right]), candidate))
    place = {int(value): int(index) for value, index in zip(distinct, first, strict=True)}
    for index, value in enumerate(values.tolist()):
        if place[value] != index:
            nearest[index] = (0, place[value])
    return [
        (rows[i], Verdict(False, reasons.DUPLICATE_NEAR, "perceptual_hash", bits, max_distance, rows[j]["id"]))
        for i, (bits, j) in sorted(nearest.items())
    ]


def refuse_excess(verdicts: pa.Table, read: int, quality: Quality) -> set[str]:
    """Ids to quarantine. Raises GateError when they are more than `quality.max_quarantined_share` of the rows read."""
    lines = [line for line in verdicts.to_pylist() if line["action"] == "quarantine"]
    ids = {line["id"] for line in lines}
    if len(ids) > quality.max_quarantined_share * read:
        reason, count = Counter(line["reason"] for line in lines).most_common(1)[0]
        raise GateError(
            f"{len(ids):,} of {read:,} rows ({len(ids) / read:.1%}) would be quarantined, more than "
            f"quality.max_quarantined_share = {quality.max_quarantined_share:.0%}; most are {reason} ({count:,}): look at "
            f"those rows, then mend the source, change quality.{reason}, or raise the share"
        )
    return ids

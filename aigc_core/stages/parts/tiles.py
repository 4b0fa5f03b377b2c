"""What a page shows of single rows, gathered from the tables and the content store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.progress import track

from aigc_core.data.store import Version
from aigc_core.paths import Paths
from aigc_core.report import review as sheets
from aigc_core.report.page import words

Row = dict[str, Any]


@dataclass(frozen=True)
class Tiles:
    """The wanted rows: overlay, picture, reasons, and the label that a model sees where it was asked."""

    rows: dict[str, Row]
    pictures: dict[str, dict[str, str]]
    reasons: dict[str, list[str]]
    predicted: dict[str, str]

    @classmethod
    def read(cls, paths: Paths, version: Version, verdicts: pa.Table, wanted: Collection[str]) -> Tiles:
        """One pass over the content for all of them; none where nothing is wanted."""
        ids = pa.array(sorted(wanted), pa.string())
        rows = version.rows.filter(pc.is_in(version.rows["id"], value_set=ids)).to_pylist()
        contents = track(version.contents(wanted) if wanted else (), "drawing", total=len(wanted), transient=True)
        reasons: dict[str, list[str]] = {}
        for line in verdicts.filter(pc.is_in(verdicts["id"], value_set=ids)).select(["id", "reason"]).to_pylist():
            reasons.setdefault(line["id"], []).append(line["reason"])
        pictures = {identity: sheets.picture_of(content) for identity, content in contents}
        return cls({row["id"]: row for row in rows}, pictures, reasons, _predicted(paths, wanted))

    def beside(self, identity: str) -> Row | None:
        """A row that stands beside another, or None where it is unknown."""
        if identity not in self.rows:
            return None
        row = self.rows[identity]
        absent = {"uri": "", "error": "it is not in the content store"}
        return {"id": identity, "source": row["source"], "label": row["label"], "split": row["split"],
                "picture": self.pictures.get(identity, absent)}  # fmt: skip

    def tile(self, verdict: Row) -> Row | None:
        """One verdict with its row, what else is said of it, and its twin; None where the row is unknown."""
        identity = verdict["id"]
        own, twin = self.beside(identity), sheets.twin_of(verdict)
        if own is None:
            return None
        predicted = self.predicted.get(identity, "")
        return {
            **own,
            "content": self.rows[identity]["content_hash"] or "",
            "action": verdict["action"],
            "decided_by": sheets.decided_by(verdict),
            "others": [words(reason) for reason in self.reasons[identity] if reason != verdict["reason"]],
            "predicted": predicted if predicted != own["label"] else "",
            "twin": self.beside(twin) if twin else None,
        }


def _predicted(paths: Paths, wanted: Collection[str]) -> dict[str, str]:
    place = paths.measures / "learned.parquet"
    if not place.exists() or not wanted:
        return {}
    table = pq.read_table(place, columns=["id", "label_predicted"], filters=[("id", "in", sorted(wanted))])
    return {row["id"]: row["label_predicted"] for row in table.to_pylist() if row["label_predicted"]}

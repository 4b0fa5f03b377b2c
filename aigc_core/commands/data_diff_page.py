"""What the page of a diff shows of single rows: examples of each kind of change, with pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.commands.data_changes import COLUMNS, PAIRED, Change, Side, shown
from aigc_core.commands.data_versions import Snapshot
from aigc_core.errors import DataError
from aigc_core.report.review import picture_of

#: The columns whose values an example names before and after, by kind.
_NAMED = {kind: column for column, kind in COLUMNS.items() if column not in (*PAIRED, "content_hash")}
_ABSENT = {"uri": "", "error": "its content is not here"}
Picture = dict[str, str]


@dataclass(frozen=True)
class Shown:
    """One of the two versions, with what is compared of it."""

    snapshot: Snapshot
    side: Side


def sections(a: Shown, b: Shown, changes: Sequence[Change], joined: pa.Table) -> tuple[list[dict[str, Any]], list[str]]:
    """A section per kind of change with at most `EXAMPLES` rows, and a sentence per version without pictures.

    Pictures are those of the second version; of removed rows those of the first, of changed pixels both.
    """
    old = {identity for change in changes if change.kind in ("removed", "picture") for identity, _ in change.examples}
    new = {identity for change in changes if change.kind != "removed" for identity, _ in change.examples}
    before, told_a = _pictures(a.snapshot, old)
    after, told_b = _pictures(b.snapshot, new)
    ids = pa.array(sorted(old | new), pa.string())
    rows = {row["id"]: row for row in joined.filter(pc.is_in(joined["id"], value_set=ids)).to_pylist()}
    drawn = []
    for change in changes:
        tiles = []
        for identity, group in change.examples:
            row = rows.get(identity) or _unkept(identity, a.side, b.side)
            pictures = [side.get(identity, _ABSENT) for side in _sides(change.kind, before, after)]
            tiles.append({**_tile(change.kind, row, group), "pictures": pictures})
        drawn.append(
            {"kind": change.kind, "words": change.words, "total": change.total, "groups": change.groups, "tiles": tiles}
        )
    return drawn, [*told_a, *told_b]


def _sides(kind: str, before: Mapping[str, Picture], after: Mapping[str, Picture]) -> list[Mapping[str, Picture]]:
    return {"removed": [before], "picture": [before, after]}.get(kind, [after])


def _pictures(snapshot: Snapshot, wanted: Collection[str]) -> tuple[dict[str, Picture], list[str]]:
    """Row id to picture; where the content is not here, a sentence instead."""
    try:
        return {identity: picture_of(content) for identity, content in snapshot.contents(wanted)}, []
    except DataError as error:
        return {}, [f"no pictures of {snapshot}: {error}"]


def _unkept(identity: str, *sides: Side) -> dict[str, Any]:
    """A row that neither version kept is known from what was said of it alone."""
    return {"id": identity, "source_b": next(side.sources[identity] for side in sides if identity in side.sources)}


def _tile(kind: str, row: Mapping[str, Any], group: str) -> dict[str, Any]:
    last = "_a" if row.get("source_b") is None else "_b"
    column = _NAMED.get(kind)
    what = group if column is None else f"from {shown(row[f'{column}_a'])} to {shown(row[f'{column}_b'])}"
    return {"id": row["id"], "source": row[f"source{last}"], "label": row.get(f"label{last}"), "what": what}

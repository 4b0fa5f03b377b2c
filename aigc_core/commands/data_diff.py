"""data diff: what differs between two dataset versions, in sentences and as one page with examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from aigc_core.commands.data_changes import COLUMNS, Change, Side, compare, parameters, renamed
from aigc_core.commands.data_diff_page import Shown, sections
from aigc_core.commands.data_versions import Snapshot, find
from aigc_core.files import atomic_file
from aigc_core.modalities.containers import plain
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.report.page import render

#: Groups and parameters that a sentence in the terminal names; the page names them all.
NAMED = 6
#: Of these kinds the groups say more than the number alone.
TELLING = ("added", "removed", "label", "split", "operation", "verdict")


def diff(paths: Paths, first: str, second: str) -> StageResult:
    """Print what differs from version `first` to version `second`, and write a page with examples below .work/data_diff.

    A name is a version in data/ (`curated`), a git revision (`HEAD~1`, its curated version), or a version of one
    (`HEAD~1:ingested`). Raises DataError where there is none, or where its files are not here.
    """
    a, b = find(paths, first), find(paths, second)
    one, two = Side.of(a), Side.of(b)
    changes, joined = compare(one, two)
    changed = [change for change in changes if change.total]
    drawn, missing = sections(Shown(a, one), Shown(b, two), changed, joined)
    reasons, settings = list(_reasons(one, two)), _settings(a, b)
    summary, remarks = _summary(a, b, changed), [*_remarks(a, b, one, two, joined), *missing]
    page = {"first": str(a), "second": str(b), "summary": summary, "remarks": remarks, "reasons": reasons, "sections": drawn, "parameters": settings}  # fmt: skip
    place = paths.work / "data_diff" / f"{_file_name(a)}-{_file_name(b)}.html"
    with atomic_file(place) as scratch:
        scratch.write_text(render(page, "data_diff.html.j2"), encoding="utf-8")
    if reasons:
        Console(markup=False, emoji=False).print(_table(a, b, reasons), highlight=False)
    told = [*(_sentence(change) for change in changed), *remarks, *_settings_told(settings)]
    notices = [*told, f"examples with pictures: {place.relative_to(paths.root)}"]
    metrics: dict[str, float] = {change.kind: change.total for change in changes}
    return StageResult(summary, metrics, {"notices": notices, "reasons": reasons, "page": str(place)})


def _summary(a: Snapshot, b: Snapshot, changed: Sequence[Change]) -> str:
    counts = ", ".join(f"{change.total:,} {change.words}" for change in changed)
    return f"from {a} to {b}: {counts or 'no row differs'}"


def _sentence(change: Change) -> str:
    if change.kind not in TELLING:
        return f"{change.total:,} {change.words}"
    groups = "; ".join(f"{count:,} {group}" for group, count in change.groups[:NAMED])
    more = len(change.groups) - NAMED
    rest = sum(count for _, count in change.groups[NAMED:])
    return f"{change.total:,} {change.words}: {groups}" + (f"; {rest:,} in {more:,} more groups" if more > 0 else "")


def _remarks(a: Snapshot, b: Snapshot, one: Side, two: Side, joined: pa.Table) -> Iterator[str]:
    """What the numbers do not say by themselves."""
    counts = [
        f"{snapshot.name} of {snapshot.state.name} {side.rows.num_rows:,}" for snapshot, side in ((a, one), (b, two))
    ]
    yield f"rows: {', '.join(counts)}"
    if b.card.parent == a.card.version:
        yield f"{b.name} was made from {a.name} by {plain(b.card.operation)}"
    if one.rows.num_rows and two.rows.num_rows and one.rows.num_rows + two.rows.num_rows == joined.num_rows:
        yield "the two have no row in common: ids are made of the places in the source, and these are others"
    if moved := renamed(joined):
        yield f"of the rows added, {moved:,} {'has' if moved == 1 else 'have'} the pixels of a removed one: files that were moved or renamed, or copies"
    unjudged = [snapshot.name for snapshot, side in ((a, one), (b, two)) if side.states is None]
    if unjudged:
        yield f"verdicts are not compared: {' and '.join(dict.fromkeys(unjudged))} had none yet"
    for column, kind in COLUMNS.items():
        lacking = [str(snapshot) for snapshot in (a, b) if column in snapshot.lacking()]
        if lacking:
            yield f"{kind} is unknown of {' and '.join(lacking)}, which an earlier program wrote"
    if a.card.tool != b.card.tool:
        yield f"the first was written by {plain(a.card.tool)}, the second by {plain(b.card.tool)}"


def _settings(a: Snapshot, b: Snapshot) -> list[tuple[str, str, str]]:
    """Parameters of the operation that differ; of two operations they are not the same ones."""
    if a.card.operation != b.card.operation:
        return []
    return [(name, repr(was), repr(now)) for name, was, now in parameters(a.card.parameters, b.card.parameters)]


def _settings_told(settings: Sequence[tuple[str, str, str]]) -> list[str]:
    if not settings:
        return []
    named = "; ".join(f"{plain(name)} from {plain(was)} to {plain(now)}" for name, was, now in settings[:NAMED])
    more = len(settings) - NAMED
    return [f"parameters that differ: {named}" + (f"; {more:,} more, which the page names" if more > 0 else "")]


def _reasons(one: Side, two: Side) -> Iterator[dict[str, Any]]:
    """Rows per action and reason on both sides; None on a side that nothing judged."""
    for action, reason in sorted({*one.counts, *two.counts}):
        was, now = (None if side.states is None else side.counts.get((action, reason), 0) for side in (one, two))
        yield {"action": plain(action), "reason": plain(reason), "first": was, "second": now,
               "change": None if was is None or now is None else now - was}  # fmt: skip


def _table(a: Snapshot, b: Snapshot, reasons: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Rows per reason", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for head in ("action", "reason"):
        table.add_column(head)
    for head in (*(f"{snapshot.name} of {snapshot.state.name}" for snapshot in (a, b)), "change"):
        table.add_column(head, justify="right", overflow="fold")
    for line in reasons:
        was, now = ("not judged" if line[side] is None else f"{line[side]:,}" for side in ("first", "second"))
        table.add_row(line["action"], line["reason"], was, now, _signed(line["change"]))
    return table


def _signed(change: int | None) -> str:
    return "" if change is None else f"{change:+,}" if change else "0"


def _file_name(snapshot: Snapshot) -> str:
    """Name and version; what no file name holds everywhere is left out."""
    return re.sub(r"[^\w.-]", "_", f"{snapshot.name}-{snapshot.card.version}")

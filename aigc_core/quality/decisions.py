"""What people decided of single rows: a CSV file that is in git, checked line by line, and honoured by curation.

Columns: `id` (in a file that is handed over, the first digits do), `decision` (keep | drop | relabel), `label` (of relabel alone), `who`, `note`,
and `content`, the content hash of the picture that the person saw: where the file behind a row was exchanged since,
the decision no longer holds.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.errors import DataError
from aigc_core.files import atomic_file
from aigc_core.records import VERDICT_SCHEMA

KEPT_BY_HAND = "kept_by_hand"
DROPPED_BY_HAND = "dropped_by_hand"
RELABELLED_BY_HAND = "relabelled_by_hand"
#: Reasons that only a person gives, with a sentence each, beside those of reasons.py.
BY_HAND = {
    KEPT_BY_HAND: "a person kept it, whatever the checks say",
    DROPPED_BY_HAND: "a person took it out",
    RELABELLED_BY_HAND: "a person gave it another label",
}
ACTIONS = {"keep": (KEPT_BY_HAND, "inform"), "drop": (DROPPED_BY_HAND, "quarantine"),
           "relabel": (RELABELLED_BY_HAND, "inform")}  # fmt: skip
SHORTEST_ID = 6
WHOLE_ID = 64
NEEDED = ("id", "decision", "who")


@dataclass(frozen=True)
class Decision:
    """One line of the file."""

    id: str
    decision: str
    label: str = ""
    who: str = ""
    note: str = ""
    content: str = ""


@dataclass(frozen=True)
class Applied:
    """Verdicts and rows after people had their say, and how many of their decisions did what.

    `counts`: keep, drop, relabel; `undecodable` (a keep that nothing can honour), `changed` (the picture was exchanged
    since), `gone` (no such row any more).
    """

    verdicts: pa.Table
    rows: pa.Table
    counts: dict[str, int]

    @property
    def parameters(self) -> dict[str, dict[str, int]]:
        """What a card says of it: nothing where nobody decided anything."""
        return {"decisions": self.counts} if any(self.counts.values()) else {}


COLUMNS = [item.name for item in fields(Decision)]


def read(path: Path) -> list[Decision]:
    """The decisions of a file, each line checked by itself; none where there is no file.

    Raises DataError, one sentence with the line's number, for the first line that is wrong.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark in front
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is not UTF-8 text: save it as CSV (UTF-8)") from None
    reader = csv.DictReader(io.StringIO(text))
    header = [name.strip() for name in reader.fieldnames or []]
    wrong = [name for name in NEEDED if name not in header] + [name for name in header if name not in COLUMNS]
    if wrong:
        raise DataError(
            f"{path.name}: the first line must name columns of {', '.join(COLUMNS)}, at least {', '.join(NEEDED)}; "
            f"look at {wrong[0]!r}"
        )
    reader.fieldnames = header
    found: dict[str, tuple[int, Decision]] = {}
    for line in reader:
        here = f"{path.name}, line {reader.line_num}"
        if None in line:
            raise DataError(f"{here}: more values than columns: put a text with commas in double quotes")
        decision = _check(Decision(**{name: (line.get(name) or "").strip() for name in COLUMNS}), here)
        if decision.id in found:
            raise DataError(f"{here} repeats row {decision.id[:12]} of line {found[decision.id][0]}: keep one of them")
        found[decision.id] = (reader.line_num, decision)
    return [decision for _, decision in found.values()]


def _check(decision: Decision, here: str) -> Decision:
    if decision.decision not in ACTIONS:
        raise DataError(f"{here}: the decision is {decision.decision!r}, it must be one of {', '.join(ACTIONS)}")
    if len(decision.id) < SHORTEST_ID or set(decision.id) - set("0123456789abcdef"):
        raise DataError(f"{here}: {decision.id!r} is no row id: at least {SHORTEST_ID} of its digits 0-9 a-f")
    if (decision.decision == "relabel") != bool(decision.label):
        what = "needs the new label" if decision.decision == "relabel" else f"takes no label, not {decision.label!r}"
        raise DataError(f"{here}: {decision.decision} {what} in the column `label`")
    if not decision.who:
        raise DataError(f"{here}: nobody is named in the column `who`: a decision has to belong to somebody")
    return decision


def resolve(decisions: Sequence[Decision], rows: pa.Table, classes: Sequence[str]) -> list[Decision]:
    """The decisions with whole ids and with what the person saw.

    Raises DataError for an id that no row or more than one has, for a label that no row has, for a picture that was
    exchanged since, and for two decisions on one row.
    """
    ids, pictures = rows["id"].to_pylist(), rows["content_hash"].to_pylist()
    wanted = {decision.id for decision in decisions}
    lengths = {len(prefix) for prefix in wanted}
    matches: dict[str, list[int]] = {prefix: [] for prefix in wanted}
    for place, identity in enumerate(ids):
        for length in lengths:
            if identity[:length] in matches:
                matches[identity[:length]].append(place)
    found: dict[str, Decision] = {}
    for decision in decisions:
        places = matches[decision.id]
        if len(places) != 1:
            count = "no row" if not places else f"{len(places)} rows"
            raise DataError(
                f"{decision.id!r} is the beginning of {count}: write the whole id as the review page shows it"
            )
        if decision.label and decision.label not in classes:
            raise DataError(
                f"row {decision.id[:12]} cannot get the label {decision.label!r}: known are {', '.join(classes) or 'none'}"
            )
        whole = ids[places[0]]
        if whole in found:
            raise DataError(f"row {whole[:12]} is decided twice: keep one of the two lines")
        picture = pictures[places[0]] or ""
        if decision.content not in ("", picture):
            raise DataError(f"the picture of row {whole[:12]} was exchanged since the page was made: look at it again")
        found[whole] = replace(decision, id=whole, content=picture)
    return list(found.values())


def write(path: Path, decisions: Iterable[Decision]) -> None:
    """Write the file, by id, so that equal decisions make equal bytes."""
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(decision) for decision in sorted(decisions, key=lambda decision: decision.id))


def merge(old: Iterable[Decision], new: Iterable[Decision]) -> list[Decision]:
    """Both, the newer one where both decide the same row."""
    return list({decision.id: decision for decision in [*old, *new]}.values())


def apply(verdicts: pa.Table, rows: pa.Table, decisions: Sequence[Decision]) -> Applied:
    """Let people overrule the checks: `verdicts` (VERDICT_SCHEMA) and `rows` (ROW_SCHEMA) with their decisions in them.

    A row kept by hand loses the action "quarantine" of every verdict, which then only informs, unless it cannot be
    decoded. A row dropped by hand gets a verdict that sends it to quarantine; copies that it was the survivor of
    stay there, because who does not want the picture does not want its copy. A relabelled row says so in `op`.
    Raises DataError for an id that is not whole: it would pass for the id of a row that is gone.
    """
    short = next((decision.id for decision in decisions if len(decision.id) != WHOLE_ID), None)
    if short is not None:
        raise DataError(
            f"data/decisions.csv names row {short!r}, not its whole id of {WHOLE_ID} digits: hand such a line over in a "
            "file of its own with `aigc quality review --apply`"
        )
    counts = Counter(dict.fromkeys((*ACTIONS, "undecodable", "changed", "gone"), 0))
    by_id = {decision.id: decision for decision in decisions}
    place = pc.index_in(pa.array(list(by_id), pa.string()), value_set=rows["id"].combine_chunks()).to_pylist()
    honoured: dict[int, Decision] = {}
    for decision, index in zip(by_id.values(), place, strict=True):
        picture = None if index is None else rows["content_hash"][index].as_py()
        outcome = _outcome(decision, index, picture)
        counts[outcome] += 1
        if index is not None and outcome == decision.decision:
            honoured[index] = decision
    sources = {decision.id: rows["source"][index].as_py() for index, decision in honoured.items()}
    lines = [_verdict(decision, sources[decision.id]) for decision in honoured.values()]
    table = pa.concat_tables([_spare(verdicts, honoured.values()), pa.Table.from_pylist(lines, VERDICT_SCHEMA)])
    return Applied(
        table.sort_by([("id", "ascending"), ("reason", "ascending")]), _relabel(rows, honoured), dict(counts)
    )


def _outcome(decision: Decision, index: int | None, picture: str | None) -> str:
    if index is None:
        return "gone"
    if decision.content and decision.content != picture:
        return "changed"
    return "undecodable" if decision.decision == "keep" and picture is None else decision.decision


def _verdict(decision: Decision, source: str) -> dict[str, str]:
    reason, action = ACTIONS[decision.decision]
    words = [f"label {decision.label}"] if decision.label else []
    words += [f"by {decision.who}", *([decision.note] if decision.note else [])]
    return {"id": decision.id, "source": source, "reason": reason, "action": action, "measure": "decision",
            "detail": ", ".join(words)}  # fmt: skip


def _spare(verdicts: pa.Table, honoured: Iterable[Decision]) -> pa.Table:
    """The verdicts on rows kept by hand inform, where they would have sent them to quarantine."""
    kept = pa.array([decision.id for decision in honoured if decision.decision == "keep"], pa.string())
    spared = pc.and_(pc.is_in(verdicts["id"], value_set=kept), pc.equal(verdicts["action"], "quarantine"))
    actions = pc.if_else(spared, "inform", verdicts["action"])
    return verdicts.set_column(VERDICT_SCHEMA.get_field_index("action"), VERDICT_SCHEMA.field("action"), actions)


def _relabel(rows: pa.Table, honoured: dict[int, Decision]) -> pa.Table:
    chosen = {index: decision for index, decision in honoured.items() if decision.decision == "relabel"}
    if not chosen:
        return rows
    labels, operations = rows["label"].to_pylist(), rows["op"].to_pylist()
    for index, decision in chosen.items():
        told = f"relabel {labels[index] or '(none)'} to {decision.label} by {decision.who}"
        labels[index], operations[index] = decision.label, "; ".join(filter(None, [operations[index], told]))
    for name, values in (("label", labels), ("op", operations)):
        index = rows.schema.get_field_index(name)
        rows = rows.set_column(index, rows.schema.field(index), pa.array(values, pa.string()))
    return rows

"""What differs between two dataset versions: rows by id, their columns, and what the checks said of them. Counts and example ids."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.commands.data_versions import Snapshot
from aigc_core.modalities.containers import plain

#: Examples of each kind of change.
EXAMPLES = 20
#: Columns of a row, and what a change of them is called.
COLUMNS = {
    "label": "label",
    "split": "split",
    "content_hash": "picture",
    "text": "caption",
    "op": "operation",
    "note": "note",
}
#: Of these every pair of values is a group of its own; of the others the values are too many.
PAIRED = ("label", "split", "op")
KEPT = "kept"
_STATES = {"quarantine": "quarantined", "warn": "warned of", "inform": "informed of"}


@dataclass(frozen=True)
class Change:
    """One kind of change: how many rows, in which groups (largest first), and the ids of examples from all groups."""

    kind: str  # added | removed | verdict | a value of COLUMNS
    total: int
    groups: list[tuple[str, int]]
    examples: list[tuple[str, str]]  # id, group

    @property
    def words(self) -> str:
        """The kind as it follows a number."""
        rows = "row" if self.total == 1 else "rows"
        return f"{rows} {self.kind}" if self.kind in ("added", "removed") else f"{rows} with another {self.kind}"


@dataclass(frozen=True)
class Side:
    """One of the two versions as far as it is compared."""

    rows: pa.Table
    states: (
        Mapping[str, str] | None
    )  # id to verdict in words, of rows that something was said of; None where nothing judged
    read: pa.Array  # ids of the rows that were read: kept or quarantined
    counts: Mapping[tuple[str, str], int]  # (action, reason) to rows
    sources: Mapping[str, str]  # id to place in the source, of rows that something was said of

    @classmethod
    def of(cls, snapshot: Snapshot) -> Side:
        """Read rows and verdicts of a version."""
        rows, verdicts = snapshot.rows(), snapshot.verdicts()
        ids = rows["id"].combine_chunks()
        if verdicts is None:
            return cls(rows, None, ids, {}, {})
        lines = sorted(set(zip(*(verdicts[name].to_pylist() for name in ("id", "action", "reason")), strict=True)))
        states = {identity: _state(own) for identity, own in itertools.groupby(lines, key=lambda line: line[0])}
        taken_out = [identity for identity, action, _ in lines if action == "quarantine"]
        read = pc.unique(pa.chunked_array([ids, pa.array(taken_out, pa.string())]))
        sources = dict(zip(verdicts["id"].to_pylist(), verdicts["source"].to_pylist(), strict=True))
        return cls(rows, states, read, Counter((action, reason) for _, action, reason in lines), sources)

    def verdict(self, identity: str) -> str:
        """What was said of a row, in words."""
        return (self.states or {}).get(identity, KEPT)


def _state(lines: Iterable[tuple[str, str, str]]) -> str:
    """`quarantined (blank, corrupt), warned of (dark)`, or `kept, warned of (dark)`: the graver action first."""
    by_action: dict[str, list[str]] = {}
    for _, action, reason in lines:
        by_action.setdefault(action, []).append(plain(reason))
    order = [*_STATES, *sorted(set(by_action) - _STATES.keys())]
    told = [f"{_STATES.get(name, plain(name))} ({', '.join(by_action[name])})" for name in order if name in by_action]
    return ", ".join(told if "quarantine" in by_action else [KEPT, *told])


def compare(a: Side, b: Side) -> tuple[list[Change], pa.Table]:
    """All kinds of changes from `a` to `b`, and the rows of both side by side (columns with the suffix _a and _b)."""
    joined = a.rows.join(b.rows, "id", join_type="full outer", left_suffix="_a", right_suffix="_b").sort_by("id")
    only_b, only_a = pc.is_null(joined["source_a"]), pc.is_null(joined["source_b"])
    both = joined.filter(pc.and_(pc.invert(only_a), pc.invert(only_b)))
    changes = [
        _grouped("added", _moves(joined.filter(only_b), a, "_b", ("new in the source", "before", "newly derived"))),
        _grouped("removed", _moves(joined.filter(only_a), b, "_a", ("no longer read", "now", "no longer derived"))),
        *(_grouped(kind, _values(both, column)) for column, kind in COLUMNS.items()),
        _grouped("verdict", _verdicts(a, b)),
    ]
    return changes, joined


def _moves(rows: pa.Table, other: Side, suffix: str, words: tuple[str, str, str]) -> Iterator[tuple[str, str]]:
    """Id and cause of each row that only one side has; `words` are for rows that the other never read, judged, or derived."""
    unread, judged, derived = words
    for identity, parent in zip(rows["id"].to_pylist(), rows[f"parent{suffix}"].to_pylist(), strict=True):
        state = other.verdict(identity)
        if state != KEPT:
            yield identity, f"{judged} {state}"
        else:
            yield identity, unread if parent is None else derived


def _values(both: pa.Table, column: str) -> Iterator[tuple[str, str]]:
    """Id and, of few values, both of them, for each row where the column differs."""
    was, now = both[f"{column}_a"], both[f"{column}_b"]
    one_is_null = pc.xor(pc.is_null(was), pc.is_null(now))
    changed = both.filter(pc.or_(pc.fill_null(pc.not_equal(was, now), fill_value=False), one_is_null))
    values = (changed[name].to_pylist() for name in ("id", f"{column}_a", f"{column}_b"))
    for identity, before, after in zip(*values, strict=True):
        yield identity, f"from {shown(before)} to {shown(after)}" if column in PAIRED else "changed"


def shown(value: str | None) -> str:
    """A value in a sentence."""
    return "(none)" if value is None else repr(plain(value))


def _verdicts(a: Side, b: Side) -> Iterator[tuple[str, str]]:
    """Id and both verdicts, for rows that both sides read and judged, and judged otherwise."""
    if a.states is None or b.states is None:
        return
    ids = sorted(identity for identity in {*a.states, *b.states} if a.verdict(identity) != b.verdict(identity))
    known = pa.array(ids, pa.string())
    in_both = pc.and_(pc.is_in(known, value_set=a.read), pc.is_in(known, value_set=b.read))
    for identity in known.filter(in_both).to_pylist():
        yield identity, f"from {a.verdict(identity)} to {b.verdict(identity)}"


def _grouped(kind: str, lines: Iterable[tuple[str, str]]) -> Change:
    """Count the groups; examples are taken from all groups in turn, so that a rare one is seen too."""
    counts: Counter[str] = Counter()
    first: dict[str, list[str]] = {}
    for identity, group in lines:
        counts[group] += 1
        own = first.setdefault(group, [])
        if len(own) < EXAMPLES:
            own.append(identity)
    groups = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    turns = itertools.zip_longest(*([(identity, group) for identity in first[group]] for group, _ in groups))
    examples = [example for turn in turns for example in turn if example]
    return Change(kind, counts.total(), groups, examples[:EXAMPLES])


def renamed(joined: pa.Table) -> int:
    """Added rows with the pixels of a removed one: files that were moved or renamed."""
    added = joined.filter(pc.is_null(joined["source_a"]))["content_hash_b"].drop_null()
    removed = joined.filter(pc.is_null(joined["source_b"]))["content_hash_a"].drop_null()
    return int(pc.sum(pc.is_in(added, value_set=removed.combine_chunks())).as_py() or 0)


def parameters(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name and both values of each parameter that differs; one that is absent reads None."""
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from parameters(was, now, f"{prefix}{name}.")
        elif was != now:
            yield f"{prefix}{name}", was, now

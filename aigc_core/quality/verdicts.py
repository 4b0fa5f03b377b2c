"""From measures and thresholds to verdicts: every reason of every row, and which of them lead to quarantine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.config import Quality
from aigc_core.errors import GateError
from aigc_core.quality import alike, groups, reasons, rules, suspects
from aigc_core.records import PAIR_SCHEMA, VERDICT_SCHEMA, Verdict

#: What the rules on groups read of a row.
GROUP_COLUMNS = ("id", "content_hash", "label", "split", "width", "height", "sharpness")
Found = tuple[str, Verdict]
#: Why no label is suspected.
NO_LABELS = "no two classes have rows enough to learn from"
ALIKE_CLASSES = "the classes look too much alike for a wrong label to show"


@dataclass(frozen=True)
class Judgement:
    """Verdicts (VERDICT_SCHEMA, by id and reason) and how the thresholds came about (for `_calibration.json`)."""

    verdicts: pa.Table
    calibration: dict[str, Any]


def judge(rows: pa.Table, quality: Quality, pairs: pa.Table | None = None) -> Judgement:
    """Judge rows that carry ROW_SCHEMA's id, source, split, label, content_hash and the columns of the measures.

    Columns of LEARNED_SCHEMA may be among them; a rule whose column is missing or null says nothing. `pairs` is a
    PAIR_SCHEMA table, or null where none were looked for.
    """
    pairs = PAIR_SCHEMA.empty_table() if pairs is None else pairs
    ids = rows["id"].to_pylist()
    found = list(_alone(rows, ids, quality))
    graded, notes = graded_rules(rows, quality)
    for rule in graded:
        found += _flagged(rule, ids)
    by_id = _grouped(rows, pairs)
    nothing = _shows_nothing(found)
    if quality.label_conflict.action != "off":
        found += [line for line in groups.conflicts(by_id.values()) if line[0] not in nothing]
    bounds = {name: alike.threshold(rows, pairs, getattr(quality, name)) for name in ("leak", "duplicate_near")}
    notes |= {name: {**note, "threshold": round(bound, 6)} for name, (bound, note) in bounds.items()}
    condemned = _condemned(rows, found, quality)
    found += _together(by_id, pairs, condemned, quality, {name: bound for name, (bound, _) in bounds.items()})
    shown = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=pa.array(sorted(nothing), pa.string()))))
    suspect, rate = suspects.find(shown, quality.label_suspect)
    found += suspect
    unchecked = suspects.unchecked(rows, quality.label_suspect)
    notes |= {"label_noise_rate": rate, "unchecked_classes": unchecked}
    if rate is None and unchecked:
        notes["silent"][reasons.LABEL_SUSPECT] = NO_LABELS
    elif rate is not None and not suspect and not suspects.can_tell(shown, quality.label_suspect, rate):
        notes["silent"][reasons.LABEL_SUSPECT] = ALIKE_CLASSES
    return Judgement(_table(rows, found, quality), notes)


@dataclass(frozen=True)
class Graded:
    """What the graded rules of single rows are made of. Legend: N = rows."""

    columns: dict[str, rules.Values]  # of rules.columns_of, (N,) each
    labels: rules.Labels  # (N,), empty where there is none
    absolute: list[rules.Graded]  # the rules whose bound is a number of params.yaml
    blank: npt.NDArray[np.bool_]  # (N,): the fitted rules pass these rows over
    reference: npt.NDArray[np.bool_]  # (N,): the rows that tails were fitted on
    tails: list[rules.Fitted]


def fit_graded(rows: pa.Table, quality: Quality) -> Graded:
    """Measures of all rows with every tail that is fitted on the reference rows among them."""
    columns = rules.columns_of(rows)
    labels = np.array([label or "" for label in rows["label"].to_pylist()], np.str_)
    absolute = list(rules.absolute(columns, quality))
    blank = np.isnan(columns["std"]) | (columns["std"] <= quality.blank.max_std)
    for rule in absolute:
        blank |= rule.bad
    reference = pc.equal(rows["split"], "reference").to_numpy(zero_copy_only=False) & ~blank & _first(rows)
    return Graded(columns, labels, absolute, blank, reference, rules.fit(columns, labels, reference, quality))


def graded_rules(rows: pa.Table, quality: Quality) -> tuple[list[rules.Graded], dict[str, Any]]:
    """Every graded rule of single rows over all rows, and a note on each fitted threshold."""
    made = fit_graded(rows, quality)
    found = made.absolute + list(rules.fitted(made.columns, made.labels, made.tails, made.blank))
    return found, {
        "reference_rows": int(made.reference.sum()),
        "tails": [_note(fit) for fit in made.tails],
        "silent": rules.silent(made.tails),
    }


def _first(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether a row is the first of its content (N,): copies would count twice among the reference."""
    hashes = rows["content_hash"].combine_chunks().dictionary_encode().indices
    values = pc.fill_null(hashes, -1).to_numpy(zero_copy_only=False)
    first = np.zeros(len(values), np.bool_)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def _note(fit: rules.Fitted) -> dict[str, Any]:
    tail = fit.tail
    fact: dict[str, Any] = {"reason": fit.statistic.reason, "column": fit.statistic.column}
    if tail is None:
        return {**fact, "applied": False}
    return {
        **fact, "applied": True, "rows": tail.rows, "wide": tail.wide, "false_positives": tail.false_positives,
        "statistic": round(tail.threshold, 6), "shape": tail.shape, "apart": tail.apart, "kinds": sorted(fit.kinds),
    }  # fmt: skip


def _condemned(rows: pa.Table, found: list[Found], quality: Quality) -> set[str]:
    """Ids that go for their own sake, and so cannot be what survives of a group."""
    removing = [
        (i, verdict.reason)
        for i, verdict in found
        if verdict.certain and _action(verdict.reason, quality) == "quarantine"
    ]
    going = {identity for identity, _ in removing}
    certain = {identity for identity, reason in removing if reason in reasons.DETERMINISTIC}
    judged = rows.filter(pc.not_equal(rows["split"], "train"))["id"]
    held = set(judged.filter(pc.is_in(judged, value_set=pa.array(sorted(going), pa.string()))).to_pylist())
    return (going - held) | (certain & held)


def _shows_nothing(found: Iterable[Found]) -> set[str]:
    """Ids of images of which no label could be right: nothing is said of their labels."""
    return {identity for identity, verdict in found if verdict.reason in (reasons.BLANK, reasons.TOO_SMALL)}


def _flagged(rule: rules.Graded, ids: list[str]) -> Iterator[Found]:
    for place in rules.places(rule.bad):
        value, bound, score = (float(column[place]) for column in (rule.values, rule.thresholds, rule.scores))
        yield ids[place], Verdict(False, rule.reason, rule.measure(place), value, bound, score=score)


def _alone(rows: pa.Table, ids: list[str], quality: Quality) -> Iterator[Found]:
    """Reasons of single rows that nothing grades."""
    if quality.corrupt.action != "off":
        for place in rules.places(rows["error"].is_valid()):
            yield ids[place], Verdict(False, reasons.CORRUPT, "error", detail=rows["error"][place].as_py(), score=0.0)
    if quality.wrong_type.action != "off":
        for place in rules.wrong_type(rows):
            detail = f"named .{rules.ending(rows['source'][place].as_py())}, holds {rows['format'][place].as_py()}"
            yield ids[place], Verdict(False, reasons.WRONG_TYPE, "format", detail=detail)
    if quality.generated.action != "off" and not quality.generated.allow and "provenance" in rows.column_names:
        for place in rules.places(rows["provenance"].is_valid()):
            detail = rows["provenance"][place].as_py()
            yield ids[place], Verdict(False, reasons.GENERATED, "provenance", detail=detail)


def _together(
    by_id: dict[str, groups.Row], pairs: pa.Table, condemned: set[str], quality: Quality, bounds: dict[str, float]
) -> Iterator[Found]:
    """Copies, and training rows that are copies of others. `by_id` are the rows that have a copy or a pair."""
    copies: set[str] = set()
    if quality.duplicate_exact.action != "off":
        exact = list(groups.exact(by_id, condemned))
        copies = {identity for identity, _ in exact}
        yield from exact
    if quality.leak.action != "off":
        yield from groups.leaks(by_id, pairs, condemned, bounds[reasons.LEAK])
    if quality.duplicate_near.action != "off":
        goes = condemned | copies if quality.duplicate_exact.action == "quarantine" else condemned
        ids = {row["id"] for row in by_id.values() if row["content_hash"] is not None} - goes
        yield from groups.near(by_id, pairs, ids, bounds[reasons.DUPLICATE_NEAR])


def _grouped(rows: pa.Table, pairs: pa.Table) -> dict[str, groups.Row]:
    """Rows, as dictionaries by id, that share their pixels with another row or are in a pair."""
    counts = rows["content_hash"].combine_chunks().value_counts()
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).drop_null()
    named = pa.chunked_array([*pairs["a"].chunks, *pairs["b"].chunks], pa.string())
    paired = rows["content_hash"].filter(pc.is_in(rows["id"], value_set=pc.unique(named)))
    hashes = pa.concat_arrays([repeated, *(chunk.drop_null() for chunk in paired.chunks)])
    wanted = pc.is_in(rows["content_hash"], value_set=hashes)
    some = rows.select([name for name in GROUP_COLUMNS if name in rows.column_names]).filter(wanted)
    return {row["id"]: row for row in some.to_pylist()}


def _action(reason: str, quality: Quality) -> str:
    return str(getattr(quality, reason).action)


def _table(rows: pa.Table, found: list[Found], quality: Quality) -> pa.Table:
    """VERDICT_SCHEMA. A reason that is fitted or learned never takes a reference or test row away, nor does one that is not
    certain: it warns."""
    places = pc.index_in(pa.array([identity for identity, _ in found], pa.string()), value_set=rows["id"])
    sources, splits = rows["source"].take(places).to_pylist(), rows["split"].take(places).to_pylist()
    lines = []
    for (identity, verdict), source, split in zip(found, sources, splits, strict=True):
        action = _action(verdict.reason, quality)
        held = split != "train" and verdict.reason not in reasons.DETERMINISTIC
        if action == "quarantine" and (held or not verdict.certain):
            action = "warn"
        lines.append(
            {
                "id": identity, "source": source, "reason": verdict.reason, "action": action,
                "measure": verdict.measure, "value": _finite(verdict.value), "threshold": _finite(verdict.threshold),
                "detail": verdict.detail, "score": _finite(verdict.score), "cluster": verdict.cluster,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(lines, VERDICT_SCHEMA).sort_by([("id", "ascending"), ("reason", "ascending")])


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def refuse_excess(verdicts: pa.Table, read: int, quality: Quality) -> set[str]:
    """Ids to quarantine. Raises GateError when they are more than `quality.max_quarantined_share` of the rows read."""
    lines = verdicts.filter(pc.equal(verdicts["action"], "quarantine")).select(["id", "reason", "source"]).to_pylist()
    ids = {line["id"] for line in lines}
    if len(ids) > quality.max_quarantined_share * read:
        reason, count = Counter(line["reason"] for line in lines).most_common(1)[0]
        examples = ", ".join([line["source"] for line in lines if line["reason"] == reason][:3])
        raise GateError(
            f"{len(ids):,} of {read:,} rows ({len(ids) / read:.1%}) would be quarantined, more than "
            f"quality.max_quarantined_share = {quality.max_quarantined_share:g} allows; most are {reason} ({count:,}: "
            f"{reasons.REASONS[reason]}), such as {examples}: look at those rows, then mend the source, set "
            f"quality.{reason}.action to warn, or raise quality.max_quarantined_share"
        )
    return ids

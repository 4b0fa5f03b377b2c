"""The training rows among which arms choose, with what the quality room said of them, read once."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.config import Config, OwnDecision
from aigc_core.data.store import Version
from aigc_core.errors import ConfigError, DataError
from aigc_core.paths import Paths


@dataclass(frozen=True)
class Pool:
    """Every labelled, decodable training row that was ingested, kept or quarantined.

    Rows that cannot be decoded are no one's training rows: without curation they would have been lost anyway.
    """

    ingested: Version
    curated: Version
    labels: dict[str, str]  # id -> class, in the order of ids; as a person corrected it where one did
    given: dict[str, str | None]  # id -> label that it came with, of rows whose label a person corrected
    hashes: dict[str, str]  # id -> content hash
    reasons: dict[str, frozenset[str]]  # id -> why it is quarantined; rows that are kept are absent
    warned: dict[str, int]  # reason -> rows that are kept although it speaks against them
    own: dict[str, frozenset[str]]  # name of a user's decision -> training rows that it brought in

    @property
    def classes(self) -> list[str]:
        """Classes of the curated training rows, in natural order."""
        return self.curated.card.classes

    @property
    def all_reasons(self) -> frozenset[str]:
        """Every reason that some row is quarantined for."""
        return frozenset().union(*self.reasons.values()) if self.reasons else frozenset()

    def rows(self, ids: Collection[str], uncorrected: Collection[str] = ()) -> pa.Table:
        """Overlay rows of these ids, sorted by id; `uncorrected` ones have the label that they came with."""
        corrected = (self.given.keys() & ids).difference(uncorrected)
        parts = (self.ingested, set(ids) - corrected), (self.curated, corrected)
        tables = [(version.select("train"), pa.array(sorted(own), pa.string())) for version, own in parts]
        return pa.concat_tables([rows.filter(pc.is_in(rows["id"], own)) for rows, own in tables]).sort_by("id")


def open_pool(config: Config, paths: Paths) -> Pool:
    """Read the versions and verdicts. Raises DataError where they do not belong together, or nothing is labelled."""
    ingested, curated = Version.open(paths.ingested), Version.open(paths.curated)
    classes = set(curated.card.classes)
    train = ingested.select("train").sort_by("id")
    labels: dict[str, str] = {}
    hashes: dict[str, str] = {}
    given: dict[str, str | None] = {}
    left = _columns(curated.select("train"), "id", "label")
    corrected = dict(left)
    for identity, label, content_hash in _columns(train, "id", "label", "content_hash"):
        now = corrected.get(identity, label)
        if content_hash is None or now not in classes:
            continue
        labels[identity], hashes[identity] = now, content_hash
        if now != label:
            given[identity] = label
    reasons, warned = _verdicts(paths, labels)
    kept = {identity for identity, _ in left if identity in labels}
    mine = {identity for identity in labels if identity not in reasons}
    if kept != mine:
        raise DataError(
            f"data/curated holds {len(kept):,} training rows and the verdicts keep {len(mine):,}: run `aigc curate` again"
        )
    own = {
        decision.name: own_ids(paths.root / decision.ids, train, labels)
        for decision in config.ablation.decisions
        if isinstance(decision, OwnDecision) and decision.ids is not None
    }
    return Pool(ingested, curated, labels, given, hashes, reasons, warned, own)


def _columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _verdicts(paths: Paths, labels: Collection[str]) -> tuple[dict[str, frozenset[str]], dict[str, int]]:
    """Reasons of every quarantined row, and how many of the other training rows each reason warns of."""
    gone: dict[str, set[str]] = defaultdict(set)
    told: dict[str, set[str]] = defaultdict(set)
    table = pq.read_table(paths.verdicts / "part-0.parquet", columns=["id", "reason", "action"])
    for identity, reason, action in _columns(table, "id", "reason", "action"):
        if action == "quarantine":
            gone[identity].add(reason)
        elif action == "warn":
            told[reason].add(identity)
    warned = {reason: sum(one in labels and one not in gone for one in ids) for reason, ids in sorted(told.items())}
    return {identity: frozenset(names) for identity, names in gone.items()}, warned


def own_ids(path: Path, train: pa.Table, labels: dict[str, str]) -> frozenset[str]:
    """Training rows that a CSV file names, by `id` or by `source` (the path below the source).

    Raises ConfigError for a missing file, no CSV, a missing column, or a name that no training row has.
    """
    if not path.is_file():
        raise ConfigError(f"ablation.decisions: {path.name} is no file beside params.yaml: write it or mend `ids`")
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path.name} is not a table in text ({error}): save it as CSV (UTF-8)") from None
    column = next((name for name in ("id", "source") if name in (reader.fieldnames or [])), None)
    if column is None:
        found = ", ".join(reader.fieldnames or []) or "nothing"
        raise ConfigError(f"{path.name} needs a column `id` or `source` in its first line, and has {found}")
    wanted = [name for line in lines if (name := (line[column] or "").strip())]
    ids = train["id"].to_pylist()
    known = dict(zip(train[column].to_pylist(), ids, strict=True))
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ConfigError(
            f"{path.name} names {len(missing):,} rows that are not training rows of this data, for example "
            f"{missing[0]!r}: only training rows can be taken away"
        )
    return frozenset(known[name] for name in wanted if known[name] in labels)

"""The training rows among which arms choose, with what the quality room said of them, read once."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.ablation.since import Added, added_since
from aigc_core.ablation.sweep import Order, read_orders
from aigc_core.config import Config, OwnDecision
from aigc_core.data.splits import unit_hash
from aigc_core.data.store import Version
from aigc_core.errors import ConfigError, DataError
from aigc_core.paths import Paths

#: Groups that a study asks about at once.
MOST_GROUPS = 20


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
    groups: dict[str, frozenset[str]]  # name of a group of rows -> its training rows, in the order of names
    orders: dict[str, Order]  # reason of a sweep -> how bad training rows are by its measure
    added: dict[str, Added]  # name of a user's decision about what came since a revision -> what that is

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
    added = {
        decision.name: added_since(decision.since, paths, hashes)
        for decision in config.ablation.decisions
        if isinstance(decision, OwnDecision) and decision.since is not None
    }
    own |= {name: one.ids for name, one in added.items()}
    groups = groups_of(config.ablation.groups, train, labels, config.seed) if config.ablation.groups else {}
    swept = config.ablation.sweep
    orders = read_orders(swept, train, ingested.rows, config.quality, paths) if swept else {}
    return Pool(ingested, curated, labels, given, hashes, reasons, warned, own, groups, orders, added)


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


def groups_of(by: str, train: pa.Table, labels: dict[str, str], seed: int) -> dict[str, frozenset[str]]:
    """Labelled training rows by their folder, by the first part of their path (the source of a mix), or half of each class.

    A class is halved because a model that is told classes cannot be without one. Raises ConfigError for too many groups.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for identity, source in _columns(train, "id", "source"):
        label = labels.get(identity)
        if label is None or (by == "label" and unit_hash(f"{seed}:group:{identity}") >= 0.5):
            continue
        parts = PurePosixPath(source).parts
        key = {"label": label, "folder": "/".join(parts[:-1]) or ".", "source": parts[0]}[by]
        found[key].add(identity)
    if len(found) > MOST_GROUPS:
        raise ConfigError(
            f"ablation.groups: {by} makes {len(found):,} groups, each a question with trainings of its own; at most {MOST_GROUPS} "
            "are asked at once: list the rows that matter in CSV files and name them under ablation.decisions"
        )
    prefix = "half_of" if by == "label" else by
    named: dict[str, frozenset[str]] = {}
    for key, ids in sorted(found.items()):
        plain = f"{prefix}_{re.sub(r'[^a-z0-9]+', '_', key.lower()).strip('_') or 'others'}"
        named[plain if plain not in named else f"{plain}_{len(named)}"] = frozenset(ids)
    return named


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

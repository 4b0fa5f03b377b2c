"""The training rows among which arms choose, with what the quality room said of them, read once."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

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
    labels: dict[str, str]  # id -> class, in the order of ids
    hashes: dict[str, str]  # id -> content hash
    reasons: dict[str, frozenset[str]]  # id -> why it is quarantined; rows that are kept are absent
    own: dict[str, frozenset[str]]  # name of a user's decision -> training rows that it brought in

    @property
    def classes(self) -> list[str]:
        """Classes of the curated training rows, in natural order."""
        return self.curated.card.classes

    @property
    def all_reasons(self) -> frozenset[str]:
        """Every reason that some row is quarantined for."""
        return frozenset().union(*self.reasons.values()) if self.reasons else frozenset()

    def rows(self, ids: set[str] | frozenset[str]) -> pa.Table:
        """Overlay rows of these ids, sorted by id."""
        table = self.ingested.select("train")
        return table.filter(pc.is_in(table["id"], value_set=pa.array(sorted(ids), pa.string()))).sort_by("id")


def open_pool(config: Config, paths: Paths) -> Pool:
    """Read the versions and verdicts. Raises DataError where they do not belong together, or nothing is labelled."""
    ingested, curated = Version.open(paths.ingested), Version.open(paths.curated)
    classes = set(curated.card.classes)
    train = ingested.select("train").sort_by("id")
    labels: dict[str, str] = {}
    hashes: dict[str, str] = {}
    columns = (train[name].to_pylist() for name in ("id", "label", "content_hash"))
    for identity, label, content_hash in zip(*columns, strict=True):
        if content_hash is not None and label in classes:
            labels[identity], hashes[identity] = label, content_hash
    reasons = _quarantined(paths)
    kept = {identity for identity in curated.select("train")["id"].to_pylist() if identity in labels}
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
    return Pool(ingested, curated, labels, hashes, reasons, own)


def _quarantined(paths: Paths) -> dict[str, frozenset[str]]:
    """Reasons of every quarantined row."""
    found: dict[str, set[str]] = defaultdict(set)
    lines = pq.read_table(paths.verdicts / "part-0.parquet", columns=["id", "reason", "action"])
    lines = lines.filter(pc.equal(lines["action"], "quarantine"))
    for identity, reason in zip(lines["id"].to_pylist(), lines["reason"].to_pylist(), strict=True):
        found[identity].add(reason)
    return {identity: frozenset(names) for identity, names in found.items()}


def own_ids(path: Path, train: pa.Table, labels: dict[str, str]) -> frozenset[str]:
    """Training rows that a CSV file names, by `id` or by `source` (the path below the source).

    Raises ConfigError for a missing file, a missing column, or a name that no training row has.
    """
    if not path.exists():
        raise ConfigError(f"ablation.decisions: {path.name} does not exist beside params.yaml: write it or mend `ids`")
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        column = next((name for name in ("id", "source") if name in (reader.fieldnames or [])), None)
        if column is None:
            found = ", ".join(reader.fieldnames or []) or "nothing"
            raise ConfigError(f"{path.name} needs a column `id` or `source` in its first line, and has {found}")
        wanted = [line[column].strip() for line in reader if line[column]]
    ids = train["id"].to_pylist()
    known = dict(zip(train[column].to_pylist(), ids, strict=True))
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ConfigError(
            f"{path.name} names {len(missing):,} rows that are not training rows of this data, for example "
            f"{missing[0]!r}: only training rows can be taken away"
        )
    return frozenset(known[name] for name in wanted if known[name] in labels)

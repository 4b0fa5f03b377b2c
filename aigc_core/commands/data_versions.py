"""Dataset versions of the workspace and of git revisions, opened in one way: card, rows, verdicts, pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.commands.revisions import Cache, Commit, Out, find_commit, locked_outs
from aigc_core.data.store import READ_ROWS, Card
from aigc_core.errors import DataError
from aigc_core.files import read_json
from aigc_core.modalities.containers import plain
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA

#: The versions that the stages make, in their order.
STAGES = {"ingested": "ingest", "curated": "curate", "augmented": "augment"}
CARD, ROWS = "card.json", "rows.parquet"
#: What a revision without a name of a version means.
DEFAULT = "curated"
#: Versions that verdicts led to.
JUDGED = ("curate", "augment")
ROW_COLUMNS = ["id", "split", "source"]  # without which rows say nothing
VERDICT_COLUMNS = ["id", "source", "reason", "action"]


class State(Protocol):
    """A moment whose versions can be read: the workspace, or a commit."""

    @property
    def name(self) -> str:
        """What people call it."""

    def versions(self) -> list[str]:
        """Names of the versions that it has, whether or not they can be read here."""

    def files(self, place: str) -> Mapping[str, Path]:
        """Path below the folder `place` (relative to the checkout) to file. Raises DataError where they are not here."""


@dataclass(frozen=True)
class Workspace:
    """The folders in data/ as they are now."""

    paths: Paths
    name: str = "workspace"

    def versions(self) -> list[str]:
        """Folders in data/ that hold a card and rows."""
        cards = self.paths.data.glob(f"*/{CARD}")
        return in_order(card.parent.name for card in cards if (card.parent / ROWS).is_file())

    def files(self, place: str) -> Mapping[str, Path]:
        """See State."""
        folder = self.paths.root / place
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Committed:
    """What a commit's dvc.lock names and the DVC cache still holds."""

    commit: Commit
    outs: Mapping[str, Out]
    cache: Cache

    @classmethod
    def open(cls, paths: Paths, commit: Commit, cache: Cache) -> Committed:
        """Read its dvc.lock. Raises DataError where it has none."""
        return cls(commit, locked_outs(paths.root, commit), cache)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.commit.name

    def versions(self) -> list[str]:
        """The stages' own by their name; other folders where the cache says that they hold a card and rows."""
        places = [path for path in self.outs if posixpath.dirname(path) == "data"]
        return in_order(place.removeprefix("data/") for place in places if self._is_version(place))

    def _is_version(self, place: str) -> bool:
        listing = self.cache.listing(self.outs[place])
        return place.removeprefix("data/") in STAGES if listing is None else {CARD, ROWS} <= listing.keys()

    def files(self, place: str) -> Mapping[str, Path]:
        """See State."""
        for path, out in self.outs.items():
            if place == path or place.startswith(f"{path}/"):
                listing = self.cache.listing(out)
                if listing is None:
                    raise DataError(_bring(self.name, path))
                below = posixpath.relpath(place, path)
                inside = "" if below == "." else f"{below}/"
                return {name.removeprefix(inside): file for name, file in listing.items() if name.startswith(inside)}
        raise DataError(f"dvc.lock of {self.name} names no {place}: its stages had not made it")


def _bring(state: str, place: str) -> str:
    return (
        f"the DVC cache does not hold {place} of {state}: `dvc fetch --all-commits {place}` brings what was pushed to a "
        f"remote; where nothing was, check that revision out and run `dvc repro`"
    )


@dataclass(frozen=True)
class Snapshot:
    """One version of one state."""

    name: str
    state: State
    card: Card
    folder: Mapping[str, Path]

    @classmethod
    def open(cls, state: State, name: str) -> Snapshot:
        """Read the card. Raises DataError where the version is not there or its files are not here."""
        folder = state.files(f"data/{name}")
        for needed in (CARD, ROWS):
            if needed not in folder or not folder[needed].is_file():
                raise DataError(_absent(state, name))
        return cls(name, state, _card(folder[CARD], f"{name} of {state.name}"), folder)

    def __str__(self) -> str:
        return f"{self.name} {self.card.version} ({self.state.name})"

    def rows(self) -> pa.Table:
        """The overlay with the columns of ROW_SCHEMA, sorted by id; a column that an earlier program did not write is null."""
        table = _table(self.folder[ROWS], f"{self.name} of {self.state.name}", ROW_COLUMNS)
        for name in set(ROW_SCHEMA.names) - set(table.column_names):
            table = table.append_column(ROW_SCHEMA.field(name), pa.nulls(table.num_rows, ROW_SCHEMA.field(name).type))
        return table.select(ROW_SCHEMA.names).sort_by("id")

    def lacking(self) -> set[str]:
        """Columns of ROW_SCHEMA that an earlier program did not write."""
        return set(ROW_SCHEMA.names) - set(pq.read_schema(self.folder[ROWS]).names)

    def verdicts(self) -> pa.Table | None:
        """What the checks said of the rows that this version was chosen from; None of a version that nothing judged."""
        if self.card.operation not in JUDGED:
            return None
        part = self.state.files("data/verdicts").get("part-0.parquet")
        if part is None or not part.is_file():
            raise DataError(_bring(self.state.name, "data/verdicts"))
        return _table(part, f"verdicts of {self.state.name}", VERDICT_COLUMNS).select(VERDICT_COLUMNS)

    def contents(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes | None]]:
        """Stream (id, encoded original) of the wanted rows, reading no more than the row groups that they lie in."""
        ids = pa.array(sorted(wanted), pa.string())
        for shard in self._shards({identity[0] for identity in wanted}):
            try:
                yield from _stored(shard, ids)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{shard.name} cannot be read ({plain(str(error), 200)}): {_AGAIN}") from None

    def _shards(self, prefixes: Collection[str]) -> list[Path]:
        names = {f"content-{prefix}.parquet" for prefix in prefixes}
        shards = []
        for content in self.card.content:
            place = posixpath.normpath(f"data/{self.name}/{content}")
            if not place.startswith("data/"):
                raise DataError(f"the card of {self} names content outside data/ ({plain(content)}), which is not read")
            for name, file in sorted(self.state.files(place).items()):
                if name in names:
                    if not file.is_file():
                        raise DataError(_bring(self.state.name, place))
                    shards.append(file)
        return shards


def _stored(shard: Path, ids: pa.Array) -> Iterator[tuple[str, bytes | None]]:
    with pq.ParquetFile(shard) as file:
        for group in range(file.num_row_groups):
            found = file.read_row_group(group, columns=["id"])["id"]
            if not pc.any(pc.is_in(found, value_set=ids)).as_py():
                continue
            for batch in file.iter_batches(READ_ROWS, row_groups=[group]):
                hits = batch.filter(pc.is_in(batch["id"], value_set=ids))
                yield from zip(hits["id"].to_pylist(), hits["content"].to_pylist(), strict=True)


def find(paths: Paths, name: str) -> Snapshot:
    """The version that a name means: one in data/ (`curated`), `curated` of a git revision (`HEAD~1`), or another one of it
    (`HEAD~1:ingested`). Raises DataError where there is none, or where its files are not here.
    """
    workspace = Workspace(paths)
    plain_name = name.rstrip("/").removeprefix("data/")
    if plain_name in workspace.versions():
        return Snapshot.open(workspace, plain_name)
    if plain_name in STAGES:
        raise DataError(_absent(workspace, plain_name))
    if plain_name == "quarantine":
        raise DataError("quarantine is what curation took out: `aigc data diff ingested curated` shows it as removed")
    revision, _, version = name.partition(":")
    wanted = version.rstrip("/").removeprefix("data/") or DEFAULT
    state = Committed.open(paths, find_commit(paths.root, revision), Cache.of(paths.root))
    if wanted not in state.versions():
        there = ", ".join(state.versions()) or "none"
        raise DataError(f"{plain(revision)} has no version {plain(wanted)!r}: there are {there}")
    return Snapshot.open(state, wanted)


def in_order(names: Collection[str] | Iterator[str]) -> list[str]:
    """Versions as the stages make them, others after them."""
    known = list(STAGES)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _absent(state: State, name: str) -> str:
    if isinstance(state, Workspace):
        return (
            f"data/{name} is not there: `dvc checkout` brings it back from the cache, `dvc pull` from a remote, and "
            f"`dvc repro {STAGES[name]}` makes it"
        )
    return _bring(state.name, f"data/{name}")


def _card(path: Path, what: str) -> Card:
    """A card, also of a program that wrote more fields. Raises DataError where needed ones are missing."""
    try:
        facts = read_json(path)
        return Card(**{field.name: facts[field.name] for field in fields(Card) if field.name in facts})
    except (ValueError, TypeError) as error:
        raise DataError(f"the card of {what} cannot be read ({plain(str(error))}): {_AGAIN}") from None


#: Both the workspace and the cache are mended by taking the damaged file away.
_AGAIN = "`dvc fetch` and `dvc checkout`, or `dvc repro`, bring a whole one when the damaged file is deleted"


def _table(path: Path, what: str, needed: Collection[str]) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} ({what}) cannot be read ({plain(str(error), 200)}): {_AGAIN}") from None
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise DataError(f"the table of {what} has no column {', '.join(missing)}: another program wrote it")
    return table

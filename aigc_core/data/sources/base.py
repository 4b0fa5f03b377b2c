"""What every reader offers: a list of entries first, their bytes one at a time after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from aigc_core.data.splits import unit_hash
from aigc_core.records import Split
from aigc_core.registry import Registry

#: A file or an archive member of more bytes is refused unread.
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One raw row before it is read. `key` is its path below the source, with member and index."""

    key: str
    label: str | None = None
    text: str | None = None
    split: Split | None = None  # only where the source itself names one
    pinned: bool = False  # `split` is final, and is not divided into reference and train
    refused: str | None = None  # why its bytes may not be read
    parent: str | None = None
    op: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a reader left out, guessed, or found not to meet: counted, and said where people look."""

    code: str  # stable name, [a-z_]+
    count: int  # files, rows or columns that it concerns
    text: str  # one sentence with up to three examples


#: Reads the bytes of one entry. May raise OSError.
Reader = Callable[[Entry], bytes]


def _nothing() -> None:
    """Readers that keep no file open have nothing to close."""


@dataclass(frozen=True)
class OpenSource:
    """Entries in a stable order and the way to read them. The list holds names only, never pixels.

    Reading in the order of `entries` is one pass over the source; any other order works and may be slow.
    """

    entries: list[Entry]
    read: Reader
    skipped: dict[str, int] = field(default_factory=dict)  # files that are no rows, by suffix
    close: Callable[[], None] = _nothing
    notices: list[Notice] = field(default_factory=list)

    def items(self) -> Iterator[tuple[Entry, bytes | None, str | None]]:
        """Stream (entry, bytes or null, why the bytes could not be read)."""
        for entry in self.entries:
            content, error = self.fetch(entry)
            yield entry, content, error

    def fetch(self, entry: Entry) -> tuple[bytes | None, str | None]:
        """Bytes of one entry, or null and why they could not be read."""
        if entry.refused:
            return None, entry.refused
        try:
            return self.read(entry), None
        except OSError as error:
            return None, f"cannot be read: {error.strerror or error}"


def one_line(error: BaseException) -> str:
    """What a foreign error says, cut to 300 letters without line breaks; its name where it says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def closed_on_error(close: Callable[[], None]) -> Iterator[None]:
    """Calls `close` when the block raises; a block that ends hands what is open to its caller."""
    try:
        yield
    except BaseException:
        close()
        raise


readers: Registry[Callable[..., OpenSource]] = Registry("source kind")


def own_splits(entries: list[Entry]) -> list[Entry]:
    """The entries with the splits that their source names, or with none.

    Without test rows of its own a source has no split worth keeping: everything is divided anew. A source that
    names its reference rows too is taken as it is.
    """
    named = {entry.split for entry in entries}
    if "test" not in named:
        return [replace(entry, split=None) for entry in entries]
    if "reference" in named:
        return [replace(entry, pinned=entry.split is not None) for entry in entries]
    return entries


def sample(entries: list[Entry], limit: int | None, seed: int) -> list[Entry]:
    """A seeded sample of `limit` entries, stratified by split and class, in the order of `entries`.

    Quotas are proportional with the largest remainders rounded up; within a group the lowest hashes of (seed, key)
    are taken, so that a larger limit contains a smaller one up to rounding.
    """
    if limit is None or limit >= len(entries):
        return entries
    groups: dict[tuple[str, str], list[int]] = {}
    for position, entry in enumerate(entries):
        groups.setdefault((entry.split or "", entry.label or ""), []).append(position)
    shares = {name: limit * len(members) / len(entries) for name, members in groups.items()}
    quotas = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(groups, key=lambda name: (quotas[name] - shares[name], name))
    for name in by_remainder[: limit - sum(quotas.values())]:
        quotas[name] += 1
    chosen: set[int] = set()
    for name, members in groups.items():
        ranked = sorted(members, key=lambda position: unit_hash(f"{seed}:{entries[position].key}"))
        chosen.update(ranked[: quotas[name]])
    return [entry for position, entry in enumerate(entries) if position in chosen]

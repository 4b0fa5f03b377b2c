"""What files were left out and what decoding said, as notices; and how many notices a terminal shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from aigc_core.data.sources.base import Notice
from aigc_core.data.sources.tally import printable

#: Suffixes that are shown of one kind of files.
SUFFIXES = 6
#: Kinds of decode notes that are told one by one, and that are counted at all.
NOTE_KINDS = 8
COUNTED_KINDS = 1000
#: Lines that are shown below a summary.
LINES = 12


def left_out(skipped: Mapping[str, int], groups: Mapping[str, str]) -> list[Notice]:
    """What a reader skipped: one notice of all files that are no rows, and one of each other kind.

    `groups` says in a word what files of a suffix are.
    """
    files: dict[str, Counter[str]] = {}
    told: list[Notice] = []
    for what, count in sorted(skipped.items()):
        if what in groups or what.startswith("."):
            files.setdefault(groups.get(what, "others"), Counter())[what] += count
        else:
            told.append(Notice("skipped", count, f"{what}: {count:,}"))
    kinds = sorted(files.items(), key=lambda item: -item[1].total())
    total = sum(counts.total() for _, counts in kinds)
    if total:
        words = ", ".join(f"{kind} {counts.total():,}{_suffixes(counts)}" for kind, counts in kinds)
        told.append(Notice("left_out", total, f"left out, being no images: {words}"))
    return told


def _suffixes(counts: Counter[str]) -> str:
    found = [what for what in counts if what.startswith(".")]
    more = " ..." if len(found) > SUFFIXES else ""
    return f" ({' '.join(found[:SUFFIXES])}{more})" if found else ""


@dataclass
class _Kind:
    text: str  # the first one
    count: int = 0
    varies: bool = False

    def words(self) -> str:
        return f"{self.text} (with other numbers too)" if self.varies else self.text


class DecodeNotes:
    """Counts what decoding says of rows by kind: texts that differ by numbers only are one kind."""

    def __init__(self) -> None:
        self._failed: dict[str, _Kind] = {}
        self._read: dict[str, _Kind] = {}

    def add(self, note: str | None, *, decoded: bool) -> None:
        """Take the note of one row: what had to be normalised, or why it could not be decoded."""
        if note is None:
            return
        kinds = self._read if decoded else self._failed
        for text in note.split("; ") if decoded else [note]:
            name = re.sub(r"\d+(?:[.,]\d+)*", "0", text)
            if name not in kinds and len(kinds) >= COUNTED_KINDS:
                name = text = "other reasons"
            kind = kinds.setdefault(name, _Kind(printable(text)))
            kind.count += 1
            kind.varies |= kind.text != printable(text)

    def reasons(self, most: int = NOTE_KINDS) -> str:
        """Why rows could not be decoded, the commonest first, with counts and what to do."""
        told = [f"{_rows(kind.count)}: {kind.words()}{_advice(kind.text)}" for kind in _ranked(self._failed)]
        rest = f"; {len(told) - most} more reasons" if len(told) > most else ""
        return "; ".join(told[:most]) + rest

    def notices(self) -> list[Notice]:
        """At most NOTE_KINDS notices of either sort, and one for all other kinds."""
        return [
            *_told("undecodable", "cannot be decoded: ", self._failed),
            *_told("decode_note", "", self._read),
        ]


def _ranked(kinds: Mapping[str, _Kind]) -> list[_Kind]:
    return sorted(kinds.values(), key=lambda kind: (-kind.count, kind.text))


def _told(code: str, before: str, kinds: Mapping[str, _Kind]) -> list[Notice]:
    ranked = _ranked(kinds)
    told = [(kind.count, f"{kind.words()}{_advice(kind.text)}") for kind in ranked[:NOTE_KINDS]]
    rest = sum(kind.count for kind in ranked[NOTE_KINDS:])
    if rest:
        told.append((rest, "other notes"))
    return [Notice(code, count, f"{before}{_rows(count)}: {text}") for count, text in told]


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count > 1 else ''}"


#: What to do about reasons that readers give; those of the image decoder say it themselves.
_ADVICE = {
    "a link that leaves the source": "copy the files themselves into the source",
    "a link inside an archive is not followed": "pack the files instead of links to them",
    "archive member that cannot be unpacked": "unpack the archive yourself and name the folder in source.path",
    "damaged archive member": "fetch the archive again",
    "the archive ends inside it": "fetch the archive again",
}


def _advice(text: str) -> str:
    return next((f" ({advice})" for start, advice in _ADVICE.items() if start in text), "")


def shown(notices: list[Notice], most: int = LINES) -> list[str]:
    """The notices as lines for a terminal; those beyond `most` are counted."""
    if len(notices) <= most:
        return [notice.text for notice in notices]
    lines = [notice.text for notice in notices[: most - 1]]
    return [*lines, f"{len(notices) - len(lines)} more kinds of notices in data/ingested/notices.json"]

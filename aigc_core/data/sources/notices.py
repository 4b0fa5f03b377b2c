"""What readers left out, guessed or found not to meet: counted by kind while reading, and one sentence for each kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from aigc_core.data.sources.base import Notice

#: Names that a sentence shows.
EXAMPLES = 3
#: Letters of one example.
EXAMPLE_LETTERS = 120
#: Kinds of decode notes that are told one by one, and that are counted at all.
NOTE_KINDS = 8
COUNTED_KINDS = 1000
#: Lines that are shown below a summary.
LINES = 12

#: What each code says, in the order in which notices are told, and what to do about it where that is not plain.
SENTENCES: dict[str, tuple[str, str]] = {
    "only_held_out": (
        "folders that hold every row, all of them held out by their names",
        "nothing is left to train on: name the folder itself in source.path to divide its rows anew",
    ),
    "beside_splits": ("folders beside splits whose names do not say what they are", ""),
    "split_or_class": (
        "folders that are called like splits and were read as classes",
        "if they are held out, put all other folders into train/",
    ),
    "class_in_split_name": ("classes that were read from the names of split folders", ""),
    "not_a_class": ("folders that hold rows without being a class", ""),
    "wrapping_folder": (
        "folders that wrap everything and were not read as a class",
        "if it is the only class, put it into another folder",
    ),
    "masks": (
        "folders that look like masks or other maps of the pictures beside them",
        "they were read as pictures too: name the folder of the pictures in source.path to read those alone",
    ),
    "deeper_folders": ("folders below classes that were not read as classes of their own", ""),
    "empty_folders": ("folders without a file", ""),
    "names_alike": ("classes whose names differ by case or blanks only, and which stay apart", ""),
    "one_class": ("classes, the only one of all rows", ""),
    "no_labels": ("rows without a label, which are all", "neither class folders nor a table name classes"),
    "unlabelled": ("rows without a label beside rows with one", ""),
    "table_not_read": ("tables beside the images that were not read", ""),
    "empty_table": ("tables without a row", ""),
    "rows_without_file": ("rows of tables whose file does not exist in the source", ""),
    "ambiguous_names": ("rows of tables that could mean several files, and were not used", ""),
    "files_without_row": ("images that no table names", ""),
    "names_met_loosely": ("rows of tables that name a file in another way than it is called, and met it", ""),
    "listed_twice": ("rows of tables for a file that was listed before with other facts", "the first row counts"),
    "label_not_folder": ("rows whose label in a table is not their folder's name", "the table's counts"),
    "split_conflict": ("rows that a folder and a table put into different splits", "held out counts"),
    "unknown_split": ("rows of tables with a split that is not known", ""),
    "values_not_read": ("labels or captions that are neither text nor one number", "they were left out"),
    "unclosed_quote": (
        "rows of tables whose quote is not closed before the next row begins",
        "the row was ended there: close it",
    ),
    "long_rows": (
        "rows of tables with more cells than the header",
        "the rest was added to the caption where there is one: put captions with commas into quotes",
    ),
    "short_rows": ("rows of tables with fewer cells than the header", "what is missing counts as empty"),
    "bad_rows": ("rows of tables that cannot be read", ""),
    "nul_bytes": ("lines of tables with zero bytes, which were taken out", ""),
    "columns_not_read": ("columns of tables that were not read", ""),
    "captions_not_read": ("texts beside images that are no captions or cannot be read", ""),
    "facts_beside_and_in_table": ("rows with other facts in a file beside them than in a table", "the table's count"),
    "names_guessed": ("names in the archive whose letters were guessed", "pack it again with names in UTF-8"),
    "archive_inside": ("archives inside the source, which were not opened", "name one in source.path to read it"),
}


def printable(name: str) -> str:
    """A name for one line of a terminal: no control letters, cut where it is long."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= EXAMPLE_LETTERS else f"{shown[:EXAMPLE_LETTERS]}..."


class Tally:
    """Counts what has to be told, with the first examples of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, code: str, example: str = "", count: int = 1) -> None:
        """Count something of this kind; `code` is one of SENTENCES."""
        if not count:
            return
        self._counts[code] += count
        shown = self._examples.setdefault(code, [])
        if example and len(shown) < EXAMPLES:
            shown.append(printable(example))

    def merge(self, other: Tally) -> None:
        """Count what another tally counted, too."""
        for code, count in other._counts.items():
            self._counts[code] += count
            shown = self._examples.setdefault(code, [])
            shown += other._examples[code][: EXAMPLES - len(shown)]

    def __getitem__(self, code: str) -> int:
        return self._counts[code]

    def notices(self) -> list[Notice]:
        """One notice per kind that was counted, in the order of SENTENCES."""
        return [self._notice(code) for code in SENTENCES if self._counts[code]]

    def _notice(self, code: str) -> Notice:
        what, advice = SENTENCES[code]
        count, examples = self._counts[code], self._examples[code]
        shown = f" ({', '.join(examples)}{', ...' if count > len(examples) else ''})" if examples else ""
        return Notice(code, count, f"{what}: {count:,}{shown}{f'; {advice}' if advice else ''}")


def left_out(skipped: Mapping[str, int], groups: Mapping[str, str]) -> list[Notice]:
    """One notice of the files that are no rows; `groups` says in a word what files of a suffix are."""
    kinds: dict[str, Counter[str]] = {}
    for what, count in sorted(skipped.items()):
        kinds.setdefault(groups.get(what, "others" if what.startswith(".") else what), Counter())[what] += count
    words = [
        f"{counts.total():,} {kind}" + (f" ({' '.join(counts)})" if set(counts) != {kind} else "")
        for kind, counts in sorted(kinds.items(), key=lambda item: -item[1].total())
    ]
    total = sum(skipped.values())
    return [Notice("left_out", total, f"left out, being no images: {', '.join(words)}")] if total else []


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
        told = [f"{kind.count:,} {kind.words()}{_advice(kind.text)}" for kind in _ranked(self._failed)]
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
    return [
        Notice(code, count, f"{before}{count:,} row{'s' if count > 1 else ''}: {text}") for count, text in told
    ]


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

"""What readers left out, guessed or found not to meet: counted by kind while reading, and one sentence for each kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from aigc_core.data.sources.base import Notice

#: Names that a sentence shows.
EXAMPLES = 3
#: Letters of one example, and of all examples of a sentence after the first.
EXAMPLE_LETTERS = 120
EXAMPLES_LETTERS = 240
#: Suffixes that are shown of one kind of files.
SUFFIXES = 6
#: Kinds of decode notes that are told one by one, and that are counted at all.
NOTE_KINDS = 8
COUNTED_KINDS = 1000
#: Lines that are shown below a summary.
LINES = 12

#: What each code says, in the order in which notices are told: {n} is the count, {names} up to EXAMPLES examples.
SENTENCES: dict[str, str] = {
    "only_held_out": "every row is held out by the name of its folder{names}, nothing is left to train on; to divide the rows "
    "anew, name that folder itself in source.path",
    "beside_splits": "folders beside splits whose names say neither train nor test: {n}{names}",
    "split_or_class": "folders named like a split but read as a class: {n}{names}; if they are held out, put the other folders "
    "into train/",
    "class_in_split_name": "classes taken from the names of split folders: {n}{names}",
    "split_in_file_names": "files named like splits, which was not read: {n}{names}; put them into train/ and test/",
    "not_a_class": "folders not taken for a class, because their names say no more than that images are in them: {n}{names}",
    "wrapping_folder": "the folder around everything was not taken for a class{names}; if it is one, say so in a metadata.csv",
    "masks": "folders that look like masks or other maps of the images beside them: {n}{names}; they were read as images too: "
    "to leave them out, name the folder of the images in source.path",
    "deeper_folders": "folders inside class folders, not taken for classes of their own: {n}{names}",
    "empty_folders": "empty folders: {n}{names}",
    "names_alike": "classes whose names differ only in case or blanks, kept apart: {n}{names}",
    "padded_names": "classes whose names begin or end with a blank, kept as they are: {n}{names}",
    "one_class": "every row has the same class{names}",
    "no_labels": "no row has a label: neither class folders nor a table name classes",
    "unlabelled": "rows without a label, while others have one: {n}{names}",
    "table_not_read": "tables that were not read: {n}{names}",
    "empty_table": "tables without rows: {n}{names}",
    "rows_without_file": "table rows whose file is not an image of the source: {n}{names}",
    "ambiguous_names": "table rows whose file is not certain, not used: {n}{names}",
    "files_without_row": "images that no table lists: {n}{names}",
    "names_met_loosely": "table rows matched to a file whose name is written differently: {n}{names}",
    "listed_twice": "table rows that repeat a file with other values, where the first row counts: {n}{names}",
    "label_not_folder": "rows labelled by a table otherwise than by their folder, where the table counts: {n}{names}",
    "split_conflict": "rows whose folder and table name different splits, where held out counts: {n}{names}",
    "unknown_split": "table rows with an unknown split: {n}{names}",
    "values_not_read": "labels or captions that are neither text nor a number, left out: {n}{names}",
    "more_captions": "rows with several captions, of which the first was read: {n}{names}",
    "unclosed_quote": "table rows with a quote that is never closed, ended where the next row begins: {n}{names}",
    "long_rows": "table rows with more cells than the header, whose rest was added to the caption: {n}{names}; put captions "
    "with commas into quotes",
    "cut_rows": "table rows with more cells than the header, whose rest was left out: {n}{names}",
    "short_rows": "table rows with fewer cells than the header: {n}{names}; missing cells count as empty",
    "bad_rows": "table rows that cannot be read: {n}{names}",
    "nul_bytes": "table lines with NUL bytes, which were removed: {n}{names}",
    "columns_not_read": "table columns that were not read: {n}{names}",
    "captions_not_read": "files beside images that are no readable captions: {n}{names}",
    "facts_beside_and_in_table": "rows that a file beside them and a table describe differently, where the table counts: "
    "{n}{names}",
    "names_guessed": "names in the archive whose encoding was guessed: {n}{names}; pack it again with names in UTF-8",
    "archive_inside": "archives inside the source, not opened: {n}{names}; name one in source.path to read it",
}


def printable(name: str) -> str:
    """A name for one line of a terminal: no control letters, cut where it is long."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= EXAMPLE_LETTERS else f"{shown[:EXAMPLE_LETTERS]}..."


def _show(shown: list[str], more: list[str]) -> None:
    """Add examples while the sentence stays readable."""
    for example in more:
        if len(shown) < EXAMPLES and (not shown or sum(map(len, (*shown, example))) <= EXAMPLES_LETTERS):
            shown.append(example)


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
        if example:
            _show(shown, [printable(example)])

    def merge(self, other: Tally) -> None:
        """Count what another tally counted, too."""
        for code, count in other._counts.items():
            self._counts[code] += count
            _show(self._examples.setdefault(code, []), other._examples[code])

    def __getitem__(self, code: str) -> int:
        return self._counts[code]

    def notices(self) -> list[Notice]:
        """One notice per kind that was counted, in the order of SENTENCES."""
        return [self._notice(code) for code in SENTENCES if self._counts[code]]

    def _notice(self, code: str) -> Notice:
        count, examples = self._counts[code], self._examples[code]
        names = f" ({', '.join(examples)}{', ...' if count > len(examples) else ''})" if examples else ""
        return Notice(code, count, SENTENCES[code].format(n=f"{count:,}", names=names))


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

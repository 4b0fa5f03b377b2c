"""Names in a table meet files: as they are written, and else in the ways in which they usually differ."""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

#: Stands for several files that one name could mean.
AMBIGUOUS = ""


class FileNames:
    """The rows of a source, to be found by the names that tables use for them.

    `rows` are their names, `root` the folder that they lie in where it is one: an absolute path below it is understood.
    """

    def __init__(self, rows: Sequence[str], root: Path | None) -> None:
        self._rows = sorted(rows)
        self._written = frozenset(rows)
        self._composed: dict[str, str] = {}  # of names that are written in another form than Unicode's composed one
        for name in self._rows:
            composed = name if name.isascii() else unicodedata.normalize("NFC", name)
            if composed != name:
                self._composed[composed] = AMBIGUOUS if composed in self._composed else name
        self._roots = {os.path.normpath(root.absolute()), os.path.realpath(root)} if root is not None else set()
        self._folder: str | None = None
        self._indexes: dict[tuple[str, int], dict[str, str]] = {}

    def meet(self, cell: str, table: str) -> tuple[str | None, str]:
        """The row that a cell of a table names, and how: "" as written, else in a few words.

        Names are relative to the table's folder, or to the source where they name a folder. AMBIGUOUS stands for several
        rows, null for none. Nothing outside the source is looked at.
        """
        folder, _, file = table.rpartition("/")
        if (written := f"{folder}/{cell}" if folder else cell) in self._written:
            return written, ""
        name = self._below(_cleaned(cell))
        if name is None:
            return None, ""
        if name.startswith("/"):
            return self._as_written(name[1:]), ""
        for base in _bases(name, folder, file):
            if (found := self._as_written(f"{base}{name}")) is not None:
                return found, ""
        return self._loosely(name, folder)

    def _as_written(self, name: str) -> str | None:
        return name if name in self._written else self._composed.get(name)

    def _below(self, name: str | None) -> str | None:
        """The name; of an absolute path the part below the root, with the slash before it."""
        if not name or not name.startswith("/"):
            return name or None
        roots = [root.rstrip("/") for root in self._roots]
        return next((name.removeprefix(root) for root in roots if name.startswith(f"{root}/")), None)

    def _loosely(self, name: str, folder: str) -> tuple[str | None, str]:
        """By case, without its suffix, or without its folders, among the rows below `folder`: where one file fits."""
        if folder != self._folder:
            self._folder, self._indexes = folder, {}
        depth = name.count("/") + 1
        own = f"{folder}/{name}" if folder else name
        several = False
        for what, key, parts, how in (
            ("name", own, 0, "by case only"),
            ("stem", own, 0, "without its suffix"),
            ("name", name, depth, "without its folder"),
            ("stem", name, depth, "without its folder and suffix"),
        ):
            found = self._index(what, parts).get(key.casefold())
            if found:
                return found, how
            several |= found == AMBIGUOUS
        return (AMBIGUOUS if several else None), ""

    def _index(self, what: str, parts: int) -> dict[str, str]:
        """Rows below the folder by their last `parts` parts, or all where that is 0, with or without suffix."""
        index = self._indexes.get((what, parts))
        if index is None:
            index = self._indexes[what, parts] = {}
            for row in self._below_folder():
                name = unicodedata.normalize("NFC", row)
                name = "/".join(name.rsplit("/", parts)[-parts:]) if parts else name
                key = (os.path.splitext(name)[0] if what == "stem" else name).casefold()  # noqa: PTH122  (as text)
                index[key] = row if key not in index else AMBIGUOUS
        return index

    def _below_folder(self) -> Sequence[str]:
        if not self._folder:
            return self._rows
        begin = bisect_left(self._rows, f"{self._folder}/")
        return self._rows[begin : bisect_left(self._rows, f"{self._folder}0")]  # "0" follows "/"


def _bases(name: str, folder: str, file: str) -> list[str]:
    """Folders that a name may be relative to; `train.csv` may lie beside the folder `train`."""
    own = f"{folder}/" if folder else ""
    return [own, *([""] if folder and "/" in name else []), f"{own}{file.rpartition('.')[0]}/"]


def _cleaned(cell: str) -> str | None:
    """A name with `/` between its parts, without blanks around it and without `.`; null where it climbs out."""
    name = unicodedata.normalize("NFC", cell).strip().replace("\\", "/").removeprefix("file://")
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if name.startswith("/") else "") + "/".join(parts)

"""Files that stand beside one image and say something of it: captions, classes and facts of the same name.

`a.txt`, `a.caption` and `a.prompt` hold a caption, `a.cls` a class, `a.json` both under their usual names; `a` is the name
of the image without its suffix, or with it. So are written samples of WebDataset, too, where the files are members of
one tar.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from aigc_core.data.sources.kinds import suffix_of
from aigc_core.data.sources.metadata.roles import USUAL, Facts, as_text, plain
from aigc_core.data.sources.notices import Tally
from aigc_core.data.splits import SPLIT_NAMES

#: Lines of boxes as YOLO writes them: a class and at least four numbers.
_BOXES = re.compile(r"\s*(?:\d+(?:[ \t]+[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?){4,}\s*(?:\n|$))+")


def read_beside(
    files: Iterable[str], rows: Sequence[str], read: Callable[[str], bytes], tally: Tally
) -> tuple[dict[str, Facts], set[str]]:
    """Facts of rows from the files beside them, and which of the files stand beside a row."""
    owners = _owners(rows)
    found: dict[str, Facts] = {}
    used: set[str] = set()
    for file in files:
        suffix = suffix_of(file)
        owned = owners.get(_key(file[: -len(suffix)] if file.lower().endswith(suffix) else file.rpartition(".")[0]), ())
        if not owned:
            continue
        used.add(file)
        facts = _facts(file, suffix, read, tally)
        for row in owned if facts is not None else ():
            found[row] = _joined(found[row], facts, suffix) if row in found else facts
    return found, used


def _key(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _owners(rows: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Rows by their name without suffix, and by their whole name."""
    owners: dict[str, tuple[str, ...]] = {}
    for row in rows:
        suffix = suffix_of(row)
        for key in {_key(row), _key(row[: -len(suffix)]) if suffix else row}:
            owners[key] = (*owners.get(key, ()), row)
    return owners


def _joined(old: Facts, new: Facts | None, suffix: str) -> Facts:
    """Facts of two files; what a .json says counts least."""
    first, second = (old, new) if suffix == ".json" else (new, old)
    pairs = zip(first or (), second or (), strict=False)
    return Facts(*(one if one is not None else two for one, two in pairs))


def _facts(file: str, suffix: str, read: Callable[[str], bytes], tally: Tally) -> Facts | None:
    """What one file says; null, and counted, where it says nothing that can be read."""
    try:
        text = read(file).decode("utf-8-sig").strip()
        if suffix == ".json":
            return _of_object(file, json.loads(text), tally)
    except (OSError, ValueError, RecursionError):
        tally.add("captions_not_read", file)
        return None
    if suffix == ".cls":
        return Facts(label=text or None)
    if _BOXES.fullmatch(text):
        tally.add("captions_not_read", f"{file}: boxes")
        return None
    return Facts(text=text.replace("\0", "") or None)


def _of_object(file: str, value: object, tally: Tally) -> Facts | None:
    cells = {plain(str(key)): cell for key, cell in value.items()} if isinstance(value, dict) else {}
    known = {role: next((cells[name] for name in USUAL[role] if name in cells), None) for role in USUAL}
    label, text, split = (as_text(known[role], file, tally) for role in ("label", "text", "split"))
    if label is None and text is None:
        tally.add("captions_not_read", file)
        return None
    return Facts(label, text, SPLIT_NAMES.get((split or "").casefold()))

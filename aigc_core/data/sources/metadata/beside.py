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

from aigc_core.data.sources.column_names import plain
from aigc_core.data.sources.kinds import IMAGES, suffix_of
from aigc_core.data.sources.metadata.roles import Facts, as_text, caption, find_roles
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import cell_split

#: Lines of boxes as YOLO writes them: a class and at least four numbers.
_BOXES = re.compile(r"\s*(?:\d+(?:[ \t]+[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?){4,}\s*(?:\n|$))+")


def read_beside(
    files: Iterable[str], rows: Sequence[str], read: Callable[[str], bytes], tally: Tally
) -> tuple[dict[str, Facts], set[str]]:
    """Facts of rows from the files beside them, and which of the files stand beside a row."""
    owners = _owners(rows)
    found: dict[str, Facts] = {}
    used: set[str] = set()
    keys: set[str] = set()
    for file in files:
        suffix = suffix_of(file)
        owned = owners.get(_key(file.rpartition(".")[0]), [])
        if not owned:
            continue
        used.add(file)
        facts = _facts(file, suffix, read, keys, tally)
        if facts is None:
            continue
        for row in owned:
            old = found.get(row, Facts())
            found[row] = old.joined(facts) if suffix == ".json" else facts.joined(old)
    return found, used


def _key(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _owners(rows: Sequence[str]) -> dict[str, list[str]]:
    """Rows by their whole name, and by their name without the suffix of an image."""
    owners: dict[str, list[str]] = {}
    for row in rows:
        owners.setdefault(_key(row), []).append(row)
        if suffix_of(row) in IMAGES:
            owners.setdefault(_key(row.rpartition(".")[0]), []).append(row)
    return owners


def _facts(file: str, suffix: str, read: Callable[[str], bytes], keys: set[str], tally: Tally) -> Facts | None:
    """What one file says; null, and counted, where it says nothing that can be read."""
    try:
        text = read(file).decode("utf-8-sig").strip()
        if suffix == ".json":
            return _of_object(file, json.loads(text), keys, tally)
    except (OSError, ValueError, RecursionError):
        tally.add("captions_not_read", file)
        return None
    if suffix == ".cls":
        return Facts(label=text or None)
    if _BOXES.fullmatch(text):
        tally.add("captions_not_read", f"{file}: boxes")
        return None
    return Facts(text=text.replace("\0", "") or None)


def _of_object(file: str, value: object, keys: set[str], tally: Tally) -> Facts | None:
    """Facts under their usual keys; other keys are told once, whichever files have them."""
    cells = {plain(str(key)): cell for key, cell in value.items()} if isinstance(value, dict) else {}
    roles = find_roles(list(cells))
    values = list(cells.values())
    label, split = (None if at is None else as_text(values[at], file, tally) for at in (roles.label, roles.split))
    text = None if roles.text is None else caption(values[roles.text], file, tally)
    if label is None and text is None and split is None:
        tally.add("captions_not_read", file)
        return None
    for key in roles.unread.values():
        tally.add("columns_not_read", f"{file}: {key}", int(key not in keys))
        keys.add(key)
    found = None if split is None else cell_split(split)
    if split is not None and found is None:
        tally.add("unknown_split", f"{file}: {split}")
    return Facts(label, text, found)

"""Which split a name says: of a folder, of a file, or of a cell in a split column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import takewhile
from pathlib import PurePosixPath

from aigc_core.data.sources.base import Entry
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import SPLIT_NAMES
from aigc_core.records import Split

#: Words in the names of folders and files. Whatever is held out is a test row here.
SPLIT_WORDS: dict[str, Split] = {
    **SPLIT_NAMES,
    "trn": "train",
    **dict.fromkeys(
        ("tst", "t10k", "dev", "eval", "evaluation", "holdout", "heldout", "unseen"),
        "test",
    ),
}  # fmt: skip
#: t10k is the test half of MNIST; capitals and figures begin and end words, as in `testImages` and `train2017`.
_WORD = re.compile(r"(?<![A-Za-z0-9])[tT]10[kK](?![A-Za-z0-9])|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_TWO_WORDS = re.compile(r"(hold|held)[-_ ](out)", re.IGNORECASE)


def said_splits(text: str) -> set[Split]:
    """The splits whose words stand in `text` as whole words."""
    words = _WORD.findall(_TWO_WORDS.sub(r"\1\2", text))
    return {SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS}


def named_split(text: str) -> Split | None:
    """The split that one name says, or null.

    A name that says both (`train_val`) is held out, so that no held-out row is learnt from.
    """
    return _one_of(said_splits(text))


def _one_of(said: set[Split]) -> Split | None:
    return "test" if "test" in said else next(iter(said), None)


def file_splits(names: Iterable[str], tally: Tally) -> dict[str, Split | None]:
    """The splits of files by their paths, held out where a path says both.

    The words of folders that all files lie in count only where nothing nearer says a split. A folder such as
    `label=test` names a value of a column, and is passed over. `tally` receives the files that say both, and those
    that say none beside others that do. Where only files that say both could be learnt from, they say nothing.
    """
    said = _said_by_paths([PurePosixPath(name) for name in names])
    splits = {name: _one_of(words) for name, words in said.items()}
    both = [name for name, words in said.items() if len(words) > 1]
    if not {"train", None} & set(splits.values()):
        splits.update(dict.fromkeys(both))
    for name in both:
        tally.add("split_unclear", f"{name} (read as {splits[name] or 'none'})")
    if any(splits.values()):
        for name in (name for name, split in splits.items() if split is None and name not in both):
            tally.add("names_without_split", name)
    return splits


def _said_by_paths(paths: list[PurePosixPath]) -> dict[str, set[Split]]:
    """The splits that each path says below the folders that all share, else in the nearest of these."""
    folders = [path.parts[:-1] for path in paths]
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False))))
    said = {}
    for path in paths:
        words = [said_splits(part) if "=" not in part else set() for part in path.parts]
        nearest = next((found for found in reversed(words[:shared]) if found), set())
        said[str(path)] = set().union(*words[shared:]) or nearest
    return said


def tell_held_out(entries: Iterable[Entry], tally: Tally) -> None:
    """Counts the rows where all of them are held out, so that none is left to learn from."""
    splits = Counter(entry.split for entry in entries)
    if set(splits) == {"test"}:
        tally.add("nothing_to_learn_from", "", splits["test"])

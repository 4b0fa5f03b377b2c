"""Which split a name says: of a folder, of a file, or of a cell in a split column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
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

    A name that says both (`train_val`) is held out, so that no held-out row is learnt from. Names joined by `+`, as
    Hugging Face writes a union, say a split only where all of them say the same.
    """
    joined = [said_splits(part) for part in text.split("+")]
    if any(said != joined[0] for said in joined):
        return None
    return "test" if "test" in joined[0] else next(iter(joined[0]), None)


def file_splits(names: Iterable[str], tally: Tally) -> dict[str, Split | None]:
    """The splits of files by their paths: what the file's own name says, else its nearest folder that says one.

    A folder such as `label=test` names a value of a column, and is passed over. `tally` receives the files whose path
    says both splits, and those that say none beside others that do. Where only files that say both could be learnt
    from, they say nothing.
    """
    words = {name: [part for part in reversed(PurePosixPath(name).parts) if "=" not in part] for name in names}
    splits = {
        name: next((said for part in parts if (said := named_split(part))), None) for name, parts in words.items()
    }
    both = [name for name, parts in words.items() if len(set().union(*(said_splits(part) for part in parts))) > 1]
    if not {"train", None} & set(splits.values()):
        splits.update(dict.fromkeys(both))
    for name in both:
        tally.add("split_unclear", f"{name} (read as {splits[name] or 'none'})")
    if any(splits.values()):
        for name in (name for name, split in splits.items() if split is None and name not in both):
            tally.add("files_without_split", name)
    return splits


def tell_held_out(entries: Iterable[Entry], tally: Tally) -> None:
    """Counts the rows where all of them are held out, so that none is left to learn from."""
    splits = Counter(entry.split for entry in entries)
    if set(splits) == {"test"}:
        tally.add("nothing_to_learn_from", "", splits["test"])

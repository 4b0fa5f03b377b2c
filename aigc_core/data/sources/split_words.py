"""Which splits the paths of files say, taken together, and what is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import takewhile
from pathlib import PurePosixPath

from aigc_core.data.sources.base import Entry
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import ALL_NAMES, said_splits, settled
from aigc_core.records import Split


def file_splits(names: Iterable[str], tally: Tally) -> dict[str, Split | None]:
    """The splits of files by their paths, held out where a path says both.

    The words of folders that all files lie in count only where nothing nearer says a split. Words such as `query` count
    beside files that say a split. A folder such as `label=test` names a value of a column, and is passed over. `tally`
    receives the files that say both, and those that say none beside others that do. Where only files that say both
    could be learnt from, they say nothing.
    """
    said = _said_by_paths([PurePosixPath(name) for name in names])
    splits = {name: settled(words) for name, words in said.items()}
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
    named = {str(path): ["" if "=" in part else part for part in path.parts] for path in paths}
    said = {}
    for name, parts in named.items():
        words = [said_splits(part) for part in parts]
        nearest = next((found for found in reversed(words[:shared]) if found), set())
        said[name] = set().union(*words[shared:]) or nearest
    if not any(said.values()):
        return said
    return {name: found or said_splits("/".join(named[name][shared:]), ALL_NAMES) for name, found in said.items()}


def tell_held_out(entries: Iterable[Entry], tally: Tally) -> None:
    """Counts the rows where all of them are held out, so that none is left to learn from."""
    splits = Counter(entry.split for entry in entries)
    if set(splits) == {"test"}:
        tally.add("nothing_to_learn_from", "", splits["test"])

"""Folders level by level, and whether the names of a level are those of splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aigc_core.data.splits import (
    DEVELOPMENT,
    OCCASIONAL_TEST_WORDS,
    SPLIT_NAMES,
    SURELY_HELD_OUT,
    SplitName,
    split_name,
)
from aigc_core.records import Split

#: Beside so many folders without subfolders, `train` and `test` are words like the others.
MANY_CLASSES = 10


@dataclass(slots=True, eq=False)
class Folder:
    """One folder, by its name in Unicode's composed form."""

    name: str
    path: str
    parent: Folder | None
    files: int = 0  # rows directly in it
    below: int = 0  # rows in it and below it
    folders: dict[str, Folder] = field(default_factory=dict)
    label: str | None = None
    split: Split | None = None
    role: Literal["", "wrapper", "split", "class"] = ""  # what it was read as; "" where nothing was asked of it


#: Folders of one level, by name: one name may stand below several parents.
Level = dict[str, list[Folder]]


def tree(rows: Mapping[str, int]) -> tuple[dict[str, Folder], list[Folder]]:
    """Folders by their path as it is written, and all of them, each after the one that it lies in."""
    root = Folder("", "", None)
    order, where = [root], dict[str, Folder]()
    for path, count in sorted(rows.items()):
        folder = root
        for part in path.split("/") if path else ():
            name = unicodedata.normalize("NFC", part)
            if name not in folder.folders:
                inside = folder.folders[name] = Folder(name, f"{folder.path}/{name}".lstrip("/"), folder)
                order.append(inside)
            folder = folder.folders[name]
        folder.files += count
        where[path] = folder
    for folder in reversed(order):
        folder.below += folder.files
        if folder.parent is not None:
            folder.parent.below += folder.below
    return where, order


def level_of(group: Iterable[Folder]) -> Level:
    """The folders in all folders of a group, by name."""
    level: Level = {}
    for parent in group:
        for name, folder in parent.folders.items():
            level.setdefault(name, []).append(folder)
    return level


def both(splits: Mapping[str, Split]) -> bool:
    """Whether there are training and held-out folders."""
    return len(set(splits.values())) == 2


def is_held_out(folder: Folder) -> bool:
    """Whether a folder inside others is held out by its name: a class is so only where no class is called like it."""
    found = split_name(folder.name)
    if found is None or found.split != "test" or found.rest or found.word not in SPLIT_NAMES:
        return False
    return not folder.role or (folder.role == "class" and found.word in SURELY_HELD_OUT)


def is_flat(level: Level) -> bool:
    """Whether no folder of the level holds another."""
    return not any(folder.folders for folders in level.values() for folder in folders)


def splits_of(level: Level) -> dict[str, Split]:
    """The folders of a level that are splits, by name; empty where all of them are classes.

    Names of splits count where several agree (`train` and `test`), where all folders are called like splits, where a
    folder is called as no class would be (`holdout`), or where it holds the same folders as those beside it.
    """
    named = {name: found for name in level if (found := split_name(name))}
    sure = _agreeing(named, len(level))
    splits: dict[str, Split] = {name: named[name].split for name in sure}
    words = {named[name].word for name in sure}
    if "train" not in splits.values() and len(splits) > 1:
        early = {name for name in sure if named[name].word in DEVELOPMENT}
        if len(early) < len(splits):  # `development` beside `test` is what is trained on
            splits.update(dict.fromkeys(early, "train"))
    others = level.keys() - splits.keys()
    surely = any(named[name].word in SURELY_HELD_OUT or not named[name].bare for name in sure)
    if not splits or (not others and words <= set(OCCASIONAL_TEST_WORDS)):
        return {}
    if not others or both(splits):
        return {} if len(others) >= MANY_CLASSES and is_flat(level) and not surely else splits
    inside = level_of(folder for name in splits for folder in level[name]).keys()
    beside = level_of(folder for name in others for folder in level[name])
    same = len(level) == 2 and inside and inside == beside.keys()
    return splits if inside & others or same or surely or _holds_splits(beside) else {}


def _holds_splits(level: Level) -> bool:
    """Whether names of both kinds stand on this level, and nothing else."""
    named = [split_name(name) for name in level]
    return {found.split for found in named if found and not found.rest} == {"train", "test"} and None not in named


def _agreeing(named: Mapping[str, SplitName], size: int) -> list[str]:
    """Names that say a split and nothing else, or whose other words stand with both kinds of split."""
    kinds: dict[str, set[Split]] = {}
    for found in named.values():
        kinds.setdefault(found.rest.casefold(), set()).add(found.split)
    agreeing = [name for name, found in named.items() if not found.rest or len(kinds[found.rest.casefold()]) == 2]
    both = {found.split for found in named.values()} == {"train", "test"}
    return list(named) if agreeing and both and len(named) == size else agreeing

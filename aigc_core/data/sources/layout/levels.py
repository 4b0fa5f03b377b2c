"""Folders level by level, and whether the names of a level are those of splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aigc_core.data.splits import (
    DEVELOPMENT,
    FILLERS,
    OCCASIONAL_TEST_WORDS,
    SURELY_HELD_OUT,
    SplitName,
    name_words,
    split_name,
)
from aigc_core.records import Split

#: Names by the words in them.
Words = dict[tuple[str, ...], str]
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
    words: Words | None = None  # of the folders in it, once they were asked for


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
    """Whether a folder inside others is held out by its name: a class is so only where no class is called like it.

    With further words the name of a class counts inside training folders, or beside the class that it is a part of.
    """
    found = split_name(folder.name)
    if found is None or not found.holds_out or folder.role == "wrapper":
        return False
    if held_out_of(folder) or not (folder.role or found.rest):
        return True
    trained = folder.parent is not None and folder.parent.split == "train"
    return found.word in SURELY_HELD_OUT and (not found.rest or not folder.role or trained)


def held_out_of(folder: Folder) -> str | None:
    """The class that a folder is the held-out part of, as `cat_test` is of `cat`: a folder beside it, or the one it lies in."""
    parent = folder.parent
    if parent is None:
        return None
    if parent.words is None:
        parent.words = _by_word(parent.folders)
    inside = _part_of(folder.name, _by_word([parent.name])) if parent.role == "class" else None
    return inside or _part_of(folder.name, parent.words)


def held_out_parts(level: Level) -> dict[str, str]:
    """The folders of a level that are the held-out part of another one, with the name of that: `cat_test` of `cat`."""
    named = [name for name in level if (found := split_name(name)) and found.split == "test"]
    words = _by_word(level) if named else {}
    return {name: other for name in named if (other := _part_of(name, words))}


def _by_word(names: Iterable[str]) -> Words:
    """Names by all of their words, and by those that say something."""
    found: Words = {}
    words = {name: tuple(map(str.casefold, name_words(name))) for name in names}
    for shorten in (tuple, _without_fillers):
        for name, all_words in words.items():
            found.setdefault(shorten(all_words), name)
    return found


def _without_fillers(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in FILLERS)


def _part_of(name: str, words: Words) -> str | None:
    """Which name a name is but for words that hold out, and for words that say nothing; null where none is."""
    found = split_name(name)
    if found is None or not found.holds_out:
        return None
    return next((words[key] for key in (found.others, _without_fillers(found.others)) if key and key in words), None)


def is_flat(level: Level) -> bool:
    """Whether no folder of the level holds another."""
    return not any(folder.folders for folders in level.values() for folder in folders)


def splits_of(level: Level) -> dict[str, Split]:
    """The folders of a level that are splits, by name; empty where all of them are classes.

    Names of splits count where several agree (`train` and `test`), where all folders are called like splits, where a
    folder is called as no class would be (`holdout`, or `cat_test` beside `cat`), or where it holds the same folders as
    those beside it.
    """
    named = {name: found for name in level if (found := split_name(name))}
    held = held_by_name(level)
    held = [] if len(held) == len(level) else held
    sure = list(dict.fromkeys([*_agreeing(named, level), *held]))
    splits: dict[str, Split] = {name: named[name].split for name in sure}
    words = {named[name].word for name in sure}
    if "train" not in splits.values() and len(splits) > 1:
        early = {name for name in sure if named[name].word in DEVELOPMENT and name not in held}
        if len(early) < len(splits):  # `development` beside `test` is what is trained on
            splits.update(dict.fromkeys(early, "train"))
    others = level.keys() - splits.keys()
    surely = held or any(named[name].word in SURELY_HELD_OUT or not named[name].bare for name in sure)
    if not splits or (not others and words <= set(OCCASIONAL_TEST_WORDS)):
        return {}
    if not others or both(splits):
        return {} if len(others) >= MANY_CLASSES and is_flat(level) and not surely else splits
    return splits if surely or _parts_others(level, splits) else {}


def held_by_name(level: Level) -> list[str]:
    """Folders that words beside a class hold out: `dog_val`, and `cat_test` beside `cat`, without a `cat_train`."""
    named = {name: found for name in level if (found := split_name(name))}
    if not named:
        return []
    kinds, parts = _kinds(named), held_out_parts(level)
    return [
        name
        for name, found in named.items()
        if found.split == "test" and len(kinds[found.rest.casefold()]) == 1
        if name in parts or (found.rest and found.word in SURELY_HELD_OUT)
    ]


def _parts_others(level: Level, splits: Mapping[str, Split]) -> bool:
    """Whether folders called like one kind of split are told to be splits by what they and the others hold."""
    others = level.keys() - splits.keys()
    inside = level_of(folder for name in splits for folder in level[name]).keys()
    beside = level_of(folder for name in others for folder in level[name])
    same = len(level) == 2 and inside and inside == beside.keys()
    few = len(others) == 1 or (not beside and len(others) < len(inside))
    trained = inside and few and set(splits.values()) == {"train"}
    return bool(inside & others or same or trained or _holds_splits(beside))


def _holds_splits(level: Level) -> bool:
    """Whether names of both kinds stand on this level, and nothing else."""
    named = [split_name(name) for name in level]
    return {found.split for found in named if found and not found.rest} == {"train", "test"} and None not in named


def _agreeing(named: Mapping[str, SplitName], level: Level) -> list[str]:
    """Names that say a split and nothing else, or whose other words stand with both kinds of split.

    Where all names say a split, and both kinds are among them, other words may differ: `lung_train` and `heart_test`. Only
    `train_station` and `test_tube` without folders in them are rather classes.
    """
    kinds = _kinds(named)
    agreeing = [name for name, found in named.items() if not found.rest or len(kinds[found.rest.casefold()]) == 2]
    both = {found.split for found in named.values()} == {"train", "test"} and len(named) == len(level)
    enough = agreeing or not is_flat(level) or all(found.last for found in named.values())
    return list(named) if both and enough else agreeing


def _kinds(named: Mapping[str, SplitName]) -> dict[str, set[Split]]:
    """The kinds of split that names with the same further words say."""
    kinds: dict[str, set[Split]] = {}
    for found in named.values():
        kinds.setdefault(found.rest.casefold(), set()).add(found.split)
    return kinds

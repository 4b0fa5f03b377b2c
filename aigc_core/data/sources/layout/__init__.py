"""What the folders of a source stand for: splits, classes, or nothing that a row is told by.

All folders of one level are looked at together: `test` beside `train` is a split, `test` beside `cat` is a class. A
level is the folders in a group of folders: first those in the source itself, then those in all of its splits, so that
the classes of train and test are found as one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from aigc_core.data.sources.layout.levels import (
    Folder,
    Level,
    both,
    held_by_name,
    held_out_of,
    held_out_parts,
    is_flat,
    is_held_out,
    level_of,
    splits_of,
    tree,
)
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import MORE_TRAINING, SPLIT_NAMES, split_name
from aigc_core.records import Split

#: Folders that hold pictures without saying which, where they are alone on their level.
PLAIN_FOLDERS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "pics", "jpg", "jpgs", "jpeg", "png", "pngs",
     "files", "frames", "data", "dataset", "raw", "all"}
)  # fmt: skip
#: Folders that hold maps of other pictures.
MASK_FOLDERS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "gt", "groundtruth", "ground_truth", "seg",
     "segmentation", "segmentations", "segmentationclass", "segmentationobject", "depth", "depths"}
)  # fmt: skip
#: Folders that number the parts of a set, and how tools number folders of a thousand files each.
_PART = re.compile(r"(part|fold|batch|shard|chunk|folder)s?[\W_]*\d+", re.IGNORECASE)
_SHARD = re.compile(r"\d{5,}")
#: More folders than these are hardly splits in words that are not known.
MOST_SPLITS = 4


#: Label and split of the rows in a folder.
Place = tuple[str | None, Split | None]


def arrange(rows: Mapping[str, int], tally: Tally) -> dict[str, Place]:
    """Label and split of each folder in `rows`, which counts the rows that lie directly in it ("" is the source).

    What was not clear is counted in `tally`, by the folder's path.
    """
    where, order = tree(rows)
    todo = [order[0]]
    while todo:
        todo += _read(todo.pop(), tally)
    for folder in order[1:]:  # parents come before what is in them
        _inherit(folder, folder.parent or order[0], tally)
    named = [folder for folder in order if folder.split and not (folder.parent and folder.parent.split)]
    if named and not any(folder.files and folder.split != "test" for folder in order):
        for folder in named:
            tally.add("only_held_out", folder.path)
    return {path: (folder.label, folder.split) for path, folder in where.items()}


def _inherit(folder: Folder, parent: Folder, tally: Tally) -> None:
    """Give a folder what its parent has; what is held out by its name inside training folders is not trained on."""
    folder.split = parent.split if parent.split == "test" else folder.split or parent.split
    if folder.split != "test" and is_held_out(folder):
        folder.split = "test"
        if folder.label == folder.name:
            folder.label = held_out_of(folder)
        tally.add("beside_splits", f"{folder.path}: held out")
    folder.label = folder.label if folder.label is not None else parent.label


def _read(root: Folder, tally: Tally) -> list[Folder]:
    """Decide what the folders in `root` are; folders that have to be read on their own are returned."""
    group, wrapper = _unwrapped([root], tally)
    level = level_of(group)
    splits = splits_of(level)
    if not splits:
        _tell_same_inside(level, tally)
        return _read_classes(level, tally, inside_splits=False)
    # Training folders that hold splits of their own; where all folders do, `train` and `test` are classes in them.
    whole = [f for name in splits for f in level[name] if both(splits_of(level_of([f])))]
    apart = [f for f in whole if splits[f.name] == "train"] if len(whole) < len(splits) else []
    for name, folders in level.items():
        for folder in folders:
            folder.role = "split"
            folder.split = None if folder in apart else splits.get(name)
    same, copies = _beside(level, splits, tally)
    parts = _label_parts(level, splits, tally)
    children = Counter(name for folders in level.values() for folder in folders for name in folder.folders)
    read = {*apart, *parts}
    below = [_collapsed(f, children, tally) for name in (*splits, *same) for f in level[name] if f not in read]
    inner = level_of(_unwrapped(below, tally)[0])
    copies += _read_classes(inner, tally, inside_splits=True)
    if not inner:
        if both(splits):
            _label_by_split_names(level, splits, tally)
        if wrapper and not apart and not any(folder.label for same in level.values() for folder in same):
            tally.add("wrapping_folder", wrapper)
    return [*apart, *copies]


def _unwrapped(group: list[Folder], tally: Tally) -> tuple[list[Folder], str]:
    """The group below folders that only wrap everything, and the path of the last wrapper that could be a class."""
    wrapper = ""
    while level := level_of(group):
        folders = [folder for same in level.values() for folder in same]
        plain = _says_nothing(level, folders)
        parts = len(level) > 1 and all(_PART.fullmatch(name) for name in level)
        deep = 2 * sum(folder.below - folder.files for folder in folders) > sum(folder.below for folder in group)
        one = len(level) == 1 and (not splits_of(level) or both(splits_of(level_of(folders))))
        if not (plain or (deep and (parts or one))):
            break
        if not plain:
            wrapper = folders[0].path
        for folder in folders:
            folder.role = "wrapper"
            _not_a_class(folder, tally, told=plain)
        group = folders
    return group, wrapper


def _says_nothing(level: Level, folders: list[Folder]) -> bool:
    """Whether the only folder is called `images` or like the one it lies in, or all are shards from `00000` on."""
    only = folders[0] if len(level) == 1 else None
    doubled = only and only.parent and only.name.casefold() == only.parent.name.casefold()
    shards = all(_SHARD.fullmatch(name) for name in level) and set(min(level)) == {"0"}
    return bool((only and only.name.casefold() in PLAIN_FOLDERS) or doubled or shards)


def _not_a_class(folder: Folder, tally: Tally, *, told: bool = True) -> None:
    if folder.files and told:
        tally.add("not_a_class", folder.path)


def _collapsed(folder: Folder, children: Mapping[str, int], tally: Tally) -> Folder:
    """The folder of a split that its rows or classes lie in: the inner one of `val/images` and `seg_train/seg_train`.

    `children` counts the folders of each name in all splits: a name of a split that stands in several is a class.
    """
    while len(folder.folders) == 1:
        inside = next(iter(folder.folders.values()))
        named = split_name(inside.name)
        alike = inside.name.casefold() == folder.name.casefold() or (named and named.split == folder.split)
        if inside.name.casefold() in PLAIN_FOLDERS:
            _not_a_class(inside, tally)
        elif children[inside.name] > 1 or not alike:
            break
        folder = inside
        folder.role = "wrapper"
    return folder


def _beside(level: Level, splits: Mapping[str, Split], tally: Tally) -> tuple[list[str], list[Folder]]:
    """Give folders beside splits what they most likely are.

    Returns the names of those that hold the same classes as the splits, and those that hold a whole source again.
    Where training folders have a name, what is beside them is held out unless its name says otherwise.
    """
    others = [name for name in level if name not in splits]
    inside = level_of(folder for name in splits for folder in level[name]).keys()
    trained = "train" in splits.values()
    flat = is_flat(level)
    classes = (flat and len(others) > len(splits)) if trained else (flat or len(others) > 1)
    same: list[str] = []
    apart: list[Folder] = []
    for name in others:
        folders, unlabelled = level[name], name.casefold() in MORE_TRAINING | PLAIN_FOLDERS
        if both(splits_of(level_of(folders))):
            apart += folders
            tally.add("beside_splits", f"{folders[0].path}: read on its own")
            continue
        is_class = name in inside or (classes and not unlabelled)
        split: Split = "train" if name.casefold() in MORE_TRAINING or not trained else "test"
        for folder in folders:
            folder.label = name if is_class else None
            folder.split = None if is_class and trained else split
        what = "a class" if is_class else "training rows" if split == "train" else "held out"
        _tell_beside(name, folders[0], what, tally)
        same += [] if is_class else [name]
    return same, apart


def _tell_beside(name: str, folder: Folder, what: str, tally: Tally) -> None:
    tally.add("beside_splits", f"{folder.path}: {what}")
    if name.casefold() in MASK_FOLDERS:
        tally.add("masks", folder.path)


def _label_parts(level: Level, splits: Mapping[str, Split], tally: Tally) -> list[Folder]:
    """Give `cat_test` beside the class `cat` that class; such folders are returned. What a name holds out is told."""
    for name in held_by_name(level):
        if name in splits:
            tally.add("held_out_by_name", level[name][0].path)
    labelled: list[Folder] = []
    for name, other in held_out_parts(level).items():
        if name in splits and level[other][0].label == other:
            labelled += level[name]
    for folder in labelled:
        folder.label = held_out_of(folder)
    return labelled


def _tell_same_inside(level: Level, tally: Tally) -> None:
    """Count the few folders of a level that hold folders of the same names, as splits do whose words are not known."""
    inside = [{name for folder in folders for name in folder.folders} for folders in level.values()]
    same = set.intersection(*inside) if inside else set()
    if 1 < len(level) <= MOST_SPLITS and any(
        not (_PART.fullmatch(name) or _SHARD.fullmatch(name) or split_name(name) or name.casefold() in PLAIN_FOLDERS)
        for name in same
    ):
        for folders in level.values():
            tally.add("maybe_splits", folders[0].path)


def _label_by_split_names(level: Level, splits: Mapping[str, Split], tally: Tally) -> None:
    """Flat `train_cats` and `train_dogs` name their classes themselves."""
    rests = {name: found.rest for name in splits if (found := split_name(name)) and found.rest}
    if len({rest.casefold() for rest in rests.values()}) < 2:
        return
    for name, rest in rests.items():
        for folder in level[name]:
            folder.label = rest
            tally.add("class_in_split_name", f"{folder.path}: {rest}")
    if any(rest.casefold() in MASK_FOLDERS for rest in rests.values()):
        tally.add("masks", ", ".join(sorted(set(rests.values()))))


def _read_classes(level: Level, tally: Tally, *, inside_splits: bool) -> list[Folder]:
    """Each folder of the level is a class; where its rows have no split yet, folders in it may name one.

    A folder such as `images` that holds nothing but folders is returned, to be read on its own.
    """
    apart = [f for name, folders in level.items() for f in folders if name.casefold() in PLAIN_FOLDERS and not f.files]
    wrappers = set(apart)
    for name, folders in level.items():
        for folder in folders:
            folder.label = None if folder in wrappers else name
            folder.role = "wrapper" if folder in wrappers else "class"
    doubtful = [name for name in level if (found := split_name(name)) and (not found.rest or found.word in SPLIT_NAMES)]
    for name in doubtful:
        tally.add("split_or_class", level[name][0].path)
    for name in sorted(level):
        if name.casefold() in MASK_FOLDERS and any(other.casefold() in PLAIN_FOLDERS for other in level):
            tally.add("masks", level[name][0].path)
    group = [folder for folders in level.values() for folder in folders if folder not in wrappers]
    below = level_of(group) if inside_splits else _read_inner_splits(group, tally)
    for name, folders in below.items():
        if name.casefold() not in PLAIN_FOLDERS:
            tally.add("deeper_folders", folders[0].path)
    return apart


def _read_inner_splits(group: list[Folder], tally: Tally) -> Level:
    """Take the splits in `cat/train`, at whatever depth; the level that holds no splits and lies directly below is returned."""
    first = level = level_of(group)
    while level:
        splits = splits_of(level)
        if splits and (both(splits) or len(splits) == len(level)):
            for name, folders in level.items():
                unnamed: Split = "train" if name.casefold() in MORE_TRAINING else "test"
                for folder in folders:
                    folder.split, folder.role = splits.get(name, unnamed), "split"
                if name not in splits:
                    _tell_beside(name, folders[0], "training rows" if unnamed == "train" else "held out", tally)
            below = [folder for folders in level.values() for folder in folders]
            return level_of(below) if level is first else first
        level = level_of(folder for folders in level.values() for folder in folders)
    return first

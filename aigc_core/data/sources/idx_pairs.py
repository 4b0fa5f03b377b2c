"""What the names of idx files say: images or labels, and which two files belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from aigc_core.data.splits import SPLIT_NAMES, name_words, said_splits, spaced

IMAGES = {"image", "images", "img", "imgs", "picture", "pictures"}
LABELS = {"label", "labels", "lbl", "lbls", "target", "targets", "class", "classes"}
#: Words of the format, and the names of the two halves in scikit-learn's habit.
FORMAT = {"idx", "ubyte", "byte", "int", "short", "float", "double", "gz", "x", "y"}

#: How the names of such files end, as `train-images-idx3-ubyte`, `qmnist-test-labels-idx2-int`, `x-idx3` and `x.idx4` do.
_END = re.compile(r"(ubyte|(^|[\W_])idx\d?(-(byte|int|short|float|double))?)(\.gz)?$", re.IGNORECASE)


def ends_like_idx(name: str) -> bool:
    """Whether a file's name ends as those of idx files do."""
    return bool(_END.search(name))


def tokens(name: str) -> tuple[str, ...]:
    """The words of a path in small letters, with their figures where they say no split: `idx3`, but `train` and `2017`."""
    words = re.findall(r"[^\W_]+", spaced(name))
    return tuple(part.casefold() for word in words for part in (name_words(word) if said_splits(word) else (word,)))


def names_labels(name: str) -> bool:
    """Whether a file's name speaks of labels."""
    return not LABELS.isdisjoint(tokens(PurePosixPath(name).name))


def names_images(name: str) -> bool:
    """Whether a file's name speaks of images."""
    return not IMAGES.isdisjoint(tokens(PurePosixPath(name).name))


def names_format(name: str) -> bool:
    """Whether a file's name speaks of the format: `idx3`, `ubyte`, or no suffix at all beside `.gz`."""
    file = PurePosixPath(name.lower().removesuffix(".gz"))
    return file.suffix == "" or bool(re.search(r"idx|ubyte", file.name))


def is_candidate(name: str) -> bool:
    """Whether a file is looked into: its name speaks of images or labels, or of the format by its own words."""
    return names_images(name) or names_labels(name) or bool(re.search(r"idx|ubyte", PurePosixPath(name).name.lower()))


def set_key(name: str) -> tuple[str, ...]:
    """What is left of a path without the words for images, labels and the format: equal for files that belong together.

    A word that a folder and its file share counts once.
    """
    dropped = IMAGES | LABELS | FORMAT
    words = (word for word in tokens(name) if word not in dropped and not re.fullmatch(r"idx\d", word))
    return tuple(dict.fromkeys(words))


def set_name(name: str) -> str:
    """The data set that a path names, such as `emnist-letters`; empty where it names none."""
    return "-".join(word for word in set_key(name) if word not in SPLIT_NAMES)


def pair(images: Iterable[str], labels: Iterable[str]) -> dict[str, str]:
    """The file of labels for each file of images that has one, by equal keys.

    Where no key is equal, all words for one split count as one, and `trainset` is `train`.
    """
    labels = sorted(labels, reverse=True)  # of equal keys the first name stays
    by_words, by_split = ({key(label): label for label in labels} for key in (set_key, _by_split))
    found = {name: by_words.get(set_key(name)) or by_split.get(_by_split(name)) for name in images}
    return {name: label for name, label in found.items() if label is not None}


def _by_split(name: str) -> tuple[str, ...]:
    return tuple(SPLIT_NAMES.get(word, word) for word in set_key(name) if word not in ("set", "sets"))

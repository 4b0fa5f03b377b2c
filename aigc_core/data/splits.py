"""Splits by content: adding or removing rows moves no other row, and copies of one image stay together.

What people call their splits is known here too: names of folders and files, and values of columns.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from aigc_core.config import SplitShares
from aigc_core.records import Split

#: Words for training rows, and for rows that are held out; `t10k` is the test half of MNIST.
TRAIN_WORDS = ("train", "training", "trn", "trainval")
TEST_WORDS = (
    "test", "testing", "tests", "tst", "val", "valid", "validation", "validate", "vali", "eval", "evaluation", "evaluate",
    "dev", "devel", "development", "holdout", "heldout", "unseen", "crossval", "crossvalidation", "t10k",
)  # fmt: skip
#: Words for held-out rows where other names beside them speak of splits too.
OCCASIONAL_TEST_WORDS = (
    "cv", "ood", "pred", "predict", "prediction", "predictions", "inference", "submission", "query", "gallery", "probe",
    "benchmark",
)  # fmt: skip
#: What an export of this project calls the rows that the extractor learns from.
REFERENCE: Literal["reference"] = "reference"
#: What sources call their splits, in the names of folders and files.
SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(TRAIN_WORDS, "train"),
    **dict.fromkeys(TEST_WORDS, "test"),
}
#: Held-out words that hardly name a class; `test`, `valid` and others may be one.
SURELY_HELD_OUT = frozenset(
    {"val", "validation", "validate", "eval", "evaluation", "holdout", "heldout", "crossval", "t10k"}
)
#: Where these stand without any other training folder, they are the training rows.
DEVELOPMENT = frozenset({"dev", "devel", "development"})
#: Words beside `train` and `test` folders for rows that nobody held out.
MORE_TRAINING = frozenset(
    {"extra", "unlabeled", "unlabelled", "labeled", "labelled", "unsupervised", "supervised", "unsup", "augmented", "aug",
     "synthetic", "pretrain", "pretraining"}
)  # fmt: skip
#: Words that a name of a split may hold without saying more.
FILLERS = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "image", "images", "imgs", "img", "pics", "pictures", "photos", "split",
     "splits", "folder", "folders", "dir", "files", "samples", "fold", "part", "shard", "of", "copy", "the", "final", "new",
     "raw", "original", "all", "full", "cross", "v", "jpg", "jpeg", "png", "jpegs", "pngs", "my", "our", "hidden", "private",
     "public", "secret", "official"}
)  # fmt: skip

#: All words, those that are held out on occasion too.
ALL_NAMES: dict[str, Split] = {**SPLIT_NAMES, **dict.fromkeys(OCCASIONAL_TEST_WORDS, "test")}

_BY_LENGTH = "|".join(sorted(ALL_NAMES, key=len, reverse=True))
_GLUED_ON = "|".join(sorted((FILLERS - {"of", "the", "v"}) | {"label", "labels"}, key=len, reverse=True))
_GLUED = re.compile(rf"({_BY_LENGTH})({_GLUED_ON})")
#: A capital begins a word after a small letter; after other capitals it may.
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LAST_CAPITAL = re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])")
_TWO_WORDS = re.compile(r"(?<![^\W\d_])(hold|held)(?:[^\w/]|_)+(out)(?![^\W\d_])", re.IGNORECASE)
_WORDS = re.compile(r"(?<![^\W_])[tT]10[kK](?![^\W_])|[^\W\d_]+|\d+")


@dataclass(frozen=True, slots=True)
class SplitName:
    """What a name says of a split."""

    split: Split
    rest: str  # its further words, joined by `_`, as they are written; "" where those say nothing
    word: str  # the word that names the split, in small letters
    bare: bool  # nothing but that word and numbers, so that a class may be called like this
    others: tuple[str, ...]  # all words and numbers besides those that name a split, in small letters
    last: bool  # the name ends with a word that names a split

    @property
    def holds_out(self) -> bool:
        """Whether it names held-out rows by a word that needs no others beside it."""
        return self.split == "test" and self.word in SPLIT_NAMES


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def assign_split(key: str, given: Split | None, shares: SplitShares, *, divide: bool = True) -> Split:
    """Split of a row by its content hash (or its id where it cannot be decoded).

    `given` is the split that the source itself names: its test and reference rows stay what they are, and its train
    rows are divided between reference and train in the configured ratio, unless `divide` is false (the source has
    reference rows of its own). No seed enters: models of several seeds are judged by the same test rows.
    """
    u = unit_hash(key)
    if given == "train" and divide:
        return "reference" if u < shares.reference / (shares.reference + shares.train) else "train"
    if given is not None:
        return given
    if u < shares.reference:
        return "reference"
    return "train" if u < shares.reference + shares.train else "test"


@lru_cache(maxsize=65536)  # each folder of a level is asked for several times
def split_name(name: str) -> SplitName | None:
    """The split that a name such as `train2017`, `test_set`, `valSet` or `seg_train` speaks of, or null.

    A name with words for training and for testing rows says nothing, but that `trainval` is for training.
    """
    words = name_words(name)
    found = [word.casefold() for word in words if word.casefold() in ALL_NAMES]
    kinds = {ALL_NAMES[word] for word in found}
    if not found or (len(kinds) == 2 and any(word.startswith("test") for word in found)):
        return None
    others = [word for word in words if word.casefold() not in ALL_NAMES]
    rest = [word for word in others if not word.isdecimal() and word.casefold() not in FILLERS]
    bare = len(found) == 1 and all(word.isdecimal() for word in others)
    small, last = tuple(word.casefold() for word in others), words[-1].casefold() in ALL_NAMES
    return SplitName("train" if "train" in kinds else "test", "_".join(rest), found[0], bare, small, last)


def said_splits(name: str, known: Mapping[str, Split] = SPLIT_NAMES) -> set[Split]:
    """The splits of all `known` words that stand in a name as whole words."""
    return {known[word] for word in map(str.casefold, name_words(name)) if word in known}


def settled(said: Set[Split]) -> Split | None:
    """The split where `said` are named: held out where both are, so that no held-out row is learnt from."""
    return "test" if "test" in said else next(iter(said), None)


def held_out_first(one: Split | None, other: Split | None) -> Split | None:
    """The split of a row that two places name: what either of them holds out is held out, else the first counts."""
    return "test" if "test" in (one, other) else one or other


def is_split_word(value: str) -> bool:
    """Whether a value says a split and nothing else, as `train`, `Test-Set`, `val2017` and `reference` do."""
    found = split_name(value)
    return _is_reference(value) or (found is not None and not found.rest)


def cell_split(value: str) -> Split | None:
    """The split that a value of a split column says, or null; held out where it says both, as `train/val` does."""
    return REFERENCE if _is_reference(value) else settled(said_splits(value, ALL_NAMES))


def _is_reference(value: str) -> bool:
    return value.strip().casefold() == REFERENCE


def spaced(name: str) -> str:
    """The name with its letters in their plain forms, blanks before words that only a capital begins; `hold_out` is one word.

    Plain are the letters of Unicode's form NFKC, where full-width letters are the usual ones.
    """
    return _TWO_WORDS.sub(r"\1\2", _HUMP.sub(" ", unicodedata.normalize("NFKC", name)))


@lru_cache(maxsize=4096)  # cells and the first words of files repeat
def name_words(name: str) -> tuple[str, ...]:
    """Words and numbers of a name, as they are written: `train2017`, `trainset` and `MNISTTrain` are two of them."""
    return tuple(part for word in _WORDS.findall(spaced(name)) for part in _unglued(word))


def _unglued(word: str) -> list[str]:
    """The words in a word without blanks, where one of them names a split."""
    if word.casefold() in ALL_NAMES:
        return [word]
    if glued := _GLUED.fullmatch(word.casefold()):
        return [word[: glued.end(1)], word[glued.end(1) :]]
    parts = _LAST_CAPITAL.sub(" ", word).split()
    return parts if any(part.casefold() in ALL_NAMES for part in parts) else [word]

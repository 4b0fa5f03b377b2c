"""Splits by content: adding or removing rows moves no other row, and copies of one image stay together."""

from __future__ import annotations

import hashlib

from aigc_core.config import SplitShares
from aigc_core.records import Split

#: What sources call their splits, in the names of folders and files.
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test", "val": "test", "valid": "test", "validation": "test",
}  # fmt: skip


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

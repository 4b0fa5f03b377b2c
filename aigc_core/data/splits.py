"""Splits by content: adding or removing rows moves no other row, and copies of one image stay together."""

from __future__ import annotations

import hashlib

from aigc_core.config import SplitShares
from aigc_core.records import Split


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def assign_split(key: str, given: str | None, shares: SplitShares) -> Split:
    """Split of a row by its content hash (or its id where it cannot be decoded).

    `given` is the split that the source itself names: its test rows stay test, and its train rows are divided
    between reference and train in the configured ratio. No seed enters: models of several seeds are judged by the
    same test rows.
    """
    u = unit_hash(key)
    if given == "test":
        return "test"
    if given == "train":
        return "reference" if u < shares.reference / (shares.reference + shares.train) else "train"
    if u < shares.reference:
        return "reference"
    return "train" if u < shares.reference + shares.train else "test"

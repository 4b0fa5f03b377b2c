"""Documented defects for the embedded digits: seeded, in training rows only, with the truth written down.

Every planted row but a flipped label is an addition made from a clean training row, so that a perfect curation
gets the clean set back exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aigc_core.config import Plant
from aigc_core.data.sources.base import Entry
from aigc_core.data.splits import unit_hash
from aigc_core.modalities import image
from aigc_core.modalities.image import Pixels
from aigc_core.records import row_id

ADDED = ("corrupt", "blank", "duplicate_exact", "duplicate_near", "too_small")


@dataclass(frozen=True)
class Planted:
    """One added row and what is wrong with it."""

    entry: Entry
    content: bytes
    kind: str


def chosen(clean: list[str], kind: str, share: float, seed: int) -> list[str]:
    """The rows (by key) that a kind is made from: the lowest hashes of (seed, kind, key)."""
    ranked = sorted(clean, key=lambda key: unit_hash(f"{seed}:{kind}:{key}"))
    return ranked[: round(share * len(clean))]


def damage(content: bytes, kind: str, key: str, seed: int) -> bytes:
    """A damaged copy of one encoded image, drawn from (seed, kind, key) alone."""
    rng = np.random.default_rng(int(unit_hash(f"{seed}:{kind}:{key}:draw") * 2**53))
    pixels = image.decode(content).pixels
    if kind == "corrupt":
        return content[: len(content) // 2]
    if kind == "blank":
        return image.encode_png(np.full_like(pixels, rng.integers(0, 256)))
    if kind == "too_small":
        return image.encode_png(image.fit(pixels, 3, pixels.shape[2]))
    if kind == "duplicate_near":
        return image.encode_png(_dimmed(pixels, rng.uniform(0.90, 0.97)))
    return content


def _dimmed(pixels: Pixels, factor: float) -> Pixels:
    return np.round(pixels * factor).astype(np.uint8)


def additions(clean: dict[str, tuple[Entry, bytes]], plant: Plant, seed: int, first: int) -> list[Planted]:
    """All added rows. Their keys continue the numbering at `first`, so that a name gives nothing away."""
    found: list[Planted] = []
    for kind in ADDED:
        for key in chosen(sorted(clean), kind, getattr(plant, kind), seed):
            entry, content = clean[key]
            new = replace(entry, key=f"digits/{first + len(found):04d}", parent=row_id(key), split="train", pinned=True)
            found.append(Planted(new, damage(content, kind, key, seed), kind))
    return found


def flips(clean: dict[str, str], share: float, seed: int) -> dict[str, str]:
    """Key to wrong label, for a share of the clean rows (key to label)."""
    names = sorted(set(clean.values()))
    wrong = {}
    for key in chosen(sorted(clean), "label_flip", share, seed):
        others = [name for name in names if name != clean[key]]
        wrong[key] = others[int(unit_hash(f"{seed}:flip:{key}") * len(others))]
    return wrong

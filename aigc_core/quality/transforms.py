"""Copies that were turned over, turned round or cut: how a picture would look then, for a comparison with the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aigc_core.quality.thumbnails import Lumas


@dataclass(frozen=True)
class Transform:
    """A change of lumas (N, H, W) or of a grid of them (N, G, G, D), its name in PAIR_SCHEMA, and whether some transform of the
    same kind undoes it."""

    name: str
    apply: Callable[[Any], Any]
    undone: bool = True


#: Cuts are compared at these shares of the side; the alignment bridges what lies between.
SHARES = (0.9, 0.85, 0.8)


def _cut(share: float, down: float, across: float) -> Callable[[Lumas], Lumas]:
    def apply(lumas: Lumas) -> Lumas:
        height, width = (max(round(side * share), 1) for side in lumas.shape[1:])
        top, left = round((lumas.shape[1] - height) * down), round((lumas.shape[2] - width) * across)
        return lumas[:, top : top + height, left : left + width]

    return apply


PLACES = [(0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
SAME = Transform("same", lambda lumas: lumas)
#: By the names of `quality.duplicate_near.transforms`.
KINDS: dict[str, list[Transform]] = {
    "flip": [
        Transform("flip", lambda lumas: lumas[:, :, ::-1]),
        Transform("flip_vertical", lambda lumas: lumas[:, ::-1]),
    ],
    "rotate": [
        Transform(f"rotate{90 * turns}", lambda lumas, turns=turns: np.rot90(lumas, turns, axes=(1, 2)))  # type: ignore[misc]
        for turns in (1, 2, 3)
    ],
    "crop": [Transform("crop", _cut(share, *place), undone=False) for share in SHARES for place in PLACES],
}


def chosen(kinds: Sequence[str]) -> list[Transform]:
    """The identity and the transforms of the named kinds."""
    return [SAME, *(transform for kind in kinds for transform in KINDS[kind])]

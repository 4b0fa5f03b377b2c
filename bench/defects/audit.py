"""Which look-alikes a set of photographs came with: pairs of untouched pictures that show the same photograph.

A rule that shares nothing with the detector but the pixels. Each pixel says which of its eight neighbours are brighter (census
transform, Zabih and Woodfill 1994); two pictures agree in the share of these bits that are equal, at the best of all shifts up to
REACH px. Brightness, contrast and colour balance do not matter, and no pixel weighs more than another. How much different
photographs agree at most is seen on pictures with different labels: of each of PROBES pictures, the one with another label that
correlates best with it. A pair that agrees more than any of these is one photograph.

Of drawings on a plain ground most bits are equal always, so the rule says nothing there: where different pictures agree in more
than TELLING of the bits, or where there are no two classes, every pair of untouched pictures counts as a false one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from aigc_core.modalities import image
from defects.pictures import Pixels

#: Pictures are compared at this side, in px.
SIDE = 32
REACH = 2
PROBES = 2000
TELLING = 0.9
#: Pairs that are compared at once.
BLOCK = 200

Lumas = np.ndarray  # (N, S, S) float32


class Audit:
    """Of untouched photographs, which are the same. `turns` also tries pictures turned round and over."""

    def __init__(self, pictures: dict[str, Pixels], labels: dict[str, str | None], turns: bool) -> None:
        self.place = {name: number for number, name in enumerate(pictures)}
        self.lumas = np.stack([_luma(pixels) for pixels in pictures.values()])
        self.turns = turns
        own = np.array([str(labels[name]) for name in pictures])
        self.limit = float(self._agreement(*_rivals(self.lumas, own)).max()) if len(set(own.tolist())) > 1 else 1.0

    @property
    def tells(self) -> bool:
        """Whether the rule can tell pictures of this set apart."""
        return self.limit <= TELLING

    def same(self, pairs: Iterable[tuple[str, str]]) -> list[bool]:
        """Whether each pair of names shows one photograph."""
        places = np.array([[self.place[one], self.place[other]] for one, other in pairs], np.int64).reshape(-1, 2)
        if not self.tells:
            return [False] * len(places)
        found: list[bool] = (self._agreement(places[:, 0], places[:, 1]) > self.limit).tolist()
        return found

    def _agreement(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        best = np.zeros(len(left))
        for top in range(0, len(left), BLOCK):
            block = slice(top, top + BLOCK)
            one, two = self.lumas[left[block]], _census(self.lumas[right[block]])
            turned = [np.rot90(flat, quarter, axes=(1, 2)) for flat in (one, one[:, :, ::-1]) for quarter in range(4)]
            for view in turned if self.turns else [one]:
                best[block] = np.maximum(best[block], _agree(_census(view), two))
        return best


def _luma(pixels: Pixels) -> np.ndarray:
    """The mean of the channels at SIDE px, whatever the size; transparency over grey."""
    shown = image.with_channels(pixels, 3) if pixels.shape[2] == 4 else pixels
    flat = Image.fromarray(shown.mean(axis=2, dtype=np.float32))
    return np.asarray(flat if flat.size == (SIDE, SIDE) else flat.resize((SIDE, SIDE), Image.Resampling.BOX))


def _rivals(lumas: Lumas, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of pictures, and of the picture with another label that correlates best with each."""
    flat = lumas.reshape(len(lumas), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    probes = np.arange(min(PROBES, len(flat)))
    best = [
        np.where(labels[block, None] == labels[None], -2, flat[block] @ flat.T).argmax(axis=1)
        for block in np.array_split(probes, max(len(probes) // BLOCK, 1))
    ]
    return probes, np.concatenate(best)


def _census(lumas: Lumas) -> np.ndarray:
    """Bits (N, S - 2, S - 2, 8): which neighbours are brighter than the pixel."""
    height, width = lumas.shape[1:]
    steps = [(down, across) for down in range(3) for across in range(3) if (down, across) != (1, 1)]
    middle = lumas[:, 1:-1, 1:-1]
    return np.stack([lumas[:, d : height - 2 + d, a : width - 2 + a] > middle for d, a in steps], axis=-1)


def _agree(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The best share of equal bits of the middles of `one` and windows of `two`."""
    middle = one[:, REACH:-REACH, REACH:-REACH]
    side = middle.shape[1]
    shifts = [(down, across) for down in range(2 * REACH + 1) for across in range(2 * REACH + 1)]
    return np.max([(middle == two[:, d : d + side, a : a + side]).mean(axis=(1, 2, 3)) for d, a in shifts], axis=0)

"""Is an instrument fit for these images? It has to find damaged images farther from real ones than undamaged, and worse damage farther.

Legend: N = images in each half, C = channels, S = side in px, d = feature dimensions in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.evaluation import damages
from aigc_core.evaluation.cells import assign, find_centres
from aigc_core.evaluation.distances import FrechetDistance, usable_dimensions
from aigc_core.evaluation.extractors.base import Instrument
from aigc_core.evaluation.extractors.frozen import small_pixels
from aigc_core.evaluation.intervals import balanced_groups, balanced_order

#: Images in each half; more make the distances a little surer and cost time. Of large images there are fewer, so many values in all.
MOST_ROWS, LEAST_ROWS, MOST_VALUES = 400, 160, 400 * 3 * 64 * 64
#: An instrument is fit where it puts all pairs but this share, rounded, in order: 17 of 18, for example.
MISSED_SHARE = 0.05
#: Groups of look-alikes where there are no classes that looks can tell, and the fewest of which three numbers can be missing.
GROUPS, LEAST_GROUPS = 8, 4
#: A damage that moves values by less than this (mean over them, of 255) from one strength to the next is none on these images.
LEAST_CHANGE = 0.1
UNDAMAGED, MISSING_CLASSES, MISSING_GROUPS = "undamaged", "missing classes", "missing groups"
STRENGTHS = ("weak", "medium", "strong")

Damage = Callable[[int], torch.Tensor]


@dataclass(frozen=True)
class Fitness:
    """Distances to the other half by damage, weak to strong; `left_out` says why a damage is not among them."""

    n: int
    dimensions: int
    undamaged: float
    distances: dict[str, list[float]]
    left_out: dict[str, str]

    @property
    def rises(self) -> dict[str, list[bool]]:
        """Of every damage whether each strength, weak to strong, came out farther than the one before it, or than undamaged."""
        return {
            name: [more > less for less, more in pairwise((self.undamaged, *values))]
            for name, values in self.distances.items()
        }

    @cached_property
    def pairs(self) -> dict[str, bool]:
        """Every pair by name, and whether the damaged or more damaged of the two came out farther."""
        found = {}
        for name, rises in self.rises.items():
            strengths = STRENGTHS if len(rises) > 1 else ("samples",)
            for (nearer, farther), right in zip(pairwise((UNDAMAGED, *strengths)), rises, strict=True):
                found[f"{name}: {farther} farther than {nearer}"] = right
        return found

    @property
    def missed(self) -> list[str]:
        """The names of the pairs that came out the wrong way round."""
        return [name for name, right in self.pairs.items() if not right]

    @property
    def ordered(self) -> int:
        """How many pairs came out in order."""
        return len(self.pairs) - len(self.missed)

    @property
    def share(self) -> float:
        """The share of pairs in order, in [0, 1]."""
        return self.ordered / len(self.pairs)

    @property
    def fit(self) -> bool:
        """Whether so few pairs were missed that the instrument may judge."""
        return len(self.missed) <= round(MISSED_SHARE * len(self.pairs))

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        verdict = {"fit": self.fit, "ordered": self.ordered, "pairs": len(self.pairs), "missed": self.missed}
        return {**verdict, "rises": self.rises, **asdict(self)}


class Trial:
    """Two halves of real images that no instrument learnt from, one of them to be damaged: made once, for every instrument."""

    def __init__(self, pixels: torch.Tensor, labels: npt.NDArray[np.int64], seed: int, *, by_class: bool) -> None:
        """Of uint8 pixels (M, C, S, S) and labels (M,). `by_class`: classes go missing, else groups of look-alikes."""
        side, chance = balanced_groups(labels, 2, seed), np.random.default_rng(seed)
        n = min(MOST_ROWS, max(LEAST_ROWS, MOST_VALUES // pixels[0].numel()), len(labels) // 2)
        halves = [np.flatnonzero(side == half) for half in (0, 1)]
        first, second = (half[np.sort(balanced_order(labels[half], chance)[:n])] for half in halves)
        self.pixels, self.other, self.seed = pixels[torch.from_numpy(first)], pixels[torch.from_numpy(second)], seed
        self.by_class = by_class and len(np.unique(labels[first])) >= LEAST_GROUPS
        self.groups = labels[first] if self.by_class else self._look_alikes()

    def _look_alikes(self) -> npt.NDArray[np.int64]:
        rows = small_pixels(self.pixels)
        return assign(rows, find_centres(rows, GROUPS, self.seed))

    def judge(self, instrument: Instrument) -> Fitness:
        """What the instrument makes of all damages. Raises DataError where there are too few images for a distance."""
        dimensions = usable_dimensions(len(self.pixels), instrument.dimensions)
        fd = FrechetDistance(instrument.features(self.other, dimensions))

        def distance(pixels: torch.Tensor) -> float:
            # Four digits: the last ones of a distance hang on the processor, and what is stored should not.
            return float(f"{fd(instrument.features(pixels, dimensions)):.4g}")

        found, left_out = dict[str, list[float]](), self._too_few_groups()
        for name, damage in self._damages():
            if name in left_out:
                continue
            made = [damage(strength) for strength in range(len(STRENGTHS))]
            if self._rising(made):
                found[name] = [distance(pixels) for pixels in made]
            else:
                left_out[name] = "it changes these images by next to nothing"
        found[self.mixture] = [distance(damages.mixture(self.pixels, self.groups, self.seed))]
        return Fitness(len(self.pixels), dimensions, distance(self.pixels), found, left_out)

    @property
    def mixture(self) -> str:
        """What the samples of a Gaussian for every group are called."""
        return "Gaussian for every class" if self.by_class else "Gaussian for every group"

    @property
    def missing(self) -> str:
        """What it is called that classes or groups are missing."""
        return MISSING_CLASSES if self.by_class else MISSING_GROUPS

    def _damages(self) -> Iterator[tuple[str, Damage]]:
        """Name, and strength to images (N, C, S, S)."""
        own, seed = self.pixels, self.seed
        yield "blur", partial(damages.blurred, own)
        yield "noise", partial(damages.noisy, own, seed=seed)
        yield "reduced resolution", partial(damages.coarse, own)
        yield self.missing, partial(damages.without_groups, own, self.groups, seed=seed)
        yield "strangers", partial(damages.with_strangers, own, seed=seed)
        colours = "other hue and saturation" if damages.has_colours(own) else "other brightness and contrast"
        yield colours, partial(damages.recoloured, own)

    def _too_few_groups(self) -> dict[str, str]:
        """Why no groups can be missing, under that damage's name; empty where they can."""
        groups = len(np.unique(self.groups))
        if groups >= LEAST_GROUPS:
            return {}
        there = "there is 1 group" if groups == 1 else f"there are {groups} groups"
        return {self.missing: f"{there} of look-alikes, and {LEAST_GROUPS} are needed"}

    def _rising(self, made: list[torch.Tensor]) -> bool:
        """Whether every strength of a damage changes these images by more than the one before."""
        original = self.pixels.float()
        changes = [0.0, *(float((pixels.float() - original).abs().mean()) for pixels in made)]
        return all(after - before >= LEAST_CHANGE for before, after in pairwise(changes))

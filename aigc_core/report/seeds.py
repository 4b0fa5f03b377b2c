"""How far two trainings of one family lie apart by the training seed alone, and what one training each can tell.

The spread is taken as a share of the distance (of log fd), so that it travels from one data set to another. It was
measured on digits and tried on MNIST, and is an assumption on any other: where a decision hangs on it, train from several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Metrics = Mapping[str, float]

#: By family: the standard deviation of log fd between training seeds, everything else equal, rounded up: of the GAN from seeds 0
#: to 2 of digits, of the VAE from the five of digits that `bench/blindness.py seeds` prints (docs/metrics.md). MNIST had no part in
#: it: the rule was tried there. An unknown family has the largest.
SEED_SPREAD = {"gan": 0.3, "vae": 0.1}
#: Differences below this many standard deviations are called indistinguishable.
SPREADS = 2.0


def seed_spread(family: str) -> float:
    """The standard deviation of log fd between training seeds of a family."""
    return SEED_SPREAD.get(family, max(SEED_SPREAD.values()))


def seed_range(family: str, metrics: Metrics) -> tuple[float, float]:
    """Between which multiples of the floor other training seeds would lie, in nineteen cases of twenty."""
    reach = math.exp(SPREADS * seed_spread(family))
    return metrics["fd_over_floor"] / reach, metrics["fd_over_floor"] * reach


def told_apart(first: Metrics, second: Metrics, families: tuple[str, str]) -> bool:
    """Whether one training of each family is enough to say which of the two is nearer to real images by fd.

    Their log fd have to differ by more than `SPREADS` standard deviations of the difference of two trainings. A model's
    own deviation is that between seeds, or that of n samples of it where that is larger, because there are few: at least
    the floor's over root 2, for the pool adds no more to the floor's variance than the samples do.
    """
    if min(first["fd"], second["fd"]) <= 0:
        return first["fd"] != second["fd"]
    spreads = [
        max(seed_spread(family), metrics["fd_floor_std"] / math.sqrt(2) / max(metrics["fd"], metrics["fd_floor"]))
        for family, metrics in zip(families, (first, second), strict=True)
    ]
    return abs(math.log(second["fd"] / first["fd"])) > SPREADS * math.hypot(*spreads)

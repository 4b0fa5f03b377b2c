"""Second opinions on a model: its distance in other features, and sentences where they contradict the domain extractor.

Legend: N = images, C = channels, S = side in px, d = feature dimensions in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation.extractors.base import Images
from aigc_core.evaluation.extractors.catalogue import Entry, Instrument, Place, instruments
from aigc_core.evaluation.floors import fresh_spread, matching_draw
from aigc_core.evaluation.metrics import ROWS_PER_DIMENSION, Array, FrechetDistance, usable_dimensions

#: A name for the domain extractor beside the others'.
DOMAIN = "domain"
#: Differences below this many standard deviations of the floor rank nothing.
SPREADS = 2.0


@dataclass(frozen=True)
class Opinion:
    """One distance and everything that it must share with another to be compared."""

    hash: str
    n: int
    dimensions: int
    fd: float
    fd_floor: float
    fd_floor_std: float
    fd_over_floor: float
    warning: str | None = None


class SecondOpinions:
    """The instruments beside the domain extractor, opened, with their features of the real images and their floors: made once per test set."""

    def __init__(
        self, names: Sequence[str], place: Place, train: Images, test: Images, *, draws: int, seed: int
    ) -> None:
        """Raises DataError where an instrument lacks its file, or needs more test images than there are."""
        entries = {name: instruments[name] for name in names}
        for name, entry in entries.items():
            _enough(name, entry, len(test.labels), len(train.labels))
        self.seats = {name: _Seat(name, entry, place, train, test, draws, seed) for name, entry in entries.items()}

    def ask(self, samples: torch.Tensor) -> dict[str, Opinion]:
        """Every instrument's opinion of samples (N, C, S, S) uint8, as many as test images."""
        return {name: seat.ask(samples) for name, seat in self.seats.items()}


class _Seat:
    """One instrument with what it makes of the real images."""

    def __init__(
        self, name: str, entry: Entry, place: Place, train: Images, test: Images, draws: int, seed: int
    ) -> None:
        self.entry = entry
        self.instrument: Instrument = entry.open(place)
        self.n = len(test.labels)
        whole = self.instrument.dimensions
        self.dimensions = usable_dimensions(self.n, whole) if entry.cut else whole
        self.fd = FrechetDistance(self.instrument.features(test.pixels, self.dimensions))
        pool = self.instrument.features(train.pixels, self.dimensions)
        chance = np.random.default_rng(seed)
        chosen = [matching_draw(train.labels.numpy(), test.labels.numpy(), chance) for _ in range(draws)]
        floors = [self._distance(pool[index]) for index in chosen]
        self.floor = float(np.mean(floors))
        # A part of a draw may be smaller than the whole has to be: only differences between parts are used.
        self.floor_std = fresh_spread(partial(self.fd, least=0), test.labels.numpy(), seed, pool, chosen, floors)
        self.warning = (
            f"{name} numbers move with n below {entry.better:,} images, and there are {self.n:,}: compare them at the "
            "same n only"
            if self.n < entry.better
            else None
        )

    def _distance(self, features: Array) -> float:
        # Published numbers of the large networks use all dimensions, however few images per dimension that are.
        return self.fd(features, least=ROWS_PER_DIMENSION if self.entry.cut else 0)

    def ask(self, samples: torch.Tensor) -> Opinion:
        distance = self._distance(self.instrument.features(samples, self.dimensions))
        return Opinion(
            self.instrument.hash, self.n, self.dimensions, distance, self.floor, self.floor_std,
            distance / max(self.floor, 1e-12), self.warning,
        )  # fmt: skip


def _enough(name: str, entry: Entry, test_rows: int, train_rows: int) -> None:
    rows = min(test_rows, train_rows)
    if rows < entry.at_least:
        raise DataError(
            f"{name} needs at least {entry.at_least:,} images on each side and there are {rows:,}: add data, raise "
            f"split.test or evaluate.max_samples, or leave {name!r} out of evaluate.extractors"
        )


def as_facts(opinions: Mapping[str, Opinion]) -> dict[str, dict[str, Any]]:
    """The opinions as JSON, by name."""
    return {name: asdict(opinion) for name, opinion in opinions.items()}


def domain_opinion(metrics: Mapping[str, float], extractor_hash: str) -> dict[str, Any]:
    """The domain extractor's numbers in the same shape, from metrics.json."""
    names = ("fd", "fd_floor", "fd_floor_std", "fd_over_floor")
    return {
        "hash": extractor_hash, "n": int(metrics["n"]), "dimensions": int(metrics["fd_dimensions"]),
        **{name: metrics[name] for name in names}, "warning": None,
    }  # fmt: skip


def far_apart(found: Mapping[str, Mapping[str, Any]], ratio: float) -> list[str]:
    """Sentences where an instrument's distance over floor is more than `ratio` times the domain's, or less than 1/ratio.

    `found` is name to opinion, the domain's included. A distance at the floor counts as one: below it nothing is told
    apart, and a ratio of two such numbers is chance.
    """
    own = max(found[DOMAIN]["fd_over_floor"], 1.0)
    sentences = []
    for name, opinion in found.items():
        other = max(opinion["fd_over_floor"], 1.0)
        if name != DOMAIN and not 1 / ratio <= other / own <= ratio:
            sees = (
                "sees a difference that the domain extractor hardly sees"
                if other > own
                else "hardly sees the difference"
            )
            sentences.append(
                f"{name} {sees}: {other:.1f} times its floor, where the domain extractor says {own:.1f} times. Look at "
                "the samples before trusting either."
            )
    return sentences


def opposite_order(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Sentences where an instrument ranks two models the other way round than the domain extractor.

    `found` is model to name to opinion. Only differences outside the spread of both floors count.
    """
    sentences = []
    for first, second in combinations(found, 2):
        gap = _gap(found[first].get(DOMAIN), found[second].get(DOMAIN))
        for name in found[first]:
            other = _gap(found[first][name], found[second].get(name))
            if name != DOMAIN and gap * other < 0:
                better, worse = (first, second) if gap < 0 else (second, first)
                sentences.append(
                    f"{name} ranks {worse} before {better}, the domain extractor the other way round: this order hangs "
                    "on the extractor."
                )
    return sentences


def _gap(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> float:
    """First distance minus second, over the floor; 0 where it is inside the floor's spread, or not comparable."""
    if first is None or second is None or first["hash"] != second["hash"] or first["n"] != second["n"]:
        return 0.0
    gap = float(first["fd"] - second["fd"])
    return gap if abs(gap) > SPREADS * max(first["fd_floor_std"], second["fd_floor_std"]) else 0.0

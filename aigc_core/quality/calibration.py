"""Thresholds from the reference rows: how far out a value lies in the tail of what the reference shows.

A reference that is drawn at random holds defects as well, some per cent of each kind. So the rows that stand apart from the
others are looked for first: beyond a multiple of the distance from the median to the upper quartile, which defects hardly move,
the widest gap between neighbouring values cuts them off, when at least as many rows lie above it as between there and the gap
(the tail of one kind thins out instead), or when it is far wider than the gaps of an exponential tail are (the normalised
spacings of its order statistics are exponential themselves: Renyi 1953). The threshold then lies in the gap.

Where in the gap, or where nothing stands apart, the tail decides: beyond its quantile at 1 - TAIL it is a generalised Pareto
distribution (Pickands 1975) whose shape follows from the spacings of three quantiles (Pickands, eq. 7), its scale from their
distance. The score of a value is the share of reference rows that lie at least that far out, so low is worse, and the threshold
lies where that share is `false_positives`. Fewer rows give wider tails; nothing is ever fitted on the rows that are judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

#: Where the modelled tail begins: this share of the reference lies in it.
TAIL = 0.05
#: Fewer reference rows than this say nothing of a tail: the rule is not applied.
LEAST_ROWS = 10
#: Below this the shape of the tail is not estimated and the tail is drawn twice as wide.
FEW_ROWS = 50
#: Bounds of the shape; 0 is an exponential tail, more is heavier.
SHAPES = (-0.2, 0.4)
#: The estimate of the shape counts half with this many rows.
SHAPE_ROWS = 500
#: Rows stand apart beyond this many distances of median and upper quartile, and as many more as OUTER_FEW over the root of the
#: number of rows. Both were chosen on fourteen sets with 2 % of each of 21 defects (docs/detectors.md names them).
OUTER, OUTER_FEW = 3.0, 15.0
#: More rows than this share do not stand apart: they are a kind of image.
MOST_APART = 0.2
#: Where the widest gap parts nothing, another may, if it is wider than this many of these distances.
SURE = 0.4
#: A gap this many times wider than those of an exponential tail parts two kinds.
WIDE = 8.0
#: The part of the gap that the threshold keeps away from on either side.
AWAY = 0.3
#: Distance of the upper quartile from the median of an exponential distribution, in scales.
QUARTILE = float(np.log(2))


@dataclass(frozen=True)
class Apart:
    """What stands apart: `least` rows at least, or it is chance, beyond a gap of at least `narrow` distances of median and upper
    quartile, because values are rounded."""

    least: int = 3
    narrow: float = 0.2


USUALLY = Apart()


@dataclass(frozen=True)
class Tail:
    """The upper tail of one statistic over the reference rows."""

    rows: int  # reference rows that it was fitted on
    body: Values  # quantiles of the reference at 0, 1/100 ... 1
    start: float  # where the tail begins
    scale: float
    shape: float
    threshold: float  # where the survival is `false_positives`
    false_positives: float
    apart: int = 0  # reference rows that stand apart, and say nothing of the tail

    @property
    def wide(self) -> bool:
        """Whether few reference rows made the tail wider than the data alone would."""
        return self.rows < FEW_ROWS

    def survival(self, values: Values) -> Values:
        """Share of the reference that lies at least as far out as each value, in [0, 1]; nan stays nan."""
        inside = 1 - np.interp(values, self.body, np.linspace(0, 1, len(self.body)))
        beyond = np.maximum(values - self.start, 0) / self.scale
        if self.shape == 0:
            tail = TAIL * np.exp(-beyond)
        else:
            tail = TAIL * np.maximum(1 + self.shape * beyond, 0) ** (-1 / self.shape)
        return np.where(values > self.start, tail, np.maximum(inside, TAIL)) + 0 * values


def fit_tail(
    reference: Values, false_positives: float, margin: float, limit: float = np.inf, apart: Apart = USUALLY
) -> Tail | None:
    """The upper tail of a statistic over reference rows (N,); null with fewer than LEAST_ROWS finite values.

    The threshold lies at least `margin` (in the statistic's unit) above the reference's median, so that a reference
    whose rows are all alike does not condemn whatever differs by nothing; but no more than half way to `limit`, the
    highest value that an image can have.
    """
    known = np.sort(reference[np.isfinite(reference)])
    if len(known) < LEAST_ROWS:
        return None
    margin = min(margin, (limit - float(np.median(known))) / 2)
    gap = _gap(known, margin, apart)
    if gap is None:
        return _drawn(known, false_positives, margin)
    low, high = gap
    inside = known[: np.searchsorted(known, low, side="right")]
    tail = _drawn(inside, false_positives, margin)
    away = AWAY * (high - low)
    return replace(_at(tail, float(np.clip(tail.threshold, low + away, high - away))), apart=len(known) - len(inside))


def _gap(known: Values, margin: float, apart: Apart) -> tuple[float, float] | None:
    """Between which two numbers the sorted values (N,) part into the reference's kind and what stands apart; null where they do
    not."""
    rows = len(known)
    middle, upper, most = np.quantile(known, [0.5, 0.75, 1 - MOST_APART]).tolist()
    width = upper - middle
    begin = max(middle + (OUTER + OUTER_FEW / rows**0.5) * width, middle + margin, most)
    first = max(int(np.searchsorted(known, begin, side="right")) - 1, 0)  # the last row that does not lie beyond
    places = np.arange(first, rows - apart.least)
    if not len(places):
        return None
    lows, highs = known[places], known[places + 1]
    gaps = highs - np.maximum(lows, begin)
    above, between = rows - 1 - places, places - first
    # A reference that is all alike has no scale of its own.
    spacing = max(width / QUARTILE, margin / OUTER / QUARTILE / 3, 1e-9)
    parts = (above >= between) | (above * gaps / spacing >= WIDE)
    weight = np.sqrt(above) * gaps
    chosen = int(weight.argmax())
    if not (parts[chosen] and gaps[chosen] > apart.narrow * width):
        parts &= highs - lows > SURE * width
        if not parts.any():
            return None
        chosen = int(np.where(parts, weight, -1).argmax())
    return float(max(lows[chosen], begin)), float(highs[chosen])


def _drawn(known: Values, false_positives: float, margin: float) -> Tail:
    """The tail of sorted values (N,) of which none stands apart."""
    middle, low, high, start = np.quantile(known, [0.5, 1 - 4 * TAIL, 1 - 2 * TAIL, 1 - TAIL]).tolist()
    shape = _shape(high - low, start - high, len(known))
    reach = _reach(shape, false_positives)
    widen = (2.0 if len(known) < FEW_ROWS else 1.0) * (1 + 3 / len(known) ** 0.5)
    # Of a tail that is exponential the quantile spacing from 4 TAIL to TAIL is scale x log 4.
    drawn = start + widen * reach * (start - low) / _spacing(shape)
    if len(known) >= FEW_ROWS:
        # The farthest of N rows lies out as far as one in N, give or take the distance in which the tail falls to 1/e: a tail
        # that is drawn further out than one in `false_positives` is from there is too heavy.
        farthest, fall = float(known[-1]), max(0.0, -float(np.log(len(known) * false_positives)))
        drawn = min(drawn, farthest + (1 + fall) * (farthest - start) / np.log(TAIL * len(known)))
    tail = Tail(
        rows=len(known),
        body=np.quantile(known, np.linspace(0, 1, 101)),
        start=start,
        scale=1.0,
        shape=shape,
        threshold=0.0,
        false_positives=false_positives,
    )
    return _at(tail, max(drawn, middle + margin, start + 1e-9))


def _at(tail: Tail, threshold: float) -> Tail:
    """The tail with its threshold there: its scale follows."""
    threshold = max(threshold, tail.start + 1e-9)
    return replace(tail, threshold=threshold, scale=(threshold - tail.start) / _reach(tail.shape, tail.false_positives))


def _shape(inner: float, outer: float, rows: int) -> float:
    """Pickands' estimate from two neighbouring quantile spacings, shrunk towards an exponential tail for few rows."""
    if rows < FEW_ROWS or inner <= 0 or outer <= 0:
        return 0.0
    estimate = np.log(outer / inner) / np.log(2) * rows / (rows + SHAPE_ROWS)
    return float(np.round(np.clip(estimate, *SHAPES), 3))


def _reach(shape: float, false_positives: float) -> float:
    """Distance from the tail's start, in scales, at which `false_positives` of the whole remain."""
    ratio = TAIL / false_positives
    return float(np.log(ratio) if shape == 0 else (ratio**shape - 1) / shape)


def _spacing(shape: float) -> float:
    """Distance from the quantile 1 - 4 TAIL to 1 - TAIL in scales at the tail's start."""
    return float(np.log(4) if shape == 0 else (1 - 4**-shape) / shape)

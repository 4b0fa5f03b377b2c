"""Thresholds from the reference rows: how far out a value lies in the tail of what the reference shows.

The tail of a statistic beyond its quantile at 1 - TAIL is a generalised Pareto distribution (Pickands 1975): its
shape follows from the spacings of three quantiles (Pickands, eq. 7), its scale from their distance. Quantiles, and
not moments or maxima, because a reference drawn at random holds a few defects as well: some per cent of far
outliers hardly move them; the farthest row only bounds the tail from above. The score of a value is the share of reference rows that lie at least that far out, so low
is worse, and the threshold lies where that share is `false_positives`. Fewer rows give wider tails; nothing is ever
fitted on the rows that are judged.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def fit_tail(reference: Values, false_positives: float, margin: float) -> Tail | None:
    """The upper tail of a statistic over reference rows (N,); null with fewer than LEAST_ROWS finite values.

    The threshold lies at least `margin` (in the statistic's unit) above the reference's median, so that a reference
    whose rows are all alike does not condemn whatever differs by nothing.
    """
    known = reference[np.isfinite(reference)]
    if len(known) < LEAST_ROWS:
        return None
    middle, low, high, start = np.quantile(known, [0.5, 1 - 4 * TAIL, 1 - 2 * TAIL, 1 - TAIL]).tolist()
    shape = _shape(high - low, start - high, len(known))
    reach = _reach(shape, false_positives)
    widen = (2.0 if len(known) < FEW_ROWS else 1.0) * (1 + 3 / len(known) ** 0.5)
    # Of a tail that is exponential the quantile spacing from 4 TAIL to TAIL is scale x log 4.
    drawn = start + widen * reach * (start - low) / _spacing(shape)
    if len(known) * false_positives >= 1:
        # The farthest of so many rows lies out as far as one in `false_positives`, give or take the distance in which the tail
        # falls to 1/e: a tail that is drawn further out is too heavy.
        farthest = float(known.max())
        drawn = min(drawn, farthest + (farthest - start) / np.log(TAIL * len(known)))
    threshold = max(drawn, middle + margin, start + 1e-9)
    return Tail(
        rows=len(known),
        body=np.quantile(known, np.linspace(0, 1, 101)),
        start=start,
        scale=(threshold - start) / reach,
        shape=shape,
        threshold=threshold,
        false_positives=false_positives,
    )


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

"""What a measure can be: by its definition, and by what the reference rows span.

Legend: N = rows; a column is (N,) float32 with NaN where a row has no value.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from aigc_core.config import Ranges

Column = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: The graded measures of MEASURE_SCHEMA with the bounds that their definitions set, both inclusive.
POSSIBLE: dict[str, tuple[float, float]] = {
    "width": (1, np.inf),
    "height": (1, np.inf),
    "aspect": (1, np.inf),
    "mean": (0, 1),
    "std": (0, 0.5),
    "entropy": (0, 8),
    "sharpness": (0, np.inf),
    "noise": (0, np.inf),
    "p01": (0, 1),
    "p99": (0, 1),
}
#: float32 rounds a bound such as 0.5 or 8 by at most this, relative to it.
ROUNDING = 1e-6


def impossible(columns: Mapping[str, Column]) -> Mask:
    """(N,) true where a measure leaves the bounds of its definition, or the first percentile exceeds the last."""
    found = np.zeros(len(next(iter(columns.values()))), dtype=np.bool_)
    for name, (low, high) in POSSIBLE.items():
        if name in columns:
            values = columns[name]
            found |= (values < low) | (values > high * (1 + ROUNDING)) | np.isinf(values)
    if "p01" in columns and "p99" in columns:
        found |= columns["p01"] > columns["p99"]
    return found


def reference_range(values: Column, settings: Ranges) -> tuple[float, float] | None:
    """What reference rows span, from quantile to quantile, widened; None with too few of them."""
    known = values[~np.isnan(values)]
    if len(known) < settings.min_reference_rows:
        return None
    low, high = np.quantile(known.astype(np.float64), [settings.quantile, 1 - settings.quantile])
    slack = settings.margin * (high - low) + ROUNDING * max(abs(low), abs(high))
    return float(low - slack), float(high + slack)


def outside_shares(
    columns: Mapping[str, Column], reference: Mask, train: Mask, settings: Ranges
) -> dict[str, float | None]:
    """Measure to the share of the `train` rows outside of the range of the `reference` rows; None without a range."""
    shares: dict[str, float | None] = {}
    for name in POSSIBLE:
        values = columns.get(name, np.empty(0, np.float32))
        span = reference_range(values[reference], settings) if len(values) else None
        judged = values[train] if len(values) else values
        judged = judged[~np.isnan(judged)]
        shares[name] = None
        if span is not None and len(judged):
            shares[name] = float(((judged < span[0]) | (judged > span[1])).mean())
    return shares

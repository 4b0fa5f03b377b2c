"""How far a dataset version has moved from the one that a person accepted.

Per measure the population stability index, PSI = sum (p - q) ln(p / q) over histogram bins, of the accepted shares q
and the present shares p (Kullback and Leibler's symmetric divergence, 1951, eq. 2.6). Two samples of one population
do not reach 0: their expected PSI is (B - 1) (1/n + 1/m) for B bins (Yurdakul 2018, ch. 3), and it is subtracted here, so
that a small set does not cry wolf. By custom .1 is a change to look at and .25 a large one.

Legend: N = rows, B = bins; a column is (N,) float32 with NaN where a row has no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_core.errors import DataError

Column = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Profile = dict[str, Any]

#: Added to every bin's count (Jeffreys' prior), so that an empty bin has a logarithm.
PRIOR = 0.5


def bin_edges(values: Column, bins: int) -> list[float]:
    """Inner edges at the quantiles of `values`; a value that many rows share gets a bin of its own."""
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    quantiles = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf").astype(np.float32)
    distinct, times = np.unique(quantiles, return_counts=True)
    constant = known.min() == known.max()
    shared = distinct if constant else distinct[times > 1]
    return [float(edge) for edge in np.unique(np.concatenate([distinct, np.nextafter(shared, np.float32(np.inf))]))]


def histogram(values: Column, edges: list[float]) -> list[int]:
    """Rows by bin, B = len(edges) + 1; a row without a value is in none."""
    known = values[~np.isnan(values)]
    places = np.searchsorted(np.asarray(edges, dtype=np.float32), known, side="right")
    return [int(count) for count in np.bincount(places, minlength=len(edges) + 1)]


def psi_above_chance(accepted: list[int], present: list[int]) -> float:
    """PSI of two histograms (B,) less its expectation for two samples of one population; at least 0."""
    then, now = np.asarray(accepted, dtype=np.float64), np.asarray(present, dtype=np.float64)
    expected = float(len(then) - 1) * (1 / max(then.sum(), 1) + 1 / max(now.sum(), 1))
    q, p = (then + PRIOR) / (then + PRIOR).sum(), (now + PRIOR) / (now + PRIOR).sum()
    return max(0.0, float(((p - q) * np.log(p / q)).sum() - expected))


def profile(
    columns: Mapping[str, Column], reference: Mask, labels: Mapping[str, int], bins: int, version: str
) -> Profile:
    """What is remembered of an accepted version: histograms of its kept rows, with bins from its reference rows."""
    measures: dict[str, Any] = {}
    for name, values in columns.items():
        edges = bin_edges(values[reference] if reference.any() else values, bins)
        if edges:
            measures[name] = {"edges": edges, "counts": histogram(values, edges)}
    return {"version": version, "rows": len(reference), "labels": dict(labels), "measures": measures}


def compare(accepted: Profile, columns: Mapping[str, Column], labels: Mapping[str, int]) -> dict[str, float | None]:
    """The facts `psi_<measure>`, `largest_psi`, `class_shift`, `classes_lost` and `rows_ratio`.

    All are None where nothing was accepted yet (an empty profile). Raises DataError for a profile that is not one.
    """
    names = [f"psi_{name}" for name in columns]
    if not accepted:
        return dict.fromkeys([*names, "largest_psi", "class_shift", "classes_lost", "rows_ratio"])
    try:
        moved = {name: _moved(accepted["measures"].get(name), values) for name, values in columns.items()}
        then: dict[str, int] = accepted["labels"]
        rows = max(int(accepted["rows"]), 1)
        known = [value for value in moved.values() if value is not None]
        return {
            **{f"psi_{name}": value for name, value in moved.items()},
            "largest_psi": max(known, default=None),
            "class_shift": _class_shift(then, labels),
            "classes_lost": sum(1 for label, count in then.items() if label and count and not labels.get(label)),
            "rows_ratio": sum(labels.values()) / rows,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"data/profile.json is not a profile ({error!r}): write {{}} into it, or run `aigc quality accept` again"
        ) from None


def _moved(accepted: Mapping[str, Any] | None, values: Column) -> float | None:
    if accepted is None or np.isnan(values).all():
        return None
    return psi_above_chance(accepted["counts"], histogram(values, accepted["edges"]))


def _class_shift(then: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Total variation distance of the class shares, in [0, 1]: half the summed absolute change."""
    old, new = max(sum(then.values()), 1), max(sum(now.values()), 1)
    return sum(abs(now.get(label, 0) / new - then.get(label, 0) / old) for label in {*then, *now}) / 2

"""What can be said of one row alone, for all rows at once: a value, a score in [0, 1] (low is worse), a threshold.

Legend: N = rows. A row that cannot be decoded has no measures; every rule but `corrupt` and `generated` passes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.config import Quality, Tail
from aigc_core.quality import calibration, reasons

Values = npt.NDArray[np.float64]

#: Pillow's names for the bytes that a file name's ending announces; an ending that is not here announces nothing.
_EQUIVALENT = (
    ("jpg jpeg jpe jfif", "JPEG MPO"),
    ("png apng", "PNG"),
    ("gif", "GIF"),
    ("webp", "WEBP"),
    ("bmp dib", "BMP DIB"),
    ("tif tiff", "TIFF"),
    ("ppm pgm pbm pnm pfm", "PPM"),
    ("jp2 j2k jpx jpc jpf", "JPEG2000"),
    ("avif", "AVIF"),
    ("ico", "ICO"),
    ("tga", "TGA"),
    ("pcx", "PCX"),
    ("psd", "PSD"),
    ("dds", "DDS"),
)
FORMATS = {ending: frozenset(names.split()) for endings, names in _EQUIVALENT for ending in endings.split()}
#: Keeps a logarithm finite; far below what 8 bits can show.
TINY = 1e-6


@dataclass(frozen=True)
class Graded:
    """One graded rule over all rows."""

    reason: str
    measures: list[str] | str  # the column that decided, one for all rows or one each
    values: Values  # (N,) in the unit of the column; nan where unknown
    scores: Values  # (N,) in [0, 1], low is worse; nan where unknown
    thresholds: Values  # (N,) in the unit of the column
    bad: npt.NDArray[np.bool_]  # (N,)

    def measure(self, row: int) -> str:
        """Name of the column that decided for one row."""
        return self.measures if isinstance(self.measures, str) else self.measures[row]


@dataclass(frozen=True)
class Statistic:
    """A number per row whose upper tail is fitted: `value` to statistic, and a threshold back to the column's unit."""

    reason: str
    column: str
    forward: Callable[[dict[str, Values]], Values]  # higher is worse
    back: Callable[[float, dict[str, Values]], Values | float]


def _log(values: Values) -> Values:
    return np.log(np.maximum(values, TINY))


#: `odd_size` has two tails, and so two lines.
STATISTICS = (
    Statistic(reasons.ODD_SIZE, "side", lambda c: _log(c["side"]), lambda t, _: np.exp(t)),
    Statistic(reasons.ODD_SIZE, "side", lambda c: -_log(c["side"]), lambda t, _: np.exp(-t)),
    Statistic(reasons.ODD_ASPECT, "aspect", lambda c: _log(c["aspect"]), lambda t, _: np.exp(t)),
    Statistic(reasons.LOW_INFORMATION, "entropy", lambda c: -c["entropy"], lambda t, _: -t),
    Statistic(reasons.DARK, "p99", lambda c: -c["p99"], lambda t, _: -t),
    Statistic(reasons.BRIGHT, "p01", lambda c: c["p01"], lambda t, _: t),
    # Little fine texture for the contrast: edges, which the noise estimate leaves out, survive a blur.
    Statistic(
        reasons.BLURRY, "noise", lambda c: 0.5 * _log(c["std"]) - _log(c["noise"]),
        lambda t, c: np.exp(0.5 * _log(c["std"]) - t),
    ),
    # Much noise beside the fine detail: of white noise the two agree, of detail the noise estimate sees little.
    Statistic(
        reasons.NOISY, "noise", lambda c: 2 * _log(c["noise"]) - 0.5 * _log(c["sharpness"]),
        lambda t, c: np.exp((t + 0.5 * _log(c["sharpness"])) / 2),
    ),
    Statistic(reasons.OUT_OF_DOMAIN, "domain_distance", lambda c: _log(c["domain_distance"]), lambda t, _: np.exp(t)),
)  # fmt: skip


def columns_of(rows: pa.Table) -> dict[str, Values]:
    """The numeric measures as float64 (N,), null as nan, and `side`, the shorter side in px."""
    names = ("width", "height", "aspect", "std", "entropy", "sharpness", "noise", "p01", "p99", "domain_distance")
    found = {
        name: np.asarray(rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        if name in rows.column_names
        else np.full(rows.num_rows, np.nan)
        for name in names
    }
    found["side"] = np.minimum(found["width"], found["height"])
    return found


def absolute(columns: dict[str, Values], quality: Quality) -> Iterator[Graded]:
    """The rules whose bound is a number of params.yaml."""
    narrow = columns["width"] <= columns["height"]
    rules = (
        (reasons.TOO_SMALL, columns["side"], float(quality.too_small.min_side), np.less, _sides(narrow)),
        (reasons.BLANK, columns["std"], quality.blank.max_std, np.less_equal, "std"),
    )
    for reason, values, bound, worse, measure in rules:
        if getattr(quality, reason).action != "off":
            scores = np.clip(values / max(bound, TINY), 0, 1)
            yield Graded(reason, measure, values, scores, np.full(len(values), bound), worse(values, bound))


def _sides(narrow: npt.NDArray[np.bool_]) -> list[str]:
    return ["width" if is_narrow else "height" for is_narrow in narrow.tolist()]


def fit(
    columns: dict[str, Values], reference: npt.NDArray[np.bool_], quality: Quality
) -> list[tuple[Statistic, calibration.Tail | None]]:
    """Every tail that is not off, fitted on the rows where `reference` (N,) is true and on no other."""
    fitted = []
    only = {name: values[reference] for name, values in columns.items()}
    for statistic in STATISTICS:
        rule: Tail = getattr(quality, statistic.reason)
        if rule.action != "off":
            # A reason with two tails shares its false positives between them.
            tails = sum(other.reason == statistic.reason for other in STATISTICS)
            tail = calibration.fit_tail(statistic.forward(only), rule.false_positives / tails, rule.margin)
            fitted.append((statistic, tail))
    return fitted


def fitted(
    columns: dict[str, Values], tails: list[tuple[Statistic, calibration.Tail | None]], skip: npt.NDArray[np.bool_]
) -> Iterator[Graded]:
    """The rules whose bound comes from the reference. Rows where `skip` (N,) is true are not flagged: they are blank."""
    narrow = columns["width"] <= columns["height"]
    for statistic, tail in tails:
        if tail is not None:
            values = statistic.forward(columns)
            bad = (values > tail.threshold) & ~skip
            thresholds = np.broadcast_to(np.asarray(statistic.back(tail.threshold, columns), np.float64), values.shape)
            measure = _sides(narrow) if statistic.column == "side" else statistic.column
            yield Graded(
                statistic.reason, measure, columns[statistic.column], tail.survival(values), thresholds, bad
            )  # fmt: skip


def wrong_type(rows: pa.Table) -> list[int]:
    """Places of rows whose file name announces another format than the bytes have."""
    if "format" not in rows.column_names:
        return []
    found = []
    for place, (source, actual) in enumerate(zip(rows["source"].to_pylist(), rows["format"].to_pylist(), strict=True)):
        announced = FORMATS.get(ending(source))
        if actual is not None and announced is not None and actual not in announced:
            found.append(place)
    return found


def ending(source: str) -> str:
    """Lower-case ending of a row's source path without the dot; empty where it has none."""
    name = source.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot + 1 :].lower() if dot > 0 else ""


def places(mask: Any) -> list[int]:
    """Places where a boolean Arrow or numpy array is true; null is false."""
    if isinstance(mask, (pa.ChunkedArray, pa.Array)):
        mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    found: list[int] = np.flatnonzero(mask).tolist()
    return found

"""What can be said of one row alone, for all rows at once: a value, a score in [0, 1] (low is worse), a threshold.

Legend: N = rows. A row that cannot be decoded has no measures; every rule but `corrupt` and `generated` passes it over.
"""

from __future__ import annotations

import math
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
Labels = npt.NDArray[Any]  # (N,) strings

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
#: Why a reason has no threshold.
TOO_FEW = f"fewer than {calibration.LEAST_ROWS} reference images tell of it"
#: Noise that rounding to 8 bits makes.
ROUNDING = 0.002
#: Share of neighbouring pixels that are equal by chance in the noisiest pictures.
CHANCE = 0.02
#: A class has a tail of its own where at least this share of its reference rows lies beyond the common threshold, with less than
#: this probability if rows fell there without regard to class.
LEAST_SHARE, BY_CHANCE = 0.1, 1e-3


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
    """A number per row whose upper tail is fitted: `value` to statistic, and a threshold back to the column's unit.

    `limit` is the highest value that an image can have; a threshold within `room` of it finds nothing.
    """

    reason: str
    column: str
    forward: Callable[[dict[str, Values]], Values]  # higher is worse
    back: Callable[[float, dict[str, Values]], Values | float]
    limit: float = math.inf
    room: float = 0.0
    apart: calibration.Apart = calibration.USUALLY


def _log(values: Values) -> Values:
    return np.log(np.maximum(values, TINY))


#: `odd_size` has two tails and `noisy` three, and so they have as many lines.
STATISTICS = (
    Statistic(reasons.ODD_SIZE, "side", lambda c: _log(c["side"]), lambda t, _: np.exp(t)),
    Statistic(reasons.ODD_SIZE, "side", lambda c: -_log(c["side"]), lambda t, _: np.exp(-t)),
    Statistic(reasons.ODD_ASPECT, "aspect", lambda c: _log(c["aspect"]), lambda t, _: np.exp(t)),
    Statistic(reasons.LOW_INFORMATION, "entropy", lambda c: -c["entropy"], lambda t, _: -t, limit=0.0, room=0.05),
    Statistic(reasons.DARK, "p99", lambda c: -c["p99"], lambda t, _: -t, limit=0.0, room=0.02),
    Statistic(reasons.BRIGHT, "p01", lambda c: c["p01"], lambda t, _: t, limit=1.0, room=0.02),
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
    # The fine detail of red is nearly that of blue; the noise is not.
    Statistic(
        reasons.NOISY, "colour_noise", lambda c: np.log(c["colour_noise"] + ROUNDING), lambda t, _: np.exp(t) - ROUNDING
    ),
    # On flat colours with many edges, where every estimate of noise fails, noise leaves no two neighbours equal.
    Statistic(
        reasons.NOISY, "equal_neighbours", lambda c: -_log(c["equal_neighbours"] + CHANCE),
        lambda t, _: np.maximum(np.exp(-t) - CHANCE, 0), limit=-math.log(CHANCE), room=0.1,
    ),
    # The root draws in a long tail and leaves a stranger far out; strangers have nothing in common, so each may stand alone.
    Statistic(
        reasons.OUT_OF_DOMAIN, "domain_distance", lambda c: np.sqrt(c["domain_distance"]), lambda t, _: t * t,
        apart=calibration.Apart(least=1, narrow=0.4),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A statistic with its tail, null where there were too few rows; and, by label, the tails of classes that lie beyond it far
    more often than others."""

    statistic: Statistic
    tail: calibration.Tail | None
    kinds: dict[str, calibration.Tail]

    @property
    def silent(self) -> bool:
        """Whether no image could be found by it."""
        return self.tail is None or self.tail.threshold > self.statistic.limit - self.statistic.room


def columns_of(rows: pa.Table) -> dict[str, Values]:
    """The numeric measures as float64 (N,), null as nan, and `side`, the shorter side in px."""
    names = (
        "width",
        "height",
        "aspect",
        "std",
        "entropy",
        "sharpness",
        "noise",
        "colour_noise",
        "equal_neighbours",
        "p01",
        "p99",
        "domain_distance",
    )
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


def fit(columns: dict[str, Values], labels: Labels, reference: npt.NDArray[np.bool_], quality: Quality) -> list[Fitted]:
    """Every tail that is not off, fitted on the rows where `reference` (N,) is true and on no other. `labels` (N,) are class
    names, empty where there is none.

    The distance to the reference, which sees whatever the others see, is fitted on the rows that the others leave.
    """
    only = {name: values[reference] for name, values in columns.items()}
    own = labels[reference]
    found: list[Fitted] = []
    for statistic in STATISTICS:
        if statistic.reason == reasons.OUT_OF_DOMAIN:  # the last one
            left = np.ones(len(own), np.bool_)
            for graded in fitted(only, own, found, ~left):
                left &= ~graded.bad
            only, own = {name: values[left] for name, values in only.items()}, own[left]
        rule: Tail = getattr(quality, statistic.reason)
        if rule.action != "off":
            # A reason with several tails shares its false positives between them.
            tails = sum(other.reason == statistic.reason for other in STATISTICS)
            values = statistic.forward(only)
            share = rule.false_positives / tails
            tail = calibration.fit_tail(values, share, rule.margin, statistic.limit, statistic.apart)
            found.append(Fitted(statistic, tail, _kinds(values, own, tail, rule.margin, statistic)))
    return found


def _kinds(
    values: Values, labels: Labels, tail: calibration.Tail | None, margin: float, statistic: Statistic
) -> dict[str, calibration.Tail]:
    """Tails of the classes that far more rows beyond the threshold belong to than chance allows: what such a class has is a kind
    of image, or its own defects, and its own tail tells them apart."""
    if tail is None:
        return {}
    found = {}
    beyond = values > tail.threshold
    for label in np.unique(labels[beyond & (labels != "")]).tolist():
        mine = labels == label
        own = values[mine]
        if len(own) >= calibration.LEAST_ROWS and _gathered(beyond[mine], beyond[~mine]):
            kind = calibration.fit_tail(own, tail.false_positives, margin, statistic.limit, statistic.apart)
            if kind is not None and kind.threshold > tail.threshold:
                found[label] = kind
    return found


def _gathered(own: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]) -> bool:
    """Whether rows (N,) are true so much more often than the others (M,) that chance is out of the question, by Chernoff's bound
    on the tail of a binomial distribution (1952): exp(-N times the divergence of the two shares)."""
    share, usual = float(own.mean()), (float(others.sum()) + 1) / (len(others) + 1)
    if share < LEAST_SHARE or share <= usual:
        return False
    divergence = share * math.log(share / usual)
    divergence += (1 - share) * math.log((1 - share) / (1 - usual)) if share < 1 else 0.0
    return math.exp(-len(own) * divergence) < BY_CHANCE


def fitted(
    columns: dict[str, Values], labels: Labels, tails: list[Fitted], skip: npt.NDArray[np.bool_]
) -> Iterator[Graded]:
    """The rules whose bound comes from the reference. Rows where `skip` (N,) is true are not flagged: they are blank."""
    narrow = columns["width"] <= columns["height"]
    for fit in tails:
        statistic = fit.statistic
        if fit.tail is not None:
            values = statistic.forward(columns)
            scores, bounds = fit.tail.survival(values), np.full(len(values), fit.tail.threshold)
            thresholds = np.array(
                np.broadcast_to(statistic.back(fit.tail.threshold, columns), values.shape), np.float64
            )
            for label, kind in fit.kinds.items():
                own = labels == label
                scores[own], bounds[own] = kind.survival(values[own]), kind.threshold
                back = np.broadcast_to(statistic.back(kind.threshold, columns), values.shape)
                thresholds[own] = back[own]
            bad = (values > bounds) & ~skip
            measure = _sides(narrow) if statistic.column == "side" else statistic.column
            yield Graded(statistic.reason, measure, columns[statistic.column], scores, thresholds, bad)


def silent(tails: list[Fitted]) -> dict[str, str]:
    """Reasons that no image could get, because none of their tails leaves room for one, with the cause."""
    found = {}
    for reason in dict.fromkeys(fit.statistic.reason for fit in tails):
        own = [fit for fit in tails if fit.statistic.reason == reason]
        if all(fit.silent for fit in own):
            few = all(fit.tail is None for fit in own)
            found[reason] = TOO_FEW if few else "the reference images reach as far as an image can"
    return found


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

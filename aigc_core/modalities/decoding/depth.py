"""Wide values (16 or 32 bits, floats) to 8 bits: which value is black, which is white, and how that was known.

A file seldom says what its brightest value means. Where it does, that counts; where it does not, the scale is guessed
from the image, and a note says so: a picture that is read as too dark or too bright can then be found by its note.

Legend: H, W = height, width in px; S = samples per pixel, of which the last may be alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_core.errors import DecodeError
from aigc_core.modalities.decoding.canonical import Pixels

Values = npt.NDArray[Any]

#: Depths of cameras and scanners; a container of 16 bits holds one of them.
DEPTHS = (8, 10, 12, 14, 16)
#: Of the values of one image so many may be no finite number; one may be in the smallest image.
NOT_FINITE_SHARE = 0.01
#: Resizing and filtering leave values that lie beyond black and white by this share of the range.
OVERSHOOT = 0.1
#: The same of integers that are held in floats: the next depth is four times as large.
OVERSHOOT_WIDE = 0.05
#: Highlights: so small a share of the values may lie above white, by up to this factor.
HIGHLIGHT_SHARE, HIGHLIGHTS = 0.05, 8.0
#: Floats whose largest value is below this are no picture of 0 to 255.
DIM = 16.0
#: A picture that spans fewer of the 255 steps than this is told to be dim.
FEW_LEVELS = 32
#: Values that span less are one value: 255 divided by it is still a number.
NARROWEST = 1e-300
#: Values that are scaled at once: the largest images would take gigabytes as floats.
STRIP = 1 << 22


@dataclass(frozen=True)
class Known:
    """What the file says of its values: their name in notes, the bits of the container, and what white and black are."""

    name: str
    bits: int
    signed: bool = False
    white: float | None = None
    black: float = 0.0


@dataclass(frozen=True)
class Scale:
    """The values that become 0 and 255, the note on how that was decided, and the depth in bits where it is one."""

    black: float
    white: float
    note: str
    bits: int = 0


def eight_bits(values: Values, known: Known, *, alpha: bool = False) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels (H, W, S) of wide values (H, W, S), and notes. All colours have one scale; alpha has its own.

    Raises DecodeError where too many values are no finite numbers.
    """
    values, notes = _finite(values)
    colours = values.shape[2] - alpha
    pixels = np.empty(values.shape, np.uint8)
    low, high = _ends(values[..., :colours])
    scale = _visible(_scale(values[..., :colours], low, high, known), values[..., :colours], low, high, known)
    notes.append(scale.note)
    beyond = _fill(pixels[..., :colours], values[..., :colours], scale)
    if beyond:
        notes.append(f"values beyond black or white cut off: {beyond:,}")
    if alpha:
        opacity = _scale(values[..., colours:], *_ends(values[..., colours:]), known)
        _fill(pixels[..., colours:], values[..., colours:], scale if scale.bits > opacity.bits else opacity)
    if low < high:
        notes += dim(pixels[..., :colours])
    return pixels, tuple(notes)


def _ends(values: Values) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def dim(pixels: Pixels) -> tuple[str, ...]:
    """A note where pixels that were scaled span few of the levels."""
    span = int(pixels.max()) - int(pixels.min())
    return (f"uses {span} of 255 levels",) if span < FEW_LEVELS else ()


def _finite(values: Values) -> tuple[Values, list[str]]:
    if values.dtype.kind != "f":
        return values, []
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    if not count:
        return values, []
    if count > max(1, NOT_FINITE_SHARE * values.size):
        raise DecodeError(f"{count:,} of {values.size:,} values are not finite numbers")
    known = values[~bad]
    if not known.size:
        raise DecodeError("not one value is a finite number")
    low, high = known.min(), known.max()
    return np.nan_to_num(values, nan=low, posinf=high, neginf=low), [f"values that are not finite replaced: {count:,}"]


def _scale(values: Values, low: float, high: float, known: Known) -> Scale:
    if known.white is not None and known.black <= low and high <= known.white:
        return Scale(known.black, known.white, f"mode {known.name} scaled to 8 bits", known.bits)
    if values.dtype.kind == "f":
        return _float_scale(values, low, high)
    if low < 0:
        return _signed_scale(low, high)
    most = known.bits - known.signed
    depths = (*(depth for depth in DEPTHS if depth < most), most) if most <= max(DEPTHS) else DEPTHS
    scale = _whole_scale(low, high, depths, f"{known.bits}-bit")
    if scale.bits == most:  # the container's own depth: nothing was guessed
        return Scale(scale.black, scale.white, f"mode {known.name} scaled to 8 bits", most)
    return scale


def _whole_scale(low: float, high: float, depths: tuple[int, ...], name: str, slack: float = 0.0) -> Scale:
    """Values from 0: the smallest depth that holds the largest one; of larger values as much room above as below."""
    for bits in depths:
        white = 2.0**bits - 1
        if high <= white * (1 + slack):
            return Scale(0.0, white, f"{name} values up to {high:,.0f} read as {bits} bits", bits)
    # Not what they span, which would give a flat image full contrast.
    return Scale(0.0, low + high, f"{name} values up to {high:,.0f} read as 0 to {low + high:,.0f}")


def _signed_scale(low: float, high: float) -> Scale:
    """Values on both sides of 0: a signed depth that they fill on both sides, or else just what they span."""
    for bits in (*DEPTHS, 32):
        half = 2.0 ** (bits - 1)
        if -half <= low < -half / 2 and half / 2 < high < half:
            return Scale(-half, half - 1, f"signed values up to {high:,.0f} read as {bits} bits")
    return _spanned(low, high)


def _spanned(low: float, high: float) -> Scale:
    return Scale(low, high, "values of no known scale stretched to what they span")


def _visible(scale: Scale, values: Values, low: float, high: float, known: Known) -> Scale:
    """The scale, or what the values span where they are fractions of which it would leave few levels."""
    if values.dtype.kind != "f" or known.white is not None or low == high:
        return scale
    levels = 255 * (high - low) / max(scale.white - scale.black, NARROWEST)
    whole = levels >= FEW_LEVELS or bool((values == np.round(values)).all())
    return scale if whole else _spanned(low, high)


def _float_scale(values: Values, low: float, high: float) -> Scale:
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return Scale(0.0, 1.0, "float values read as 0 to 1")
    if -1 - OVERSHOOT <= low < 0 and high <= 1 + OVERSHOOT:
        return Scale(-1.0, 1.0, "float values read as -1 to 1")
    whole = bool((values == np.round(values)).all())
    if low < -OVERSHOOT_WIDE * high:
        return _signed_scale(low, high) if high > DIM else _spanned(low, high)
    if not whole and high <= HIGHLIGHTS and float((values > 1).mean()) <= HIGHLIGHT_SHARE:
        return Scale(0.0, 1.0, "float values read as 0 to 1")
    if not whole and high < DIM:
        return Scale(0.0, low + high, "float values of no known scale read up to their largest")
    if high <= 255 * (1 + OVERSHOOT_WIDE):
        return Scale(0.0, 255.0, "float values read as 0 to 255")
    return _whole_scale(max(low, 0.0), high, DEPTHS, "float", OVERSHOOT_WIDE)


def _fill(pixels: Pixels, values: Values, scale: Scale) -> int:
    """Write the scaled values; the number of those that lie beyond the scale."""
    factor = 255 / max(scale.white - scale.black, NARROWEST)
    rows = max(STRIP // max(values[0].size, 1), 1)
    beyond = 0
    for top in range(0, len(values), rows):
        strip = values[top : top + rows].astype(np.float64)
        strip -= scale.black
        strip *= factor
        np.round(strip, out=strip)
        if strip.min() < 0 or strip.max() > 255:
            beyond += int(np.count_nonzero((strip < 0) | (strip > 255)))
            np.clip(strip, 0, 255, out=strip)
        pixels[top : top + rows] = strip
    return beyond

"""Raw facts of images, for many of one shape at once. Nothing here knows a threshold, so a changed threshold never
reads an image again.

Legend: N images, H, W = height, width in px, C channels. All sums are sums of integers, so they are exact, and a
row's facts do not depend on the batch that it is in.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from aigc_core.quality.planes import Planes, over, over_black

Lumas = npt.NDArray[np.uint8]  # (N, H, W)
Values = npt.NDArray[np.float64]  # (N,)
Counts = npt.NDArray[np.int64]  # (N, 256)
#: Pixels that are worked on at once: what is in between stays in the cache, and a huge image needs no huge memory.
BLOCK = 1 << 18
LEVELS = 256
#: Images of so many pixels at most look up their logarithms in a table.
TABLED = 1 << 14
#: Alpha from which a pixel is seen.
OPAQUE = 128
#: Below this standard deviation of the luma colours of one brightness may still show a picture.
FLAT = 0.02
#: Roots, logarithms and sums of fractions are rounded to this many decimals: their last bits depend on the processor.
DIGITS = 10


def measure_batch(pixels: npt.NDArray[np.uint8], planes: Planes) -> dict[str, float | Values]:
    """Columns of MEASURE_SCHEMA that follow from pixels (N, H, W, C) and their planes; a number is that of all N images.

    Of images with alpha, brightness, grey levels and equal neighbours are those of the pixels that are seen; contrast, sharpness and
    noise are those over black or over white, where the luma varies more.
    """
    _, height, width, channels = pixels.shape
    shown, seen = planes.luma, None
    if planes.alpha is not None:
        shown, seen = shown_lumas(planes.luma, planes.alpha), seen_pixels(planes.alpha)
    counts = histograms(planes.bare, seen)
    _, std = moments(counts if seen is None else histograms(shown))
    if channels > 1 and (flat := std < FLAT).any():
        std[flat] = np.maximum(std[flat], colour_std(pixels[flat]))
    darkest, brightest = (counts, counts) if channels == 1 else extremes(pixels, seen)
    sharpness, noise = second_differences(shown)
    return {
        "width": width,
        "height": height,
        "aspect": max(width, height) / min(width, height),
        "channels": channels,
        "mean": moments(counts)[0],
        "std": std,
        "entropy": entropy(counts),
        "sharpness": sharpness,
        "noise": noise,
        "colour_noise": colour_noise(pixels),
        "equal_neighbours": equal_neighbours(planes.bare, seen),
        "p01": percentile(darkest, 0.01),
        "p99": percentile(brightest, 0.99),
    }


def extremes(pixels: npt.NDArray[np.uint8], seen: npt.NDArray[np.bool_] | None) -> tuple[Counts, Counts]:
    """Histograms (N, 256) of the darkest and of the brightest channel of each pixel that is seen: a strong blue has little luma
    and is not dark."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    lowest, highest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return histograms(lowest, seen), histograms(highest, seen)


def shown_lumas(over_black: Lumas, alpha: Lumas) -> Lumas:
    """Lumas (N, H, W) of transparent images over black or over white, for each image where its luma varies more.

    The variance is a convex function of the grey behind, so what is flat over both is flat over every grey.
    """
    shown, over_white = over_black.copy(), over(over_black, alpha, 255)
    (_, on_black), (_, on_white) = moments(histograms(shown)), moments(histograms(over_white))
    lighter = on_white > on_black
    shown[lighter] = over_white[lighter]
    return shown


def seen_pixels(alpha: Lumas) -> npt.NDArray[np.bool_]:
    """Which pixels (N, H, W) are seen: those that are more opaque than not, else those that are not quite transparent, else all."""
    seen = alpha >= OPAQUE
    for other in (alpha > 0, np.ones_like(seen)):
        nothing = ~seen.any(axis=(1, 2))
        seen[nothing] = other[nothing]
    return seen


def colour_std(pixels: npt.NDArray[np.uint8]) -> Values:
    """Standard deviation (N,) in [0, 0.5] of the channel of pixels (N, H, W, 3 or 4) that varies most, over black."""
    colours = pixels[..., :3]
    if pixels.shape[3] == 4:
        colours = over_black(colours, pixels[..., 3:])
    spreads = [moments(histograms(np.ascontiguousarray(colours[..., channel])))[1] for channel in range(3)]
    return np.asarray(np.maximum.reduce(spreads))


def histograms(lumas: Lumas, seen: npt.NDArray[np.bool_] | None = None) -> Counts:
    """Counts (N, 256) of the luma's levels, over the pixels that `seen` (N, H, W) says, or all."""
    if lumas[0].size > BLOCK:
        masks = [None] * len(lumas) if seen is None else [Image.fromarray(one.astype(np.uint8) * 255) for one in seen]
        images = [Image.fromarray(luma) for luma in lumas]
        return np.array([one.histogram(mask) for one, mask in zip(images, masks, strict=True)], dtype=np.int64)
    return _counts(lumas, LEVELS, seen)


def _counts(values: npt.NDArray[Any], kinds: int, which: npt.NDArray[np.bool_] | None) -> Counts:
    """How often each of `kinds` whole numbers from 0 occurs in each of N arrays, (N, kinds), where `which` says, or everywhere."""
    count = len(values)
    places = values.reshape(count, -1) + np.arange(count, dtype=np.int64)[:, None] * kinds
    chosen = places.ravel() if which is None else places[which.reshape(count, -1)]
    return np.bincount(chosen, minlength=count * kinds).reshape(count, kinds)


def moments(counts: Counts) -> tuple[Values, Values]:
    """Mean in [0, 1] and standard deviation in [0, 0.5] of the luma, from its histograms (N, 256)."""
    levels = np.arange(LEVELS)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    spread = np.einsum("ij,ij->i", counts, (levels[None] - mean[:, None]) ** 2) / total
    return mean / 255, np.round(np.sqrt(spread) / 255, DIGITS)


def entropy(counts: Counts) -> Values:
    """Shannon entropy of histograms (N, 256), bits in [0, 8]."""
    places = counts.sum(axis=1)
    if (places == places[0]).all() and places[0] <= TABLED:
        parts = _parts(int(places[0]))[counts]
    else:
        parts = _information(counts / places[:, None])
    return np.asarray(np.round(-parts.sum(axis=1), DIGITS) + 0.0)


def _information(shares: Values) -> Values:
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(shares * logs)


@functools.lru_cache(maxsize=64)
def _parts(places: int) -> Values:
    """What a level that so many of `places` pixels have takes from the entropy, (places + 1,): a look-up instead of logarithms."""
    return _information(np.arange(places + 1) / places)


def percentile(counts: Counts, share: float) -> Values:
    """The smallest level in [0, 1] that at least this share of the pixels do not exceed, from histograms (N, 256)."""
    reached = counts.cumsum(axis=1)
    return np.asarray((reached >= share * reached[:, -1:]).argmax(axis=1) / 255)


def colour_noise(pixels: npt.NDArray[np.uint8]) -> Values:
    """Immerkaer's noise of half the difference of red and blue, whose fine detail is nearly the same in nature; of grey pixels
    (N, H, W, 1) nan."""
    count, height, width, channels = pixels.shape
    if channels == 1:
        return np.full(count, np.nan)
    if min(height, width) < 3:
        return np.zeros(count)
    absolute = np.zeros(count)
    band = max(BLOCK // (count * width), 1)
    for top in range(0, height - 2, band):
        part = pixels[:, top : top + band + 2].astype(np.int16)
        apart = part[..., 0] - part[..., 2]
        if channels == 4:  # colour counts as far as it is seen
            apart = (apart * (part[..., 3] >= OPAQUE)).astype(np.int16)
        across = apart[:, :, :-2] - 2 * apart[:, :, 1:-1] + apart[:, :, 2:]
        absolute += np.abs(across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:]).sum(axis=(1, 2), dtype=np.int64)
    places = (height - 2) * (width - 2)
    return np.asarray(absolute / places * math.sqrt(math.pi / 2) / 6 / 255 / 2)


def equal_neighbours(lumas: Lumas, seen: npt.NDArray[np.bool_] | None = None) -> Values:
    """Share, in [0, 1], of neighbouring pixels of lumas (N, H, W) that are equal, of those that are both `seen`; 1 where there
    are none.

    Noise leaves hardly any, and on a drawing of few flat colours, whose edges every estimate of noise takes for noise, this
    is what it changes.
    """
    equal, total = np.zeros((2, len(lumas)), np.int64)
    for one, two in (
        ((..., slice(1, None)), (..., slice(None, -1))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        same = lumas[one] == lumas[two]
        if seen is None:
            total += same[0].size
        else:
            both = seen[one] & seen[two]
            same &= both
            total += both.sum(axis=(1, 2))
        equal += same.sum(axis=(1, 2))
    shares: Values = np.where(total > 0, equal / np.maximum(total, 1), 1.0)
    return np.round(shares, DIGITS)


def second_differences(lumas: Lumas) -> tuple[Values, Values]:
    """Sharpness and noise of lumas (N, H, W); both 0 for images under 3 px.

    Sharpness is the variance of the 4-neighbour Laplacian of the luma in [0, 1] (Pech-Pacheco et al. 2000). Noise is
    Immerkaer's estimate of a standard deviation (1996, equation 4): the mean absolute response to the difference of two
    Laplacians, which neither slopes nor straight edges answer to, times sqrt(pi / 2) / 6.
    """
    count, height, width = lumas.shape
    if min(height, width) < 3:
        return np.zeros(count), np.zeros(count)
    first, second, absolute = np.zeros((3, count))
    band = max(BLOCK // (count * width), 1)
    for top in range(0, height - 2, band):
        x = lumas[:, top : top + band + 2].astype(np.int16)
        across = x[:, :, :-2] - 2 * x[:, :, 1:-1] + x[:, :, 2:]
        down = x[:, :-2, 1:-1] - 2 * x[:, 1:-1, 1:-1] + x[:, 2:, 1:-1]
        laplacian = (across[:, 1:-1] + down).reshape(count, -1).astype(np.float64)
        first += laplacian.sum(axis=1)
        second += np.einsum("ij,ij->i", laplacian, laplacian)
        twice = across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:]
        absolute += np.abs(twice).sum(axis=(1, 2), dtype=np.int64)
    places = (height - 2) * (width - 2)
    sharpness = (second / places - (first / places) ** 2) / 255**2
    return np.maximum(sharpness, 0.0), absolute / places * math.sqrt(math.pi / 2) / 6 / 255

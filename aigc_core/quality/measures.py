"""Raw facts of images, for many of one shape at once. Nothing here knows a threshold, so a changed threshold never
reads an image again.

Legend: N images, H, W = height, width in px, C channels. All sums are sums of integers, so they are exact, and a
row's facts do not depend on the batch that it is in.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from aigc_core.modalities import image

Lumas = npt.NDArray[np.uint8]  # (N, H, W)
Values = npt.NDArray[np.float64]  # (N,)
#: Pixels that are worked on at once: what is in between stays in the cache, and a huge image needs no huge memory.
BLOCK = 1 << 18
LEVELS = 256
#: Images of so many pixels at most look up their logarithms in a table.
TABLED = 1 << 14
#: Below this standard deviation of the luma colours of one brightness may still show a picture.
FLAT = 0.02
#: Roots, logarithms and sums of fractions are rounded to this many decimals: their last bits depend on the processor.
DIGITS = 10


def luma_batch(pixels: npt.NDArray[np.uint8]) -> Lumas:
    """Luma (N, H, W) in 0..255 of pixels (N, H, W, C): Rec. 601 in Pillow's fixed point; alpha is laid over mid-grey."""
    channels = pixels.shape[3]
    if channels == 1:
        return pixels[..., 0]
    if channels == 4:
        return np.stack([image.with_channels(one, 1)[..., 0] for one in pixels])
    if pixels[0].size > BLOCK:  # one at a time, in Pillow: no wide copies
        return np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in pixels])
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def measure_batch(pixels: npt.NDArray[np.uint8], lumas: Lumas) -> dict[str, float | Values]:
    """Columns of MEASURE_SCHEMA that follow from pixels (N, H, W, C) and their lumas (N, H, W).

    A number is that of all N images. Of images with alpha the luma that is measured is that of `shown_lumas`.
    """
    _, height, width, channels = pixels.shape
    if channels == 4:
        lumas = shown_lumas(pixels)
    counts = histograms(lumas)
    first, last = percentiles(counts, 0.01, 0.99)
    mean, std = moments(counts)
    if channels > 1 and (flat := std < FLAT).any():
        std[flat] = np.maximum(std[flat], colour_std(pixels[flat]))
    sharpness, noise = second_differences(lumas)
    return {
        "width": width,
        "height": height,
        "aspect": max(width, height) / min(width, height),
        "channels": channels,
        "mean": mean,
        "std": std,
        "entropy": entropy(counts, height * width),
        "sharpness": sharpness,
        "noise": noise,
        "p01": first,
        "p99": last,
    }


def shown_lumas(pixels: npt.NDArray[np.uint8]) -> Lumas:
    """Lumas (N, H, W) of pixels (N, H, W, 4) over black or over white, for each image where its luma varies more.

    The variance is a convex function of the grey behind, so what is flat over both is flat over every grey.
    """
    alpha = pixels[..., 3].astype(np.uint16)
    over_black = luma_batch(pixels[..., :3]).astype(np.uint16)
    over_black *= alpha
    over_black += 127
    over_black //= 255
    over_white = (over_black + 255 - alpha).astype(np.uint8)
    shown = over_black.astype(np.uint8)
    (_, on_black), (_, on_white) = moments(histograms(shown)), moments(histograms(over_white))
    lighter = on_white > on_black
    shown[lighter] = over_white[lighter]
    return shown


def colour_std(pixels: npt.NDArray[np.uint8]) -> Values:
    """Standard deviation (N,) in [0, 0.5] of the channel of pixels (N, H, W, 3 or 4) that varies most, over black."""
    colours = pixels[..., :3]
    if pixels.shape[3] == 4:
        colours = ((colours * pixels[..., 3:].astype(np.uint16) + 127) // 255).astype(np.uint8)
    spreads = [moments(histograms(np.ascontiguousarray(colours[..., channel])))[1] for channel in range(3)]
    return np.asarray(np.maximum.reduce(spreads))


def histograms(lumas: Lumas) -> npt.NDArray[np.int64]:
    """Counts (N, 256) of the luma's levels."""
    count = len(lumas)
    if lumas[0].size > BLOCK:
        return np.array([Image.fromarray(luma).histogram() for luma in lumas], dtype=np.int64)
    places = lumas.reshape(count, -1) + np.arange(count, dtype=np.int64)[:, None] * LEVELS
    return np.bincount(places.ravel(), minlength=count * LEVELS).reshape(count, LEVELS)


def moments(counts: npt.NDArray[np.int64]) -> tuple[Values, Values]:
    """Mean in [0, 1] and standard deviation in [0, 0.5] of the luma, from its histograms (N, 256)."""
    levels = np.arange(LEVELS)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    spread = np.einsum("ij,ij->i", counts, (levels[None] - mean[:, None]) ** 2) / total
    return mean / 255, np.round(np.sqrt(spread) / 255, DIGITS)


def entropy(counts: npt.NDArray[np.int64], places: int) -> Values:
    """Shannon entropy of the histograms (N, 256) of `places` pixels each, bits in [0, 8]."""
    parts = _parts(places)[counts] if places <= TABLED else _information(counts / places)
    return np.asarray(np.round(-parts.sum(axis=1), DIGITS) + 0.0)


def _information(shares: Values) -> Values:
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(shares * logs)


@functools.lru_cache(maxsize=64)
def _parts(places: int) -> Values:
    """What a level that so many of `places` pixels have takes from the entropy, (places + 1,): a look-up instead of logarithms."""
    return _information(np.arange(places + 1) / places)


def percentiles(counts: npt.NDArray[np.int64], *shares: float) -> list[Values]:
    """For each share the smallest luma in [0, 1] that at least that share of the pixels do not exceed, from histograms (N, 256)."""
    reached = counts.cumsum(axis=1)
    whole = reached[:, -1:]
    return [np.asarray((reached >= share * whole).argmax(axis=1) / 255) for share in shares]


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

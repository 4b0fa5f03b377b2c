"""How strange an image is beside the reference rows: its distance from the bulk of them.

Statistics of the pixels (quantiles of the luma, entropy, gradients at three scales, the spread inside cells) see images
that have nothing to do with the set. Their distance is Mahalanobis' (1936), with centre and covariance of the 70 % of the
reference rows that lie closest together, found by the concentration steps of Rousseeuw and Van Driessen (1999, "A Fast
Algorithm for the Minimum Covariance Determinant Estimator", theorem 1) from medians and spatial signs: strangers that
stand in the reference themselves do not make strangers usual. Distances are divided by the reference's own at their 95th
percentile, where each row is measured by the others: at 1 a row is as far out as one reference row in twenty.

Legend: N = images, S = side in px, C = channels, R = reference rows, D = statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

#: Reference rows that are learnt from; more of them change little.
MOST_REFERENCE = 2000
#: With fewer reference rows there is no bulk.
LEAST_REFERENCE = 10
#: Share of the reference rows that the bulk is made of, and concentration steps.
BULK = 0.7
STEPS = 4
#: Added to every direction's variance, as a share of the mean variance: with it no direction decides in which the bulk
#: hardly varies.
SHRINKAGE = 2.0
#: A statistic counts up to this many robust standard deviations.
MOST = 30.0
#: Parts of the reference rows, each of which is measured by the others.
PARTS = 5
USUAL = 0.95
#: Cells along a side in which the spread is taken.
CELLS = 8
#: From the median absolute deviation to the standard deviation of a normal distribution.
TO_DEVIATION = 1.4826


def statistics(images: npt.NDArray[np.uint8]) -> Array:
    """Pixel statistics (N, D) float32 of uint8 images (N, S, S, C) of at least 4 px; each row by its own image alone."""
    luma = images[..., :3].astype(np.float32).mean(axis=3) / 255
    flat = np.sort(luma.reshape(len(luma), -1), axis=1)
    cells = (flat * 31.99).astype(np.int64) + 32 * np.arange(len(flat))[:, None]
    bins = np.bincount(cells.ravel(), minlength=32 * len(flat)).reshape(-1, 32) / flat.shape[1]
    entropy = -(bins * np.log2(np.maximum(bins, 1e-9))).sum(axis=1)
    parts = [flat[:, _ranks(flat.shape[1], np.linspace(0, 1, 17))], flat.mean(axis=1)[:, None],
             flat.std(axis=1)[:, None], entropy[:, None], _spreads(luma)]  # fmt: skip
    for _ in range(3):
        if luma.shape[1] < 4:
            break
        steps = np.abs(np.diff(luma, axis=2))[:, :-1] + np.abs(np.diff(luma, axis=1))[:, :, :-1]
        steps = np.sort(steps.reshape(len(luma), -1), axis=1)
        parts.append(np.log(steps[:, _ranks(steps.shape[1], np.array([0.25, 0.5, 0.75, 0.9]))] + 0.01))
        luma = _halved(luma)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _spreads(luma: Array) -> Array:
    """Quantiles (N, 9) of the logarithm of the standard deviation in the cells of a grid."""
    side = luma.shape[1]
    edges = np.arange(min(CELLS, side // 2) + 1) * side // min(CELLS, side // 2)
    area = np.diff(edges)[:, None] * np.diff(edges)[None]
    mean, square = (_summed(values, edges[:-1]) / area for values in (luma, luma * luma))
    spread = np.sort(np.sqrt(np.maximum(square - mean * mean, 0)).reshape(len(luma), -1), axis=1)
    quantiles: Array = np.log(spread[:, _ranks(spread.shape[1], np.linspace(0, 1, 9))] + 0.01).astype(np.float32)
    return quantiles


def _summed(values: Array, starts: npt.NDArray[np.int64]) -> Array:
    """Sums over the cells that begin at `starts`, along both sides."""
    sums: Array = np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2)
    return sums


def _ranks(count: int, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return (shares * (count - 1)).astype(np.int64)


def _halved(luma: Array) -> Array:
    """Half the side, by means of 2 x 2 px."""
    side = luma.shape[1] // 2 * 2
    even, odd = slice(0, side, 2), slice(1, side, 2)
    total: Array = luma[:, even, even] + luma[:, odd, even] + luma[:, even, odd] + luma[:, odd, odd]
    return total / np.float32(4)


@dataclass(frozen=True)
class View:
    """The bulk of the reference rows."""

    median: Values  # (D,)
    scale: Values  # (D,), robust standard deviations
    centre: Values  # (D,), of what is scaled
    frame: Values  # (D, D): whitening
    usual: float  # the reference's own distance at its 95th percentile
    own: Array  # (R,) relative distances of the reference rows, each measured by others

    def distances(self, rows: Array) -> Array:
        """Relative distance (N,) of rows (N, D), >= 0."""
        white = (_scaled(rows, self.median, self.scale) - self.centre) @ self.frame
        far: Array = (np.sqrt(np.square(white).sum(axis=1)) / self.usual).astype(np.float32)
        return far


def fit_view(reference: Array) -> View:
    """The bulk of reference rows (R, D), R >= LEAST_REFERENCE."""
    median, scale = _scale(reference)
    scaled = _scaled(reference, median, scale)
    own = np.empty(len(scaled))
    parts = np.arange(len(scaled)) % PARTS
    for part in range(PARTS):
        centre, frame = _bulk(scaled[parts != part])
        own[parts == part] = np.sqrt(np.square((scaled[parts == part] - centre) @ frame).sum(axis=1))
    usual = max(float(np.quantile(own, USUAL)), 1e-6)
    return View(median, scale, *_bulk(scaled), usual, (own / usual).astype(np.float32))


def _scale(rows: Array) -> tuple[Values, Values]:
    """Median (D,) and robust standard deviation (D,), which is never 0."""
    wide = rows.astype(np.float64)
    median = np.median(wide, axis=0)
    robust = np.median(np.abs(wide - median), axis=0) * TO_DEVIATION
    return median, np.maximum(robust, 0.1 * wide.std(axis=0) + 0.01 * max(float(robust.max()), 1e-6))


def _scaled(rows: Array, median: Values, scale: Values) -> Values:
    scaled: Values = np.clip((rows - median) / scale, -MOST, MOST)
    return scaled


def _bulk(scaled: Values) -> tuple[Values, Values]:
    """Centre (D,) and whitening (D, D) of the rows (R, D) that lie closest together."""
    length = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True)) + 1e-9
    signs = scaled / length
    centre, covariance = np.zeros(scaled.shape[1]), signs.T @ signs / len(scaled) * scaled.shape[1]
    count = max(2, int(len(scaled) * BULK))
    for _ in range(STEPS):
        far = np.square((scaled - centre) @ _whitening(covariance)).sum(axis=1)
        bulk = scaled[np.argsort(far, kind="stable")[:count]]
        centre, covariance = bulk.mean(axis=0), np.cov(bulk, rowvar=False)
    return centre, _whitening(covariance)


def _whitening(covariance: Values) -> Values:
    values, vectors = np.linalg.eigh(covariance)
    shrunk = np.maximum(values, 0) + SHRINKAGE * max(float(np.trace(covariance)) / len(covariance), 1e-9)
    whitening: Values = vectors / np.sqrt(shrunk)
    return whitening

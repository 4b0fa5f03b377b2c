"""How strange an image is beside the reference rows: its distance to the nearest of them.

Two views are taken and the stranger one counts. Statistics of the pixels (quantiles of the luma, entropy, gradients at
three scales) see images that have nothing to do with the set; features of the domain extractor, where they are given,
see its classes, but a network maps a strange image somewhere among those that it knows. Each view is whitened by the
reference's own covariance, so that the distance is Mahalanobis' (1936), and divided by the reference's own
leave-one-out distances at their 95th percentile: at 1 a row is as far out as one reference row in twenty.

Legend: N = images, S = side in px, C = channels, R = reference rows, D = numbers per view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

#: Nearest reference rows whose mean distance is taken.
NEIGHBOURS = 5
#: Reference rows that are compared with; more of them change little and cost time for every row.
MOST_REFERENCE = 4000
#: With fewer reference rows there is no neighbourhood.
LEAST_REFERENCE = 10
#: Added to the eigenvalues of the correlation matrix, so that what never varies does not decide.
SHRINKAGE = 0.05
USUAL = 0.95
BLOCK = 1024


def statistics(images: npt.NDArray[np.uint8]) -> Array:
    """Pixel statistics (N, D) float32 of uint8 images (N, S, S, C) of at least 4 px; each row by its own image alone."""
    luma = images[..., :3].astype(np.float32).mean(axis=3) / 255
    flat = np.sort(luma.reshape(len(luma), -1), axis=1)
    cells = (flat * 31.99).astype(np.int64) + 32 * np.arange(len(flat))[:, None]
    bins = np.bincount(cells.ravel(), minlength=32 * len(flat)).reshape(-1, 32) / flat.shape[1]
    entropy = -(bins * np.log2(np.maximum(bins, 1e-9))).sum(axis=1)
    parts = [flat[:, _ranks(flat.shape[1], np.linspace(0, 1, 17))], flat.mean(axis=1)[:, None],
             flat.std(axis=1)[:, None], entropy[:, None]]  # fmt: skip
    for _ in range(3):
        if luma.shape[1] < 4:
            break
        steps = np.abs(np.diff(luma, axis=2))[:, :-1] + np.abs(np.diff(luma, axis=1))[:, :, :-1]
        steps = np.sort(steps.reshape(len(luma), -1), axis=1)
        parts.append(np.log(steps[:, _ranks(steps.shape[1], np.array([0.25, 0.5, 0.75, 0.9]))] + 0.01))
        luma = _halved(luma)
    return np.concatenate(parts, axis=1).astype(np.float32)


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
    """One whitened space with the reference rows in it."""

    centre: Array  # (D,)
    frame: Array  # (D, D): scaling and whitening
    reference: Array  # (R, D), whitened
    usual: float  # the reference's own leave-one-out distance at its 95th percentile

    def distances(self, rows: Array) -> Array:
        """Relative distance (N,) of rows (N, D), >= 0."""
        white = ((rows - self.centre) @ self.frame).astype(np.float32)
        far: Array = np.concatenate([np.empty(0, np.float32), *self._blocks(white)])
        far /= np.float32(self.usual)
        return far

    def own(self) -> Array:
        """Relative leave-one-out distance (R,) of the reference rows themselves."""
        return leave_one_out(self.reference) / np.float32(self.usual)

    def _blocks(self, white: Array) -> list[Array]:
        return [
            nearest(white[start : start + BLOCK], self.reference, NEIGHBOURS) for start in range(0, len(white), BLOCK)
        ]


def fit_view(reference: Array) -> View:
    """A view from reference rows (R, D), R >= LEAST_REFERENCE."""
    centre = reference.mean(axis=0)
    scale = reference.std(axis=0)
    scale = np.maximum(scale, 0.01 * max(float(scale.max()), 1e-6))
    values, vectors = np.linalg.eigh(np.cov((reference - centre) / scale, rowvar=False).astype(np.float64))
    frame = (vectors / np.sqrt(np.maximum(values, 0) + SHRINKAGE)) / scale[:, None]
    white = ((reference - centre) @ frame).astype(np.float32)
    usual = float(np.quantile(leave_one_out(white), USUAL))
    return View(centre, frame.astype(np.float32), white, max(usual, 1e-6))


def leave_one_out(white: Array) -> Array:
    """Mean distance (R,) of each row to its nearest others."""
    found = []
    for start in range(0, len(white), BLOCK):
        found.append(nearest(white[start : start + BLOCK], white, NEIGHBOURS, first=start))
    return np.concatenate(found)


def nearest(rows: Array, reference: Array, count: int, first: int | None = None) -> Array:
    """Mean distance (N,) to the `count` nearest reference rows; with `first` rows i are the reference's i + first."""
    square = np.square(rows).sum(axis=1)[:, None] + np.square(reference).sum(axis=1)[None] - 2 * rows @ reference.T
    if first is not None:
        square[np.arange(len(rows)), first + np.arange(len(rows))] = np.inf
    count = min(count, len(reference) - (first is not None))
    closest = np.partition(square, count - 1, axis=1)[:, :count]
    mean: Array = np.sqrt(np.maximum(closest, 0)).mean(axis=1)
    return mean

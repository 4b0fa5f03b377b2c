"""What an image looks like, without learning from labels: responses to patches of the data, pooled over the image.

Single-layer random patches (Coates, Ng and Lee 2011, "An Analysis of Single-Layer Networks", with sampled patches in
place of k-means as in Coates and Ng 2011, section 4): patches are normalised, whitened, projected onto sampled patches,
both signs soft-thresholded, and averaged over a grid. Deterministic, numpy alone.

Legend: N = images, S = side in px, C = channels, P = patch places, F = filters, G = grid cells, D = 2 F G features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

#: Added to a patch's variance, in squared grey levels, and to the whitening's eigenvalues (Coates et al., section 3.1).
CONTRAST = 10.0
WHITENING = 0.1
#: Responses below this are cut to zero.
THRESHOLD = 0.5
#: Patches that filters are drawn from.
SAMPLE = 20000
#: Images at a time: their patches and responses stay in the cache.
BATCH = 8


@dataclass(frozen=True)
class Descriptor:
    """A frozen bank of whitened filters for images of one shape."""

    shape: tuple[int, int, int]  # (S, S, C)
    side: int  # of a patch, px
    stride: int
    centre: Array  # (side * side * C,)
    filters: Array  # (side * side * C, F), whitening included
    pool: Array  # (G, P), rows sum to 1

    @property
    def dimensions(self) -> int:
        """D."""
        return int(2 * self.filters.shape[1] * self.pool.shape[0])

    def __call__(self, images: Pixels) -> Array:
        """Features (N, D) of uint8 images (N, S, S, C); each row depends on its own image alone."""
        out = np.empty((len(images), self.dimensions), np.float32)
        bias = self.centre @ self.filters
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            patches = _normalised(_patches(part, self.side, self.stride))
            response = patches @ self.filters - bias
            positive = np.maximum(response - THRESHOLD, 0)
            negative = np.maximum(-response - THRESHOLD, 0, out=response)
            pooled = [self.pool @ positive, self.pool @ negative]
            out[start : start + BATCH] = np.concatenate(pooled, axis=2).reshape(len(part), -1)
        return out


def fit_descriptor(images: Pixels, filters: int = 100, seed: int = 0) -> Descriptor:
    """Draw `filters` patches from images (N, S, S, C), and whiten by the same images; N of some hundreds is enough."""
    shape = images.shape[1:]
    size = shape[0]
    side = 6 if size >= 20 else max(3, size // 3)
    stride = 1 if size < 48 else 2
    rng = np.random.default_rng(seed)
    windows = _windows(images, side, stride)
    # Only the patches that are drawn: all of a thousand images would be some hundred MB.
    places = np.unravel_index(rng.integers(0, np.prod(windows.shape[:3]), SAMPLE), windows.shape[:3])
    picked = windows[places].reshape(SAMPLE, -1).astype(np.float32)
    varied = picked.std(axis=1) > 1
    # Of images that are all flat no filter tells anything: their features are constant.
    picked = _normalised(picked[varied] if varied.sum() > 1 else picked)
    centre = picked.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(picked - centre, rowvar=False).astype(np.float64))
    whiten = (vectors / np.sqrt(np.maximum(values, 0) + WHITENING)) @ vectors.T
    chosen = (picked[:filters] - centre) @ whiten
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True) + 1e-6
    cells = 3 if size >= 20 else 2
    return Descriptor(
        shape, side, stride, centre.astype(np.float32), (whiten @ chosen.T).astype(np.float32),
        _pool(size, side, stride, cells),
    )  # fmt: skip


def _windows(images: Pixels, side: int, stride: int) -> Pixels:
    """A view (N, rows, columns, C, side, side) of every patch; nothing is copied."""
    view: Any = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    windows: Pixels = view[:, ::stride, ::stride]
    return windows


def _patches(images: Pixels, side: int, stride: int) -> Array:
    """(N, P, side * side * C) float32."""
    windows = _windows(images, side, stride)
    found: Array = windows.reshape(len(images), windows.shape[1] * windows.shape[2], -1).astype(np.float32)
    return found


def _normalised(patches: Array) -> Array:
    """Brightness and contrast of each patch removed (last axis)."""
    centred: Array = patches - patches.mean(axis=-1, keepdims=True)
    centred /= np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + CONTRAST)
    return centred


def _pool(size: int, side: int, stride: int, cells: int) -> Array:
    """Averages over a grid of cells x cells (G, P)."""
    places = len(range(0, size - side + 1, stride))
    edges = np.arange(places) * cells // places
    one = (edges[None] == np.arange(cells)[:, None]).astype(np.float32)
    grid = np.einsum("ay,bx->abyx", one, one).reshape(cells * cells, places * places)
    pool: Array = (grid / grid.sum(axis=1, keepdims=True)).astype(np.float32)
    return pool

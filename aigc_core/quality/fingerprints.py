"""What look-alikes are searched by: a short vector of the coarse shapes in a picture, and of its mean colour.

Legend: N images; a canvas is 32x32 luma. Images with both sides in 24..32 px lie in their canvas pixel by pixel, at the top left,
their last row and column repeated: a copy that was moved by a pixel then is exactly equal somewhere. All others are resized.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_core.quality.thumbnails import SIDE, Lumas

#: Shortest side (px) that is kept pixel by pixel; below it, moving by a pixel changes too much.
NATIVE = 24
#: Frequencies of a fingerprint, in cycles per image.
FREQUENCIES = 5
#: Fingerprints are whole numbers of this length: their dot products stay below 2^24 and are exact in float32.
LENGTH = 2048
#: Outer pixels that a floating figure leaves plain, and how plain: their variance as a share of the picture's.
RING = 1
#: Below PLAIN a figure floats, from BUSY on none does. In between a picture is taken both ways: moved by a pixel or compressed,
#: a figure near the border crosses one bound, but not both.
PLAIN, BUSY = 0.05, 0.7
#: Pixels at each border that fade out where the figure does not float.
FADE = 4

#: Pictures that are worked on at once: what is in between stays in the cache.
BLOCK = 64

Fingerprints = npt.NDArray[np.int16]  # (N, DIMENSIONS)
#: Kinds (N,) of pictures: what fills the frame, what may float, what floats, and what hardly varies: such pictures look like
#: each other all, and are not compared.
SPREAD, EITHER, FLOATS, FLAT = 0, 1, 2, 3
#: Standard deviation of the luma in grey levels below which a picture is flat.
LEAST_STD = 2.55
Kinds = npt.NDArray[np.uint8]

_V, _U = np.meshgrid(np.arange(-FREQUENCIES, FREQUENCIES + 1), np.arange(FREQUENCIES + 1), indexing="ij")
_RADIUS = np.hypot(_V, _U)
#: One of each pair of mirrored frequencies, without the mean.
_USED = (_RADIUS > 0) & (_RADIUS <= FREQUENCIES + 0.5) & ~((_U == 0) & (_V < 0))
SHAPES = 2 * int(_USED.sum())
DIMENSIONS = SHAPES + 2
#: The mean colour's distance from grey (Cb, Cr) that weighs as much as all shapes, so that pictures of one shape in other
#: colours do not push out the copies in the same one.
COLOURED = 40.0
_PLACES = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
_RING = np.setdiff1d(_PLACES, _PLACES[RING:-RING, RING:-RING])
_FADE = np.ones(SIDE)
_FADE[:FADE] = np.sin((np.arange(FADE) + 0.5) / FADE * np.pi / 2) ** 2
_FADE[-FADE:] = _FADE[FADE - 1 :: -1]
_WINDOW = np.outer(_FADE, _FADE)
#: As rows of 32 * 32 pixels, and the places and radii of the used ones among 11 * 6 frequencies.
_FLAT_WINDOW = _WINDOW.ravel()
_CHOSEN = np.flatnonzero(_USED)
_CHOSEN_RADIUS = _RADIUS.ravel()[_CHOSEN]
_GRID = np.arange(SIDE) - (SIDE - 1) / 2
_WAVES = np.exp(-2j * np.pi * np.outer(np.arange(-FREQUENCIES, FREQUENCIES + 1), _GRID) / SIDE)  # (11, 32)
#: The waves from 0 upwards, real and imaginary parts side by side: a product of real matrices gives complex numbers.
_ACROSS = np.ascontiguousarray(_WAVES[FREQUENCIES:].T).view(np.float64)  # (32, 12)
_DOWN = np.ascontiguousarray(_WAVES.T).view(np.float64)  # (32, 22)


def is_native(height: Any, width: Any) -> Any:
    """Whether an image of this size (px), or each of many, lies in its canvas pixel by pixel."""
    return (np.minimum(height, width) >= NATIVE) & (np.maximum(height, width) <= SIDE)


def canvases(lumas: Lumas, small: Lumas) -> Lumas:
    """Canvases (N, 32, 32) of lumas (N, H, W), whose thumbnails (N, 32, 32) are `small`."""
    height, width = lumas.shape[1:]
    if not is_native(height, width):
        return small
    return np.pad(lumas, ((0, 0), (0, SIDE - height), (0, SIDE - width)), mode="edge")


def fingerprints(small: Lumas, chroma: npt.NDArray[np.int8], centred: bool = True) -> tuple[Fingerprints, Kinds]:
    """Fingerprints (N, DIMENSIONS) of thumbnails (N, 32, 32) with coarse colours (N, G, G, 2), and whether they show a figure
    that floats on a plain ground.

    The lowest frequencies of the picture, each times its radius, because pictures have more of the low ones. A figure that
    floats or may float is first moved to the middle by its centre of mass (in the frequencies: a turn of their phase), so that
    a moved figure has the same fingerprint; of other pictures, and of those that may float where `centred` is false, the
    border fades, so that what a shift brings in matters little. Brightness and contrast do not matter. The mean colour stands
    beside the shapes. Two fingerprints compare by their dot product, LENGTH squared for equal ones.
    """
    vectors, kinds = np.empty((len(small), DIMENSIONS), np.int16), np.empty(len(small), np.uint8)
    colours = chroma.mean(axis=(1, 2)) / COLOURED
    for top in range(0, len(small), BLOCK):
        place = slice(top, top + BLOCK)
        vectors[place], kinds[place] = _fingerprints(small[place], colours[place], EITHER if centred else FLOATS)
    return vectors, kinds


def _fingerprints(small: Lumas, colours: npt.NDArray[np.float64], least: int) -> tuple[Fingerprints, Kinds]:
    flat = small.reshape(len(small), -1)
    ring = flat[:, _RING].astype(np.float64)
    values = flat.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    variance, outer = np.einsum("ij,ij->i", values, values) / SIDE**2, ring.var(axis=1)
    kinds = (outer < BUSY * variance).astype(np.uint8) + (outer < PLAIN * variance)
    floating, others = np.flatnonzero(kinds >= least), np.flatnonzero(kinds < least)
    kinds[variance < LEAST_STD**2] = FLAT
    if len(others):
        faded = values[others]
        faded -= (faded @ _FLAT_WINDOW / _FLAT_WINDOW.sum())[:, None]
        faded *= _FLAT_WINDOW
        values[others] = faded
    waves = _transform(values.reshape(-1, SIDE, SIDE)).reshape(len(small), -1)[:, _CHOSEN]
    if len(floating):
        waves[floating] *= _turn(*_centres(flat[floating], ring[floating].mean(axis=1)))
    waves *= _CHOSEN_RADIUS
    vectors = np.concatenate([waves.real, waves.imag], axis=1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    vectors = np.concatenate([vectors, colours], axis=1)
    vectors *= LENGTH / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return np.round(vectors, out=vectors).astype(np.int16), kinds


def _centres(flat: Lumas, ground: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centre of mass (down, across; px from the middle) of what differs from the ground, which does not move with it."""
    energy = flat - ground[:, None]
    energy *= energy
    total = np.maximum(energy.sum(axis=1), 1e-9)
    energy = energy.reshape(-1, SIDE, SIDE)
    return energy.sum(axis=2) @ _GRID / total, energy.sum(axis=1) @ _GRID / total


def _turn(down: npt.NDArray[np.float64], across: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """Factors (N, SHAPES / 2) of the used frequencies that move pictures back by so many px."""
    rows, columns = (
        np.exp(2j * np.pi / SIDE * move[:, None] * frequencies)
        for move, frequencies in ((down, _V[:, 0]), (across, _U[0]))
    )
    return np.asarray((rows[:, :, None] * columns[:, None]).reshape(len(down), -1)[:, _CHOSEN])


def _transform(values: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """The used range of frequencies (N, 11, 6) of pictures (N, 32, 32), by two products of large real matrices."""
    rows = (values.reshape(-1, SIDE) @ _ACROSS).reshape(len(values), SIDE, -1)
    parts = np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(-1, SIDE) @ _DOWN
    (rr, ri), (ir, ii) = parts.reshape(len(values), -1, 2, _WAVES.shape[0], 2).transpose(2, 4, 0, 3, 1)
    return np.asarray(rr - ii + 1j * (ri + ir))

"""A 64-bit perceptual hash, for many images at once.

The signs of the 8x8 lowest-frequency DCT coefficients of a 32x32 luma image against their median (Zauner 2010,
section 3.2.1): brightness and compression change few bits of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn

SIDE = 32
BITS = 64


def perceptual_hashes(lumas: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Hashes (N,) of luma images (N, 32, 32)."""
    low = dctn(lumas.astype(np.float64), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, BITS)
    # Rounded, so that a blank image's noise of 1e-17 does not decide its bits.
    low = np.round(low, 6)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def near_pairs(hashes: npt.NDArray[np.uint64], max_distance: int, block: int = 2048) -> npt.NDArray[np.int64]:
    """All index pairs (i < j), shape (M, 2), whose hashes differ in at most `max_distance` bits.

    Exact. Memory is block x N bytes. Time grows with N squared, so distinct hashes should be passed.
    """
    found = []
    for start in range(0, len(hashes), block):
        part = hashes[start : start + block]
        distance = np.bitwise_count(part[:, None] ^ hashes[None, start:])
        left, right = np.nonzero(distance <= max_distance)
        keep = left < right
        found.append(np.stack([left[keep], right[keep]], axis=1) + start)
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)

"""Raw facts of one image. Nothing here knows a threshold, so a changed threshold never reads an image again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from aigc_core.quality.hashing import SIDE


def measure(pixels: npt.NDArray[np.uint8], luma: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Columns of MEASURE_SCHEMA that follow from pixels (H, W, C) and luma (H, W) in [0, 1]."""
    height, width = luma.shape
    return {
        "width": width,
        "height": height,
        "aspect": max(width, height) / min(width, height),
        "channels": pixels.shape[2],
        "mean": float(luma.mean(dtype=np.float64)),
        "std": float(luma.std(dtype=np.float64)),
        "entropy": entropy(luma),
        "sharpness": sharpness(luma),
    }


def entropy(luma: npt.NDArray[np.float32]) -> float:
    """Shannon entropy of the 256-bin luma histogram, bits in [0, 8]."""
    counts = np.bincount(np.round(luma.ravel() * 255).astype(np.int64), minlength=256)
    shares = counts[counts > 0] / luma.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def sharpness(luma: npt.NDArray[np.float32]) -> float:
    """Variance of the 4-neighbour Laplacian (Pech-Pacheco et al. 2000); 0 for images under 3 px."""
    if min(luma.shape) < 3:
        return 0.0
    x = luma.astype(np.float64)
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    return float(laplacian.var())


def hash_input(luma: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The 32x32 luma that the perceptual hash is taken of."""
    resized = Image.fromarray(luma).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(resized, dtype=np.float32)

"""Which part of the real images the generated ones reach, and which part of them is real: balls around neighbours.

Legend: N = real images, M = generated images, d = feature dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aigc_core.errors import DataError
from aigc_core.evaluation.neighbours import Array, inside_balls, nearest_rows


def neighbour_radii(real: Array, neighbours: int, *, device: str = "cpu") -> Array:
    """Squared distance (N,) of each image to its k-th nearest other image. Raises DataError for N <= k."""
    refuse_few(len(real), neighbours)
    return np.ascontiguousarray(nearest_rows(real, real, neighbours, same=True, device=device)[1][:, -1])


def refuse_few(count: int, neighbours: int) -> None:
    """Raises DataError where images have fewer than k others."""
    if count <= neighbours:
        raise DataError(f"{count} images are too few for evaluate.neighbours = {neighbours}: lower it or add data")


@dataclass(frozen=True)
class Support:
    """How generated images lie around real ones; see `density_coverage`."""

    density: float
    coverage: float
    precision: float  # share of generated images in the ball of some real one
    covered: npt.NDArray[np.bool_]  # (N,) which real images have a generated one in their ball


def density_coverage(
    real: Array, generated: Array, neighbours: int, radii: Array | None = None, *, device: str = "cpu"
) -> Support:
    """Density (>= 0, about 1 for real data) and coverage (in [0, 1]) of Naeem et al. 2020, eq. (4) and (5).

    Around each real image (N, d) is a ball that reaches to its k-th nearest real image. Density: in how many balls
    a generated image (M, d) lies, over k. Coverage: the share of balls with a generated image in them. Balls are
    closed, so that a set covers itself even where images are repeated. `radii` saves computing them again.
    Precision (Kynkaanniemi et al. 2019, eq. (1) and (2)) is the share of generated images in any ball.
    """
    radii = neighbour_radii(real, neighbours, device=device) if radii is None else radii
    hits = inside_balls(generated, real, radii, device=device)
    covered = hits.by_ball > 0
    density = float(hits.by_point.sum()) / (neighbours * len(generated))
    return Support(density, float(covered.mean()), float((hits.by_point > 0).mean()), covered)


def recall(real: Array, generated: Array, neighbours: int, *, device: str = "cpu") -> float:
    """Improved recall in [0, 1]: the share of real images in the ball of some generated one.

    Kynkaanniemi et al. 2019, eq. (2) with the sets exchanged: balls reach to the k-th nearest generated image. Far
    outliers among the generated images make large balls, and with them a recall that is too good.
    """
    radii = neighbour_radii(generated, neighbours, device=device)
    return float((inside_balls(real, generated, radii, device=device).by_point > 0).mean())

"""What balls around neighbours say without each group of samples in turn, from one look at all of them.

A jackknife that measures every part anew does nearly the same work G times. Who lies in whose ball is counted group by
group instead, and only balls that grow, because a neighbour was left out, are looked at again. The answers are the
same to the last digit.

Legend: N = real images, M = generated images, G = groups, d = feature dimensions, k = neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from aigc_core.evaluation.neighbours import Array, Index, inside_balls, nearest_rows
from aigc_core.evaluation.support import Support, clipped_radii, full, neighbour_radii, refuse_few

#: Neighbours that are known of each image, as a multiple of k: with so many, k of them are nearly always kept.
KNOWN = 3


def supports(
    real: Array, generated: Array, neighbours: int, radii: Array, group: Index, groups: int, *, device: str = "cpu"
) -> list[Support]:
    """`density_coverage` of generated images (M, d) without each of G groups; group (M,), radii (N,) of the real."""
    hits = [inside_balls(generated[group == each], real, radii, device=device) for each in range(groups)]
    whole = np.sum([hit.by_ball for hit in hits], axis=0)
    balls = sum(int(hit.by_point.sum()) for hit in hits)
    real_ones = sum(np.count_nonzero(hit.by_point) for hit in hits)
    found = []
    for hit in hits:
        left = len(generated) - len(hit.by_point)
        covered = whole > hit.by_ball
        density = (balls - int(hit.by_point.sum())) / (neighbours * left)
        precision = (real_ones - np.count_nonzero(hit.by_point)) / left
        clipped = float(full(whole - hit.by_ball, neighbours).mean())
        found.append(Support(density, float(covered.mean()), precision, covered, clipped))
    return found


def clipped_densities(
    real: Array, generated: Array, neighbours: int, radii: Array, group: Index, groups: int, *, device: str = "cpu"
) -> list[float]:
    """`clipped_density` of generated images (M, d) without each of G groups; group (M,), radii (N,) of the real."""
    shares = full(inside_balls(generated, real, clipped_radii(radii), device=device).by_point, neighbours)
    return [float(shares[group != each].mean()) for each in range(groups)]


def recalls(
    real: Array, generated: Array, neighbours: int, group: Index, groups: int, *, device: str = "cpu"
) -> list[float]:
    """`recall` of real images (N, d) by generated ones (M, d) without each of G groups; group (M,) in [0, G)."""
    radii = neighbour_radii(generated, neighbours, device=device)
    inside = np.array(
        [
            inside_balls(real, generated[group == each], radii[group == each], device=device).by_point
            for each in range(groups)
        ]
    )
    whole = inside.sum(0)
    found = []
    for each, wider in enumerate(_radii_without(generated, neighbours, group, groups, device)):
        reached = whole > inside[each]
        grown = (group != each) & (wider > radii)
        if grown.any() and not reached.all():
            more = inside_balls(real[~reached], generated[grown], wider[grown], device=device)
            reached[~reached] = more.by_point > 0
        found.append(float(reached.mean()))
    return found


def _radii_without(
    rows: Array, neighbours: int, group: Index, groups: int, device: str
) -> Iterator[npt.NDArray[np.float64]]:
    """`neighbour_radii` (M,) among the rows (M, d) without each group; of the group's own rows it says nothing."""
    width = min(KNOWN * neighbours, len(rows) - 1)
    index, squared = nearest_rows(rows, rows, width, same=True, device=device)
    for each in range(groups):
        kept = group != each
        refuse_few(int(kept.sum()), neighbours)
        rank = np.cumsum(group[index] != each, axis=1)
        radii = squared[np.arange(len(rows)), np.argmax(rank == neighbours, axis=1)]
        short = kept & (rank[:, -1] < neighbours)
        if short.any():
            # A row is among the kept ones and nearest to itself, so that one more is asked for.
            radii[short] = nearest_rows(rows[short], rows[kept], neighbours + 1, device=device)[1][:, -1]
        yield radii

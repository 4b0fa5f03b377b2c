"""Regions of the training images, for a test that looks at each of them alone: k-means, seeded and bounded.

Legend: T = training images, D = pixels, K = cells.
"""

from __future__ import annotations

import numpy as np
import torch

from aigc_core.evaluation.neighbours import Index, Rows, nearest_rows

#: The centres are found on at most this many training images.
FITTED_ROWS = 5000
ROUNDS = 20


def find_centres(train: torch.Tensor, cells: int, seed: int) -> torch.Tensor:
    """Centres (K, D) float64 of training rows (T, D), K at most `cells`.

    Lloyd's rounds from a k-means++ start (Arthur & Vassilvitskii 2007). Fewer where fewer rows are different.
    """
    chance = np.random.default_rng(seed)
    chosen = np.sort(chance.permutation(len(train))[:FITTED_ROWS])
    rows = train[torch.from_numpy(chosen)].double()
    centres = _spread(rows, cells, chance)
    for _ in range(ROUNDS):
        own = torch.from_numpy(assign(rows, centres))
        counts = torch.bincount(own, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, own, rows)
        moved = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _spread(rows: torch.Tensor, cells: int, chance: np.random.Generator) -> torch.Tensor:
    """Rows far from each other: each next one with probability proportional to its squared distance to the others."""
    picked = [int(chance.integers(len(rows)))]
    reach = (rows - rows[picked[0]]).square().sum(1)
    while len(picked) < cells and float(reach.sum()) > 0:
        picked.append(int(chance.choice(len(rows), p=(reach / reach.sum()).numpy())))
        reach = torch.minimum(reach, (rows - rows[picked[-1]]).square().sum(1))
    return rows[torch.tensor(picked)]


def assign(rows: Rows, centres: torch.Tensor, device: str = "cpu") -> Index:
    """Cell (N,) of each row (N, D): its nearest centre."""
    return nearest_rows(rows, centres, device=device)[0][:, 0]

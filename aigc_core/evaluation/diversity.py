"""How many different images there are within each class.

Legend: M = images, d = feature dimensions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.evaluation.distances import Kernel
from aigc_core.evaluation.neighbours import Array

#: Images of a class that are looked at: the eigenvalues cost the cube of this.
MOST = 256


def vendi_score(features: Array, kernel: Kernel) -> float:
    """The effective number of different images among (M, d), in [1, M] for a kernel with k(x, x) = 1.

    Friedman & Dieng 2023, eq. (1): the exponential of the entropy of the eigenvalues of K / M.
    """
    rows = torch.from_numpy(np.ascontiguousarray(features))
    squares = rows.square().sum(1)
    table = kernel(rows @ rows.T, squares[:, None], squares[None]) / len(rows)
    values = torch.linalg.eigvalsh(table).clamp(min=0)
    return float(torch.special.entr(values).sum().exp())


def diversity(features: Array, labels: npt.NDArray[np.int64], kernel: Kernel) -> float:
    """Mean over the classes present of the Vendi score of the first 256 images (M, d) of each; labels (M,)."""
    scores = [vendi_score(features[labels == label][:MOST], kernel) for label in np.unique(labels)]
    return float(np.mean(scores))

"""Out-of-fold class probabilities by the image alone, from labels of which some are wrong.

Ridge regression onto class indicators, fitted from sums of products that are kept per fold, so that leaving a fold out
costs one solution and no second pass over the rows. The temperature that turns scores s into probabilities
softmax(a s) and the share r of wrong labels are those under which the labels as given are most likely,

    P(given = y | x) = (1 - r) p_y(x) + r (1 - p_y(x)) / (K - 1),

a likelihood with symmetric label noise (Natarajan et al. 2013; Patrini et al. 2017, "forward correction"): p then
speaks of the image and not of the mistakes.

Legend: N = rows, D = features, K = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Array = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class Matrix(Protocol):
    """Rows (N, D) of some float type, read block by block; they need not lie in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    def __getitem__(self, part: slice, /) -> npt.NDArray[Any]:
        """Rows of one block."""


#: Weight of the ridge, for features of unit variance and whatever number of rows.
RIDGE = 100.0
BLOCK = 2048


@dataclass(frozen=True)
class Predictions:
    """What the other folds say of each row; nothing here has seen the row's own label."""

    given: Values  # (N,) probability of the given label
    predicted: Places  # (N,) most probable class
    probability: Values  # (N,) its probability
    noise: float  # estimated share of wrong labels


def out_of_fold(
    features: Matrix, labels: Places, folds: Places, learnt: npt.NDArray[np.bool_], classes: int
) -> Predictions:
    """Predict each of N rows from the rows of other folds.

    features (N, D), about unit variance, any float type; labels (N,) in [0, K); folds (N,) small numbers; `learnt` (N,)
    says which rows are learnt from. K = `classes` is at least 2. Memory: one D x D matrix per fold and blocks of rows.
    """
    solutions = _solve(features, labels, folds, learnt, classes)
    scores = np.empty((len(labels), classes), np.float32)
    for start in range(0, len(labels), BLOCK):
        part = slice(start, start + BLOCK)
        rows = np.asarray(features[part], np.float32)
        for fold, weights in solutions.items():
            own = folds[part] == fold
            scores[part][own] = rows[own] @ weights[:-1] + weights[-1]
    sharpness, noise = _likeliest(scores[learnt], labels[learnt])
    shares = _softmax(scores.astype(np.float64) * sharpness)
    predicted = shares.argmax(axis=1)
    at = np.arange(len(labels))
    return Predictions(shares[at, labels], predicted, shares[at, predicted], noise)


def _solve(
    features: Matrix, labels: Places, folds: Places, learnt: npt.NDArray[np.bool_], classes: int
) -> dict[int, Array]:
    """Fold to weights (D + 1, K) that were fitted on all other folds; the last row is the constant."""
    size = features.shape[1] + 1
    names = np.unique(folds).tolist()
    products = {fold: np.zeros((size, size), np.float32) for fold in names}
    targets = {fold: np.zeros((size, classes), np.float32) for fold in names}
    for start in range(0, len(labels), BLOCK):
        part = slice(start, start + BLOCK)
        rows = np.asarray(features[part], np.float32)
        rows = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)
        for fold in names:
            own = (folds[part] == fold) & learnt[part]
            chosen = rows[own]
            products[fold] += chosen.T @ chosen
            targets[fold] += chosen.T @ np.eye(classes, dtype=np.float32)[labels[part][own]]
    whole, aims = sum(products.values()), sum(targets.values())
    solutions = {}
    for fold in names:
        rest = (whole - products[fold]).astype(np.float64)
        rest[np.diag_indices(size)] += RIDGE
        solutions[fold] = np.linalg.solve(rest, aims - targets[fold]).astype(np.float32)
    return solutions


def _likeliest(scores: Array, labels: Places) -> tuple[float, float]:
    """Sharpness a and share r of wrong labels that make the labels (N,) most likely, by scores (N, K)."""
    at, others = np.arange(len(labels)), max(scores.shape[1] - 1, 1)
    wide = scores.astype(np.float64)

    def surprise(point: Values) -> float:
        given = _softmax(wide * np.exp(np.clip(point[0], -3, 6)))[at, labels]
        wrong = 1 / (1 + np.exp(-point[1]))
        return float(-np.log(np.maximum(given * (1 - wrong) + (1 - given) * wrong / others, 1e-300)).mean())

    best = minimize(surprise, [2.0, -3.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}).x
    return float(np.exp(np.clip(best[0], -3, 6))), float(1 / (1 + np.exp(-best[1])))


def _softmax(values: Values) -> Values:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Values = raised / raised.sum(axis=1, keepdims=True)
    return shares

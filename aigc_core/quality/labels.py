"""Out-of-fold class probabilities by the image alone, from labels of which some are wrong.

Ridge regression onto class indicators, fitted from sums of products that are kept per fold, so that leaving a fold out
costs one solution and no second pass over the rows. The weight of the ridge, the scaling that turns scores s into
probabilities softmax(a s + b), and the share r of wrong labels are those under which the labels as given are most likely,

    P(given = y | x) = (1 - r) p_y(x) + r (1 - p_y(x)) / (K - 1),

a likelihood with symmetric label noise (Natarajan et al. 2013; Patrini et al. 2017, "forward correction"): p then
speaks of the image and not of the mistakes. One b per class ("vector scaling", Guo et al. 2017, section 4.2) takes back that
a regression prefers large classes. Images that are hard raise r and make p too sure of itself; so the scaling is fitted with
half of r at most.

Legend: N = rows, D = features, K = classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

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


#: Weights of the ridge that are tried, for features of unit variance.
RIDGES = (100.0, 300.0, 1000.0, 3000.0)
#: Part of the estimated share of wrong labels under which the scaling is fitted, and the most of it; the rest is put down to
#: hard images. With all of it, one suspect in two was a hard image on a set of sprites with many small classes.
TRUSTED = 0.5
MOST_TRUSTED = 0.05
#: Weight of the squares of b, in rows: a class's own rows decide as soon as there are some.
PENALTY = 1.0
#: Weight of the ridge on the constant, which is not to be shrunk.
CONSTANT = 1e-3
#: Rows that weights of the ridge are compared on.
TRIED = 4000
#: Limits of the logarithm of a.
EXPONENTS = (-3.0, 6.0)
BLOCK = 512


@dataclass(frozen=True)
class Predictions:
    """What the other folds say of each row; nothing here has seen the row's own label."""

    given: Values  # (N,) probability of the given label
    predicted: Places  # (N,) most probable class
    probability: Values  # (N,) its probability


def out_of_fold(
    features: Matrix,
    labels: Places,
    folds: Places,
    learnt: npt.NDArray[np.bool_],
    classes: int,
    advance: Callable[[float], object] = lambda _: None,
) -> Predictions:
    """Predict each of N rows from the rows of other folds.

    features (N, D), about unit variance, any float type; labels (N,) in [0, K); folds (N,) small numbers; `learnt` (N,)
    says which rows are learnt from. K = `classes` is at least 2. `advance` is told shares of the work that are done.
    Memory: one D x D matrix per fold, scores (N, K), and blocks of rows.
    """
    weights = _solve(features, labels, folds, learnt, classes, advance)
    tried = min(len(labels), TRIED)
    some = np.flatnonzero(learnt[:tried])
    fits = [
        _likeliest(_scores(features, folds, weights, place, tried)[some], labels[some]) for place in range(len(RIDGES))
    ]
    place = min(range(len(fits)), key=lambda place: fits[place][1])
    scores = _scores(features, folds, weights, place, len(labels))
    sharpness, bias = _scaling(scores[learnt], labels[learnt], min(TRUSTED * fits[place][0], MOST_TRUSTED))
    found = Predictions(np.empty(len(labels)), np.empty(len(labels), np.int64), np.empty(len(labels)))
    for start in range(0, len(labels), BLOCK):
        part = slice(start, start + BLOCK)
        shares = _softmax(scores[part].astype(np.float64) * sharpness + bias)
        at = np.arange(len(shares))
        found.predicted[part] = shares.argmax(axis=1)
        found.given[part] = shares[at, labels[part]]
        found.probability[part] = shares[at, found.predicted[part]]
    return found


def _scores(features: Matrix, folds: Places, weights: dict[int, list[Array]], ridge: int, count: int) -> Array:
    """Scores (count, K) of the first rows by the weights of the other folds; `ridge` is a place in RIDGES."""
    scores = np.empty((count, next(iter(weights.values()))[0].shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        part = slice(start, min(start + BLOCK, count))
        rows = np.asarray(features[part], np.float32)
        for fold, solutions in weights.items():
            own = folds[part] == fold
            scores[part][own] = rows[own] @ solutions[ridge][:-1] + solutions[ridge][-1]
    return scores


def _solve(
    features: Matrix,
    labels: Places,
    folds: Places,
    learnt: npt.NDArray[np.bool_],
    classes: int,
    advance: Callable[[float], object],
) -> dict[int, list[Array]]:
    """Fold to weights (D + 1, K), one for each of RIDGES, fitted on all other folds; the last row is the constant."""
    # Here and below, because these are 40 MB that the pass over the images can do without.
    from scipy.linalg import cho_factor, cho_solve

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
        advance(0.5 * len(rows) / len(labels))
    whole, aims = reduce(np.add, products.values()), reduce(np.add, targets.values())
    solutions: dict[int, list[Array]] = {fold: [] for fold in names}
    for fold, found in solutions.items():
        aim = aims - targets[fold]
        for ridge in RIDGES:
            # Transposed it is the same, in the order in which it is factorised in its place.
            weighted = np.subtract(whole.T, products[fold].T, dtype=np.float64)
            weighted[np.diag_indices(size)] += np.append(np.full(size - 1, ridge), CONSTANT)
            factor = cho_factor(weighted, overwrite_a=True, check_finite=False)
            found.append(cho_solve(factor, aim, check_finite=False).astype(np.float32))
            advance(0.5 / len(names) / len(RIDGES))
    return solutions


def _likeliest(scores: Array, labels: Places) -> tuple[float, float]:
    """The share r of wrong labels under which the labels (N,) are most likely, by scores (N, K), and how unlikely they are then."""
    from scipy.optimize import minimize

    def surprise(point: Values) -> float:
        return _surprise(scores, labels, float(point[0]), float(1 / (1 + np.exp(-point[1]))))

    found = minimize(surprise, [2.0, -3.0], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7})
    return float(1 / (1 + np.exp(-found.x[1]))), float(found.fun)


def _surprise(scores: Array, labels: Places, exponent: float, rate: float) -> float:
    """Mean negative logarithm of the likelihood of labels (N,), by scores (N, K), the logarithm of a, and r; b is 0."""
    shares = _softmax(scores.astype(np.float64) * np.exp(np.clip(exponent, *EXPONENTS)))
    seen = _as_given(shares[np.arange(len(labels)), labels], rate, scores.shape[1])
    return float(-np.log(seen).mean())


def _scaling(scores: Array, labels: Places, rate: float) -> tuple[float, Values]:
    """a, and b (K,), under which the labels (N,) are most likely, by scores (N, K) and given the share of wrong ones."""
    from scipy.optimize import minimize

    rows, classes = scores.shape
    at = np.arange(rows)

    def surprise(point: Values) -> tuple[float, Values]:
        """Mean negative logarithm of the likelihood with the penalty on b, and its gradient."""
        sharpness, bias = np.exp(point[0]), point[1:]
        slopes = _softmax(scores * sharpness + bias)
        given = slopes[at, labels]
        seen = _as_given(given, rate, classes)
        loss = -np.log(seen).mean() + PENALTY * np.square(bias).sum() / rows
        weight = (1 - rate - rate / max(classes - 1, 1)) * given / seen / rows
        slopes *= weight[:, None]  # in place: at a thousand classes these are large
        slopes[at, labels] -= weight
        first = float((slopes * scores).sum() * sharpness)
        return float(loss), np.append(first, slopes.sum(axis=0) + 2 * PENALTY * bias / rows)

    start = np.append(2.0, np.zeros(classes))
    limits = [EXPONENTS, *[(-6.0, 6.0)] * classes]
    best = minimize(surprise, start, jac=True, method="L-BFGS-B", bounds=limits).x
    return float(np.exp(best[0])), best[1:]


def _as_given(shares: Values, rate: float, classes: int) -> Values:
    """Probability (N,) of the given label, right or wrong, by its probability (N,) where none is wrong; never 0."""
    seen: Values = np.maximum(shares * (1 - rate) + (1 - shares) * rate / max(classes - 1, 1), 1e-300)
    return seen


def _softmax(values: Values) -> Values:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Values = raised / raised.sum(axis=1, keepdims=True)
    return shares

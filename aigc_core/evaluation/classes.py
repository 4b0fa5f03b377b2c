"""The same values class by class, and which class is served worst.

Legend: N = images, K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from aigc_core.evaluation import metrics as m

Line = dict[str, float | str]
#: Labels (N,), values (N,) of generated images and values (N,) of real ones: true or false, or a share.
Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.generic], npt.NDArray[np.generic]]
#: Sets of real images behind what the largest gap is by chance.
CHANCES = 2000
GAPS = {m.COVERAGE: m.COVERAGE_GAP, m.CAS: m.CAS_GAP, m.AGREEMENT: m.AGREEMENT_GAP}


def lines(classes: list[str], test_labels: npt.NDArray[np.int64], table: Mapping[str, Columns]) -> list[Line]:
    """One line per class with test rows: each metric of `table` and what real images of that class get.

    A class whose rows all fell outside the choice of n test rows has no line.
    """
    found: list[Line] = []
    for index, name in enumerate(classes):
        if not all((labels == index).any() for labels, _, _ in table.values()):
            continue
        line: Line = {"label": name, "test_rows": int((test_labels == index).sum())}
        for metric, (labels, generated, real) in table.items():
            own = labels == index
            line[metric] = float(generated[own].mean())
            line[m.real(metric)] = float(real[own].mean())
        found.append(line)
    return found


def worst(found: list[Line]) -> tuple[dict[str, str], dict[str, float]]:
    """By metric: the class with the largest gap (real minus generated), and that gap under its metric's name."""
    names, gaps = {}, {}
    for metric, gap_name in _gaps_of(found):
        line = max(found, key=lambda entry: _gap(entry, metric))
        names[metric], gaps[gap_name] = str(line["label"]), _gap(line, metric)
    return names, gaps


def worst_by_chance(classes: list[str], found: list[Line], table: Mapping[str, Columns], seed: int) -> dict[str, float]:
    """What the largest gap over classes is where the images are real: its mean and its upper 95 %, by gap.

    Each of the N images of a class comes out well with the chance p that the real ones show, so that another real
    set has a binomial share. p is known from as many images only: it is drawn from its posterior (Jeffreys), set by set.
    """
    chance, told = np.random.default_rng(seed), dict[str, float]()
    for metric, gap_name in _gaps_of(found):
        labels, _, _ = table[metric]
        real = np.array([float(line[m.real(metric)]) for line in found])
        counts = np.array([int((labels == classes.index(str(line["label"]))).sum()) for line in found])
        p = chance.beta(real * counts + 0.5, (1 - real) * counts + 0.5, size=(CHANCES, len(found)))
        largest = (real - chance.binomial(counts, p) / counts).max(axis=1)
        told[m.real(gap_name)], told[m.limit(gap_name)] = float(largest.mean()), float(np.quantile(largest, 0.95))
    return told


def _gaps_of(found: list[Line]) -> list[tuple[str, str]]:
    """The metrics that the lines have, each with the name of its gap."""
    return [(metric, gap_name) for metric, gap_name in GAPS.items() if metric in found[0]]


def _gap(line: Line, metric: str) -> float:
    return float(line[m.real(metric)]) - float(line[metric])

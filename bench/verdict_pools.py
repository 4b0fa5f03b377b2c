"""Part `sets` of bench/verdict_simulations.py: what many seeds on one pool of rows say about other rows.

A pool is drawn anew for every study from MNIST. The decision is a random 30 % of its rows ("brought in"), which are like all
others by construction: they are never worth more or less. A cell is one Gaussian per class on principal components of
14 px images, fitted to 80 % of the rows; its distance is that of the product. Legend: J = seeds, d = components.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from verdict_cells import originals
from verdict_judged import say

from aigc_core.ablation import spread
from aigc_core.ablation import statistics as s
from aigc_core.ablation.controls import against_sets, rows_like_these
from aigc_core.evaluation.metrics import frechet_distance

IMAGES, TEST, POOL, BROUGHT, DRAWN = 14_000, 1000, 900, 0.3, 0.8
COMPONENTS, SAMPLES, SEEDS = 16, 500, (5, 10, 20)
FALSE_BAR, COVERAGE_BAR = 0.05, 0.93
Array = np.ndarray


def sets(path: Path, pools: int, seed: int, console: Console) -> None:
    """Print how often rows that are like all others are called better or worse, and what the intervals cover."""
    rows, labels = _features(path)
    gains = np.array(
        [_study(rows, labels, [seed, index]) for index in track(range(pools), "fresh pools", console=console)]
    )  # (pools, 2, J): over the recipe without the brought rows, over that without a random set
    truth = float(gains.mean())
    table = Table(title=f"{pools} fresh pools, {POOL} rows; the population's gain is a ratio of {math.exp(truth):.3f}")
    for name in ("seeds", "said: worth more or less", "the same by the plain error", "for these rows, of the population", "for rows like these", "its width over that of the first"):  # fmt: skip
        table.add_column(name, justify="right")
    worst, least = 0.0, 1.0
    for count in SEEDS:
        told = np.array([_told(one[:, :count], truth) for one in gains]).mean(0)
        worst, least = max(worst, told[0]), min(least, told[3])
        table.add_row(str(count), *(f"{share:.3f}" for share in told[:4]), f"{told[4]:.1f}")
    console.print(table)
    for met, words in (
        (worst <= FALSE_BAR, f"rows like all others are called better or worse in at most {worst:.3f}, bar {FALSE_BAR:g}"),
        (least >= COVERAGE_BAR, f"the interval for rows like these covers the population's gain in {least:.3f}, bar {COVERAGE_BAR:g}"),
    ):  # fmt: skip
        say(console, met, words)


def _told(gains: Array, truth: float) -> list[float]:
    """Of one study: false claims (strict, plain), coverage of the truth (these rows, rows like these), ratio of widths."""
    own, random = gains
    against = own - random
    strict, plain = against_sets(against), s.mean_interval(against)
    these = spread.pool(np.stack([np.zeros(len(own)), own, random]), 1).interval(own)
    kind = rows_like_these(these, random)
    assert kind is not None
    return [
        strict.p < s.ALPHA, plain.p < s.ALPHA, these.low <= truth <= these.high, kind.low <= truth <= kind.high,
        (kind.high - kind.low) / (these.high - these.low),
    ]  # fmt: skip


def _study(rows: Array, labels: Array, key: list[int]) -> Array:
    """Gains (2, J) of the full recipe, in logarithms of ratios: over that without the brought rows, and without random ones."""
    chance = np.random.default_rng(key)
    pool = TEST + chance.permutation(len(rows) - TEST)[:POOL]
    brought, count = pool[: round(BROUGHT * POOL)], round(BROUGHT * POOL)
    found = np.empty((2, max(SEEDS)))
    for index in range(max(SEEDS)):
        drawn = pool[chance.permutation(POOL)[: round(DRAWN * POOL)]]
        gone = chance.permutation(pool)[:count]
        level = _distance(rows, labels, drawn, chance)
        for place, left_out in enumerate((brought, gone)):
            found[place, index] = _distance(rows, labels, np.setdiff1d(drawn, left_out), chance) - level
    return found


def _distance(rows: Array, labels: Array, chosen: Array, chance: np.random.Generator) -> float:
    """log fd of samples of one Gaussian per class on the chosen rows, to the test rows."""
    samples = []
    for label in range(10):
        own = rows[chosen[labels[chosen] == label]]
        cov = np.cov(own, rowvar=False) + 1e-3 * np.eye(COMPONENTS)
        noise = chance.standard_normal((SAMPLES // 10, COMPONENTS))
        samples.append(own.mean(0) + noise @ np.linalg.cholesky(cov).T)
    return math.log(frechet_distance(rows[:TEST], np.concatenate(samples)))


def _features(path: Path) -> tuple[Array, Array]:
    """Principal components (N, d) of 14 px images and their labels."""
    pixels, labels = originals(path, IMAGES)
    small = pixels.reshape(len(pixels), 14, 2, 14, 2).mean((2, 4)).reshape(len(pixels), -1) / 255
    centred = small - small.mean(0)
    _, _, axes = np.linalg.svd(centred[:3000], full_matrices=False)
    return centred @ axes[:COMPONENTS].T, labels.astype(np.int64)

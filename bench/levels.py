"""What real images get where a model's samples stand: how often they are called something else, and planted shares.

Imported by evaluation.py. Everything is done on features of real images that the extractor has not seen, cut anew into
test images, a pool (training images) and fresh images in every trial; no model is trained.

Legend: n = test images, N = pool, d = feature dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from real_data import mnist
from rich.progress import track
from sklearn.datasets import load_digits

from aigc_core.config import load
from aigc_core.evaluation import classes as by_class
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.features import Recipe, train_extractor
from aigc_core.evaluation.floors import fresh_spread, matching_draw
from aigc_core.evaluation.intervals import balanced_groups, jackknife
from aigc_core.evaluation.panel import Labels
from aigc_core.report.seeds import SPREADS

ROOT = Path(__file__).resolve().parents[1]
CLASSES = [str(digit) for digit in range(10)]
DRAWS, NEIGHBOURS, GROUPS = 20, 5, 20
#: Rows that the extractor learns from, and rows that are left for the trials.
SIZES = {"digits": (267, 1530), "mnist": (2000, 12_000)}
#: n and N of the trials of floors.
POOLS = {"digits": ((330, 330), (330, 400), (330, 600)), "mnist": ((507, 507), (507, 600), (507, 924), (507, 2000))}


@dataclass(frozen=True)
class Rows:
    """Real images: pixels (R, C, S, S) uint8, features (R, d), labels (R,), and whether the extractor sees the label."""

    pixels: torch.Tensor
    features: np.ndarray
    labels: Labels
    seen: np.ndarray
    embed: Callable[[torch.Tensor], np.ndarray]


def rows_of(data: str, folder: Path) -> Rows:
    """Images of a data set with their features, none of which the extractor has learnt from."""
    if data == "digits":
        loaded = load_digits()
        pixels, labels = (loaded.images * 255 / 16).round().astype(np.uint8), loaded.target.astype(np.int64)
    else:
        images, digits = mnist(folder, "train")
        pixels, labels = images.copy(), digits.astype(np.int64)
    first, count = SIZES[data]
    order = np.random.default_rng(0).permutation(len(labels))[: first + count]
    chosen, truth = torch.from_numpy(pixels[order])[:, None], torch.from_numpy(labels[order])
    recipe = Recipe.of(load(ROOT / "params.yaml").extractor)
    extractor = train_extractor(chosen[:first], truth[:first], CLASSES, recipe, seed=0, device="cpu")
    own = truth[first:].numpy()
    seen = np.array([name == str(label) for name, label in zip(extractor.predict(chosen[first:]), own, strict=True)])
    return Rows(chosen[first:], extractor.features(chosen[first:]), own, seen, extractor.features)


def cut(rows: Rows, n: int, pool: int, seed: int) -> tuple[Labels, Labels, Labels]:
    """Positions of n test images, of the pool, and of n fresh images with the labels of the test images."""
    order = np.random.default_rng([seed, n, pool]).permutation(len(rows.labels))
    test, others, rest = order[:n], order[n : n + pool], order[n + pool :]
    return test, others, rest[matching_draw(rows.labels[rest], rows.labels[test], np.random.default_rng(seed))]


# -- the floor --------------------------------------------------------------------------------------


def floors(data: str, rows: Rows, trials: int) -> list[str]:
    """Share of fresh real sets that are called worse than real ones, and below the floor, by the spread in use and before."""
    lines = ["| data | n of N | worse | below the floor | before: worse | below |", "| --- | --- |" + " ---: |" * 4]
    for n, pool in POOLS[data]:
        told = np.array([floor_trial(rows, n, pool, seed) for seed in track(range(trials), "floor", transient=True)])
        cells = " | ".join(f"{value:.3f}" for value in told.mean(0))
        lines.append(f"| {data} | {n} of {pool:,} | {cells} |")
    return lines


def floor_trial(rows: Rows, n: int, pool: int, seed: int) -> list[bool]:
    test, others, fresh = cut(rows, n, pool, seed)
    labels, distance = rows.labels[test], m.FrechetDistance(rows.features[test])
    chance = np.random.default_rng(seed)
    draws = [matching_draw(rows.labels[others], labels, chance) for _ in range(DRAWS)]
    features = rows.features[others]
    values = [distance(features[draw]) for draw in draws]
    gap = distance(rows.features[fresh]) - float(np.mean(values))
    found = []
    now = fresh_spread(partial(distance, least=1), labels, seed, features, draws, values)
    for spread in (now, float(np.std(values))):
        found += [gap > SPREADS * spread, -gap > SPREADS * spread]
    return found


# -- fd_inf -----------------------------------------------------------------------------------------


def extrapolated(data: str, rows: Rows, trials: int) -> list[str]:
    """Half-width of fd_inf's interval and its coverage of the mean over sample sets, with fixed orders and with new ones."""
    n = POOLS[data][0][0]
    order = np.random.default_rng(0).permutation(len(rows.labels))
    test, rest = order[:n], order[n:]
    distance, labels = m.FrechetDistance(rows.features[test]), rows.labels[test]
    group = balanced_groups(labels, GROUPS, 0)
    values, ends = [], {"fixed orders": [], "new orders (before)": []}
    for seed in track(range(trials), "fd_inf", transient=True):
        own = rest[matching_draw(rows.labels[rest], labels, np.random.default_rng(seed))]
        # Pulled towards the mean and shifted a little, so that the distance is not 0, as a model's is not.
        samples = rows.features[own] * 0.95 + 0.05
        orders = m.subset_orders(rows.labels[own], 0)
        values.append(distance.infinite(samples, orders))
        parts = [
            distance.infinite(samples, [one[group[one] != each] for one in orders], least=1) for each in range(GROUPS)
        ]
        ends["fixed orders"].append(jackknife(values[-1], parts))
        parts = [
            distance.infinite(samples[group != each], m.subset_orders(rows.labels[own][group != each], 0), least=1)
            for each in range(GROUPS)
        ]
        ends["new orders (before)"].append(jackknife(values[-1], parts))
    middle, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    lines = ["| data | subsets | half-width | over 2.09 sd | covers |", "| --- | --- |" + " ---: |" * 3]
    for name, found in ends.items():
        table = np.array(found)
        half = float((table[:, 1] - table[:, 0]).mean() / 2)
        inside = float(((table[:, 0] <= middle) & (middle <= table[:, 1])).mean())
        lines.append(f"| {data}, n {n} | {name} | {half:.4f} | {half / (2.093 * spread):.2f} | {inside:.3f} |")
    return lines


# -- the class that is served worst -------------------------------------------------------------------


def worst_classes(data: str, rows: Rows, trials: int) -> list[str]:
    """Share of fresh real sets whose worst class is named, and that of sets with one class drawn from another."""
    lines = [
        "| data | n of N | gap by | mean of real sets | told | named: real sets | a fifth of a class lost |",
        "| --- | --- | --- |" + " ---: |" * 4,
    ]
    for n, pool in POOLS[data][1:]:
        told = [worst_trial(rows, n, pool, seed) for seed in track(range(trials), "classes", transient=True)]
        for metric, gap in ((m.COVERAGE, m.COVERAGE_GAP), (m.AGREEMENT, m.AGREEMENT_GAP)):
            real, mean, limit, lost = (
                np.array([one[part][key] for one in told])
                for part, key in ((0, gap), (2, m.real(gap)), (2, m.limit(gap)), (1, gap))
            )
            lines.append(
                f"| {data} | {n} of {pool:,} | {metric} | {real.mean():.3f} | {mean.mean():.3f} | {(real > limit).mean():.3f} | "
                f"{(lost > limit).mean():.2f} |"
            )
    return lines


def worst_trial(
    rows: Rows, n: int, pool: int, seed: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The gaps of fresh images, of the same with a fifth of a class lost, and what is told of chance."""
    test, others, fresh = cut(rows, n, pool, seed)
    labels, real = rows.labels[test], rows.features[test]
    radii, chance = m.neighbour_radii(real, NEIGHBOURS), np.random.default_rng(seed)
    draws = [others[matching_draw(rows.labels[others], labels, chance)] for _ in range(DRAWS)]
    covered = np.mean([m.density_coverage(real, rows.features[draw], NEIGHBOURS, radii).covered for draw in draws], 0)
    damaged = fresh.copy()
    own = np.flatnonzero(rows.labels[fresh] == 3)
    # The fifth of the class that lies farthest out in a random direction is replaced by images of another class.
    side = rows.features[fresh[own]] @ np.random.default_rng(seed).normal(size=rows.features.shape[1])
    damaged[own[np.argsort(side)[: len(own) // 5]]] = fresh[np.flatnonzero(rows.labels[fresh] == 5)[: len(own) // 5]]
    found = []
    for samples in (fresh, damaged):
        reached = m.density_coverage(real, rows.features[samples], NEIGHBOURS, radii).covered
        seen = rows.seen[samples] & (rows.labels[samples] == rows.labels[fresh])
        table = {m.COVERAGE: (labels, reached, covered), m.AGREEMENT: (rows.labels[fresh], seen, rows.seen[test])}
        lines = by_class.lines(CLASSES, labels, table)
        found.append(by_class.worst(lines)[1])
    return found[0], found[1], by_class.worst_by_chance(CLASSES, lines, table, seed)


# -- planted shares ---------------------------------------------------------------------------------

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
#: Images of this class are in neither the test images nor the pool: they are strangers there.
LEFT_OUT = 8
STRANGERS_SHARE = 0.05


def strangers(rows: Rows) -> dict[str, np.ndarray]:
    """Features of images that do not belong, by kind."""
    chance = np.random.default_rng(1)
    noise = torch.from_numpy(chance.integers(0, 256, size=(2000, *rows.pixels.shape[1:]), dtype=np.uint8))
    return {
        "noise": rows.embed(noise),
        "negatives": rows.embed(255 - rows.pixels[:2000]),
        "a class that is not there": rows.features[rows.labels == LEFT_OUT],
    }


def planted(data: str, rows: Rows, trials: int) -> list[str]:
    """Mean reading of planted shares of bad samples, and by how much it moves with strangers in the test images."""
    kinds, (n, pool) = strangers(rows), POOLS[data][-1]
    lines = [
        f"| {data}, n {n} of {pool:,} | value | {' | '.join(f'{share:.0%} bad' for share in SHARES)} | largest error | "
        "moved by 5 % strangers: none bad, most |",
        "| --- | --- |" + " ---: |" * (len(SHARES) + 2),
    ]
    names = list(kinds)
    for place, kind in enumerate(names):
        bad, strange = kinds[kind], kinds[names[place - 1]]
        told = np.array(
            [planted_trial(rows, bad, strange, n, pool, seed) for seed in track(range(trials), kind, transient=True)]
        )
        mean, spread = 100 * told.mean(0), 100 * told.std(0, ddof=1)
        for value, name in enumerate(("clipped_density", "clipped_coverage", "density", "coverage")):
            clean, dirty = mean[0, :, value], mean[1, :, value]
            cells = " | ".join(f"{one:.1f} ({sd:.1f})" for one, sd in zip(clean, spread[0, :, value], strict=True))
            wrong = float(np.abs(clean - 100 * (1 - np.array(SHARES))).max())
            moved = np.abs(dirty - clean)
            lines.append(
                f"| {kind} | {name} | {cells} | {wrong:.1f} | {moved[0]:.1f}, {moved.max():.1f} ({names[place - 1]}) |"
            )
    return lines


def planted_trial(
    rows: Rows, bad: np.ndarray, strange: np.ndarray, n: int, pool: int, seed: int
) -> list[list[list[float]]]:
    """By reference (clean, with strangers), share and value: clipped density and coverage, and the plain ones over real.

    The same samples are held to both references.
    """
    chance = np.random.default_rng([seed, 5])
    order = chance.permutation(np.flatnonzero(rows.labels != LEFT_OUT))
    test, others, rest = order[:n], order[n : n + pool], order[n + pool :]
    labels = rows.labels[test]
    draws = [rows.features[others[matching_draw(rows.labels[others], labels, chance)]] for _ in range(DRAWS)]
    good = rows.features[rest[matching_draw(rows.labels[rest], labels, chance)]]
    mixtures = []
    for share in SHARES:
        mixtures.append(good.copy())
        mixtures[-1][chance.permutation(n)[: round(share * n)]] = bad[chance.integers(0, len(bad), round(share * n))]
    dirty = rows.features[test].copy()
    count = round(STRANGERS_SHARE * n)
    dirty[chance.permutation(n)[:count]] = strange[chance.permutation(len(strange))[:count]]
    return [readings(real, draws, mixtures) for real in (rows.features[test], dirty)]


def readings(real: np.ndarray, draws: list[np.ndarray], mixtures: list[np.ndarray]) -> list[list[float]]:
    """By mixture: clipped density and coverage as shares, and the plain ones over those of real draws."""
    radii, count = m.neighbour_radii(real, NEIGHBOURS), len(real)
    of_real = np.mean([_raw(real, draw, radii) for draw in draws], axis=0)
    found = []
    for samples in mixtures:
        raw = _raw(real, samples, radii)
        coverage = m.coverage_share(raw[1], of_real[1], NEIGHBOURS, count, len(samples))
        found.append([m.density_share(raw[0], of_real[0]), coverage, raw[2] / of_real[2], raw[3] / of_real[3]])
    return found


def _raw(real: np.ndarray, samples: np.ndarray, radii: np.ndarray) -> list[float]:
    support = m.density_coverage(real, samples, NEIGHBOURS, radii)
    return [
        m.clipped_density(real, samples, NEIGHBOURS, radii), support.clipped_coverage, support.density, support.coverage,
    ]  # fmt: skip


#: What is asked, to (lines of its table, trials by default).
ASKED: dict[str, tuple[Callable[[str, Rows, int], list[str]], int]] = {
    "floor": (floors, 300),
    "fd_inf": (extrapolated, 60),
    "worst": (worst_classes, 150),
    "clipped": (planted, 20),
}

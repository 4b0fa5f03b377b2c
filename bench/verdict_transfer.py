"""Does a verdict travel from a short training to a long one, and from one family to the other?

    python bench/verdict_transfer.py [--data digits mnist cifar10] [--seeds 3] [--cells cells.jsonl] [--write docs/verdicts.md]
    python bench/verdict_transfer.py --data digits --small

Twelve ways to damage the training rows of known sets stand for twelve decisions: the recipe with the decision has the rows as they are, the
one without it has them damaged. Each is trained by the GAN for the proxy's and for the full number of steps, and by the VAE for the proxy's.
A verdict is reached as `aigc ablate` reaches it: log ratios of distances paired by seed, the shared spread, Holm over the twelve.
Networks are MLPs of 128 units at 8 to 16 px, so that the table is made within about half an hour on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from blindness import check, publish
from rich.progress import track
from scipy import stats
from settings import with_train
from small_targets import make_target, read
from transfer import train
from verdict_cells import Rows, damages
from verdict_judged import effects_of

from aigc_core.ablation.statistics import Estimate
from aigc_core.ablation.verdicts import HURTS, PAYS, PRIMARY
from aigc_core.ablation.words import brief, times
from aigc_core.config import Config
from aigc_core.data.loader import ImageSet

Array = np.ndarray
WIDTH, BATCH, DRAWS = 128, 64, 4
#: Source, folder below the data, rows for the extractor, to train on and to compare with, side in px.
SETS = {
    "digits": ("digits", "", (359, 898, 540), 8),
    "mnist": ("idx", "mnist", (1500, 2500, 1500), 14),
    "cifar10": ("folder", "cifar10.zip", (2000, 3000, 2000), 16),
}
#: Steps of the proxy and of the full budget.
STEPS, SMALL_STEPS = (600, 2400), (20, 60)
WAYS = {"proxy": "GAN, proxy", "full": "GAN, full", "other": "VAE, proxy"}
#: What DataDecide (Magnusson et al. 2025) reports for pairs of text corpora judged by small models.
PUBLISHED = 0.8


def main() -> None:
    """Parse, train what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cells", type=Path, help="file of finished trainings; those in it are not made again")
    parser.add_argument("--small", action="store_true", help="a few steps, to see that it works")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into docs/verdicts.md")
    chosen = parser.parse_args()
    if chosen.seeds < 2:
        parser.error("--seeds: at least 2 tell a spread")
    check(chosen.write, "transfer")
    config, steps = with_train({"network": {"mlp_width": WIDTH}}), SMALL_STEPS if chosen.small else STEPS
    lines: list[str] = []
    for name in chosen.data:
        lines += report(name, study(name, config, steps, chosen.seeds, chosen.cells), steps)
    publish(lines, "transfer", chosen.write)


@dataclass(frozen=True)
class Found:
    """Gains (log ratios) of every decision in every way of training, and what each is called."""

    names: list[str]
    gains: dict[str, list[Estimate]]  # way -> one per decision
    called: dict[str, list[str]]  # verdicts, as in gains


def study(name: str, config: Config, steps: tuple[int, int], seeds: int, file: Path | None) -> Found:
    """Train or read all cells of a data set and judge them."""
    kind, path, counts, side = SETS[name]
    data = read(kind, path, None if kind == "digits" else sum(counts) * 7 // 6, side)
    target = replace(make_target(data, np.cumsum(counts)[:2].tolist(), data.classes, config), draws=DRAWS)
    arms = recipes(target.pool)
    known = _known(file)
    table = {way: np.full((len(arms), seeds), np.nan) for way in WAYS}
    todo = [(arm, seed, family) for arm in arms for seed in range(seeds) for family in ("gan", "vae")]
    for arm, seed, family in track(todo, name, console=None, transient=True):
        key = json.dumps([name, arm, seed, family, *steps])
        if key not in known:
            own = list(steps) if family == "gan" else [steps[0]]
            _, judged = train(drawn(arms[arm], target.pool, seed), family, config, own, seed, BATCH, None, target)
            known[key] = {count: value["fd"] for count, value in judged.items()}
            if file:
                with file.open("a") as handle:
                    handle.write(json.dumps([key, known[key]]) + "\n")
        row, distances = list(arms).index(arm), known[key]
        for way, count in (("proxy", steps[0]), ("full", steps[1])) if family == "gan" else (("other", steps[0]),):
            table[way][row, seed] = distances[str(count)]
    names = list(arms)[1:]
    effects = {way: effects_of(np.log(np.maximum(values, 1e-3)), len(names)) for way, values in table.items()}
    gains = {way: [one.gain for one in own] for way, own in effects.items()}
    return Found(names, gains, {way: [one.verdict for one in own] for way, own in effects.items()})


def _known(file: Path | None) -> dict[str, dict[str, float]]:
    lines = file.read_text().splitlines() if file and file.exists() else []
    return dict(map(json.loads, lines))


def recipes(pool: ImageSet) -> dict[str, Rows]:
    """The rows as they are, and damaged in twelve ways."""
    full = Rows(pool.pixels.numpy(), pool.labels.numpy(), np.arange(len(pool)))
    chance, n = np.random.default_rng(7), len(pool)
    order = chance.permutation(n)
    inverted, dark = full.pixels.copy(), full.pixels.copy()
    inverted[order[: n // 20]] = 255 - inverted[order[: n // 20]]
    dark[order[: n // 5]] = dark[order[: n // 5]] // 3
    more = {
        "quarter": full.take(np.sort(order[: n // 4])),
        "inverted_5": Rows(inverted, full.labels, full.numbers),
        "dark_20": Rows(dark, full.labels, full.numbers),
    }
    return {"full": full, **damages(full, len(pool.classes)), **more}


def drawn(rows: Rows, pool: ImageSet, seed: int) -> ImageSet:
    """The rows that a seed trains on, with the classes of the pool."""
    own = rows.drawn(seed)
    ids = [str(number) for number in own.numbers.tolist()]
    return ImageSet(torch.from_numpy(own.pixels), torch.from_numpy(own.labels).long(), ids, pool.classes)


def report(name: str, found: Found, steps: tuple[int, int]) -> list[str]:
    """The tables of one data set as Markdown."""
    head = [f"{title} ({steps[0 if way != 'full' else 1]:,} steps)" for way, title in WAYS.items()]
    lines = [
        f"#### {name}",
        "",
        f"| decision against | {' | '.join(head)} | called alike |",
        "| --- | --- | --- | --- | --- |",
    ]
    for place, decision in enumerate(found.names):
        cells = [f"{brief(found.gains[way][place], PRIMARY)}, {found.called[way][place]}" for way in WAYS]
        words = {found.called[way][place] for way in WAYS}
        lines.append(f"| {decision} | {' | '.join(cells)} | {'yes' if len(words) == 1 else 'no'} |")
    lines += [
        "",
        "| full budget against | decisions called alike | told by both: the same side | pairs in the same order | of those that the full budget tells | Kendall's tau |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way in ("proxy", "other"):
        lines.append(f"| {WAYS[way]} | {' | '.join(_agreement(found, way))} |")
    losers = {way: _losers(found, way) for way in ("proxy", "other")}
    lines += ["", *(f"Not called alike by {WAYS[way]}: {', '.join(own) or 'none'}." for way, own in losers.items()), ""]
    return lines


def _agreement(found: Found, way: str) -> list[str]:
    """The figures of one way of training against the full budget."""
    full, other = found.called["full"], found.called[way]
    alike = sum(one == two for one, two in zip(full, other, strict=True))
    told = [(one, two) for one, two in zip(full, other, strict=True) if {one, two} <= {PAYS, HURTS}]
    means = {key: np.array([one.mean for one in found.gains[key]]) for key in ("full", way)}
    errors = np.array([one.error for one in found.gains["full"]])
    pairs = list(combinations(range(len(full)), 2))
    same = [np.sign(means["full"][i] - means["full"][j]) == np.sign(means[way][i] - means[way][j]) for i, j in pairs]
    sure = [
        one for one, (i, j) in zip(same, pairs, strict=True)
        if abs(means["full"][i] - means["full"][j]) > 2 * math.hypot(errors[i], errors[j])
    ]  # fmt: skip
    return [
        f"{alike} of {len(full)}",
        f"{sum(one == two for one, two in told)} of {len(told)}",
        f"{sum(same)} of {len(pairs)} ({np.mean(same):.0%}; DataDecide: about {PUBLISHED:.0%})",
        f"{sum(sure)} of {len(sure)}",
        _tau(means["full"], means[way]),
    ]


def _tau(first: Array, second: Array, draws: int = 2000) -> str:
    """Kendall's tau with a 95 % interval from decisions drawn with replacement."""
    chance = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        index = chance.integers(0, len(first), len(first))
        found.append(stats.kendalltau(first[index], second[index]).statistic)
    low, high = np.nanquantile(found, [0.025, 0.975])
    return f"{stats.kendalltau(first, second).statistic:.2f} ({low:.2f} to {high:.2f})"


def _losers(found: Found, way: str) -> list[str]:
    return [
        f"{name} ({two}; full budget: {one}, {times(found.gains['full'][place].mean)})"
        for place, (name, one, two) in enumerate(zip(found.names, found.called["full"], found.called[way], strict=True))
        if one != two
    ]


if __name__ == "__main__":
    main()

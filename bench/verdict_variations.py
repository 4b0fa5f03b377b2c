"""Is a kept sign claimed of decisions whose sign turns, or vanishes, under another training recipe? Simulated cells."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from aigc_core.ablation import spread
from aigc_core.ablation import statistics as s
from aigc_core.ablation.variations import DEPENDS, ROBUST, UNSURE, VARIATIONS, Robustness, vary

#: Standard deviation of log fd of one cell, so that a paired difference has 0.15, as a GAN's has on digits.
CELL = 0.106
#: Gains of the planted decisions as ratios of distances, and what one of the three variations makes of them.
RATIOS = (1.15, 1.4, 1.8, 2.7)
TRUTHS = {"the same everywhere": 1.0, "nothing under one": 0.0, "the other sign under one": -1.0}
#: Seeds of the study, and of each variation where nothing else is asked for.
SEEDS, FEW = 4, 3
#: How many trials are asked for not to have one false claim.
TRIALS = 20


def variations(trials: int, seed: int, few: int, console: Console) -> None:
    """Print how often each conclusion is drawn of 12 planted decisions, and in how many trials a kept sign is claimed falsely.

    `few` are the seeds of each variation, at least 1.
    """
    counts = {(truth, ratio): dict.fromkeys((ROBUST, DEPENDS, UNSURE), 0) for truth in TRUTHS for ratio in RATIOS}
    told = dict.fromkeys(counts, 0)
    false = np.zeros(trials, dtype=np.int64)
    for trial in range(trials):
        chance = np.random.default_rng([seed, trial])
        for case, conclusion in _trial(chance, few).items():
            told[case] += conclusion is not None
            if conclusion is not None:
                counts[case][conclusion] += 1
                false[trial] += conclusion == ROBUST and TRUTHS[case[0]] <= 0
    table = Table(
        title=f"{trials:,} trials of 12 decisions, {SEEDS} seeds and {few} for each variation, spread of a pair 0.15"
    )
    for name in ("truth", "ratio", "told", ROBUST, DEPENDS, UNSURE):
        table.add_column(name, justify="left" if name == "truth" else "right")
    for (truth, ratio), found in counts.items():
        whole = max(1, told[truth, ratio])
        shares = [f"{found[name] / whole:.1%}" for name in (ROBUST, DEPENDS, UNSURE)]
        table.add_row(truth, f"{ratio:g}", f"{told[truth, ratio] / trials:.1%}", *shares)
    console.print(table)
    blocks = false[: trials // TRIALS * TRIALS].reshape(-1, TRIALS).sum(1)
    console.print(
        f"false claims of a kept sign: {false.sum():,} of {trials * 8:,} decisions; sets of {TRIALS} trials without any: "
        f"{(blocks == 0).mean():.1%}; in the first {TRIALS} trials: {int(false[:TRIALS].sum())}"
    )


def _trial(chance: np.random.Generator, few: int) -> dict[tuple[str, float], str | None]:
    """Case to the conclusion about its decision; None where the study itself does not tell its effect from nothing."""
    cases = [(truth, ratio) for truth in TRUTHS for ratio in RATIOS]
    values = CELL * chance.standard_normal((len(cases) + 3, SEEDS))  # the full recipe first, placebo and damage last
    gains = np.log([ratio for _, ratio in cases])
    values[1 : len(cases) + 1] -= gains[:, None]
    pool = spread.pool(values, len(cases))
    own = [pool.interval(values[0] - line) for line in values[1 : len(cases) + 1]]
    adjusted = s.holm([one.p for one in own])
    found: dict[tuple[str, float], str | None] = {}
    for case, gain, estimate, p in zip(cases, gains, own, adjusted, strict=True):
        if not p < s.ALPHA:
            found[case] = None
            continue
        other = int(chance.integers(len(VARIATIONS)))
        true = [gain * (TRUTHS[case[0]] if place == other else 1.0) for place in range(len(VARIATIONS))]
        pairs = [mean + CELL * np.sqrt(2) * chance.standard_normal(few) for mean in true]
        varied = [vary(one, estimate, pool.interval(pair)) for one, pair in zip(VARIATIONS, pairs, strict=True)]
        found[case] = Robustness("planted", estimate, tuple(varied)).conclusion
    return found

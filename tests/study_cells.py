"""Cells of a study with planted effects, as the runner would leave them."""

import numpy as np
import pandas as pd

from aigc_core.ablation.cells import to_frame
from aigc_core.ablation.study import Study

FLOOR, ROWS = 0.3, 1000
PLAN = {
    "smallest_effect": 0.1,
    "decisions": ["curate", "augment", "deduplicate"],
    "digest": "d" * 8,
    "seeds": [0, 1, 2, 3, 4],
}
#: fd in floors, cas, c_t of each arm; `full` stands at 2 floors.
ARMS = {
    "full": ("baseline", None, 2.0, 0.9, 1.0),
    "without_curate": ("treatment", "curate", 3.0, 0.9, 1.0),
    "random_curate": ("random_control", "curate", 2.8, 0.9, 1.0),
    "without_augment": ("treatment", "augment", 1.2, 0.9, 1.0),
    "without_deduplicate": ("treatment", "deduplicate", 2.0, 0.8, 1.0),
    "placebo": ("placebo", None, 2.0, 0.9, 1.0),
    "blanks_2": ("positive_control", None, 3.5, 0.9, 1.0),
}  # fmt: skip


def line(arm, kind, decision, seed, fd, cas=0.9, c_t=1.0, **more):
    return {
        "cell": f"{arm}{seed}", "arm": arm, "kind": kind, "decision": decision, "seed": seed, "steps": 800, "share": 1.0, "rows": ROWS,
        "rows_touched": 0 if arm == "full" else 50, "fd": fd * FLOOR, "fd_floor": FLOOR, "coverage": 0.8, "coverage_real": 0.95,
        "cas": cas, "cas_real": 0.95, "agreement": 0.9, "agreement_real": 0.97, "c_t": c_t, "auth_gap": 0.0,
        "copy_rate": 0.01, "error": None, **more,
    }  # fmt: skip


def cells(seed=0, seeds=5, spread=0.05, sizes=(), **changes):
    """Cells of ARMS with a spread in floors; `changes` replaces arms (None leaves one out)."""
    chance, lines = np.random.default_rng(seed), []
    common = chance.normal(0, spread, seeds)
    for arm, facts in {**ARMS, **changes}.items():
        if facts is None:
            continue
        kind, decision, fd, cas, c_t = facts
        for index in range(seeds):
            own = chance.normal(0, spread, 3)
            lines.append(line(arm, kind, decision, index, fd + common[index] + own[0], cas + own[1] / 10, c_t + own[2]))
    for share in sizes:
        for index in range(seeds):
            fd = 1.2 + 0.8 * share**-0.6 + common[index] / 2 + chance.normal(0, spread / 4)
            lines.append(line(f"size_{share:g}", "size", None, index, fd, share=share, rows=round(share * ROWS)))
    return to_frame(lines)


def study(frame=None, **plan):
    return Study({**PLAN, **plan}, cells() if frame is None else frame)


def on(found, decision, metric="fd"):
    """One line of a ledger."""
    return found.ledger.set_index(["decision", "metric"]).loc[(decision, metric)]


#: 300 rows that a user brought in: without them 2.5 floors, without as many others 2.2.
BOUGHT = {
    "without_bought": ("treatment", "bought", 2.5, 0.9, 1.0),
    "random_bought": ("random_control", "bought", 2.2, 0.9, 1.0),
}


def with_bought(**more):
    frame = cells(**BOUGHT, **more)
    frame.loc[frame.decision == "bought", "rows"] = ROWS - 300
    return frame


def with_confirmation(ratio, decision="curate", spread=0.03, **more):
    """Three pairs at the full budget, where the recipe without the decision is `ratio` times as far from real images."""
    frame, chance = cells(**more), np.random.default_rng(8)
    lines = []
    for seed in range(3):
        for arm, name, fd in (("full_budget", None, 1.5), (f"full_budget_without_{decision}", decision, 1.5 * ratio)):
            noisy = fd * np.exp(chance.normal(0, spread))
            lines.append(line(arm, "confirmation", name, seed, noisy, steps=2000))
    return pd.concat([frame, to_frame(lines)], ignore_index=True)


def with_variations(ratios, decision="curate", spread=0.002, **more):
    """Two pairs in each of three other ways of training; `ratios` as in with_confirmation, by the name of the variation."""
    frame, chance = cells(**more), np.random.default_rng(9)
    lines = []
    for seed in range(2):
        for name, ratio in ratios.items():
            arms = [(f"{name}_without_{decision}", decision, ratio)]
            if name == "equal_passes":
                full = frame.loc[(frame.arm == "full") & (frame.seed == seed), "fd"].iloc[0] / FLOOR
            else:
                full, arms = 1.5, [(name, None, 1.0), *arms]
            for arm, own, times in arms:
                noisy = full * times * np.exp(chance.normal(0, spread))
                lines.append(line(arm, "variation", own, seed, noisy))
    return pd.concat([frame, to_frame(lines)], ignore_index=True)


SIZES = (0.1, 0.18, 0.32, 0.56, 1.0)

"""What do augmentation and pre-training buy with a tenth of the data, and with all of it? Real trainings, paired by seed.

    python bench/augmentation.py                       # 5 seeds, VAE, 10 % and 100 % of the checkout's curated rows
    python bench/augmentation.py --model gan --seeds 10 --steps 600

Both sizes are held to one test set and see the same number of samples; a smaller size is a part of the larger one, class by class.
The pre-trained weights are those of `aigc pretrain MODEL`: they have seen all rows of half of the classes, whatever the size.
Needs data/content, ingested, measures, verdicts, curated, extractor and pretrained (`dvc repro extractor curate pretrain@vae`).
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from aigc_core import config as configuration
from aigc_core.ablation import runner
from aigc_core.ablation import verdicts as v
from aigc_core.ablation import words as w
from aigc_core.ablation.arms import Chooser
from aigc_core.ablation.plan import resolve
from aigc_core.ablation.recipes import Arm
from aigc_core.ablation.versions import ArmWriter
from aigc_core.ablation.worker import Task
from aigc_core.config import Config, parse
from aigc_core.files import read_json
from aigc_core.paths import Paths

DECISIONS = ("augment", "pretrain")
CONSOLE = Console(width=140)

#: fd, coverage ... of one arm by seed, and floors; keyed by (share, arm).
Figures = dict[tuple[float, str], dict[int, dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["vae", "gan"], default="vae")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="checkout whose data is used")
    chosen = parser.parse_args()
    settings = configuration.load(chosen.root / "params.yaml").model_dump()
    settings["ablation"] |= {"model": chosen.model, "seeds": chosen.seeds, "steps": chosen.steps, "sizes": [],
                             "decisions": list(DECISIONS)}  # fmt: skip
    show(cells(parse(settings), Paths(chosen.root.resolve()), chosen.shares), chosen.shares)


def cells(config: Config, paths: Paths, shares: list[float]) -> Figures:
    """Train and judge the full recipe and the two without a decision at every share. Cells that ran before are read."""
    layout = resolve(config, paths)
    chooser = Chooser(layout.pool, config.ablation, config.augment)
    writer = ArmWriter(layout.pool, paths, layout.plan.config, layout.plan.code)
    arms = [arm for arm in layout.arms if arm.name in ("full", *(f"without_{name}" for name in DECISIONS))]
    wanted: dict[str, tuple[float, Arm, int]] = {}
    tasks = []
    for share in shares:
        for arm in arms:
            for seed in arm.seeds:
                selection = chooser.select(replace(arm.recipe, share=share), seed)
                name = f"augmentation-{layout.plan.digest[:16]}-{arm.name}-{share:g}-{seed}"
                wanted[name] = (share, arm, seed)
                file = runner.cell_file(paths, name)
                tasks.append(Task(name, writer.write(arm, selection, seed), seed, selection.start, file))
    done = [read_json(task.out) for task in tasks if task.out.exists()]
    left = [task for task in tasks if not task.out.exists()]
    processes = runner.workers(config, len(left))
    runner.warm_up(processes)
    found: Figures = defaultdict(dict)
    with runner.one_thread():
        fresh = runner.execute(left, runner.make_bench(layout, paths, config), processes)
        for line in track(itertools.chain(done, fresh), "cells", total=len(tasks), console=CONSOLE):
            share, arm, seed = wanted[line["cell"]]
            if line["error"]:
                CONSOLE.print(f"{arm.name} at {share:g}, seed {seed} failed: {line['error']}")
            else:
                found[share, arm.name][seed] = line["metrics"]
    return found


def show(found: Figures, shares: list[float]) -> None:
    """Effect with interval and verdict (Holm over decisions and sizes) per metric."""
    for metric, sign in v.METRICS.items():
        asked = [(share, name) for share in shares for name in DECISIONS]
        effects = v.judge([_effect(found, metric, sign, share, name, len(asked)) for share, name in asked])
        table = Table(
            title=f"{metric}: gain with the decision on, {'ratio of distances' if metric == v.PRIMARY else 'points'}"
        )
        for title in ("share", "full recipe", "decision", "gain", "verdict"):
            table.add_column(title)
        for (share, name), one in zip(asked, effects, strict=True):
            level = float(np.mean([_value(line, metric) for line in found[share, "full"].values()]))
            shown = f"{level:.2f} floors" if metric == v.PRIMARY else w.figure(level, metric, sign=False)
            table.add_row(f"{100 * share:g} %", shown, w.title(name), w.brief(one.gain, metric), one.verdict)
        CONSOLE.print(table)


def _effect(found: Figures, metric: str, sign: float, share: float, decision: str, asked: int) -> v.Effect:
    full, without = found[share, "full"], found[share, f"without_{decision}"]
    seeds = [seed for seed in sorted(full) if seed in without]
    pair = [np.array([_value(side[seed], metric) for seed in seeds]) for side in (full, without)]
    pair = [-np.log(side) if metric == v.PRIMARY else sign * side for side in pair]
    return v.measure(metric, *pair, len(full) - len(seeds), asked)


def _value(line: dict[str, float], metric: str) -> float:
    return line[metric] / line["fd_floor"] if metric == v.PRIMARY else line[metric]


if __name__ == "__main__":
    main()

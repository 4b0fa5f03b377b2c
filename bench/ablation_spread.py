"""What makes two cells of a study differ: the set of samples that is drawn, or the training? And what do several sets buy?

    python bench/ablation_spread.py                        # 9 trainings of 800 steps of the GAN on the checkout's data
    python bench/ablation_spread.py --root ../other --steps 400

Trains the full recipe, the placebo and the recipe without each decision with the same seeds, draws eight sets of samples from each
model, and prints standard deviations of log fd: over sets of one model, over seeds, and of the paired differences that verdicts
are made of, with one set and with the mean of eight. `ablation.planning_spread` should lie near the last. The last line says with how many
seeds a study sees what five saw when a cell was one set and every decision had its own spread; what a cell costs beside one of
then is printed by `python bench/ablation.py --before`. Needs data/content,
ingested, measures, verdicts, curated and extractor (`dvc repro extractor curate`).
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from aigc_core import config as configuration
from aigc_core.ablation import cells, runner, worker
from aigc_core.ablation import statistics as s
from aigc_core.ablation.pairs import PAIRED
from aigc_core.ablation.plan import Layout, resolve
from aigc_core.ablation.spread import borrowed
from aigc_core.ablation.versions import ArmWriter
from aigc_core.config import parse
from aigc_core.models.zoo import SampleModel
from aigc_core.paths import Paths

#: Seeds of a study before cells were means of several sets and arms shared a spread.
EARLIER = 5
KINDS = (cells.BASELINE, cells.PLACEBO, cells.TREATMENT)
_shared: tuple[Layout, worker.Bench, Paths, int]


def main() -> int:
    global _shared
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="checkout whose data is used")
    parser.add_argument("--model", default="gan")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--decisions", nargs="*", default=["curate"])
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    root = chosen.root.resolve()
    settings = configuration.load(root / "params.yaml").model_dump()
    settings["ablation"] |= {name: getattr(chosen, name) for name in ("model", "seeds", "steps", "decisions")}
    settings["ablation"] |= {"confirm": 0, "variations": 0, "sizes": []}
    config = parse(settings)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "data").symlink_to(root / "data")
        paths = Paths(Path(scratch))
        layout = resolve(config, paths)
        _shared = layout, runner.make_bench(layout, paths, config), paths, chosen.steps
        jobs = [(arm.name, seed) for seed in layout.plan.seeds for arm in layout.arms if arm.kind in KINDS]
        values: dict[str, list[np.ndarray]] = defaultdict(list)
        # Forked with everything that is shared; this process has one thread.
        with ProcessPoolExecutor(chosen.processes, multiprocessing.get_context("fork")) as pool:
            for (arm, seed), drawn in zip(jobs, pool.map(_distances, jobs), strict=True):
                values[arm].append(drawn)
                print(
                    f"{arm:<20} seed {seed}: {np.exp(drawn.mean()):.2f} floors, sd over sets {drawn.std(ddof=1):.3f}",
                    flush=True,
                )
    single, several = report({arm: np.stack(drawn) for arm, drawn in values.items()})
    kinds = [arm["kind"] for arm in layout.plan.arms]
    cheaper(single, several, sum(kind in PAIRED for kind in kinds), kinds.count(cells.TREATMENT))
    return 0


def _distances(job: tuple[str, int]) -> np.ndarray:
    """log fd in floors (DRAWS,) of sets of samples from one trained model."""
    (layout, bench, paths, steps), (name, seed) = _shared, job
    arm = next(arm for arm in layout.arms if arm.name == name)
    folder = ArmWriter(layout.pool, paths, layout.plan.config, layout.plan.code).write(
        arm, layout.selections[job], seed
    )
    yardstick = bench.yardstick
    trainer = worker.train(worker.arm_images(folder, tuple(yardstick.real.classes)), bench, seed, steps)
    sampler = SampleModel(trainer.model.spec, {}, trainer.model).sample
    found = []
    for number in range(worker.DRAWS):
        drawn = sampler(yardstick.test_labels, yardstick.setting.seed + 1 + worker.SEEDS_APART * number)
        found.append(yardstick.panel.fd(yardstick.extractor.features(drawn, yardstick.dimensions)))
    return np.log(np.array(found) / yardstick.floor.fd)


def report(values: dict[str, np.ndarray]) -> tuple[float, float]:
    """Print the spreads of log fd (seeds, sets) by arm; pooled over arms as root mean squares. Those of differences, one set and the mean."""

    def pooled(parts: list[np.ndarray]) -> float:
        return float(np.sqrt(np.mean(parts)))

    means = {arm: np.log(np.exp(own).mean(1)) for arm, own in values.items()}
    full = values.pop("full")
    print(
        f"over sets of one model          {pooled([own.var(1, ddof=1).mean() for own in (full, *values.values())]):.3f}"
    )
    print(f"over seeds, mean of the sets    {pooled([own.var(ddof=1) for own in means.values()]):.3f}")
    single = [(own - full).var(0, ddof=1).mean() for own in values.values()]
    several = [(means[arm] - means["full"]).var(ddof=1) for arm in values]
    print(f"paired differences, one set     {pooled(single):.3f}")
    print(
        f"paired differences, mean of {full.shape[1]}   {pooled(several):.3f}   (one variance is {np.mean(single) / np.mean(several):.1f} times the other)"
    )
    for arm in values:
        print(f"{arm:<20} is at {np.exp(np.mean(means[arm] - means['full'])):.2f} times the distance of full")
    return pooled(single), pooled(several)


def cheaper(single: float, several: float, arms: int, decisions: int) -> None:
    """Print what EARLIER seeds saw with one set and each decision's own spread, and how many see it with the mean and a shared one."""
    level = s.ALPHA / decisions
    seen = s.smallest_visible(EARLIER, single, level)
    now = s.seeds_needed(seen, several, level, per_seed=borrowed(arms, decisions))
    print(
        f"{EARLIER} seeds, one set, own spreads: see {math.expm1(seen):.0%} with power {s.POWER:g}; means of sets and a shared spread: {now} "
        f"seeds, {now / EARLIER:.2f} of the trainings"
    )


if __name__ == "__main__":
    sys.exit(main())

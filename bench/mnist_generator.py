"""How good does a conditional generator of MNIST get within twenty minutes of one core?

    python bench/mnist_generator.py --data ../shared/data --write docs/results/training.md     # 5 seeds of the GAN, about an hour of one core
    python bench/mnist_generator.py --data ../shared/data --seeds 1 --steps 50 --rows 3000     # to see that it works

Training and yardstick are those of the product: 10,000 of MNIST's training images are the reference that the extractor learns from, the
other 50,000 are trained on, and the test is MNIST's own. The classifier (the extractor, and those behind cas) learns for 1,600
steps instead of 800: with 800 real images give a cas of .974, too near to the bar to say something of a generator. Bar, for the best
family: at most 20 minutes of processor time, cas at least .97, coverage at least .90 of real, distance at most 10 times its floor.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blindness import check, publish
from real_data import mnist
from settings import ROOT, with_train

from aigc_core.ablation.statistics import mean_interval
from aigc_core.config import Config, load
from aigc_core.data.loader import ImageSet
from aigc_core.evaluation.compare import Real, Setting, Yardstick
from aigc_core.evaluation.features import Recipe, train_extractor
from aigc_core.models.zoo import SampleModel
from aigc_core.report.figures import image_grid, save_png
from aigc_core.tracking import Tracker
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of
from aigc_core.training.steps import build

REFERENCE_SHARE, CLASSIFIER_STEPS, FLOOR_DRAWS, NEIGHBOURS = 1 / 6, 1600, 5, 5
CLASSES = [str(digit) for digit in range(10)]
#: What of params.yaml is other than usual, so that a training takes at most twenty minutes.
FAMILIES: dict[str, dict[str, Any]] = {
    "gan": {"preset": "dcgan-r1-mnist"},
    "vae": {"vae": {"steps": 15_000, "ema": 0.999}},
    "flow": {"flow": {"steps": 5000, "sampler": "euler", "sample_steps": 10}},
}
#: Name, direction (1: at least), bar.
BARS = (("minutes", -1, 20.0), ("cas", 1, 0.97), ("coverage / real", 1, 0.90), ("fd / floor", -1, 10.0))
Figures = dict[str, float]


def settings(family: str, steps: int | None) -> Config:
    """params.yaml with what this family needs at 28 px."""
    return with_train(FAMILIES[family], {} if steps is None else {family: {"steps": steps}})


def cut(data: Path, rows: int | None) -> tuple[ImageSet, Yardstick]:
    """The rows to learn from, and the yardstick."""
    (pixels, labels), (test, truth) = (
        (torch.from_numpy(images.copy())[:, None], torch.from_numpy(digits.astype(np.int64)))
        for images, digits in (mnist(data, part) for part in ("train", "t10k"))
    )
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))[:rows]
    first = int(REFERENCE_SHARE * len(order))
    reference, pool = order[:first], order[first:]
    recipe = replace(Recipe.of(load(ROOT / "params.yaml").extractor), steps=CLASSIFIER_STEPS)
    extractor = train_extractor(pixels[reference], labels[reference], CLASSES, recipe, seed=0, device="cpu")
    real = Real(CLASSES, pixels[pool], labels[pool], test, truth)
    setting = Setting(NEIGHBOURS, FLOOR_DRAWS, max_samples=len(test), seed=0, jackknife_groups=0)
    ids = [f"{place:06d}" for place in pool.tolist()]
    return ImageSet(real.train_pixels, real.train_labels, ids, CLASSES), Yardstick(extractor, real, setting)


def run(family: str, seed: int, rows: ImageSet, yardstick: Yardstick, chosen: argparse.Namespace) -> Figures:
    """Train, draw a sheet of samples, and judge."""
    config = settings(family, chosen.steps)
    spec = spec_of(config, family, {"size": rows.pixels.shape[-1], "channels": 1}, rows.classes)
    began = time.process_time()
    trainer = build(spec, config.train, torch.device("cpu"), seed)
    steps = int(getattr(config.train, family).steps)
    schedule = Schedule(steps, config.train.batch_size, 500, steps + 1, steps + 1, seed)
    fit(trainer, rows, schedule, Tracker(), Path("no-checkpoint"), lambda _: None)
    trained = time.process_time() - began
    model = SampleModel(spec, {}, trainer.model)
    if chosen.pictures:
        sheet = model.sample(torch.arange(len(CLASSES)).repeat_interleave(10), 0)
        save_png(image_grid(sheet.permute(0, 2, 3, 1).numpy(), 10), chosen.pictures / f"{family}-{seed}.png")
    found = yardstick.judge(model.sample).metrics
    return {
        "minutes": trained / 60, "steps": steps, "fd / floor": found["fd_over_floor"],
        "coverage / real": found["coverage"] / found["coverage_real"], "cas": found["cas"], "cas of real": found["cas_real"],
    }  # fmt: skip


def collect(chosen: argparse.Namespace) -> dict[str, list[Figures]]:
    """By family, seed after seed; what `--cells` has is not made again."""
    known: dict[tuple[str, int, int | None, int | None], Figures] = {}
    if chosen.cells and chosen.cells.exists():
        known = {tuple(key): figures for key, figures in map(json.loads, chosen.cells.read_text().splitlines())}
    shared: tuple[ImageSet, Yardstick] | None = None
    for family in chosen.families:
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            key = (family, seed, chosen.steps, chosen.rows)
            if key not in known:
                shared = shared or cut(chosen.data, chosen.rows)
                known[key] = run(family, seed, *shared, chosen)
                if chosen.cells:
                    with chosen.cells.open("a") as handle:
                        handle.write(json.dumps([key, known[key]]) + "\n")
                print(key, known[key], flush=True)
    same = (chosen.steps, chosen.rows)
    return {family: [value for key, value in sorted(known.items(), key=lambda item: item[0][1])
            if key[0] == family and key[2:] == same] for family in chosen.families}  # fmt: skip


def table(found: dict[str, list[Figures]]) -> list[str]:
    """Mean and t interval over seeds; whether the bars hold is said of the means."""
    names = [name for name, _, _ in BARS]
    lines = [
        f"| family | seeds | steps | {' | '.join(names)} | cas of real | bars |",
        "| --- |" + " ---: |" * 7 + " --- |",
    ]
    for family, seeds in found.items():
        means = {name: mean_interval([one[name] for one in seeds]) for name in names}
        shown = [
            f"{mean.mean:.3f}" + (f" ({mean.low:.3f} to {mean.high:.3f})" if len(seeds) > 1 else "")
            for mean in means.values()
        ]
        missed = [name for name, sign, bar in BARS if sign * means[name].mean < sign * bar]
        verdict = f"**missed**: {', '.join(missed)}" if missed else "met"
        lines.append(
            f"| {family} | {len(seeds)} | {seeds[0]['steps']:,.0f} | {' | '.join(shown)} | {seeds[0]['cas of real']:.3f} | {verdict} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/*.gz")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=["gan"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="instead of those of the family")
    parser.add_argument("--rows", type=int, help="of MNIST's training images, instead of all")
    parser.add_argument("--cells", type=Path, help="keep finished trainings here, and go on from them")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="put a sheet of samples of every training here")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into docs/results/training.md")
    chosen = parser.parse_args()
    check(chosen.write, "mnist generator")
    torch.set_num_threads(1)
    publish(table(collect(chosen)), "mnist generator", chosen.write)


if __name__ == "__main__":
    main()

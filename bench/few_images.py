"""What does augmentation inside training buy a GAN with a tenth of the images, and with all of them?

    python bench/few_images.py [--seeds 5] [--steps 3000] [--write docs/results/training.md]             # digits, 8 px
    python bench/few_images.py --data mnist --seeds 3 --steps 4000 --write docs/results/training.md      # 28 px, convolutions
    python bench/few_images.py --seeds 2 --steps 20

`train.gan.augment` none, diffaugment and ada, every arm with the same rows, steps and seed: distance over its floor and coverage on
held-out images. Of the digits all rows are 898; of MNIST they are 1,000, through a DCGAN of 16 channels, and only a tenth of them is
trained on. A ratio is that of two arms' distances, paired by seed: the mean of logarithms with a 95 %
t interval. Bar: with a tenth of the rows the better of the two at most .65 times none, the interval below 1. What happens with all
rows is reported as it is.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from blindness import check, publish
from rich.progress import track
from settings import with_train
from small_targets import CONVOLUTIONAL, DIGITS_SHARES, Target, make_target, read, small_target

from aigc_core.ablation.statistics import mean_interval
from aigc_core.config import Config
from aigc_core.tracking import Tracker
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of
from aigc_core.training.steps import build

ARMS, BAR = ("none", "diffaugment", "ada"), 0.65
#: Shares of the rows, by data.
SHARES = {"digits": (0.1, 1.0), "mnist": (0.1,)}
#: MNIST's rows for the extractor, to train on, to compare with.
MNIST_ROWS = (2000, 1000, 3000)
#: Images in which ada's probability may rise from 0 to 1: a training here sees 192,000.
ADA_IMAGES = 100_000


def settings(data: str, augment: str) -> Config:
    """params.yaml with one way to augment, and at 28 px with small convolutions."""
    augmented = {"gan": {"augment": augment, "ada_images": ADA_IMAGES}}
    return with_train(augmented, CONVOLUTIONAL if data == "mnist" else {})


def make(data: str) -> Target:
    """Rows to draw from, and what they are compared with."""
    config = settings(data, "none")
    if data == "mnist":
        mnist = read("idx", "mnist", sum(MNIST_ROWS) * 7 // 6, 28)
        return make_target(mnist, (MNIST_ROWS[0], sum(MNIST_ROWS[:2])), mnist.classes, config)
    digits = read("digits", "", None, 8)
    cuts = [int(sum(DIGITS_SHARES[: place + 1]) * len(digits)) for place in range(2)]
    return make_target(digits, cuts, digits.classes, config)


def run(target: Target, data: str, share: float, augment: str, seed: int, steps: int) -> dict[str, float]:
    """Train one arm and judge it."""
    config = settings(data, augment)
    rows = small_target(target.pool, round(share * len(target.pool)), seed)
    side, channels = rows.pixels.shape[-1], rows.pixels.shape[1]
    spec = spec_of(config, "gan", {"size": side, "channels": channels}, rows.classes)
    trainer = build(spec, config.train, torch.device("cpu"), seed)
    schedule = Schedule(steps, config.train.batch_size, steps, steps + 1, steps + 1, seed)
    fit(trainer, rows, schedule, Tracker(), Path("no-checkpoint"), lambda _: None, quiet=True)
    return target.judge(trainer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(SHARES), default="digits")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="none among them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into docs/results/training.md")
    chosen = parser.parse_args()
    if "none" not in chosen.arms:
        parser.error("--arms: none has to be among them, the others are compared with it")
    name = "few images" if chosen.data == "digits" else f"few images {chosen.data}"
    check(chosen.write, name)
    torch.set_num_threads(1)
    target = make(chosen.data)
    cells = [
        (share, augment, seed)
        for share in SHARES[chosen.data]
        for seed in range(chosen.seeds)
        for augment in chosen.arms
    ]
    found = {cell: run(target, chosen.data, *cell, chosen.steps) for cell in track(cells, "trainings")}
    publish(table(found, chosen, len(target.pool)), name, chosen.write)


def table(found: dict[tuple[float, str, int], dict[str, float]], chosen: argparse.Namespace, rows: int) -> list[str]:
    """A line per share and way; the ratio is to `none`."""
    lines = [
        f"{chosen.seeds} seeds, {chosen.steps:,} steps of 64; {rows:,} rows are all.", "",
        "| rows | augment | fd / floor | coverage | fd beside none | bar |", "| ---: | --- | ---: | ---: | --- | --- |",
    ]  # fmt: skip
    for share in SHARES[chosen.data]:
        for augment in chosen.arms:
            own = [found[share, augment, seed] for seed in range(chosen.seeds)]
            none = [found[share, "none", seed] for seed in range(chosen.seeds)]
            fd, coverage = (sum(line[name] for line in own) / len(own) for name in ("fd", "coverage"))
            logs = mean_interval([math.log(a["fd"] / b["fd"]) for a, b in zip(own, none, strict=True)])
            ratio, low, high = (math.exp(value) for value in (logs.mean, logs.low, logs.high))
            met = "met" if ratio <= BAR and high < 1 else "**missed**"
            lines.append(
                f"| {round(share * rows):,} | {augment} | {fd:.2f} | {coverage:.3f} | "
                + (
                    "| |"
                    if augment == "none"
                    else f"{ratio:.2f} ({low:.2f} to {high:.2f}) | {met if share < 1 else ''} |"
                )
            )
    return lines


if __name__ == "__main__":
    main()

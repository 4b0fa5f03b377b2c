"""What does pre-training buy on few images, and where does it stop buying?

    python bench/transfer.py [--seeds 5] [--cells cells.jsonl] [--write docs/results/training.md]
    python bench/transfer.py --small

Targets of 25, 50, 100 and 400 images. Each is trained from nothing and from a pre-trained model, in every mode of
`finetune.mode`, with the same rows, steps, batches and seed; distance over its floor and coverage come from the
evaluation of the product. One seed is one draw of everything: the pre-training, the rows of the target, the initial
weights, the order. Differences are paired by seed, with t intervals.

Every arm is measured after both numbers of steps of its size. A line marked `short` shows both arms after the smaller one: what
transfer buys where steps are few. A line marked `best` shows each arm after the one that is better for it on average over the
seeds: what it buys where there is time, and what the bar goes by. Few rows are soon learnt by heart, so that the two differ.

At 8 and 14 px everything goes through MLPs of 128 units, so that this part of the table is made within 25 minutes on one
core; whole MNIST images, half of the classes to the other half, go through a DCGAN of 16 channels and the VAE's
convolutions.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from blindness import check, publish
from rich.progress import track
from settings import with_train
from small_targets import CONVOLUTIONAL, Pair, Target, make_pairs, small_target

from aigc_core.ablation.statistics import Estimate, mean_interval
from aigc_core.config import Config
from aigc_core.data.loader import ImageSet
from aigc_core.tracking import Tracker
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of
from aigc_core.training.steps import Trainer, build
from aigc_core.training.transfer import Start, begin

#: Images of a target, and the two numbers of steps after which every arm is measured.
STEPS = {25: (400, 1000), 50: (400, 1000), 100: (400, 1000), 400: (1000, 2000)}
#: What a smoke run does instead.
SMALL_STEPS, SMALL_SEEDS, SMALL_FIRST = {25: (10, 20), 50: (10, 20)}, 2, 30
#: Up to this size the GAN has to win.
FEW = 100
SCRATCH = "from nothing"
MODES = {"gan": ("full", "freeze_discriminator", "scale_shift"), "vae": ("full", "scale_shift")}
WIDTH, BATCH, PRETRAIN_BATCH, PRETRAIN_STEPS = 128, 25, 64, 1500


def train(
    data: ImageSet, family: str, config: Config, steps: Sequence[int], seed: int, batch: int,
    start: Start | None = None, target: Target | None = None,
) -> tuple[Trainer, dict[str, dict[str, float]]]:  # fmt: skip
    """Train to the last of `steps`; what the target says after each of them, by steps."""
    spec = spec_of(config, family, {"size": data.pixels.shape[-1], "channels": 1}, data.classes)
    trainer = build(spec, config.train, torch.device("cpu"), seed)
    if start is not None:
        begin(trainer, start)
    found: dict[str, dict[str, float]] = {}

    def look(done: int) -> None:
        if target is not None and done in steps:
            found[str(done)] = target.judge(trainer)

    never = steps[-1] + 1
    schedule = Schedule(steps[-1], batch, steps[-1], steps[0], never, seed)
    fit(trainer, data, schedule, Tracker(), Path("no-checkpoint"), look, quiet=True)
    look(steps[-1])
    return trainer, found


class Cells:
    """What every training gave, kept in a file where one is named, so that a run that was stopped goes on."""

    def __init__(self, steps: dict[int, tuple[int, int]], first: int, file: Path | None) -> None:
        self.steps, self.first, self.file = steps, first, file
        lines = file.read_text().splitlines() if file and file.exists() else []
        self.known = {tuple(key): (found, taken) for key, found, taken in map(json.loads, lines)}
        self._pretrained = cache(self._pretrain)

    def _pretrain(self, pair: Pair, family: str, seed: int) -> Start:
        trainer, _ = train(pair.source, family, pair.config, [self.first], seed, PRETRAIN_BATCH)
        tensors = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
        return Start(tensors, trainer.model.spec.classes)

    def key(self, pair: Pair, family: str, arm: str, size: int, seed: int) -> tuple[str | int, ...]:
        """What tells a training apart. From nothing it is the same one whatever was learnt elsewhere."""
        whose = pair.name.split("-> ")[1] if arm == SCRATCH else pair.name
        return (whose, family, arm, size, seed, *self.steps[size])

    def get(self, pair: Pair, family: str, arm: str, size: int, seed: int) -> dict[str, dict[str, float]]:
        """By steps: distance over floor and coverage."""
        key = self.key(pair, family, arm, size, seed)
        if key not in self.known:
            began, start = time.process_time(), None
            if arm != SCRATCH:
                begun = self._pretrained(pair, family, seed)
                how = pair.config.finetune
                start = Start(begun.tensors, begun.classes, arm, how.frozen_layers, how.scale_shift_rate)
            rows = small_target(pair.target.pool, size, seed)
            _, found = train(rows, family, pair.config, self.steps[size], seed, BATCH, start, pair.target)
            self.known[key] = found, time.process_time() - began
            if self.file:
                with self.file.open("a") as handle:
                    handle.write(json.dumps([key, *self.known[key]]) + "\n")
        return self.known[key][0]

    @property
    def seconds(self) -> float:
        """Processor time of all trainings, those of an earlier run as well."""
        return sum(taken for _, taken in self.known.values())


@dataclass(frozen=True)
class Line:
    """One row of the table: an arm beside the training from nothing."""

    pair: str
    family: str
    mode: str
    budget: str
    size: int
    shown: dict[str, tuple[float, float]]  # mean of (from nothing, tuned)
    steps: tuple[str, str]
    gain: dict[str, Estimate]  # tuned - from nothing, paired

    @property
    def verdict(self) -> str:
        """By the distance."""
        fd = self.gain["fd"]
        return "no difference seen" if not fd.excludes_zero() else "wins" if fd.mean < 0 else "loses"


def compare(pair: Pair, family: str, mode: str, size: int, cells: Cells, seeds: int) -> list[Line]:
    """After the smaller number of steps, and each arm at its own better one; differences are paired by seed."""
    runs = {arm: [cells.get(pair, family, arm, size, seed) for seed in range(seeds)] for arm in (SCRATCH, mode)}
    best = {
        arm: min(own[0], key=lambda count: float(np.mean([run[count]["fd"] for run in own])))
        for arm, own in runs.items()
    }
    lines = []
    for budget, steps in (("short", dict.fromkeys(runs, str(cells.steps[size][0]))), ("best", best)):
        scratch, tuned = (
            {name: np.array([run[steps[arm]][name] for run in own]) for name in ("fd", "coverage")}
            for arm, own in runs.items()
        )
        shown = {name: (float(scratch[name].mean()), float(tuned[name].mean())) for name in scratch}
        gain = {name: mean_interval(tuned[name] - scratch[name]) for name in scratch}
        lines.append(Line(pair.name, family, mode, budget, size, shown, (steps[SCRATCH], steps[mode]), gain))
    return lines


def table(lines: list[Line]) -> list[str]:
    """Markdown."""
    found = [
        "| first -> target | family | mode | steps | images | fd over floor: from nothing | tuned | tuned - from nothing | "
        "coverage: from nothing | tuned | tuned - from nothing | by fd |",
        "| --- | --- | --- | --- |" + " ---: |" * 7 + " --- |",
    ]
    for line in lines:
        steps = line.steps[0] if line.steps[0] == line.steps[1] else " and ".join(line.steps)
        fd, coverage = line.gain["fd"], line.gain["coverage"]
        found.append(
            f"| {line.pair} | {line.family} | `{line.mode}` | {line.budget}: {steps} | {line.size} | {line.shown['fd'][0]:.1f} | {line.shown['fd'][1]:.1f} | "
            f"{fd.mean:+.1f} ({fd.low:+.1f} to {fd.high:+.1f}) | {line.shown['coverage'][0]:.3f} | {line.shown['coverage'][1]:.3f} | "
            f"{coverage.mean:+.3f} ({coverage.low:+.3f} to {coverage.high:+.3f}) | {line.verdict} |"
        )
    return found


def where_it_stops(lines: list[Line]) -> list[str]:
    """One sentence per pair, family, mode and budget: up to how many images it wins."""
    said = []
    for key in dict.fromkeys((line.pair, line.family, line.mode, line.budget) for line in lines):
        own = [line for line in lines if (line.pair, line.family, line.mode, line.budget) == key]
        first = next((place for place, line in enumerate(own) if line.verdict != "wins"), len(own))
        until = f"wins up to {own[first - 1].size} images" if first else f"does not win at {own[0].size} images"
        after = f", not at {own[first].size} ({own[first].verdict})" if 0 < first < len(own) else ""
        later = ", ".join(f"{line.size}" for line in own[first + 1 :] if line.verdict == "wins")
        said.append(
            f"- {key[0]}, {key[1]}, `{key[2]}`, {key[3]}: {until}{after}"
            + (f"; wins again at {later}." if later else ".")
        )
    return said


def bar(lines: list[Line]) -> bool:
    """Whether the GAN, trained in full and for its best number of steps, wins with every pair at few images; says each."""
    met = True
    for line in lines:
        if (line.family, line.mode, line.budget) == ("gan", "full", "best") and line.size <= FEW:
            good = line.verdict == "wins"
            met &= good
            print(f"{'met   ' if good else 'MISSED'} {line.pair}, {line.size} images: {line.verdict}")
    return met


Plan = list[tuple[Pair, str, str, int]]  # pair, family, mode, images


def planned(pairs: list[Pair], cells: Cells, chosen: argparse.Namespace, seeds: int) -> Plan:
    """The lines of the table in the order of making: what the bar asks for comes first, for a run that is stopped."""
    arms = [(family, mode) for mode in chosen.modes for family in chosen.families if mode in MODES[family]]
    plan = [(pair, family, mode, size) for family, mode in arms for pair in pairs for size in cells.steps]
    if chosen.known:
        plan = [one for one in plan if is_known(cells, *one, seeds)]
    return sorted(plan, key=lambda one: one[-1] > FEW)


def is_known(cells: Cells, pair: Pair, family: str, mode: str, size: int, seeds: int) -> bool:
    """Whether both arms of a line have been run with every seed."""
    return all(
        cells.key(pair, family, arm, size, seed) in cells.known for arm in (SCRATCH, mode) for seed in range(seeds)
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--families", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument("--modes", nargs="+", choices=list(MODES["gan"]), default=list(MODES["gan"]))
    parser.add_argument("--cells", type=Path, default=None, help="keep finished trainings here, and go on from them")
    parser.add_argument("--known", action="store_true", help="train nothing: the lines that --cells has all seeds of")
    parser.add_argument("--small", action="store_true", help="smoke run: digits, two seeds, two sizes, few steps")
    parser.add_argument("--write", type=Path, default=None, metavar="PAGE", help="also put the table into this page")
    return parser.parse_args()


def main() -> None:
    """Parse, run, print."""
    chosen = arguments()
    check(chosen.write, "transfer")
    torch.set_num_threads(1)
    config, convolutional = with_train({"network": {"mlp_width": WIDTH}}), with_train(CONVOLUTIONAL)
    usual = (chosen.seeds, STEPS, PRETRAIN_STEPS)
    seeds, steps, first = (SMALL_SEEDS, SMALL_STEPS, SMALL_FIRST) if chosen.small else usual
    began = time.process_time()
    pairs, cells = make_pairs(config, convolutional, small=chosen.small), Cells(steps, first, chosen.cells)
    prepared = time.process_time() - began
    plan = planned(pairs, cells, chosen, seeds)
    found = [line for one in track(plan, "comparing") for line in compare(*one, cells, seeds)]
    order = [pair.name for pair in pairs]
    lines = sorted(
        found,
        key=lambda line: (order.index(line.pair), line.family, chosen.modes.index(line.mode), line.budget, line.size),
    )
    minutes, part = (prepared + cells.seconds) / 60, " so far" if chosen.known else ""
    head = (
        f"`python bench/transfer.py --seeds {seeds}`: {seeds} seeds, MLPs of {WIDTH} units and at 28 px convolutions, batches of {BATCH}, "
        f"{first} steps of pre-training; {minutes:.0f} core-minutes{part}"
    )
    publish([head, "", *table(lines), "", *where_it_stops(lines)], "transfer", chosen.write)
    sys.exit(0 if bar(lines) or chosen.small else 1)


if __name__ == "__main__":
    main()

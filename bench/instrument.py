"""Is the instrument that judges samples fit for the data? Known damages, and trainings of which one is ten times as long.

    nice -n 15 python bench/instrument.py --data ../shared/data [--seeds 2] [--steps 100] [--write docs/metrics.md]
    python bench/instrument.py --sets digits textures --seeds 1

Candidates are the three that `aigc extractor` chooses between (learnt from labels, learnt from views, not learnt), the two parts of the third,
and one that learnt labels in a random order, which should do badly. `chosen` is what the product takes. The first table counts
pairs of known damages that come out in order (evaluation/fitness.py). The second counts pairs of trainings of the same family and
seed, one of `--steps` steps and one of ten times as many, in which the longer one is named nearer to real images; pairs are left out
where the memorization gate sees copies. Bars: of the chosen one 95 % of the damages' pairs, and 9 of 10 of the trainings'.

`sprites` has eight classes that looks tell; in `sprites, chance labels` the same labels are given out in a random order; `no_labels` has none.
Images are 16 px (digits 8), so that the bench ends in minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from blindness import check, publish
from defects.sets import SETS
from settings import with_train
from sklearn.datasets import load_digits

from aigc_core.config import Config
from aigc_core.data.loader import UNLABELLED, ImageSet
from aigc_core.evaluation.choice import Choice, Rows, choose
from aigc_core.evaluation.distances import FrechetDistance, usable_dimensions
from aigc_core.evaluation.extractors.base import Instrument
from aigc_core.evaluation.extractors.frozen import RAW
from aigc_core.evaluation.features import Recipe, fixed_extractor, train_extractor
from aigc_core.evaluation.fitness import Fitness, Trial
from aigc_core.evaluation.memorization import Limits, Witness
from aigc_core.modalities import image
from aigc_core.models.zoo import SampleModel
from aigc_core.paths import FAMILIES
from aigc_core.tracking import Tracker
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of
from aigc_core.training.steps import build

#: Name of each set to the set of bench/defects that it is made of, and what becomes of its labels.
NAMES = {
    "digits": ("digits", "own"), "mnist": ("mnist", "own"), "cifar10": ("cifar10", "own"), "sprites": ("sprites", "own"),
    "sprites, chance labels": ("sprites", "chance"), "textures": ("textures", "own"), "no_labels": ("no_labels", "none"),
}  # fmt: skip
ROWS, SIDE, LONGER = 2400, 16, 10
#: Shares of the rows: reference for the extractors, training, and held out for damages and distances.
SHARES = (0.3, 0.37)
CANDIDATES = ("labels", "views", "nothing", *sorted(RAW), "labels in random order", "chosen")
BARS = (0.95, 0.9)


@dataclass(frozen=True)
class World:
    """One set in three parts, the candidates, and what the product chose."""

    parts: dict[str, Rows]
    instruments: dict[str, Instrument]
    choice: Choice
    seconds: float

    @property
    def chosen(self) -> str:
        """Which candidate judges."""
        return self.choice.extractor.learnt_from


def load_set(name: str, data: Path) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """uint8 pixels (N, C, S, S), labels (N,) and classes, in an order drawn by a fixed seed."""
    source, fate = NAMES[name]
    chance = np.random.default_rng(0)
    if source == "digits":
        loaded = load_digits()
        pixels, labels = (loaded.images * 255 / 16).round().astype(np.uint8)[:, None], loaded.target
        classes = [str(number) for number in range(10)]
    else:
        pictures = SETS[source].load(data, ROWS, 0)
        channels = pictures[0].pixels.shape[2]
        pixels = np.stack([image.fit(picture.pixels, SIDE, channels).transpose(2, 0, 1) for picture in pictures])
        classes = sorted({str(picture.label) for picture in pictures})
        labels = np.array([classes.index(str(picture.label)) for picture in pictures])
    order = chance.permutation(len(labels))
    if fate == "none":
        labels, classes = np.zeros_like(labels), []
    wanted = chance.permutation(labels[order]) if fate == "chance" else labels[order]
    return torch.from_numpy(pixels[order]), torch.from_numpy(wanted.astype(np.int64)), classes


def prepare(name: str, data: Path, config: Config) -> World:
    """Cut the set, let the product choose, and train the candidates that it did not."""
    pixels, labels, classes = load_set(name, data)
    cuts = (np.cumsum((0, *SHARES, 1 - sum(SHARES))) * len(labels)).round().astype(int)
    parts = {
        part: Rows(pixels[start:stop], labels[start:stop], classes)
        for part, start, stop in zip(("reference", "train", "held"), cuts[:-1], cuts[1:], strict=True)
    }
    reference, recipe = parts["reference"], Recipe.of(config.extractor)
    start = time.perf_counter()
    choice = choose(reference, parts["held"], recipe, "auto", seed=0, device="cpu")
    seconds = time.perf_counter() - start
    found: dict[str, Instrument] = {choice.extractor.learnt_from: choice.extractor}
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(reference.labels)))
    wanted = {"views": (reference.labels, [])}
    if classes:
        wanted |= {"labels": (reference.labels, classes), "labels in random order": (reference.labels[order], classes)}
    for title, (own, names) in wanted.items():
        if title not in found:
            found[title] = train_extractor(reference.pixels, own, names, recipe, seed=0, device="cpu")
    if "nothing" not in found:
        found["nothing"] = fixed_extractor(choice.fixed, reference.pixels, recipe)
    found |= choice.fixed.frames
    return World(parts, found, choice, seconds)


def damages(world: World) -> dict[str, Fitness]:
    """What each candidate makes of the known damages, all of the same images."""
    held, told = world.parts["held"], world.choice.told
    trial = Trial(held.pixels, held.labels.numpy(), 0, by_class=told is not None and told.by_looks)
    return {name: trial.judge(instrument) for name, instrument in world.instruments.items()}


def with_chosen(found: Mapping[str, float], world: World) -> dict[str, float]:
    """Answers (1 right, 0 wrong) by candidate, and those of the chosen one."""
    return {**found, "chosen": found[world.chosen]}


def damage_answers(world: World) -> list[dict[str, float]]:
    """One line per pair of damages."""
    found = damages(world)
    return [
        with_chosen({name: float(fitness.pairs[pair]) for name, fitness in found.items()}, world)
        for pair in found[world.chosen].pairs
    ]


def training_answers(world: World, config: Config, seeds: int, steps: int) -> tuple[list[dict[str, float]], int]:
    """One line per pair of trainings, and how many pairs were left out for copies."""
    held = world.parts["held"]
    sides = {name: usable_dimensions(len(held.labels), one.dimensions) for name, one in world.instruments.items()}
    real = {name: FrechetDistance(one.features(held.pixels, sides[name])) for name, one in world.instruments.items()}
    limits = Limits(**config.evaluate.memorization.model_dump())
    witness = Witness(world.parts["train"].pixels, held.pixels, limits, 0, "cpu")
    lines, left_out = [], 0
    for family in FAMILIES:
        for seed in range(seeds):
            both = [samples_of(world, config, family, seed, length) for length in (steps, LONGER * steps)]
            if not all(witness.judge(samples).passed for samples in both):
                left_out += 1
                continue
            answers = {}
            for name, one in world.instruments.items():
                short, long = (real[name](one.features(samples, sides[name])) for samples in both)
                answers[name] = float(long < short)
            lines.append(with_chosen(answers, world))
            print(f"  {family} seed {seed}: {answers}", flush=True)
    return lines, left_out


def samples_of(world: World, config: Config, family: str, seed: int, steps: int) -> torch.Tensor:
    """As many samples as held-out images, with their labels, of a model trained for so many steps."""
    rows, held = world.parts["train"], world.parts["held"]
    data = ImageSet(
        rows.pixels, rows.labels, [f"{n:05d}" for n in range(len(rows.labels))], rows.classes or [UNLABELLED]
    )
    shape = {"size": data.pixels.shape[-1], "channels": data.pixels.shape[1]}
    spec = spec_of(config, family, shape, data.classes)
    trainer = build(spec, config.train, torch.device("cpu"), seed)
    schedule = Schedule(steps, config.train.batch_size, steps, steps + 1, steps + 1, seed)
    fit(trainer, data, schedule, Tracker(), Path("no-checkpoint"), lambda _: None, quiet=True)
    return SampleModel(spec, {}, trainer.model).sample(held.labels, seed + 1)


def counts(lines: list[dict[str, float]], name: str) -> str:
    """`17 of 19`, or nothing where the set has no such candidate."""
    own = [line[name] for line in lines if name in line]
    return f"{sum(own):.0f} of {len(own)}" if own else ""


def table(found: Mapping[str, list[dict[str, float]]], notes: Mapping[str, str], note: str) -> list[str]:
    """A line per set, a column per candidate, and the sum."""
    lines = [f"| set | {note} | {' | '.join(CANDIDATES)} |", "| --- | --- |" + " ---: |" * len(CANDIDATES)]
    lines += [
        f"| {name} | {notes[name]} | {' | '.join(counts(own, one) for one in CANDIDATES)} |"
        for name, own in found.items()
    ]
    everything = [line for own in found.values() for line in own]
    return [*lines, f"| all | | {' | '.join(counts(everything, one) for one in CANDIDATES)} |"]


def bar(title: str, lines: list[dict[str, float]], least: float) -> str:
    """Whether the chosen ones reach a bar."""
    share = float(np.mean([line["chosen"] for line in lines])) if lines else 0.0
    return f"{title}: {share:.1%} of {len(lines)} by the chosen one, asked {least:.0%}: {'met' if share >= least else '**missed**'}."


def told_words(choice: Choice) -> str:
    """Which one judges, and how well looks tell the labels."""
    told = "" if choice.told is None else f", accuracy {choice.told.accuracy:.3f} (chance {choice.told.chance:.3f})"
    return f"{choice.extractor.learnt_from}{told}"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data")
    parser.add_argument("--sets", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each family and length")
    parser.add_argument("--steps", type=int, default=100, help="of the shorter training")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into docs/metrics.md")
    chosen = parser.parse_args()
    check(chosen.write, "instrument")
    torch.set_num_threads(1)
    config = with_train({})
    damaged, trained, notes, left = {}, {}, {}, {}
    for name in chosen.sets:
        world = prepare(name, chosen.data, config)
        notes[name] = told_words(world.choice)
        damaged[name] = damage_answers(world)
        print(
            f"{name}: {notes[name]}; {counts(damaged[name], 'chosen')} damages, choice {world.seconds:.0f} s",
            flush=True,
        )
        trained[name], out = training_answers(world, config, chosen.seeds, chosen.steps)
        left[name] = f"{out} left out for copies" if out else ""
    publish(
        [
            *table(damaged, notes, "judge"), "", *table(trained, left, "pairs"), "",
            bar("Pairs of damages in order", [line for own in damaged.values() for line in own], BARS[0]),
            bar("Longer trainings named better", [line for own in trained.values() for line in own], BARS[1]),
        ],
        "instrument", chosen.write,
    )  # fmt: skip


if __name__ == "__main__":
    main()

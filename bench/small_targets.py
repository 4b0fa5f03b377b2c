"""Small targets for `bench/transfer.py`, what is learnt before them, and the yardstick of each target."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aigc_core.config import Config
from aigc_core.data.loader import ImageSet
from aigc_core.data.second import known_classes, read_source
from aigc_core.data.sources import open_source
from aigc_core.data.splits import unit_hash
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.features import Extractor, Recipe, train_extractor
from aigc_core.evaluation.floors import Floor, real_floor
from aigc_core.evaluation.panel import Panel
from aigc_core.models.zoo import SampleModel
from aigc_core.training.steps import Trainer

DATA = Path(__file__).resolve().parents[2] / "shared/data"
MNIST_SIDE, WHOLE_SIDE = 14, 28
#: What of the section train is other than usual where images go through convolutions.
CONVOLUTIONAL = {"network": {"architecture": "dcgan", "conv_width": 16}, "gan": {"r1_every": 8}}
#: Rows of a source that is learnt first, and of the target: for the extractor, to train on, to compare with.
SOURCE_ROWS, MNIST_ROWS = 6000, (2000, 3000, 2000)
#: The same where one half of the classes is the source: a share of each number is the other half's.
HALVED_ROWS = (2000, 7000, 4000)
DIGITS_SHARES = (0.2, 0.5, 0.3)
FLOOR_DRAWS, NEIGHBOURS = 10, 5


@dataclass(frozen=True)
class Target:
    """What all arms of a target share."""

    pool: ImageSet  # the rows that small targets are drawn from
    test: ImageSet
    extractor: Extractor
    panel: Panel
    floor: Floor
    draws: int = 1  # sets of samples that the figures are means of

    def judge(self, trainer: Trainer) -> dict[str, float]:
        """Distance over its floor and coverage of as many samples as there are test rows."""
        found = [self._judge(trainer, seed) for seed in range(1, 1 + self.draws)]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def _judge(self, trainer: Trainer, seed: int) -> dict[str, float]:
        spec = trainer.model.spec
        wanted = torch.tensor([spec.classes.index(name) for name in self.pool.classes])
        samples = SampleModel(spec, {}, trainer.model).sample(wanted[self.test.labels], seed)
        features = self.extractor.features(samples, self.panel.features.shape[1])
        support = m.density_coverage(self.panel.features, features, self.panel.neighbours, self.panel.radii)
        return {"fd": self.panel.fd(features) / self.floor.fd, "coverage": support.coverage}


@dataclass(frozen=True, eq=False)
class Pair:
    """What is learnt first, and the target."""

    name: str
    source: ImageSet
    target: Target
    config: Config


def read(kind: str, path: str, limit: int | None, side: int) -> ImageSet:
    """A source as grey images, in an order drawn by a fixed seed."""
    with closing(open_source(kind, DATA / path, limit, 0)) as source:
        found, _ = read_source(source, size=side, channels=1, classes=known_classes(source))
    return found.subset(torch.from_numpy(np.random.default_rng(0).permutation(len(found))))


def of_classes(data: ImageSet, classes: list[str]) -> ImageSet:
    """The rows of some classes, numbered by their place among these."""
    numbers = [data.classes.index(name) for name in classes]
    index = torch.isin(data.labels, torch.tensor(numbers)).nonzero().flatten()
    rows = data.subset(index)
    return ImageSet(
        rows.pixels, torch.tensor([numbers.index(label) for label in rows.labels.tolist()]), rows.ids, classes
    )


def make_target(data: ImageSet, cuts: Sequence[int], classes: list[str], config: Config) -> Target:
    """Cut into reference, pool and test; the extractor learns all classes of the reference."""
    first, second = cuts
    reference, pool, test = (
        data.subset(torch.arange(start, stop)) for start, stop in ((0, first), (first, second), (second, len(data)))
    )
    pool, test = of_classes(pool, classes), of_classes(test, classes)
    recipe = Recipe.of(config.extractor)
    extractor = train_extractor(reference.pixels, reference.labels, data.classes, recipe, seed=0, device="cpu")
    dimensions = m.usable_dimensions(len(test), extractor.dimensions)
    panel = Panel(extractor.features(test.pixels, dimensions), test.labels.numpy(), NEIGHBOURS, 0)
    train = extractor.features(pool.pixels, dimensions)
    floor = real_floor(panel, train, pool.labels.numpy(), draws=FLOOR_DRAWS, seed=0)
    return Target(pool, test, extractor, panel, floor)


def make_pairs(config: Config, convolutional: Config, *, small: bool) -> list[Pair]:
    """Between classes, and between sources; whole MNIST images go through the networks of `convolutional`."""
    digits = read("digits", "", None, 8)
    half = digits.classes[:5], digits.classes[5:]
    cuts = [int(sum(DIGITS_SHARES[: place + 1]) * len(digits)) for place in range(2)]
    whole = make_target(digits, cuts, half[1], config)
    pairs = [Pair("digits 0-4 -> digits 5-9, 8 px", of_classes(digits, half[0]), whole, config)]
    if small:
        return pairs
    mnist = read("idx", "mnist", sum(MNIST_ROWS) * 7 // 6, MNIST_SIDE)  # a seventh are its own test rows
    target = make_target(mnist, np.cumsum(MNIST_ROWS)[:2].tolist(), mnist.classes, config)
    for name, kind, path in (("digits 8 px", "digits", ""), ("CIFAR-10 grey", "folder", "cifar10.zip")):
        source = read(kind, path, None if kind == "digits" else SOURCE_ROWS, MNIST_SIDE)
        pairs.append(Pair(f"{name} -> MNIST, {MNIST_SIDE} px", source, target, config))
    return [*pairs, halves_of_mnist(convolutional)]


def halves_of_mnist(config: Config) -> Pair:
    """From the first five classes to the other five, at full size."""
    mnist = read("idx", "mnist", sum(HALVED_ROWS) * 7 // 6, WHOLE_SIDE)
    first, second = np.cumsum(HALVED_ROWS)[:2].tolist()
    target = make_target(mnist, (first, second), mnist.classes[5:], config)
    source = of_classes(mnist.subset(torch.arange(first, second)), mnist.classes[:5])
    return Pair(f"MNIST 0-4 -> MNIST 5-9, {WHOLE_SIDE} px", source, target, config)


def small_target(pool: ImageSet, count: int, seed: int) -> ImageSet:
    """`count` rows, the classes in turn, by the lowest hashes: a smaller target lies inside a larger one."""
    ranked = sorted(range(len(pool)), key=lambda place: unit_hash(f"{seed}:target:{pool.ids[place]}"))
    turns: dict[int, int] = {}
    order = []
    for place in ranked:
        label = int(pool.labels[place])
        turns[label] = turns.get(label, 0) + 1
        order.append((turns[label], place))
    return pool.subset(torch.tensor(sorted(place for _, place in sorted(order)[:count])))

"""The memorization gate's four proofs, with the limits of params.yaml.

    python bench/memorization.py [--held-out 200] [--copier 50] [--mixture 50] [--mnist-held-out 200] [--mnist-copies 50]

1. digits: a generator that returns held-out real images is flagged no more often than `alpha` says (binomial test);
2. digits: a bootstrap copier is flagged every time;
3. digits: a class-wise Gaussian mixture with 8 components is flagged, one with 2 is not;
4. MNIST, n = 2,000: held-out images are not flagged, and 5 % copies among them are, at least 90 % of the time.

Every trial draws its own training images, held-out images and samples, all disjoint, from one seed. MNIST is read
from --mnist (a folder with the four idx.gz files); without it the last proof is left out, and that is said.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from digits_gan import mixture_sampler
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest
from sklearn.datasets import load_digits

from aigc_core.config import load
from aigc_core.evaluation.compare import Real
from aigc_core.evaluation.memorization import Limits, Memorization, Witness

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist"
#: Shares of the digits in the default split; the rest are the samples of the held-out trials.
DIGITS_TRAIN, DIGITS_HELD = 0.5, 0.25
MNIST_TRAIN, MNIST_N = 10_000, 2_000
COPIES = 0.05
#: Level of the binomial tests of the bench itself.
LEVEL = 0.05
#: How often copies among honest samples have to be flagged.
POWER = 0.9

#: (training, held out, samples), rows of uint8 pixels.
Trial = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Images:
    """All images of a set: pixels (N, D) uint8, labels (N,)."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def parts(self, seed: int, *counts: int) -> list[torch.Tensor]:
        """Disjoint random positions, as many as told."""
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(self.labels)))
        return list(order[: sum(counts)].split(list(counts)))


def digits() -> Images:
    """1,797 images of 8 x 8 px; equal images once."""
    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8).reshape(len(found.target), -1)
    _, first = np.unique(pixels, axis=0, return_index=True)
    first.sort()
    return Images(torch.from_numpy(pixels[first]), torch.from_numpy(found.target[first].astype(np.int64)))


def mnist(folder: Path) -> Images:
    """70,000 images of 28 x 28 px."""
    pixels, labels = [], []
    for part in ("train", "t10k"):
        raw = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
        pixels.append(np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784))
        raw = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
        labels.append(np.frombuffer(raw, np.uint8, offset=8))
    return Images(torch.from_numpy(np.concatenate(pixels)), torch.from_numpy(np.concatenate(labels).astype(np.int64)))


def digit_sizes(images: Images) -> tuple[int, int, int]:
    train, held = int(DIGITS_TRAIN * len(images.labels)), int(DIGITS_HELD * len(images.labels))
    return train, held, len(images.labels) - train - held


def held_out_digits(images: Images, seed: int) -> Trial:
    train, held, samples = images.parts(seed, *digit_sizes(images))
    return images.pixels[train], images.pixels[held], images.pixels[samples]


def copied_digits(images: Images, seed: int) -> Trial:
    train, held, samples = images.parts(seed, *digit_sizes(images))
    copies = torch.from_numpy(np.random.default_rng([seed, 1]).integers(0, len(train), len(samples)))
    return images.pixels[train], images.pixels[held], images.pixels[train][copies]


def mixed_digits(images: Images, seed: int, components: int) -> Trial:
    """Labels of the held-out images, as a model is asked for."""
    train, held = images.parts(seed, digit_sizes(images)[0], len(images.labels) - digit_sizes(images)[0])
    square = images.pixels.view(-1, 1, 8, 8)
    classes = [str(number) for number in range(10)]
    real = Real(classes, square[train], images.labels[train], square[held], images.labels[held])
    sampler = mixture_sampler(real, seed, components)
    return images.pixels[train], images.pixels[held], sampler(images.labels[held], 1).flatten(1)


def held_out_mnist(images: Images, seed: int) -> Trial:
    train, held, samples = images.parts(seed, MNIST_TRAIN, MNIST_N, MNIST_N)
    return images.pixels[train], images.pixels[held], images.pixels[samples]


def partly_copied_mnist(images: Images, seed: int) -> Trial:
    train, held, samples = held_out_mnist(images, seed)
    count = int(COPIES * len(samples))
    return train, held, torch.cat([train[:count], samples[count:]])


@dataclass(frozen=True)
class Proof:
    """What is asked, how often, and which share of flagged trials answers it: at most, or at least."""

    name: str
    images: Images
    make: Callable[[Images, int], Trial]
    trials: int
    most: float = 1.0
    least: float = 0.0

    def met(self, flagged: int) -> bool:
        """The one-sided binomial test does not reject `most`, and the share reaches `least`."""
        if (
            self.most < 1
            and binomtest(flagged, self.trials, max(self.most, 1e-12), alternative="greater").pvalue < LEVEL
        ):
            return False
        return flagged >= self.least * self.trials


def proofs(chosen: argparse.Namespace, alpha: float) -> Iterator[Proof]:
    """Those of which trials were asked for."""
    eights: Images = digits()
    yield Proof("digits: held-out images", eights, held_out_digits, chosen.held_out, most=alpha)
    yield Proof("digits: bootstrap copier", eights, copied_digits, chosen.copier, least=1)
    for components, bounds in ((8, {"least": 1.0}), (2, {"most": alpha})):
        name = f"digits: mixture, {components} components"
        yield Proof(name, eights, lambda i, s, c=components: mixed_digits(i, s, c), chosen.mixture, **bounds)
    if not chosen.mnist.exists():
        print(f"{chosen.mnist} is not there: the proofs on MNIST are left out")
        return
    large = mnist(chosen.mnist)
    yield Proof("MNIST: held-out images", large, held_out_mnist, chosen.mnist_held_out, most=alpha)
    yield Proof("MNIST: 5 % copies", large, partly_copied_mnist, chosen.mnist_copies, least=POWER)


def run(proof: Proof, limits: Limits) -> list[Memorization]:
    found = []
    for seed in track(range(proof.trials), proof.name, transient=True):
        train, held, samples = proof.make(proof.images, seed)
        found.append(Witness(train, held, limits, seed).judge(samples))
    return found


def spread(found: list[Memorization], name: str, form: str) -> str:
    values = [item.figures[name] for item in found]
    return f"{np.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("held-out", 200),
        ("copier", 50),
        ("mixture", 50),
        ("mnist-held-out", 200),
        ("mnist-copies", 50),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help="trials; 0 leaves it out")
    parser.add_argument("--mnist", type=Path, default=MNIST)
    chosen = parser.parse_args()
    limits = Limits(**load(ROOT / "params.yaml").evaluate.memorization.model_dump())
    table = Table(title=f"memorization gate: {vars(limits)}")
    for name in ("proof", "flagged", "asked", "C_T", "auth gap", "copy rate", "s", ""):
        table.add_column(name)
    missed = False
    for proof in proofs(chosen, limits.alpha):
        if proof.trials == 0:
            continue
        begun, found = time.monotonic(), run(proof, limits)
        flagged = sum(not item.passed for item in found)
        asked = f"at least {proof.least:.0%}" if proof.least else f"p of {proof.most:.0%} above {LEVEL}"
        missed |= not proof.met(flagged)
        print(f"{proof.name}: {flagged} of {proof.trials} flagged, {time.monotonic() - begun:.0f} s", flush=True)
        table.add_row(
            proof.name, f"{flagged}/{proof.trials}", asked, spread(found, "c_t", "+.2f"), spread(found, "auth_gap", "+.3f"),
            spread(found, "copy_rate", ".3f"), f"{time.monotonic() - begun:.0f}", "met" if proof.met(flagged) else "MISSED",
        )  # fmt: skip
    Console(width=170).print(table)
    raise SystemExit(missed)


if __name__ == "__main__":
    main()

"""How many images a second does the training loop take, beside the stock loop and beside nothing but the arithmetic?

    python bench/training.py [--rounds 5] [--steps 100] [--threads 2] [--data ../shared/data/mnist]

The same networks on MNIST, three ways, in rounds that take turns, so that what else the machine does falls on all:
`ours` is aigc_core.training.loop.fit with everything that it does (guard, curve, progress); `stock` is torchvision's
dataset with transforms, a DataLoader with two workers and the usual step; `bare` is a loop by hand with the same
tricks as ours and nothing else. Ratios are per round: median, smallest and largest. Starting a DataLoader's workers, and
loading the images, is not counted on any side.
"""

from __future__ import annotations

import argparse
import gzip
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from aigc_core.config import Config, parse
from aigc_core.data.loader import ImageSet
from aigc_core.models.gan import Gan
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import build
from aigc_core.tracking import NullTracker
from aigc_core.training import steps as families
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
WARM = 20  # steps before the clock starts
#: What is wanted: the factor over the stock loop, and over the bare one.
BARS = {"gan": (2.0, 0.95), "vae": (2.8, 0.95)}
BATCH = {"gan": 64, "vae": 128}


def settings(family: str) -> Config:
    """A GAN of 16 channels at full size without gradient penalty, or a VAE of three layers of 400 units."""
    return parse(
        {
            "train": {
                "batch_size": BATCH[family],
                "network": {"latent": 64 if family == "gan" else 20, "mlp_width": 400, "conv_width": 16,
                            "largest_mlp_side": 16 if family == "gan" else 28},
                "gan": {"conv_r1": 0.0, "mlp_r1": 0.0, "learning_rate": 0.0002},
                "vae": {"likelihood": "gaussian"},
            }
        }
    )  # fmt: skip


class Clock(NullTracker):
    """Notes when the loop says that it has taken so many steps."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.marks.append((step, time.perf_counter()))


def ours(family: str, data: ImageSet, steps: int) -> float:
    """Images per second of the loop of the product."""
    config, clock = settings(family), Clock()
    spec = spec_of(config, family, {"size": 28, "channels": 1}, data.classes)
    trainer = families.build(spec, config.train, torch.device("cpu"), seed=0)
    never = WARM + steps + 1
    schedule = Schedule(WARM + steps, BATCH[family], WARM, never, never, seed=0)
    fit(trainer, data, schedule, clock, Path("no-checkpoint"), lambda _: None, quiet=False)
    (first, began), (last, ended) = clock.marks[0], clock.marks[-1]
    return BATCH[family] * (last - first) / (ended - began)


Step = Callable[[torch.Tensor, torch.Tensor], None]


def plain_vae(data: ImageSet, *, fused: bool) -> Step:
    """A VAE's step as one writes it; images in [-1, 1]."""
    spec = spec_of(settings("vae"), "vae", {"size": 28, "channels": 1}, data.classes)
    model = build(spec, seed=0)
    assert isinstance(model, Vae)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused or None)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        mean, log_variance = model.encoder(images, labels)
        decoded = model.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean), labels)
        log_spread = model.decoder.bounded_log_spread()
        residual = (images - decoded) * torch.exp(-log_spread)
        nll = (0.5 * residual.square() + log_spread + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1).mean()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        optimizer.zero_grad()
        (nll + kl).backward()
        optimizer.step()

    return step


def stock_gan(data: ImageSet) -> Step:
    """The step of the classic DCGAN example: binary cross-entropy, one pass of the generator, gradients everywhere."""
    spec = spec_of(settings("gan"), "gan", {"size": 28, "channels": 1}, data.classes)
    model = build(spec, seed=0)
    assert isinstance(model, Gan)
    adams = [
        torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (model.generator, model.discriminator)
    ]

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        ones, zeros = torch.ones(len(images)), torch.zeros(len(images))
        fakes = model.generator(torch.randn(len(images), spec.latent), labels)
        model.discriminator.zero_grad()
        F.binary_cross_entropy_with_logits(model.discriminator(images, labels), ones).backward()
        F.binary_cross_entropy_with_logits(model.discriminator(fakes.detach(), labels), zeros).backward()
        adams[1].step()
        model.generator.zero_grad()
        F.binary_cross_entropy_with_logits(model.discriminator(fakes, labels), ones).backward()
        adams[0].step()

    return step


def bare_gan(data: ImageSet) -> Step:
    """The step of the product by hand: fused Adam, the discriminator frozen in the generator's pass, EMA."""
    spec = spec_of(settings("gan"), "gan", {"size": 28, "channels": 1}, data.classes)
    model, average = (build(spec, seed=0) for _ in range(2))
    assert isinstance(model, Gan)
    assert isinstance(average, Gan)
    one, two = model.generator, model.discriminator
    adams = [torch.optim.Adam(net.parameters(), 2e-4, betas=(0.0, 0.99), fused=True) for net in (one, two)]
    mine, theirs = list(average.generator.parameters()), list(one.parameters())

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        z = torch.randn(2, len(images), spec.latent)
        with torch.no_grad():
            fakes = one(z[0], labels)
        adams[1].zero_grad()
        (F.softplus(-two(images, labels)).mean() + F.softplus(two(fakes, labels)).mean()).backward()
        adams[1].step()
        two.requires_grad_(False)
        adams[0].zero_grad()
        F.softplus(-two(one(z[1], labels), labels)).mean().backward()
        adams[0].step()
        two.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(mine, theirs, 0.001)

    return step


def timed(step: Step, batches: Iterator[tuple[torch.Tensor, torch.Tensor]], steps: int, batch: int) -> float:
    """Images per second of `step` on what `batches` gives."""
    for _ in range(WARM):
        step(*next(batches))
    began = time.perf_counter()
    for _ in range(steps):
        step(*next(batches))
    return batch * steps / (time.perf_counter() - began)


def resident(data: ImageSet, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches by index from one tensor of bytes."""
    while True:
        order = torch.randperm(len(data))
        for start in range(0, len(data) - batch + 1, batch):
            index = order[start : start + batch]
            yield data.pixels[index].float() / 127.5 - 1, data.labels[index]


def loader(folder: Path, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches as most examples make them; the workers live as long as the iterator."""
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    rows = datasets.MNIST(str(folder), train=True, download=False, transform=change)
    stock = DataLoader(rows, batch, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True)
    while True:
        yield from stock


def prepare(source: Path, folder: Path) -> ImageSet:
    """MNIST's training images in memory, and unpacked where torchvision looks for them."""
    place = folder / "MNIST/raw"
    place.mkdir(parents=True)
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        with gzip.open(source / f"{name}.gz") as packed, (place / name).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    pixels = np.frombuffer((place / "train-images-idx3-ubyte").read_bytes(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer((place / "train-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    names = [str(index) for index in range(10)]
    ids = [f"{index:05d}" for index in range(len(labels))]
    return ImageSet(torch.from_numpy(pixels.copy()), torch.from_numpy(labels.astype(np.int64)), ids, names)


def measure(family: str, data: ImageSet, folder: Path, rounds: int, steps: int) -> dict[str, list[float]]:
    """Images per second by way and round."""
    batch = BATCH[family]
    stock_step = stock_gan(data) if family == "gan" else plain_vae(data, fused=False)
    bare_step = bare_gan(data) if family == "gan" else plain_vae(data, fused=True)
    from_loader, from_memory = loader(folder, batch), resident(data, batch)
    found: dict[str, list[float]] = {"ours": [], "stock": [], "bare": []}
    for number in range(rounds):
        found["stock"].append(timed(stock_step, from_loader, steps, batch))
        found["ours"].append(ours(family, data, steps))
        found["bare"].append(timed(bare_step, from_memory, steps, batch))
        line = ", ".join(f"{way} {speeds[-1]:,.0f}" for way, speeds in found.items())
        print(f"{family} round {number + 1}: {line} images/s", flush=True)
    return found


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="timed steps per round and way")
    parser.add_argument("--threads", type=int, default=2, help="of torch, on every side")
    parser.add_argument("--families", nargs="+", default=["gan", "vae"], choices=["gan", "vae"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/mnist")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    table = Table(title=f"MNIST, {chosen.threads} threads, {chosen.rounds} rounds of {chosen.steps} steps")
    for name in (
        "network",
        "batch",
        "ours, images/s",
        "over stock: median (range)",
        "bar",
        "over bare: median (range)",
        "bar",
    ):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(chosen.data, Path(folder))
        for family in chosen.families:
            found = measure(family, data, Path(folder), chosen.rounds, chosen.steps)
            cells = [family, str(BATCH[family]), f"{statistics.median(found['ours']):,.0f}"]
            for way, bar in zip(("stock", "bare"), BARS[family], strict=True):
                ratios = [mine / other for mine, other in zip(found["ours"], found[way], strict=True)]
                middle = statistics.median(ratios)
                cells += [
                    f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                    f"{bar} {'met' if middle >= bar else 'MISSED'}",
                ]
            table.add_row(*cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()

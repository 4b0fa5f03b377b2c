"""How many images a second does the training loop take, beside other loops around the same networks?

    python bench/training.py [--rounds 5] [--steps 100] [--threads 2] [--write docs/results/training.md]

The same networks on MNIST, in rounds that take turns, so that what else the machine does falls on all:

- `ours`: aigc_core.training.loop.fit with everything that it does (guard, curve, progress);
- `stock`: torchvision's dataset with ToTensor and Normalize, a DataLoader with two workers, and the usual step in float32;
- `tensors`: the same step behind a DataLoader over float tensors, the stronger peer (the VAE alone);
- `pythae`: pythae's trainer with the same VAE, where it is installed;
- `bare`: a loop by hand with the same tricks as ours and nothing else.

The GAN is a DCGAN of 16 channels at batch 64, the VAE that of params.yaml as an MLP at batch 128. Ratios are per round:
median, smallest and largest. Starting a DataLoader's workers, and loading the images, is not counted on any side.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
from blindness import check, publish
from training_ways import BATCH, bare_gan, ours, plain_vae, pythae, resident, stock_gan, tensors, timed, transformed

from aigc_core.data.loader import ImageSet

ROOT = Path(__file__).resolve().parents[1]
#: What is wanted of ours, as a factor over another way.
BARS = {"gan": {"stock": 2.0, "bare": 0.95}, "vae": {"stock": 2.8, "tensors": 1.1, "bare": 0.95}}


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


def ways_of(family: str, data: ImageSet, folder: Path) -> dict[str, Callable[[int], float]]:
    """The ways to train a family that can be had here."""
    batch = BATCH[family]
    stock = stock_gan(data) if family == "gan" else plain_vae(data, fused=False)
    bare = bare_gan(data) if family == "gan" else plain_vae(data, fused=True)
    ways = {
        "ours": lambda steps: ours(family, data, steps),
        "stock": timed(stock, transformed(folder, batch), batch),
        "bare": timed(bare, resident(data, batch), batch),
    }
    if family == "vae":
        ways["tensors"] = timed(plain_vae(data, fused=False), tensors(data, batch), batch)
        rival = pythae(data, folder)
        if rival is not None:
            ways["pythae"] = rival
    return ways


def measure(family: str, data: ImageSet, folder: Path, rounds: int, steps: int) -> dict[str, list[float]]:
    """Images per second by way and round; every round takes the ways in another order."""
    ways = ways_of(family, data, folder)
    names = list(ways)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in random.Random(number).sample(names, len(names)):
            found[name].append(ways[name](steps))
        line = ", ".join(f"{name} {speeds[-1]:,.0f}" for name, speeds in found.items())
        print(f"{family} round {number + 1}: {line} images/s", flush=True)
    return found


def lines_of(family: str, found: dict[str, list[float]]) -> list[str]:
    """Rows of the table: ours, then one for every other way."""
    lines = [f"| {family} | ours | {statistics.median(found['ours']):,.0f} | | |"]
    for way in [name for name in ("stock", "tensors", "pythae", "bare") if name in found]:
        ratios = [mine / other for mine, other in zip(found["ours"], found[way], strict=True)]
        middle, bar = statistics.median(ratios), BARS[family].get(way)
        said = "" if bar is None else f"at least {bar}: {'met' if middle >= bar else '**missed**'}"
        speed, spread = f"{statistics.median(found[way]):,.0f}", f"{min(ratios):.2f} to {max(ratios):.2f}"
        lines.append(f"| {family} | {way} | {speed} | {middle:.2f} ({spread}) | {said} |")
    if family == "vae" and "pythae" not in found:
        lines.append("| vae | pythae | not installed | | |")
    return lines


def place() -> str:
    """When, with which code and on what this ran."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return (
        f"{date.today()}, commit {git.stdout.strip() or 'unknown'}, torch {torch.__version__}, {os.cpu_count()} cores"
    )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="timed steps per round and way")
    parser.add_argument("--threads", type=int, default=2, help="of torch, on every side")
    parser.add_argument("--families", nargs="+", default=["gan", "vae"], choices=["gan", "vae"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/mnist")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into docs/results/training.md")
    chosen = parser.parse_args()
    check(chosen.write, "training speed")
    torch.set_num_threads(chosen.threads)
    table = ["| network | way | images/s | ours over it: median (range) | bar |", "| --- | --- | ---: | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(chosen.data, Path(folder))
        for family in chosen.families:
            table += lines_of(family, measure(family, data, Path(folder), chosen.rounds, chosen.steps))
    head = f"{place()}; {chosen.threads} threads, {chosen.rounds} rounds of {chosen.steps} steps, in turns."
    publish([head, "", *table], "training speed", chosen.write)


if __name__ == "__main__":
    main()

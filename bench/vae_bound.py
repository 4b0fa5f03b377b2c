"""How well does the VAE explain MNIST? The importance-weighted bound of held-out images, in nats.

    python bench/vae_bound.py --data ../shared/data --write docs/results/training.md       # 5 seeds, about 80 minutes of one core
    python bench/vae_bound.py --data ../shared/data --seeds 1 --steps 6000 --images 1000   # to see that it works

Training is that of the product: `train.vae.likelihood: bernoulli` (images are drawn black or white by grey level at every step: Burda
et al. 2016), no labels, MLPs of three layers, the average of the weights. The bound is that of equation 8 there with k = 500 draws a code,
on test images that are drawn black or white once. Bar: at most 88 nats within 15 minutes of processor time, one thread.
Published for one layer of codes: 86.8 (VAE) and 84.8 (IWAE, k = 50) after thousands of epochs (Burda et al. 2016, table 1).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from blindness import check, publish
from real_data import mnist
from rich.progress import track

from aigc_core.ablation.statistics import mean_interval
from aigc_core.config import Config, parse
from aigc_core.data.loader import UNLABELLED, ImageSet
from aigc_core.models.bound import importance_bound
from aigc_core.models.likelihoods import binarise
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import to_unit
from aigc_core.tracking import Tracker
from aigc_core.training import steps
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of

BOUND, MINUTES, DRAWS = 88.0, 15.0, 500
TOGETHER = 100  # images between two signs of progress


def settings(chosen: argparse.Namespace) -> Config:
    """What of params.yaml is other than usual."""
    return parse({"train": {
        "batch_size": 128, "network": {"latent": 40, "mlp_width": chosen.width, "largest_mlp_side": 28},
        "vae": {"likelihood": "bernoulli", "ema": 0.9995, "learning_rate": chosen.learning_rate},
    }})  # fmt: skip


def trained(config: Config, chosen: argparse.Namespace, seed: int) -> tuple[Vae, float]:
    """A model and the seconds of processor time that it took."""
    pixels = torch.from_numpy(mnist(chosen.data, "train")[0].copy())[:, None]
    rows = ImageSet(
        pixels, torch.zeros(len(pixels), dtype=torch.int64), [f"{n:06d}" for n in range(len(pixels))], [UNLABELLED]
    )
    began = time.process_time()
    spec = spec_of(config, "vae", {"size": 28, "channels": 1}, rows.classes)
    trainer = steps.build(spec, config.train, torch.device("cpu"), seed=seed)
    never = chosen.steps + 1
    schedule = Schedule(chosen.steps, config.train.batch_size, 1000, never, never, seed)
    fit(trainer, rows, schedule, Tracker(), Path("no-checkpoint"), lambda _: None)
    assert isinstance(trainer.model, Vae)
    return trainer.model.eval(), time.process_time() - began


def bound(model: Vae, chosen: argparse.Namespace) -> float:
    """Mean bound of -log p(x) over held-out images, in nats."""
    pixels = torch.from_numpy(mnist(chosen.data, "t10k")[0].copy())[: chosen.images, None]
    images = binarise(to_unit(pixels), torch.Generator().manual_seed(0))
    labels, keys = torch.zeros(len(images), dtype=torch.int64), torch.arange(len(images))
    parts = [
        importance_bound(model, *(part[at : at + TOGETHER] for part in (images, labels, keys)), DRAWS, seed=0)
        for at in track(range(0, len(images), TOGETHER), f"bound, k = {DRAWS}")
    ]
    return -float(torch.cat(parts).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/*.gz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=46_000)
    parser.add_argument("--width", type=int, default=400, help="units of a hidden layer")
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--images", type=int, default=10_000, help="held-out images")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the result into docs/results/training.md")
    chosen = parser.parse_args()
    check(chosen.write, "vae bound")
    torch.set_num_threads(1)
    config, nats, lines = settings(chosen), list[float](), list[str]()
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        model, seconds = trained(config, chosen, seed)
        nats.append(bound(model, chosen))
        verdict = "met" if nats[-1] <= BOUND and seconds <= 60 * MINUTES else "**missed**"
        lines.append(f"| {seed} | {chosen.steps:,} | {seconds / 60:.1f} | {nats[-1]:.2f} | {verdict} |")
        print(lines[-1], flush=True)
    spread = mean_interval(nats) if len(nats) > 1 else None
    mean = (
        f"Mean {spread.mean:.2f} nats ({spread.low:.2f} to {spread.high:.2f})." if spread else "One seed: no interval."
    )
    head = f"{chosen.images:,} test images, k = {DRAWS}, {chosen.width} hidden units, one thread. {mean}"
    table = [
        "| seed | steps of 128 | minutes of processor time | bound, nats | at most 88 in 15 |",
        "| --- | --- | --- | --- | --- |",
    ]
    publish([head, "", *table, *lines], "vae bound", chosen.write)


if __name__ == "__main__":
    main()

"""How good is the digits GAN? Median over seeds, beside a Gaussian mixture and a copier on the same splits.

    python bench/digits_gan.py [--seeds 5] [--steps 2000]

Runs the data part once in a temporary folder, trains the GAN once per seed and holds everything to one yardstick:
the same test rows, floor, extractor and classifier. The mixture (two full-covariance Gaussians per class, on
pixels) is what a model without a network reaches; the copier hands out training images, so that it shows which
numbers a copy satisfies (all of these: copying is seen by the memorization gate alone).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.mixture import GaussianMixture

from aigc_core.config import Config, load
from aigc_core.data.store import Version
from aigc_core.evaluation.compare import Real, Sampler, Yardstick
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.stages.curate import curate
from aigc_core.stages.evaluate import make_yardstick
from aigc_core.stages.extractor import extractor
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.train import train

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = 2
#: Added to the diagonal of each covariance, on the pixel scale [0, 1]; of .000003 to .03 the best
#: fd on the test rows of digits, a favour that the GAN does not get.
REGULARISATION = 0.00001
#: What the digits GAN has to reach: fd over its floor, coverage over that of real data, cas below that of real data.
FD_BAR, COVERAGE_BAR, CAS_BAR = 1.5, 0.93, -0.03


def mixture_sampler(real: Real, seed: int, components: int = COMPONENTS) -> Sampler:
    """Gaussians per class on pixels; samples are clipped to the pixel range."""
    flat = real.train_pixels.flatten(1).numpy() / 255.0
    fitted = [
        GaussianMixture(components, reg_covar=REGULARISATION, random_state=seed).fit(
            flat[real.train_labels.numpy() == index]
        )
        for index in range(len(real.classes))
    ]

    def sample(labels: torch.Tensor, draw: int) -> torch.Tensor:
        pixels = np.zeros((len(labels), flat.shape[1]))
        for index, mixture in enumerate(fitted):
            places = np.flatnonzero(labels.numpy() == index)
            if len(places):
                mixture.random_state = seed * 1000 + draw * 100 + index
                pixels[places] = mixture.sample(len(places))[0]
        shape = (len(labels), *real.train_pixels.shape[1:])
        return torch.from_numpy((pixels.clip(0, 1) * 255).round().astype(np.uint8).reshape(shape))

    return sample


def copier(real: Real, seed: int) -> Sampler:
    """Training images of the wanted class, drawn with replacement."""

    def sample(labels: torch.Tensor, draw: int) -> torch.Tensor:
        chance = np.random.default_rng([seed, draw])
        pools = [np.flatnonzero(real.train_labels.numpy() == index) for index in range(len(real.classes))]
        return real.train_pixels[torch.tensor([int(chance.choice(pools[index])) for index in labels.tolist()])]

    return sample


def gan_sampler(config: Config, paths: Paths, seed: int) -> Sampler:
    """Train the GAN from this seed on the rows that all seeds share."""
    train(config.model_copy(update={"seed": seed}), paths, "gan")
    return load_model(paths.model("gan")).sample


def prepare(folder: Path, steps: int | None) -> tuple[Config, Paths]:
    """The data part, once."""
    config = load(ROOT / "params.yaml")
    chosen = config.train.gan.model_copy(update={"steps": steps} if steps else {})
    config = config.model_copy(
        update={
            "train": config.train.model_copy(update={"gan": chosen, "dataset": "curated"}),
            "tracking": config.tracking.model_copy(update={"enabled": False}),
            "source": config.source.model_copy(update={"kind": "digits", "limit": None}),
        }
    )
    paths = Paths(folder)
    for stage in (ingest, extractor, measure, curate):
        print(stage(config, paths).summary)
    return config, paths


def ratios(yardstick: Yardstick, sampler: Sampler) -> dict[str, float]:
    """The three numbers that the bars are set on, and the raw ones behind them."""
    found = yardstick.judge(sampler).metrics
    return {
        "fd": found["fd"],
        "fd / floor": found["fd_over_floor"],
        "coverage / real": found["coverage"] / found["coverage_real"],
        "density / real": found["density"] / found["density_real"],
        "cas - real": found["cas"] - found["cas_real"],
    }


def show(rows: dict[str, list[dict[str, float]]], yardstick: Yardstick) -> None:
    """One line per seed of the GAN, then the median of each model."""
    columns = list(rows["gan"][0])
    table = Table(title=f"digits, n = {yardstick.n}, {yardstick.dimensions} dimensions")
    for name in ("model", "seed", *columns):
        table.add_column(name, justify="left" if name == "model" else "right")
    for seed, line in enumerate(rows["gan"]):
        table.add_row("gan", str(seed), *(f"{line[name]:.3f}" for name in columns))
    table.add_section()
    medians = {
        model: {name: statistics.median(line[name] for line in lines) for name in columns}
        for model, lines in rows.items()
    }
    for model, line in medians.items():
        table.add_row(model, "median", *(f"{line[name]:.3f}" for name in columns), style="bold")
    console = Console()
    console.print(table)
    floor = yardstick.floor
    console.print(
        f"floor: fd {floor.fd:.4f} (sd {floor.fd_std:.4f} over draws), coverage {floor.coverage:.3f}, density "
        f"{floor.density:.3f}; cas of real data {yardstick.cas_real.mean():.3f}"
    )
    gan = medians["gan"]
    for name, bar, passed in (
        ("fd / floor", f"at most {FD_BAR}", gan["fd / floor"] <= FD_BAR),
        ("fd", f"at most the mixture's {medians['mixture']['fd']:.3f}", gan["fd"] <= medians["mixture"]["fd"]),
        ("coverage / real", f"at least {COVERAGE_BAR}", gan["coverage / real"] >= COVERAGE_BAR),
        ("cas - real", f"at least {CAS_BAR}", gan["cas - real"] >= CAS_BAR),
    ):
        console.print(f"{'met   ' if passed else 'MISSED'} {name} {gan[name]:.3f}, {bar}")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="trainings; seeds 0, 1, ...")
    parser.add_argument("--steps", type=int, default=None, help="GAN steps; params.yaml says without it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, paths = prepare(Path(folder), chosen.steps)
        version = Version.open(paths.curated)
        yardstick = make_yardstick(config, paths, version, version.card.classes, "cpu")
        models: dict[str, Callable[[int], Sampler]] = {
            "gan": lambda seed: gan_sampler(config, paths, seed),
            "mixture": lambda seed: mixture_sampler(yardstick.real, seed),
            "copier": lambda seed: copier(yardstick.real, seed),
        }
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in models}
        for seed in range(chosen.seeds):
            for name, make in models.items():
                begun = time.monotonic()
                rows[name].append(ratios(yardstick, make(seed)))
                line = ", ".join(f"{key} {value:.3f}" for key, value in rows[name][-1].items())
                print(f"{name} seed {seed}: {line} ({time.monotonic() - begun:.0f} s)")
        show(rows, yardstick)


if __name__ == "__main__":
    main()

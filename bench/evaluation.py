"""Is the evaluation quick, and does it call real images real and equal models equal?

    python bench/evaluation.py [--rows 10000] [--dimensions 2048] [--images 2000]
    python bench/evaluation.py floor fd_inf worst clipped [--data digits mnist] [--trials N]
    python bench/evaluation.py seeds [--data digits mnist] [--seeds 10 | --seeds 0 3 9] [--cells FILE]

The first is about time, beside prdc and torch-fidelity on the same features, and beside a bare forward loop. Of the others
`floor` counts real images that are called worse than real or below the floor, `fd_inf` looks at its interval, `worst` counts
real images of which a worst class is named, `clipped` plants shares of bad samples, and `seeds` trains equal models. MNIST
is read from --mnist (a folder with mnist/).

Each side runs in a process of its own, so that its peak memory is its own; features are read from one file. Times are
of the computation alone. Every pair of numbers has to agree within 0.001 relative, or the bench fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from blindness import check, publish
from levels import ASKED, rows_of
from rich.console import Console
from rich.table import Table
from seed_spread import collect
from seed_spread import table as seeds_table

from aigc_core.evaluation import metrics
from aigc_core.evaluation.batches import batch_images
from aigc_core.evaluation.classifier import Classifier, to_float
from aigc_core.evaluation.features import Extractor, Recipe
from aigc_core.paths import FAMILIES

NEIGHBOURS = 5
CLOSE = 1e-3
#: The extractor's images per second over those of a bare forward loop have to reach this.
THROUGHPUT_BAR = 0.95
ROUNDS = 30

Features = tuple[np.ndarray, np.ndarray]
Numbers = dict[str, float]


def make(folder: Path, rows: int, dimensions: int) -> Path:
    """Two sets of skewed, correlated features, float32 as networks give them."""
    chance = np.random.default_rng(0)
    mixing = chance.normal(size=(64, dimensions)).astype(np.float32) / 8
    sets = []
    for shift in (0.0, 0.1):
        hidden = chance.gamma(2.0, size=(rows, 64)).astype(np.float32) + np.float32(shift)
        sets.append(hidden @ mixing + chance.normal(scale=0.3, size=(rows, dimensions)).astype(np.float32))
    path = folder / "features.npz"
    np.savez(path, real=sets[0], generated=sets[1])
    return path


def ours_frechet(features: Features) -> Numbers:
    # Fewer than ten rows per dimension are refused where a result is told; here only the arithmetic is timed.
    return {"fd": metrics.frechet_distance(*features, least=1)}


def ours_support(features: Features) -> Numbers:
    found = metrics.density_coverage(*features, NEIGHBOURS)
    return {"density": found.density, "coverage": found.coverage}


def torch_fidelity_frechet(features: Features) -> Numbers:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    # In float64, as ours: its own float32 is quicker and off in the fourth digit.
    statistics = [fid_features_to_statistics(torch.from_numpy(rows.astype(np.float64))) for rows in features]
    return {"fd": fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]}


def prdc_support(features: Features) -> Numbers:
    import prdc

    found = prdc.compute_prdc(*features, nearest_k=NEIGHBOURS)
    return {"density": float(found["density"]), "coverage": float(found["coverage"])}


SIDES: dict[str, Callable[[Features], Numbers]] = {
    "ours: fd": ours_frechet,
    "torch-fidelity: fd": torch_fidelity_frechet,
    "ours: density, coverage": ours_support,
    "prdc: density, coverage (and precision, recall)": prdc_support,
}
PAIRS = (
    ("ours: fd", "torch-fidelity: fd"),
    ("ours: density, coverage", "prdc: density, coverage (and precision, recall)"),
)


def status(field: str) -> float:
    """A line of this process's status on Linux, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def start_peak() -> float:
    """Forget the peak so far (what the imports took); returns the memory in use, MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def side(name: str, path: Path) -> None:
    """In its own process: compute, and print numbers, seconds, and the peak memory beyond what reading took."""
    stored = np.load(path)
    features = (stored["real"], stored["generated"])
    SIDES[name](tuple(rows[:200, :16] for rows in features))  # imports and first calls are not what is timed
    before = start_peak()
    begun = time.perf_counter()
    numbers = SIDES[name](features)
    seconds = time.perf_counter() - begun
    peak = status("VmHWM") - before
    print("\n" + json.dumps({"numbers": numbers, "seconds": seconds, "mib": max(peak, 1)}))


def measure(name: str, path: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, __file__, "--side", name, "--features", str(path)], check=True, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def beside(path: Path, console: Console) -> bool:
    """Both sides of each pair; whether the numbers agree."""
    found = {name: measure(name, path) for name in SIDES}
    table = Table(title=f"{path.stat().st_size / 2**20:.0f} MiB of features, {torch.get_num_threads()} threads")
    for name in ("what", "numbers", "s", "peak MiB beyond the features", "times as quick", "of the memory"):
        table.add_column(name, justify="left" if name in ("what", "numbers") else "right")
    agree = True
    for mine, other in PAIRS:
        a, b = found[mine], found[other]
        agree &= all(abs(a["numbers"][key] - value) <= CLOSE * abs(value) for key, value in b["numbers"].items())
        for name, line in ((mine, a), (other, b)):
            shown = ", ".join(f"{key} {value:.6g}" for key, value in line["numbers"].items())
            ratios = (f"{b['seconds'] / a['seconds']:.1f}", f"{a['mib'] / b['mib']:.2f}") if line is a else ("", "")
            table.add_row(name, shown, f"{line['seconds']:.1f}", f"{line['mib']:.0f}", *ratios)
    console.print(table)
    console.print(f"{'met   ' if agree else 'MISSED'} numbers agree within {CLOSE}")
    return agree


def throughput(images: int, console: Console) -> bool:
    """The extractor's features against the same network called on the same batches; the median of the rounds' ratios.

    Rounds are short and each begins with the other side than the last, so that what else the machine does falls on both.
    """
    pixels = torch.randint(0, 256, (images, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = Classifier(28, 1, 10, 32).eval().requires_grad_(False)
    axes = torch.eye(32, dtype=torch.float64)
    extractor = Extractor(model, Recipe(32, 1, 64, 0.001), 28, 1, [str(i) for i in range(10)], 1.0, axes)

    def bare() -> None:
        with torch.inference_mode():
            for part in pixels.split(batch_images(pixels.shape[-1])):
                model.embed(to_float(part))

    def timed(call: Callable[[], object]) -> float:
        """Processor seconds of all threads: what other programs do to the clock is not asked about."""
        begun = time.process_time()
        call()
        return time.process_time() - begun

    def whole() -> None:
        extractor.features(pixels)

    bare()
    loops, ours = [], []
    for number in range(ROUNDS):
        for call in (bare, whole) if number % 2 else (whole, bare):
            (loops if call is bare else ours).append(timed(call))
    ratio = float(np.median(np.divide(loops, ours)))
    rate = images / float(np.median(ours))
    met = ratio >= THROUGHPUT_BAR
    console.print(
        f"{'met   ' if met else 'MISSED'} extractor {rate:,.0f} images per processor second, {ratio:.3f} of a bare forward loop "
        f"(at least {THROUGHPUT_BAR}; median of {ROUNDS} alternating rounds of {images:,} images of 28 x 28 px)"
    )
    return met


def levels(chosen: argparse.Namespace) -> None:
    """Print what is asked of each data set, and put it into the page."""
    asked = [name for name in chosen.what if name in ASKED]
    for data in chosen.data if asked else ():
        rows = rows_of(data, chosen.mnist)
        for what in asked:
            make_lines, usual = ASKED[what]
            publish(make_lines(data, rows, chosen.trials or usual), f"{what} {data}", chosen.write)


def equal_models(chosen: argparse.Namespace, seeds: list[int]) -> None:
    """Train, print, and put the table into the page."""
    found = {}
    for data in chosen.data:
        with tempfile.TemporaryDirectory() as folder:
            cells = chosen.cells or Path(folder) / "cells.jsonl"
            found[data] = collect(data, chosen.families, seeds, cells, Path(folder))
    publish(seeds_table(found), "training seeds", chosen.write)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["speed", *ASKED, "seeds"], default="speed")
    parser.add_argument("--data", nargs="+", choices=["digits", "mnist"], default=["digits", "mnist"])
    parser.add_argument("--trials", type=int, help="instead of the usual number")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[10], help="trainings of each family, at least 2, or which seeds"
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=["gan", "vae"])
    parser.add_argument("--cells", type=Path, help="keep finished trainings here, and go on from them")
    parser.add_argument("--mnist", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into docs/metrics.md")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--features", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    seeds = sorted(set(chosen.seeds)) if len(chosen.seeds) > 1 else list(range(chosen.seeds[0]))
    if len(seeds) < 2:
        parser.error(
            f"--seeds {' '.join(map(str, chosen.seeds))}: a spread needs at least two trainings of each family"
        )
    if chosen.side:
        side(chosen.side, chosen.features)
        return
    asked = [f"{what} {data}" for data in chosen.data for what in chosen.what if what in ASKED]
    check(chosen.write, *asked, *(["training seeds"] if "seeds" in chosen.what else []))
    met = True
    if "speed" in chosen.what:
        met = quick(chosen)  # first, with all threads: what follows is done with one
    torch.set_num_threads(1)
    levels(chosen)
    if "seeds" in chosen.what:
        equal_models(chosen, seeds)
    raise SystemExit(not met)


def quick(chosen: argparse.Namespace) -> bool:
    """The questions about time; whether they are met."""
    console = Console(width=150)
    met = throughput(chosen.images, console)
    with tempfile.TemporaryDirectory() as folder:
        met &= beside(make(Path(folder), chosen.rows, chosen.dimensions), console)
    return met


if __name__ == "__main__":
    main()

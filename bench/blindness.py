"""Which planted failure does which metric see, and how far do the metrics move by the training seed alone?

    python bench/blindness.py [--data digits|mnist] [--nulls 20] [--draws 3]
    python bench/blindness.py seeds [--seeds 5] [--steps 4000]
    ... --write docs/metrics.md

The first holds real images that the yardstick has not seen, damaged in a known way, to the same yardstick as a model's
samples. z is how far a metric moves, in standard deviations over undamaged draws of the same size; a metric sees a
failure where it moves by at least SEEN in its bad direction. Draws come from one finite pool, so that the spread is a
little too small, and z a little too large, for all metrics alike.

The second trains the demo's two models over several seeds and prints each metric's spread beside the size of effects:
between the two families, and of two planted failures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from failures import FAILURES, SIZES, World, load_world, sampler_of
from rich.progress import track

from aigc_core.config import load
from aigc_core.data.store import Version
from aigc_core.evaluation.compare import Real, Sampler, Setting, Yardstick
from aigc_core.evaluation.extractors.catalogue import Place
from aigc_core.evaluation.extractors.frozen import RAW, fit_frame, save_frame
from aigc_core.evaluation.features import Recipe, train_extractor
from aigc_core.evaluation.memorization import Limits
from aigc_core.evaluation.metrics import frechet_distance
from aigc_core.evaluation.opinions import Images, SecondOpinions
from aigc_core.models.zoo import load_model
from aigc_core.paths import FAMILIES
from aigc_core.stages.evaluate import make_yardstick
from aigc_core.stages.train import train

ROOT = Path(__file__).resolve().parents[1]
#: A metric sees a failure where it moves by this many standard deviations in its bad direction.
SEEN = 3.0
#: The bad direction of each metric that is shown; 0 where both are bad.
BAD = {
    "fd": 1, "fd_inf": 1, "mmd": 1, "kid": 1, "precision": -1, "recall": -1, "density": 0, "coverage": -1, "diversity": 0,
    "agreement": -1, "cas": -1, "coverage_gap_worst": 1, "c_t": -1, "auth_gap": -1, "copy_rate": 1,
    "fd_random_conv": 1, "fd_pixel_pca": 1, "fd_views": 1,
}  # fmt: skip
#: Which metrics should see a failure: at least one of each tuple has to.
SHOULD = {
    "3 classes dropped": [("coverage",), ("agreement",), ("cas",)],
    "10 % blanks": [("fd",)],
    "20 % labels swapped": [("agreement",), ("cas",)],
    "blur": [("fd",)],
    "noise": [("fd", "fd_pixel_pca", "fd_random_conv")],
    "20 % copies": [("copy_rate",)],
    "all copies": [("copy_rate",), ("c_t",)],
    "collapse inside classes": [("coverage",), ("recall", "diversity")],
    "wrong resize": [("fd", "fd_pixel_pca", "fd_random_conv")],
    "JPEG": [("fd", "fd_pixel_pca", "fd_random_conv")],
}

# -- the table of blindness ------------------------------------------------------------------------


class Instruments:
    """The yardstick and the second opinions of one world."""

    def __init__(self, world: World, folder: Path) -> None:
        config = load(ROOT / "params.yaml")
        reference, real_train, test = (world.parts[name] for name in ("reference", "train", "test"))
        recipe = Recipe.of(config.extractor)
        common = {"seed": 0, "device": "cpu"}
        extractor = train_extractor(reference.pixels, reference.labels, world.classes, recipe, **common)
        self.views = train_extractor(reference.pixels, reference.labels * 0, [], recipe, **common)
        ids = [str(row) for row in range(len(real_train.labels))]
        real = Real(world.classes, real_train.pixels, real_train.labels, test.pixels, test.labels, ids)
        limits = Limits(**config.evaluate.memorization.model_dump())
        chosen = config.evaluate
        self.yardstick = Yardstick(
            extractor, real, Setting(chosen.neighbours, 5, chosen.max_samples, 0, jackknife_groups=0, limits=limits)
        )
        for name in RAW:
            save_frame(fit_frame(name, reference.pixels), name, folder)
        tested = Images(self.yardstick.test_pixels, self.yardstick.test_labels)
        self.others = SecondOpinions(sorted(RAW), Place(folder), real_train, tested, draws=2, seed=0)
        self.seen_by_views = self.views.features(tested.pixels, self.yardstick.dimensions)

    def metrics(self, sampler: Sampler) -> dict[str, float]:
        """Everything of BAD, for one sampler."""
        judged = self.yardstick.judge(sampler)
        found = {name: judged.metrics[name] for name in BAD if name in judged.metrics}
        found |= {f"fd_{name}": opinion.fd for name, opinion in self.others.ask(judged.samples).items()}
        views = self.views.features(judged.samples, self.yardstick.dimensions)
        return found | {"fd_views": frechet_distance(self.seen_by_views, views)}


def blindness(data: str, nulls: int, draws: int, page: Path | None) -> bool:
    """Print the table; whether every failure was seen by what should see it."""
    with tempfile.TemporaryDirectory() as folder:
        world = load_world(data, Path(folder))
        instruments = Instruments(world, Path(folder))
        honest = [
            instruments.metrics(sampler_of(world, None, draw))
            for draw in track(range(nulls), "undamaged", transient=True)
        ]
        names = list(honest[0])
        middle = {name: float(np.mean([line[name] for line in honest])) for name in names}
        spread = {name: max(float(np.std([line[name] for line in honest], ddof=1)), 1e-9) for name in names}
        table = {}
        for failure, damage in track(FAILURES.items(), "damaged", transient=True):
            lines = [instruments.metrics(sampler_of(world, damage, 1000 + draw)) for draw in range(draws)]
            table[failure] = {
                name: (float(np.mean([line[name] for line in lines])) - middle[name]) / spread[name] for name in names
            }
    yardstick = instruments.yardstick
    head = (
        f"`python bench/blindness.py --data {data} --nulls {nulls} --draws {draws}`: n {yardstick.n}, "
        f"{yardstick.dimensions} dimensions, {nulls} undamaged draws, {draws} of each failure"
    )
    publish([head, "", *blindness_table(table, names)], f"blindness {data}", page)
    return report_expectations(table)


def sees(name: str, z: float) -> bool:
    return (abs(z) if BAD[name] == 0 else BAD[name] * z) >= SEEN


def blindness_table(table: dict[str, dict[str, float]], names: list[str]) -> list[str]:
    """Lines of a Markdown table, metrics down, failures across; bold is seen."""
    lines = ["| z | " + " | ".join(table) + " |", "| --- |" + " ---: |" * len(table)]
    for name in names:
        cells = [
            f"**{line[name]:+.1f}**" if sees(name, line[name]) else f"{line[name]:+.1f}" for line in table.values()
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def report_expectations(table: dict[str, dict[str, float]]) -> bool:
    """One line per failure and metric that should see it."""
    print()
    passed = True
    for failure, groups in SHOULD.items():
        for group in groups:
            seen = any(sees(name, table[failure][name]) for name in group)
            passed &= seen
            best = max(group, key=lambda name: abs(table[failure][name]))
            print(f"{'seen  ' if seen else 'MISSED'} {failure} by {' or '.join(group)} (z {table[failure][best]:+.1f})")
    return passed


# -- the spread over training seeds ----------------------------------------------------------------


def seeds(count: int, steps: int | None, page: Path | None) -> bool:
    """Train both families from `count` seeds on the demo's data and print spread beside effect."""
    from digits_gan import prepare

    with tempfile.TemporaryDirectory() as folder:
        config, paths = prepare(Path(folder), steps)
        if steps:
            train_part = config.train.model_copy(update={"vae": config.train.vae.model_copy(update={"steps": steps})})
            config = config.model_copy(update={"train": train_part})
        version = Version.open(paths.curated)
        yardstick = make_yardstick(config, paths, version, version.card.classes, "cpu")
        found: dict[str, list[dict[str, float]]] = {family: [] for family in FAMILIES}
        for seed in range(count):
            for family in FAMILIES:
                train(config.model_copy(update={"seed": seed}), paths, family)
                found[family].append(yardstick.judge(load_model(paths.model(family)).sample).metrics)
                print(f"{family} seed {seed}: fd over floor {found[family][-1]['fd_over_floor']:.2f}", flush=True)
        effects = planted_effects(yardstick)
    head = (
        f"`python bench/blindness.py seeds --seeds {count}`: digits, {config.train.gan.steps} steps of the GAN, "
        f"{config.train.vae.steps} of the VAE, n {yardstick.n}"
    )
    publish([head, "", *seeds_table(found, effects)], "seeds", page)
    return True


def planted_effects(yardstick: Yardstick) -> dict[str, dict[str, float]]:
    """What two failures in otherwise real samples (training images) change of each metric."""
    real = yardstick.real
    world = World(real.classes, {name: Images(real.train_pixels, real.train_labels) for name in ("train", "pool")})
    clean = yardstick.judge(sampler_of(world, None, 0)).metrics
    return {
        name: {
            key: value - clean[key]
            for key, value in yardstick.judge(sampler_of(world, FAILURES[name], 0)).metrics.items()
        }
        for name in ("10 % blanks", "20 % labels swapped")
    }


def seeds_table(found: dict[str, list[dict[str, float]]], effects: dict[str, dict[str, float]]) -> list[str]:
    """Lines of a Markdown table: mean and spread per family, what one run of each can tell, and effects beside it."""
    names = [name for name in BAD if name in found[FAMILIES[0]][0]]
    heads = [f"{family} mean (sd)" for family in FAMILIES]
    lines = [
        f"| metric | {' | '.join(heads)} | one run each tells from | {FAMILIES[1]} - {FAMILIES[0]} | {' | '.join(effects)} |",
        "| --- |" + " ---: |" * (len(heads) + 2 + len(effects)),
    ]
    for name in names:
        values = {family: np.array([run[name] for run in runs]) for family, runs in found.items()}
        spreads = {family: float(column.std(ddof=1)) for family, column in values.items()}
        cells = [f"{values[family].mean():.3f} ({spreads[family]:.3f})" for family in FAMILIES]
        # Two standard deviations of the difference of two independent runs.
        least = 2 * float(np.sqrt(sum(spread**2 for spread in spreads.values())))
        gap = float(values[FAMILIES[1]].mean() - values[FAMILIES[0]].mean())
        # Copying is no effect of these failures here: the undamaged samples are training images.
        shown = [
            "" if name in ("c_t", "auth_gap", "copy_rate") else f"{effect[name]:+.3f}" for effect in effects.values()
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {least:.3f} | {gap:+.3f} | {' | '.join(shown)} |")
    return lines


def markers(name: str) -> tuple[str, str]:
    """The lines of a page between which the table of that name stands."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def check(page: Path | None, *names: str) -> None:
    """End with a sentence where a page is given that has no place for a table of these names; called before a long run."""
    if page is None:
        return
    if not page.is_file():
        raise SystemExit(f"{page} is no file: --write takes the page into which the table is written")
    text = page.read_text()
    lacking = [marker for name in names for marker in markers(name) if text.count(marker) != 1]
    if lacking:
        raise SystemExit(f"{page} has to have each of these lines once, or leave --write out: {', '.join(lacking)}")


def publish(lines: list[str], name: str, page: Path | None) -> None:
    """Print the lines, and put them between the page's markers of that name where a page is given that `check` accepts."""
    print("\n" + "\n".join(lines))
    check(page, name)
    if page is None:
        return
    opening, closing = markers(name)
    before, rest = page.read_text().split(opening)
    page.write_text(f"{before}{opening}\n\n" + "\n".join(lines) + f"\n\n{closing}{rest.split(closing)[1]}")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["blindness", "seeds"], default="blindness")
    parser.add_argument("--data", choices=list(SIZES), default="digits")
    parser.add_argument("--nulls", type=int, default=20, help="undamaged draws behind the spread; at least 3")
    parser.add_argument("--draws", type=int, default=3, help="draws of each failure")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each family; at least 2")
    parser.add_argument("--steps", type=int, default=None, help="training steps; params.yaml says without it")
    parser.add_argument(
        "--write", type=Path, default=None, metavar="PAGE", help="also put the table into docs/metrics.md"
    )
    chosen = parser.parse_args()
    check(chosen.write, "seeds" if chosen.what == "seeds" else f"blindness {chosen.data}")
    if chosen.what == "seeds":
        good = seeds(chosen.seeds, chosen.steps, chosen.write)
    else:
        good = blindness(chosen.data, chosen.nulls, chosen.draws, chosen.write)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

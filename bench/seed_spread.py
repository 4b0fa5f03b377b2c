"""How far do two trainings of one family lie apart by the seed alone, and are equal ones ranked? Imported by evaluation.py.

The demo's recipes: digits as in params.yaml, and 3,000 rows of MNIST at 14 px for 1,000 steps, where networks are MLPs too. `SEED_SPREAD`
of aigc_core/report/seeds.py was taken from seeds 0 to 2 of digits; the rule is tried on the others and on MNIST.
"""

from __future__ import annotations

import json
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from settings import ROOT, merged

from aigc_core.config import Config, load, parse
from aigc_core.data.store import Version
from aigc_core.evaluation.compare import Yardstick
from aigc_core.models.zoo import load_model
from aigc_core.paths import FAMILIES, Paths
from aigc_core.report.seeds import SEED_SPREAD, SPREADS, told_apart
from aigc_core.stages.curate import curate
from aigc_core.stages.evaluate import make_yardstick
from aigc_core.stages.extractor import extractor
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.train import train

Line = dict[str, Any]
STEPS: dict[str, dict[str, Any]] = {"digits": {}, "mnist": {family: {"steps": 1000} for family in FAMILIES}}
SOURCES: dict[str, dict[str, Any]] = {
    "digits": {"kind": "digits", "limit": None},
    "mnist": {"kind": "idx", "path": str(ROOT.parent / "shared/data/mnist"), "limit": 3000, "side": 14},
}


def prepare(data: str, folder: Path) -> tuple[Config, Paths, Yardstick]:
    """The data part, once for all seeds."""
    over = {
        "source": SOURCES[data], "train": {"dataset": "curated", **STEPS[data]}, "tracking": {"enabled": False},
        "evaluate": {"jackknife_groups": 5},
    }  # fmt: skip
    config, paths = parse(merged(load(ROOT / "params.yaml").model_dump(), over)), Paths(folder)
    for stage in (ingest, extractor, measure, curate):
        stage(config, paths)
    version = Version.open(paths.curated)
    return config, paths, make_yardstick(config, paths, version, version.card.classes, "cpu")


def trained(config: Config, paths: Paths, yardstick: Yardstick, family: str, seed: int) -> Line:
    """One training: its distance, the floor, and the floor's spread as it is and of the draws alone."""
    began = time.process_time()
    train(config.model_copy(update={"seed": seed}), paths, family)
    seconds = time.process_time() - began
    samples = load_model(paths.model(family)).sample(yardstick.test_labels, yardstick.setting.seed + 1)
    distance = yardstick.panel.fd(yardstick.extractor.features(samples, yardstick.dimensions))
    floor = yardstick.floor
    return {"fd": distance, "fd_floor": floor.fd, "fd_floor_std": floor.fd_std, "fd_over_floor": distance / floor.fd,
            "draws_std": floor.spread["fd"], "n": yardstick.n, "seconds": seconds}  # fmt: skip


def collect(data: str, families: list[str], seeds: list[int], cells: Path, folder: Path) -> dict[str, list[Line]]:
    """By family, seed after seed; what the file of cells has is not trained again."""
    known: dict[tuple[str, str, int], Line] = {}
    if cells.exists():
        known = {tuple(key): line for key, line in map(json.loads, cells.read_text().splitlines())}
    world = None
    for seed in seeds:
        for family in families:
            if (data, family, seed) in known:
                continue
            world = world or prepare(data, folder)
            line = known[data, family, seed] = trained(*world, family, seed)
            with cells.open("a") as handle:
                handle.write(json.dumps([[data, family, seed], line]) + "\n")
            print(
                f"{data} {family} seed {seed}: {line['fd_over_floor']:.2f} floors, {line['seconds']:.0f} s", flush=True
            )
    return {family: [known[data, family, seed] for seed in seeds] for family in families}


def table(found: dict[str, dict[str, list[Line]]]) -> list[str]:
    """Spread of log fd over the seeds, and how many pairs of equal models are ranked."""
    lines = [
        "| data | family | seeds | fd / floor, mean (least to most) | sd of log fd | in use | equal pairs ranked | before |",
        "| --- | --- |" + " ---: |" * 6,
    ]
    for data, families in found.items():
        for family, own in families.items():
            over = [line["fd_over_floor"] for line in own]
            cells = [f"{np.mean(over):.2f} ({min(over):.2f} to {max(over):.2f})", f"{np.std(np.log(over), ddof=1):.2f}"]
            cells += [f"{SEED_SPREAD[family]:.2f}", *map(_counted, (ranked(own, family), ranked_before(own)))]
            lines.append(f"| {data}, n {own[0]['n']} | {family} | {len(own)} | {' | '.join(cells)} |")
    return lines


def ranked(lines: list[Line], family: str) -> list[bool]:
    """Which pairs are told apart although only the seed differs."""
    return [told_apart(one, two, (family, family)) for one, two in combinations(lines, 2)]


def ranked_before(lines: list[Line]) -> list[bool]:
    """The same by twice the spread of the floor's draws, which was asked before."""
    return [abs(one["fd"] - two["fd"]) > SPREADS * one["draws_std"] for one, two in combinations(lines, 2)]


def _counted(pairs: list[bool]) -> str:
    return f"{sum(pairs)} of {len(pairs)}"

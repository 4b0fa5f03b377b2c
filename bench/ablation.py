"""Does the study's runner cost its price? Wall time of the same cells in parallel and one after another.

    python bench/ablation.py                  # 12 cells of 600 steps on the checkout's data, a few minutes
    python bench/ablation.py --seeds 1 --steps 100

Bars: with 2 processes at least 1.7 times as fast as one process, one thread, one cell after another (imports, the start of the
workers and the common yardstick included on both sides); a cell spends at most 10 % of its time on anything but training and
evaluation. Needs data/content, ingested, measures, verdicts, curated and extractor (`dvc repro extractor curate`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from aigc_core import config as configuration
from aigc_core.ablation.plan import Layout, resolve
from aigc_core.ablation.runner import Line, known_cells, run_cells
from aigc_core.config import Config
from aigc_core.paths import Paths

FASTER, OVERHEAD = 1.7, 0.10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="seeds per arm; six arms")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    root = Path(__file__).parents[1]
    config = configuration.load(root / "params.yaml")
    study = {
        "seeds": max(2, chosen.seeds),
        "steps": chosen.steps,
        "decisions": ["curate", "half_the_data"],
        "sizes": [],
    }
    walls: dict[int, float] = {}
    lines: list[Line] = []
    for processes in (chosen.processes, 1):
        with tempfile.TemporaryDirectory() as scratch:
            paths = borrowed(Paths(root), Path(scratch))
            settings = Config.model_validate(
                {**config.model_dump(), "ablation": {**config.ablation.model_dump(), **study, "parallel": processes}}
            )
            layout = resolve(settings, paths)
            began = time.perf_counter()
            run_cells(layout, paths, settings)
            walls[processes] = time.perf_counter() - began
            lines = cells(layout, paths)
    return judge(walls, lines, chosen.processes)


def borrowed(real: Paths, scratch: Path) -> Paths:
    """A checkout with the data of another and a .work of its own, so that no cell is known."""
    (scratch / "data").symlink_to(real.data)
    return Paths(scratch)


def cells(layout: Layout, paths: Paths) -> list[Line]:
    return list(known_cells(layout.plan, paths).values())


def judge(walls: dict[int, float], lines: list[Line], processes: int) -> int:
    spent = [line["seconds"] for line in lines]
    other = [1 - (s["train"] + s["judge"]) / s["all"] for s in spent]
    faster, overhead = walls[1] / walls[processes], sum(other) / len(other)
    print(f"{len(lines)} cells, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"one process {walls[1]:.1f} s, {processes} processes {walls[processes]:.1f} s: {faster:.2f} x (bar {FASTER})"
    )
    print(f"of a cell, {overhead:.1%} is neither training nor evaluation (bar {OVERHEAD:.0%})")
    good = faster >= FASTER and overhead <= OVERHEAD
    print("passed" if good else "MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

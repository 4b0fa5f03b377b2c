"""Does the study's runner cost its price? The same cells in parallel, and one after another in one process of one thread.

    python bench/ablation.py                  # 15 cells of 600 steps on the checkout's data, a few minutes
    python bench/ablation.py --seeds 3 --steps 100
    python bench/ablation.py --before ../earlier --model gan   # the same study with the code of another checkout, in turn

Bars: with 2 processes at least 1.7 times as fast as one process, one thread, one cell after another (imports, the start of the
workers and the common yardstick included on both sides); a cell spends at most 10 % of its time on anything but training and
evaluation. Needs data/content, ingested, measures, verdicts, curated and extractor (`dvc repro extractor curate`).

With --before (a checkout of an earlier version that has the same data) both run the study in one process, and what a cell and
the study cost is printed side by side; the other checkout's controls are its own. There is no bar: it says what was saved.

Wall time tells the truth on idle cores only. Processor seconds are printed beside it: what both sides spent in all, and how
much faster the parallel side would have been had every process had a core to itself. Linux.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FASTER, OVERHEAD = 1.7, 0.10
ARMS = {"decisions": ["curate"], "sizes": []}
#: prctl: orphans become children of this process, so that their processor time is counted.
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Side:
    """One way to run the cells; times in seconds."""

    wall: float
    cpu: float  # of the study's process and of all that it started
    parent: float  # of the study's process alone
    cells: list[dict[str, float]]  # the seconds of every cell
    processes: int

    @property
    def on_free_cores(self) -> float:
        """Wall time had every process had a core to itself: the parent's part, then the others side by side.

        What workers import runs beside the parent's part and is counted after it, so that this is rather too long.
        """
        others = self.cpu - self.parent
        return self.parent + others / self.processes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds per arm; five arms")
    parser.add_argument("--model", default="gan")
    parser.add_argument(
        "--before", type=Path, help="checkout of an earlier version, with data, to compare the costs with"
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="checkout whose data is used")
    parser.add_argument("--side", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps(run(chosen)))
        return 0
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if chosen.before:
        return compare(measure(1, chosen.before.resolve()), measure(1, chosen.root.resolve()))
    return judge(*(measure(processes, chosen.root.resolve()) for processes in (chosen.processes, 1)))


def measure(processes: int, root: Path) -> Side:
    """One side, as a process of its own with the code of `root`: nothing that the other one imported or computed is there."""
    before, began = _reaped(), time.perf_counter()
    command = [sys.executable, *sys.argv, "--side", str(processes), "--root", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    wall = time.perf_counter() - began
    while True:
        try:
            os.wait()  # the process that workers are forked from ends after the study does
        except ChildProcessError:
            break
    found = json.loads(done.stdout.splitlines()[-1])
    return Side(wall, _reaped() - before, found["parent"], found["cells"], processes)


def _reaped() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """The study itself, in a .work of its own, so that no cell is known."""
    from aigc_core import config as configuration
    from aigc_core.ablation.plan import resolve
    from aigc_core.ablation.runner import known_cells, run_cells
    from aigc_core.config import parse
    from aigc_core.paths import Paths

    root = chosen.root.resolve()
    settings = configuration.load(root / "params.yaml").model_dump()
    study = settings["ablation"]
    study |= {**ARMS, "model": chosen.model, "seeds": chosen.seeds, "steps": chosen.steps, "parallel": chosen.side}
    study |= {
        name: 0 for name in ("confirm", "variations") if name in study
    }  # the cells at the study's own steps alone
    config = parse(settings)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "data").symlink_to(root / "data")
        paths = Paths(Path(scratch))
        layout = resolve(config, paths)
        run_cells(layout, paths, config)
        cells = [line["seconds"] for line in known_cells(layout.plan, paths).values()]
    return {"parent": time.process_time(), "cells": cells}


def compare(before: Side, after: Side) -> int:
    """Print what a cell costs in the two checkouts."""
    print(
        f"{'':<10}{'cells':>6}{'train':>9}{'judge':>9}{'a cell':>9}{'study':>9}   s of processor; train and judge by the clock"
    )
    for name, side in (("before", before), ("after", after)):
        parts = [sum(cell[part] for cell in side.cells) / len(side.cells) for part in ("train", "judge", "cpu")]
        print(f"{name:<10}{len(side.cells):>6}" + "".join(f"{value:>9.2f}" for value in (*parts, side.cpu)))
    each = [sum(cell["cpu"] for cell in side.cells) / len(side.cells) for side in (before, after)]
    print(f"a cell costs {each[1] / each[0]:.2f} of what it did, the study {after.cpu / before.cpu:.2f}")
    return 0


def judge(parallel: Side, single: Side) -> int:
    """Print both sides; 0 where wall time meets the bars."""
    other = [1 - (s["train"] + s["judge"]) / s["all"] for s in parallel.cells]
    faster, overhead = single.wall / parallel.wall, sum(other) / len(other)
    expected = single.on_free_cores / parallel.on_free_cores
    print(f"{len(parallel.cells)} cells, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for side in (single, parallel):
        inside = sum(cell["cpu"] for cell in side.cells)
        print(
            f"{side.processes} process{'es' if side.processes > 1 else '  '}: {side.wall:6.1f} s wall, {side.cpu:6.1f} s of processor, "
            f"{inside:6.1f} s of them in cells"
        )
    print(f"wall: {faster:.2f} x (bar {FASTER}); by processor seconds on free cores: {expected:.2f} x")
    print(f"of a cell, {overhead:.1%} is neither training nor evaluation (bar {OVERHEAD:.0%})")
    good = faster >= FASTER and overhead <= OVERHEAD
    print("passed" if good else "MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

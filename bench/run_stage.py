"""A stage in a process of its own, with the time and the memory that it takes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


def run_stage(stage: str, root: Path) -> tuple[float, float, int]:
    """(seconds, peak GiB of all its processes together, exit code) of `aigc STAGE` in a checkout."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "aigc_core.cli", stage], cwd=root, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_memory(pid) for pid in _family(process.pid)))
        time.sleep(0.05)
    return time.perf_counter() - begin, peak / 2**20, process.returncode


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in below for member in _family(int(child)))]


def _memory(pid: int) -> int:
    """Resident KiB, shared pages in equal shares (Pss)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)

"""A stage or another command in a process of its own, with the time and the memory that it takes."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """What a command took: seconds on the clock, seconds of processor time and peak GiB of all its processes, exit code."""

    seconds: float
    cpu: float
    peak: float
    code: int


def run_stage(stage: str, root: Path) -> Ran:
    """Run `aigc STAGE` in a checkout."""
    return run_command([sys.executable, "-m", "aigc_core.cli", stage], root)


def run_command(command: list[str], folder: Path) -> Ran:
    """Run a command in a folder. The clock depends on what else the machine does; processor time hardly does."""
    begin, before = time.perf_counter(), children_cpu()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_memory(pid) for pid in _family(process.pid)))
        time.sleep(0.05)
    return Ran(time.perf_counter() - begin, children_cpu() - before, peak / 2**20, process.returncode)


def children_cpu() -> float:
    """Processor seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def all_cpu() -> float:
    """Processor seconds of this process and of all children that have ended."""
    return time.process_time() + children_cpu()


def _family(pid: int) -> list[int]:
    """A process and all below it, whichever of its threads started them."""
    try:
        below = [child for own in Path(f"/proc/{pid}/task").glob("*/children") for child in own.read_text().split()]
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

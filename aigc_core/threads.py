"""How many threads compute, and how they wait: settled once, before torch is loaded, and written down with what they computed.

Sums are split among the threads, so that their number is one of the things that decide the bytes of a result.
"""

from __future__ import annotations

import os

#: How threads wait for each other, for the libraries that torch computes with; what the user has set stays.
#: By default they wait in a loop that takes a whole core for as long as a product of small matrices lasts many times over, and
#: beside other work all of them are slow then. Figures: docs/results/operations.md, `python bench/threads.py`.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


def settle() -> None:
    """Set how threads wait. Takes effect where torch is not loaded yet."""
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)


def count() -> int:
    """Threads that torch computes with in this process: $OMP_NUM_THREADS, or one per core."""
    import torch

    return torch.get_num_threads()

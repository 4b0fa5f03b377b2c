"""How threads should wait for each other: what training costs, alone on the machine and beside one busy process.

    python bench/threads.py [--rounds 5] [--steps 20] [--write docs/results/operations.md]

Each setting is a process of its own, because it is read when torch is loaded. Rounds take turns: in each, every setting trains
a GAN of 32 px and 4 channels at batch 64 and a VAE, first alone, then beside a process that only counts. The table holds the
smallest ms per step of the rounds: what else the machine does only adds. `chosen` is what the command line sets (aigc_core/threads.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from blindness import check, publish

from aigc_core.threads import WAITING

#: Name of each setting to its environment; the empty ones are left as torch ships.
SETTINGS: dict[str, dict[str, str]] = {
    "as shipped": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"spin {count:,}": {"GOMP_SPINCOUNT": str(count)} for count in (1_000, 10_000, 100_000)},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "chosen": WAITING,
}
OURS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
FAMILIES = ("gan", "vae")
COUNTING = "while True: pass"


def trained(family: str, steps: int) -> float:
    """Milliseconds per step in this process."""
    import torch
    from settings import with_train

    from aigc_core.data.loader import ImageSet
    from aigc_core.training.chance import Batches
    from aigc_core.training.rows import Rows, take_step
    from aigc_core.training.session import spec_of
    from aigc_core.training.steps import build

    config = with_train({"device": "cpu", "batch_size": 64})
    pixels = torch.randint(0, 256, (512, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    classes = ["0", "1"]
    data = ImageSet(pixels, torch.arange(512) % 2, [str(row) for row in range(512)], classes)
    spec = spec_of(config, family, {"size": 32, "channels": 4}, classes)
    trainer = build(spec, config.train, torch.device("cpu"), 0)
    rows, batches = Rows(data, torch.device("cpu")), Batches(512, 64, 0)
    for step in range(3):
        take_step(trainer, rows, batches.at(step), 0, step)
    began = time.perf_counter()
    for step in range(steps):
        take_step(trainer, rows, batches.at(step), 0, step)
    return 1e3 * (time.perf_counter() - began) / steps


def run(setting: str, steps: int) -> dict[str, float]:
    """Milliseconds per step of each family in a process with a setting."""
    variables = {name: value for name, value in os.environ.items() if name not in OURS} | SETTINGS[setting]
    command = [sys.executable, __file__, "--steps", str(steps), "--here"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def beside_one(setting: str, steps: int) -> dict[str, float]:
    """As `run`, beside a process that keeps one core busy."""
    busy = subprocess.Popen([sys.executable, "-c", COUNTING])
    try:
        return run(setting, steps)
    finally:
        busy.kill()
        busy.wait()


def table(figures: dict[str, list[tuple[dict[str, float], dict[str, float]]]], rounds: int, steps: int) -> list[str]:
    """Markdown: one line per setting."""
    lines = [
        f"Smallest of {rounds} rounds of {steps} steps, {os.cpu_count()} cores, ms per step.",
        "",
        "| setting | GAN, alone | GAN, beside one | VAE, alone | VAE, beside one |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for setting, found in figures.items():
        cells = [min(pair[side][family] for pair in found) for family in FAMILIES for side in (0, 1)]
        lines.append(f"| {setting} | {' | '.join(f'{cell:.0f}' for cell in cells)} |")
    return lines


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into this page")
    s = parser.parse_args()
    if s.here:
        print(json.dumps({family: trained(family, s.steps) for family in FAMILIES}))
        return
    check(s.write, "threads")
    figures: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {name: [] for name in SETTINGS}
    for number in range(s.rounds):
        for setting, found in figures.items():
            found.append((run(setting, s.steps), beside_one(setting, s.steps)))
            print(f"round {number + 1}, {setting}: alone {found[-1][0]}, beside one {found[-1][1]}", file=sys.stderr)
    publish(table(figures, s.rounds, s.steps), "threads", s.write)


if __name__ == "__main__":
    main()

"""Stages, DVC and both are killed at random moments: does `dvc repro` then make the same bytes, and is nothing left over?

    python bench/kills.py [--rounds 10] [--kills 2] [--seed 0] [--folder FOLDER]

A small checkout is run once, undisturbed. Each round takes a copy of it, makes one stage out of date, starts `dvc repro STAGE`, and
kills at a moment that chance chooses within the time that the stage takes: the stage's process, DVC, or both, with SIGKILL, or DVC
with SIGTERM. Some rounds kill while DVC starts, some while the stage computes, some while DVC records. Then the stage is
reproduced without a disturbance. The table says whether its outs have the digests of the undisturbed run, which processes
were still there PATIENCE_S after the kill, and what unfinished files were left after the recovery.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from test_end_to_end import environment, make_checkout, outs, run

from aigc_core.files import UNFINISHED

STAGES = ("ingest", "extractor", "measure", "curate", "augment", "train@gan", "evaluate@gan")
#: What is killed: (name, signal, whether DVC is hit, whether the stage is).
VICTIMS = (
    ("stage", signal.SIGKILL, False, True),
    ("dvc", signal.SIGKILL, True, False),
    ("both", signal.SIGKILL, True, True),
    ("dvc, SIGTERM", signal.SIGTERM, True, False),
)
#: Seconds in which everything has to end after a kill.
PATIENCE_S = 20.0
#: Files with a leading dot below data/ that belong there.
KEPT = {".gitignore", ".gitkeep"}


@dataclass
class Round:
    """What one round found."""

    stage: str
    kills: list[str] = field(default_factory=list)
    recovered: bool = False
    same: bool = False
    orphans: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is amiss."""
        return self.recovered and self.same and not self.orphans and not self.left


def prepare(checkout: Path, stages: Sequence[str]) -> dict[str, float]:
    """Run each of `stages` in order; seconds that each took."""
    seconds = {}
    for stage in stages:
        began = time.monotonic()
        done = run(checkout, "dvc", "repro", stage)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        seconds[stage] = time.monotonic() - began
    return seconds


def play(finished: Path, copy: Path, stage: str, seconds: float, chance: random.Random, kills: int) -> Round:
    """One round on a copy of the checkout `finished`; the stage takes about so many `seconds`."""
    shutil.copytree(finished, copy, symlinks=True)
    make_outdated(copy, stage)
    wanted, found = outs(finished), Round(stage)
    for _ in range(kills):
        moment_s, victim = chance.uniform(0, seconds), chance.choice(VICTIMS)
        while not _disturb(copy, stage, moment_s, victim, found):
            moment_s /= 2  # it had ended before: what it takes depends on what else the machine does
            make_outdated(copy, stage)
    done = run(copy, "dvc", "repro", stage)
    found.recovered = done.returncode == 0
    found.same = found.recovered and outs(copy) == wanted
    found.left = leftovers(copy)
    return found


def make_outdated(checkout: Path, stage: str) -> None:
    """As if the stage had never run: neither its outs nor a record or a cached run of it is there."""
    lock = checkout / "dvc.lock"
    recorded = yaml.safe_load(lock.read_text())
    for out in recorded["stages"].pop(stage)["outs"]:
        place = checkout / out["path"]
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    lock.write_text(yaml.safe_dump(recorded, sort_keys=False))
    shutil.rmtree(checkout / ".dvc/cache/runs", ignore_errors=True)


def _disturb(checkout: Path, stage: str, moment_s: float, victim: tuple[str, int, bool, bool], found: Round) -> bool:
    """Start `dvc repro`, kill after `moment_s`, and wait until everything has ended; what has not is noted and killed.

    Whether there was something to kill.
    """
    name, number, hits_dvc, hits_stage = victim
    began = time.monotonic()
    with (checkout.parent / f"{checkout.name}.txt").open("ab") as log:
        dvc = subprocess.Popen(
            ["dvc", "repro", stage], cwd=checkout, env=environment(checkout), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )  # fmt: skip
    time.sleep(moment_s)
    while hits_stage and dvc.poll() is None and not children(dvc.pid, checkout):
        time.sleep(0.02)
    targets = (children(dvc.pid, checkout) if hits_stage else []) + (
        [dvc.pid] if hits_dvc and dvc.poll() is None else []
    )
    for process in targets:
        os.kill(process, number)
    if targets:
        found.kills.append(f"{name} after {time.monotonic() - began:.1f} s")
    deadline = time.monotonic() + PATIENCE_S
    while (dvc.poll() is None or alive(checkout)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process, command in alive(checkout).items():
        found.orphans.append(command)
        os.kill(process, signal.SIGKILL)
    dvc.wait()
    return bool(targets)


def children(parent: int, checkout: Path) -> list[int]:
    """Processes of this checkout that `parent` has started."""
    return [process for process in alive(checkout) if _status(process)[1:2] == [str(parent)]]


def alive(checkout: Path) -> dict[int, str]:
    """Processes that work in the checkout or name it in command or environment: id to command."""
    found = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            command, variables = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
            here = (place / "cwd").readlink().is_relative_to(checkout)
        except OSError:
            continue
        if (here or os.fsencode(checkout) in command + variables) and _status(int(place.name))[:1] not in (["Z"], []):
            found[int(place.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def _status(process: int) -> list[str]:
    """State and parent's id, and the rest of what the system says of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def leftovers(checkout: Path) -> list[str]:
    """What is unfinished: hidden files below data/, and what bears the mark or the name of a temporary file below .work/."""
    hidden = [path for path in (checkout / "data").rglob(".*") if path.name not in KEPT]
    marked = [
        path for path in (checkout / ".work").rglob("*") if UNFINISHED in path.name or path.name.startswith("tmp")
    ]
    return sorted(str(path.relative_to(checkout)) for path in {*hidden, *marked})


def table(rounds: Sequence[Round]) -> list[str]:
    """Markdown: one line per round."""
    lines = ["| round | stage | killed | recovered | same bytes | still running | left over |", "| ---: | --- | --- | --- | --- | ---: | ---: |"]  # fmt: skip
    for number, one in enumerate(rounds):
        answers = ["yes" if answer else "NO" for answer in (one.recovered, one.same)]
        lines.append(
            f"| {number} | {one.stage} | {'; '.join(one.kills)} | {' | '.join(answers)} | {len(one.orphans)} | {len(one.left)} |"
        )
    return lines


def main() -> None:
    """Print a line per round, then the table; exit code 1 where a round was not good."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kills", type=int, default=2, help="per round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="a new folder whose checkouts stay, to be looked at")
    s = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-")) if s.folder is None else s.folder
    folder.mkdir(exist_ok=True)
    finished = make_checkout(
        folder / "finished", ablation__enabled=False, train__gan__steps=200, train__checkpoint_every=20
    )
    seconds, rounds = prepare(finished, STAGES), []
    for number in range(s.rounds):
        chance, stage = random.Random(f"{s.seed}-{number}"), STAGES[number % len(STAGES)]
        rounds.append(play(finished, folder / f"round-{number}", stage, seconds[stage], chance, s.kills))
        print(number, rounds[-1], flush=True)
        if s.folder is None:
            shutil.rmtree(folder / f"round-{number}")
    print("\n".join(table(rounds)))
    if s.folder is None:
        shutil.rmtree(folder)
    sys.exit(not all(one.good for one in rounds))


if __name__ == "__main__":
    main()

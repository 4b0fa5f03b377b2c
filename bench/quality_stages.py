"""The data side as a user runs it, beside other tools on the same files: every step in a process of its own. Run by quality.py."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import PIL
import quality_peers
import yaml
from real_data import lay_out
from run_stage import Ran, run_command, run_stage

from aigc_core.quality.workers import cores

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("ingest", "measure", "curate")
#: The rules that learn from the reference rows; the other tools have nothing like them, DataEval's label check apart.
LEARNED = ("label_suspect", "out_of_domain")
WITHOUT, WITH = "without learned rules", "with learned rules"
TOGETHER = "ingest to verdicts"
COUNTS = [3_000, 10_000, 60_000]
#: Larger sets are resized only where --counts asks for them.
LARGEST_RESIZED = 10_000
#: Files of a first pass that is not reported: it brings programs from the disk into memory, for every tool alike.
FIRST_PASS = 100

Key = tuple[str, str]  # tool or stage, and with which rules
Runs = dict[Key, Ran]


@dataclass(frozen=True)
class Set:
    """Files of one number and one side (px); side 0 is the files as they are."""

    count: int
    side: int

    def cells(self) -> list[str]:
        return [f"{self.count:,}", str(self.side or "as they are")]


def stages(args: argparse.Namespace) -> None:
    """Print the table of times, a line per step, and then the ratios to the other tools."""
    peers = {} if args.no_peers else quality_peers.installed()
    _print_conditions(peers, args)
    _tell(f"a first pass over {FIRST_PASS} files, which is not reported")
    _runs(args.data, Set(FIRST_PASS, 0), list(peers), extractor=False)
    _print_row("images", "side px", "step", "rules", "wall s", "processor s", "images/s", "peak MB")
    _print_row("---:", "---:", "---", "---", "---:", "---:", "---:", "---:")
    found: dict[Set, list[Runs]] = {}
    for chosen in _sets(args.counts, args.sides):
        found[chosen] = []
        for number in range(args.rounds):
            _tell(f"{chosen.count:,} files, side {chosen.cells()[1]}, round {number + 1} of {args.rounds}")
            extractor = number == 0 and not args.no_extractor
            found[chosen].append(_runs(args.data, chosen, list(peers), extractor))
        _print_times(chosen, found[chosen])
    if peers:
        _print_ratios(found, list(peers))


def _sets(counts: list[int] | None, sides: list[int]) -> list[Set]:
    return [
        Set(count, side)
        for side in sides
        for count in counts or COUNTS
        if side == 0 or counts is not None or count <= LARGEST_RESIZED
    ]


def _runs(data: Path, chosen: Set, peers: list[str], extractor: bool) -> Runs:
    """Every step once, on the same files: stages with and without the learned rules, the other tools, the extractor."""
    found: Runs = {}
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        lay_out(data, chosen.count, raw, chosen.side)
        for rules in (WITHOUT, WITH):
            root = Path(scratch) / rules.replace(" ", "_")
            root.mkdir()
            raw = raw.rename(root / "raw")
            _write_parameters(root, rules)
            for stage in STAGES:
                found[stage, rules] = _told(f"{stage}, {rules}", run_stage(stage, root))
            found[TOGETHER, rules] = _together([found[stage, rules] for stage in STAGES])
        for name in peers:
            found[name, ""] = _told(name, run_command(quality_peers.command(name, raw, cores()), root))
        if extractor:  # last, because it takes minutes: the steps that are compared lie close together in time
            found["extractor", ""] = _told("extractor", run_stage("extractor", root))
    return found


def _write_parameters(root: Path, rules: str) -> None:
    """The repository's params.yaml, but for the source, the share that curate accepts, tracking, and the rules that are off."""
    known: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    known["source"] |= {"kind": "folder", "path": "raw"}
    known["quality"]["max_quarantined_share"] = 1.0
    known["tracking"]["enabled"] = False
    if rules == WITHOUT:
        for rule in LEARNED:
            known["quality"][rule]["action"] = "off"
    (root / "params.yaml").write_text(yaml.safe_dump(known))


def _together(runs: list[Ran]) -> Ran:
    """Processes that ran one after the other as one: the sum of the times, the highest memory, the first code that is not 0."""
    code = next((ran.code for ran in runs if ran.code), 0)
    return Ran(sum(ran.seconds for ran in runs), sum(ran.cpu for ran in runs), max(ran.peak for ran in runs), code)


def _print_times(chosen: Set, rounds: list[Runs]) -> None:
    """A row per step, the median of the rounds in which it ran."""
    for key in rounds[0]:
        runs = [found[key] for found in rounds if key in found]
        failed = next((f"exit {ran.code}" for ran in runs if ran.code), "")
        seconds, cpu, peak = (median(getattr(ran, name) for ran in runs) for name in ("seconds", "cpu", "peak"))
        rate = failed or f"{chosen.count / seconds:,.0f}"
        _print_row(*chosen.cells(), *key, f"{seconds:.2f}", f"{cpu:.2f}", rate, f"{peak * 2**30 / 1e6:,.0f}")


def _print_ratios(found: dict[Set, list[Runs]], peers: list[str]) -> None:
    """How many times the rate of each other tool the stages have, by the clock and by processor time, side by side in a round."""
    print()
    _print_row(
        "images", "side px", f"{TOGETHER}, beside", "rules", "times the rate", "times the rate by processor time"
    )
    _print_row("---:", "---:", "---", "---", "---:", "---:")
    for chosen, rounds in found.items():
        for name in peers:
            for rules in (WITHOUT, WITH):
                pairs = [(runs[TOGETHER, rules], runs[name, ""]) for runs in rounds]
                if any(ran.code for pair in pairs for ran in pair):
                    clock = cpu = "not known, a step failed"
                else:
                    clock = _spread(theirs.seconds / ours.seconds for ours, theirs in pairs)
                    cpu = _spread(theirs.cpu / ours.cpu for ours, theirs in pairs)
                _print_row(*chosen.cells(), name, rules, clock, cpu)


def _spread(ratios: Iterator[float]) -> str:
    """The median, and the range where there was more than one round."""
    values = list(ratios)
    return f"{median(values):.2f}" + (f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else "")


def _print_conditions(peers: dict[str, str], args: argparse.Namespace) -> None:
    tools = ", ".join(f"{name} {number}" for name, number in peers.items()) or "no other tool"
    print(
        f"{cores()} cores, load {os.getloadavg()[0]:.1f} at the start, Python {platform.python_version()}, Pillow {PIL.__version__}, "
        f"{tools}; {args.rounds} round{'s' if args.rounds > 1 else ''}, start-up of every process included."
    )
    absent = [name for name in quality_peers.TOOLS if name not in peers and not args.no_peers]
    if absent:
        print(f"Not installed, so left out: {', '.join(absent)}.")
    print(flush=True)


def _print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _told(name: str, ran: Ran) -> Ran:
    """The run, after it was told: what a long bench has taken is not lost when it is stopped."""
    _tell(f"  {name}: {ran.seconds:.1f} s, {ran.cpu:.1f} s of processor time, {ran.peak * 2**30 / 1e6:,.0f} MB")
    return ran


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

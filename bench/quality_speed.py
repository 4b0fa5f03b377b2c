"""Files on disk to measures, hashes, look-alikes and verdicts, beside cleanvision and a loop that only decodes. Run by quality.py."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
from quality_peers import cleanvision
from quality_sides import decode_normalised, decode_only, scan_files
from real_data import lay_out
from run_stage import all_cpu

from aigc_core.config import Quality
from aigc_core.quality.duplicates import find_pairs
from aigc_core.quality.scan import CHUNK_ROWS
from aigc_core.quality.small import Small
from aigc_core.quality.verdicts import judge
from aigc_core.quality.workers import cores, ordered_map

DECODER = f"Pillow {PIL.__version__}"
TOLD = """aigc: file bytes, measures, provenance, content and perceptual hashes, look-alikes, verdicts of every rule on measures
and pairs. Not in it: what is learned from reference rows (label_suspect, out_of_domain), which cleanvision has not.
cleanvision: its own default issue types over the same files, among them exact and near duplicates.
decode: Image.open and np.asarray of the same files; normalised: the decoder of the rooms, with EXIF, palettes, 16 bits."""


def measured(pieces: list[list[Path]], workers: int) -> int:
    """Files to measures, hashes, look-alikes and verdicts; returns the number of verdicts."""
    done = list(ordered_map(scan_files, pieces, workers))
    facts = pa.Table.from_batches([part.facts for part in done]).combine_chunks()
    small = Small.zeros(facts.num_rows)
    first = 0
    for chunk in done:
        for members, part in chunk.small:
            small.put(np.array(members) + first, part)
        first += chunk.facts.num_rows
    pairs = find_pairs(facts, small, [], lambda _: None, workers)
    names = facts["id"].to_pylist()
    rows = facts.append_column("source", facts["id"])
    rows = rows.append_column("split", pa.array(["reference" if n % 5 == 0 else "train" for n in range(len(names))]))
    rows = rows.append_column("label", pa.array([name.rsplit("/", 2)[1] for name in names]))
    return judge(rows, Quality(), pairs).verdicts.num_rows


def speed(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "files"
        files = lay_out(args.data, args.count, folder)
        pieces = [files[top : top + CHUNK_ROWS] for top in range(0, len(files), CHUNK_ROWS)]
        workers = cores()
        sides: dict[str, Callable[[], object]] = {
            "aigc": lambda: measured(pieces, workers),
            "decode": lambda: list(ordered_map(decode_only, pieces, workers)),
            "decode, normalised": lambda: list(ordered_map(decode_normalised, pieces, workers)),
            "cleanvision": lambda: cleanvision(folder, workers),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        costs: dict[str, list[float]] = {name: [] for name in sides}
        print(f"{len(files):,} files, half MNIST PNG, half CIFAR-10 JPEG; {workers} processes each; decoder {DECODER}")
        print(TOLD)
        for number in range(args.rounds):
            for name, side in sides.items():
                begin, before = time.perf_counter(), all_cpu()
                side()
                rates[name].append(len(files) / (time.perf_counter() - begin))
                active_children()  # waits for those that have ended, so that they are counted
                costs[name].append(1e6 * (all_cpu() - before) / len(files))
            told = (
                f"{name} {rates[name][-1]:,.0f}/s ({costs[name][-1]:,.0f} us of processor time each)" for name in sides
            )
            print(f"round {number + 1}: {', '.join(told)}", flush=True)
        for name in list(sides)[1:]:
            clock = [ours / theirs for ours, theirs in zip(rates["aigc"], rates[name], strict=True)]
            cpu = [theirs / ours for ours, theirs in zip(costs["aigc"], costs[name], strict=True)]
            print(
                f"aigc / {name}: images per second, median {statistics.median(clock):.2f} ({min(clock):.2f} to "
                f"{max(clock):.2f}); images per second of processor time {statistics.median(cpu):.2f}"
            )

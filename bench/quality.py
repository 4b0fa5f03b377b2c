"""How fast the quality rooms are, and how much memory they take; every ratio comes from one run on one machine.

    python bench/quality.py speed   --data DIR    files on disk to measures, hashes and look-alikes, beside cleanvision
                                                  and beside a loop that only decodes
    python bench/quality.py hashing --data DIR    hashes beside imagehash; a million hashes searched; recall on 50,000
    python bench/quality.py scale   --data DIR    time per image and peak memory of ingest, measure, curate and validate
    python bench/quality.py rows                  a million rows of measures through validate

DIR holds mnist/ (idx files) and cifar10.zip. Needs the extra `bench`: cleanvision, imagehash.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
from PIL import Image
from real_data import lay_out, pictures
from run_stage import run_stage

from aigc_core.data.store import Version, write_version
from aigc_core.files import write_table
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.clusters import exact_groups, near_groups
from aigc_core.quality.duplicates import find_pairs
from aigc_core.quality.fingerprints import Small
from aigc_core.quality.hashing import near_pairs, perceptual_hashes
from aigc_core.quality.measures import luma_batch
from aigc_core.quality.scan import CHUNK_ROWS, Chunk, Scanned, scan
from aigc_core.quality.thumbnails import thumbnails
from aigc_core.quality.workers import cores, ordered_map
from aigc_core.records import MEASURE_SCHEMA, QUARANTINE_SCHEMA, VERDICT_SCHEMA

THRESHOLD = 0.993
DECODER = f"Pillow {PIL.__version__}"


# -- speed -------------------------------------------------------------------------------------------------------------
def decode_only(files: list[Path]) -> int:
    return sum(np.asarray(Image.open(io.BytesIO(path.read_bytes()))).shape[0] for path in files)


def decode_normalised(files: list[Path]) -> int:
    return sum(image.decode(path.read_bytes()).pixels.shape[0] for path in files)


def scan_files(files: list[Path]) -> Scanned:
    chunk = Chunk()
    for path in files:
        chunk.add(str(path), path.read_bytes(), None)
    return scan(chunk)


def measured(pieces: list[list[Path]], workers: int) -> int:
    """Files to measures, hashes, look-alikes and their groups; returns the rows in groups."""
    parts = list(ordered_map(scan_files, pieces, workers))
    facts = pa.Table.from_batches([part.facts for part in parts]).combine_chunks()
    small = Small.zeros(facts.num_rows)
    small.put(0, [part.small for part in parts], np.arange(facts.num_rows))
    pairs = find_pairs(facts, small, [], lambda _: None)
    names = facts["id"].to_pylist()
    groups = exact_groups(facts.select(["id", "content_hash"]).to_pylist()) + near_groups(pairs, set(names), THRESHOLD)
    return sum(map(len, groups))


def cleanvision(folder: Path) -> None:
    from cleanvision import Imagelab

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        Imagelab(data_path=str(folder)).find_issues(n_jobs=cores())


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
            "cleanvision": lambda: cleanvision(folder),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        print(f"{len(files):,} files, half MNIST PNG, half CIFAR-10 JPEG; {workers} processes each; decoder {DECODER}")
        for number in range(args.rounds):
            for name, side in sides.items():
                begin = time.perf_counter()
                side()
                rates[name].append(len(files) / (time.perf_counter() - begin))
            print(f"round {number + 1}: " + ", ".join(f"{name} {rate[-1]:,.0f}/s" for name, rate in rates.items()))
        for name in list(sides)[1:]:
            ratios = [ours / theirs for ours, theirs in zip(rates["aigc"], rates[name], strict=True)]
            print(f"aigc / {name}: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


# -- hashing -----------------------------------------------------------------------------------------------------------
def hashing(args: argparse.Namespace) -> None:
    import imagehash

    decoded = [image.decode(content).pixels for _, content in pictures(args.data, args.count)]
    ratios = []
    for _ in range(args.rounds):
        begin = time.perf_counter()
        theirs = [imagehash.phash(image.to_pil(pixels)) for pixels in decoded]
        middle = time.perf_counter()
        ours = []
        for shape in sorted({pixels.shape for pixels in decoded}):
            same = [pixels for pixels in decoded if pixels.shape == shape]
            for top in range(0, len(same), 256):
                ours.append(perceptual_hashes(thumbnails(luma_batch(np.stack(same[top : top + 256])))))
        end = time.perf_counter()
        ratios.append((middle - begin) / (end - middle))
        print(
            f"imagehash {len(decoded) / (middle - begin):,.0f}/s, aigc {len(decoded) / (end - middle):,.0f}/s, one process each"
        )
    print(f"aigc / imagehash.phash: median {statistics.median(ratios):.1f}")
    order = [
        place for shape in sorted({p.shape for p in decoded}) for place, p in enumerate(decoded) if p.shape == shape
    ]
    foreign = np.array(
        [int("".join("1" if bit else "0" for bit in theirs[place].hash.ravel()), 2) for place in order], np.uint64
    )
    apart = np.bitwise_count(foreign ^ np.concatenate(ours))
    print(
        f"bits that differ from imagehash's: mean {apart.mean():.2f} of 64, 95th percentile {np.percentile(apart, 95):.0f}"
    )
    for distance in args.distances:
        seconds, peak, count = _apart(_search, args.hashes, distance)
        print(f"{args.hashes:,} hashes within {distance} bits: {seconds:.1f} s, peak {peak:.2f} GiB, {count:,} pairs")
        found, true = _recall(args.recall, distance)
        print(
            f"  recall against brute force on {args.recall:,}: {found / max(true, 1):.6f} ({found:,} of {true:,} pairs)"
        )


def some_hashes(count: int) -> np.ndarray:
    """Random hashes, a tenth of them copies of others with one to six bits changed."""
    draw = np.random.default_rng(1)
    hashes = draw.integers(0, 2**64, count, dtype=np.uint64)
    tenth = count // 10
    changed = hashes[:tenth].copy()
    for number in range(6):
        flip = draw.random(tenth) < (6 - number) / 6
        changed[flip] ^= np.uint64(1) << draw.integers(0, 64, flip.sum(), dtype=np.uint64)
    hashes[-tenth:] = changed
    return hashes


def _search(count: int, distance: int) -> tuple[float, int]:
    hashes = some_hashes(count)
    begin = time.perf_counter()
    pairs = near_pairs(hashes, distance)
    return time.perf_counter() - begin, len(pairs)


def _recall(count: int, distance: int) -> tuple[int, int]:
    hashes = some_hashes(count)
    found = set(map(tuple, near_pairs(hashes, distance).tolist()))
    true = set()
    for top in range(0, count, 512):
        left, right = np.nonzero(np.bitwise_count(hashes[top : top + 512, None] ^ hashes[None]) <= distance)
        keep = left + top < right
        true |= set(zip((left[keep] + top).tolist(), right[keep].tolist(), strict=True))
    assert found <= true, "a pair that is further apart than was asked"
    return len(found & true), len(true)


def _apart(function: Callable[..., tuple[float, int]], *arguments: Any) -> tuple[float, float, int]:
    """(seconds, peak GiB, count) of a function in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_with_peak, (function, arguments))


def _with_peak(function: Callable[..., tuple[float, int]], arguments: tuple[Any, ...]) -> tuple[float, float, int]:
    seconds, count = function(*arguments)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, count


# -- whole stages ------------------------------------------------------------------------------------------------------
def checkout(root: Path, **sections: Any) -> None:
    import yaml

    (root / "params.yaml").write_text(yaml.safe_dump(sections))


def scale(args: argparse.Namespace) -> None:
    print(f"folder of MNIST PNG and CIFAR-10 JPEG files, {cores()} cores, decoder {DECODER}; ms per image (peak GiB)")
    for count in args.counts:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            lay_out(args.data, count, root / "raw")
            checkout(root, source={"kind": "folder", "path": "raw"})
            shown, total, most = [], 0.0, 0.0
            for stage in args.stages:
                seconds, peak, code = run_stage(stage, root)
                shown.append(f"{stage} {1000 * seconds / count:.3f} ({peak:.2f})" + (f" exit {code}" if code else ""))
                total, most = total + seconds, max(most, peak)
            print(
                f"{count:>7,}: {', '.join(shown)}; together {1000 * total / count:.3f} ms, {total:.1f} s, peak {most:.2f} GiB"
            )


def rows(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        checkout(root)
        _synthetic(Paths(root), args.rows)
        seconds, peak, code = run_stage("validate", root)
        answer = json.loads(Paths(root).validation.read_text())
        passed = sum(check["passed"] for check in answer["checks"])
        print(
            f"{args.rows:,} rows through validate: {seconds:.1f} s, peak {peak:.2f} GiB, exit {code}, {passed} of {len(answer['checks'])} checks passed"
        )


def _synthetic(paths: Paths, count: int) -> None:
    """A version with healthy random measures; the last hundredth of the rows is quarantined as blank."""
    draw = np.random.default_rng(0)
    ids = [f"{number:064x}" for number in range(count)]
    values = {name: draw.random(count) for name in ("mean", "p01", "p99")}
    values |= {name: draw.random(count) / 2 for name in ("std", "noise", "sharpness")}
    values |= {"id": ids, "content_hash": ids, "perceptual_hash": [one[-16:] for one in ids], "entropy": draw.random(count) * 8,
               "bytes": draw.integers(500, 5000, count), "aspect": np.ones(count), "format": ["PNG"] * count}  # fmt: skip
    values |= {name: np.full(count, 32, np.int32) for name in ("width", "height")} | {
        "channels": np.full(count, 3, np.int32)
    }
    paths.measures.mkdir(parents=True)
    columns = [pa.array(values.get(f.name, [None] * count), f.type, from_pandas=True) for f in MEASURE_SCHEMA]
    write_table(paths.measures / "part-0.parquet", pa.table(columns, schema=MEASURE_SCHEMA))
    table = pa.table({"id": ids, "content_hash": ids, "label": [str(n % 10) for n in range(count)], "text": pa.nulls(count, pa.string()),
                      "split": ["train"] * count, "source": ids, "parent": pa.nulls(count, pa.string()),
                      "op": pa.nulls(count, pa.string()), "note": pa.nulls(count, pa.string())})  # fmt: skip
    common: dict[str, Any] = {"parameters": {}, "content": ["../content"], "image": {"size": 32, "channels": 3}}
    write_version(paths.ingested, table, operation="ingest", parent=None, **common)
    kept = count - count // 100
    write_version(
        paths.curated, table.slice(0, kept), operation="curate", parent=Version.open(paths.ingested), **common
    )
    gone = [{**line, "reasons": ["blank"], "content": b""} for line in table.slice(kept).to_pylist()]
    for folder in (paths.quarantine, paths.verdicts):
        folder.mkdir(parents=True)
    write_table(paths.quarantine / "part-0.parquet", pa.Table.from_pylist(gone, QUARANTINE_SCHEMA))
    lines = [
        {"id": line["id"], "source": line["source"], "reason": "blank", "action": "quarantine", "measure": "std"}
        for line in gone
    ]
    write_table(paths.verdicts / "part-0.parquet", pa.Table.from_pylist(lines, VERDICT_SCHEMA))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="speed | hashing | scale | rows")
    for function in (speed, hashing, scale, rows):
        command = commands.add_parser(function.__name__)
        command.set_defaults(run=function)
        if function is not rows:
            command.add_argument("--data", type=Path, required=True, help="folder with mnist/ and cifar10.zip")
        if function in (speed, hashing):
            command.add_argument("--count", type=int, default=10_000 if function is speed else 5_000)
            command.add_argument("--rounds", type=int, default=3)
        if function is hashing:
            command.add_argument("--hashes", type=int, default=1_000_000)
            command.add_argument("--distances", type=int, nargs="+", default=[2, 4])
            command.add_argument("--recall", type=int, default=50_000)
        if function is scale:
            command.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
            command.add_argument("--stages", nargs="+", default=["ingest", "measure", "curate", "validate"])
        if function is rows:
            command.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    args.run(args)


if __name__ == "__main__":
    main()

"""An archive through the stages, and a million rows through the gate: time and peak memory. Run by quality.py."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
from run_stage import run_stage

from aigc_core.data.store import Version, write_version
from aigc_core.files import write_json, write_table
from aigc_core.paths import Paths
from aigc_core.quality.workers import cores
from aigc_core.records import CALIBRATION_FILE, MEASURE_SCHEMA, QUARANTINE_SCHEMA, VERDICT_SCHEMA

LEGEND = f"{cores()} cores, decoder Pillow {PIL.__version__}; ms per image on the clock / of processor time (peak GiB of all processes)"


def checkout(root: Path, **sections: Any) -> None:
    import yaml

    (root / "params.yaml").write_text(yaml.safe_dump(sections))


def archive(args: argparse.Namespace) -> None:
    print(f"the whole of cifar10.zip, 60,000 JPEG files, {LEGEND}")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "cifar10.zip").symlink_to((args.data / "cifar10.zip").resolve())
        limit = {} if args.limit is None else {"limit": args.limit}
        checkout(root, source={"kind": "folder", "path": "cifar10.zip", **limit})
        count = args.limit or 60_000
        print(f"{count:>7,}: {_through(args.stages, root, count)}")


def _through(stages: list[str], root: Path, count: int) -> str:
    """Run stages in a checkout with `count` images; what each took, and all together."""
    shown, runs = [], []
    for stage in stages:
        ran = run_stage(stage, root)
        runs.append(ran)
        ended = f" exit {ran.code}" if ran.code else ""
        shown.append(f"{stage} {1000 * ran.seconds / count:.3f} / {1000 * ran.cpu / count:.3f} ({ran.peak:.2f}){ended}")
    seconds, cpu = sum(ran.seconds for ran in runs), sum(ran.cpu for ran in runs)
    peak = max(ran.peak for ran in runs)
    return f"{', '.join(shown)}; together {seconds:.1f} s, {cpu:.1f} s of processor time, peak {peak:.2f} GiB"


def rows(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        checkout(root)
        _synthetic(Paths(root), args.rows)
        ran = run_stage("validate", root)
        answer = json.loads(Paths(root).validation.read_text())
        passed = sum(check["passed"] for check in answer["checks"])
        print(
            f"{args.rows:,} rows through validate: {ran.seconds:.1f} s, {ran.cpu:.1f} s of processor time, peak {ran.peak:.2f} GiB, "
            f"exit {ran.code}, {passed} of {len(answer['checks'])} checks passed"
        )


def _synthetic(paths: Paths, count: int) -> None:
    """A version with healthy random measures; the last hundredth of the rows is quarantined as blank."""
    draw = np.random.default_rng(0)
    ids = [f"{number:064x}" for number in range(count)]
    low, middle, high = np.sort(draw.random((3, count)), axis=0)
    values = {"p01": low, "mean": middle, "p99": high}
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
    write_json(paths.verdicts / CALIBRATION_FILE, {"silent": [], "unchecked_classes": []})

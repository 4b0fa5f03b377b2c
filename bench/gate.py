"""The gate on many rows of measures: seconds and peak memory of `validate`, beside its import alone.

    python bench/gate.py                     1,000,000 rows
    python bench/gate.py --rows 20000

Bar: 1,000,000 rows under 2 GiB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from aigc_core import config as configuration
from aigc_core.data.store import Version, write_version
from aigc_core.files import write_table
from aigc_core.paths import Paths
from aigc_core.quality.reasons import DUPLICATE_NEAR
from aigc_core.records import MEASURE_SCHEMA, QUARANTINE_SCHEMA, ROW_SCHEMA, VERDICT_SCHEMA

LIMIT_GIB = 2.0
SHAPE = {"size": 28, "channels": 1, "resize": "lanczos-cover"}


def make(paths: Paths, count: int, seed: int) -> None:
    """A data set of `count` rows whose tables have the size of real ones; there is no content to read."""
    rng = np.random.default_rng(seed)
    digits = [rng.bytes(32).hex() for _ in range(count)]
    nothing = {name: [None] * count for name in ROW_SCHEMA.names}
    rows = pa.table(
        {
            **nothing, "id": digits, "content_hash": digits[::-1], "label": rng.integers(0, 10, count).astype(str),
            "split": np.array(["reference", "train", "test"])[rng.choice(3, count, p=[0.2, 0.5, 0.3])],
            "source": [f"images/{n:07d}.png" for n in range(count)],
        },
        schema=ROW_SCHEMA,
    )  # fmt: skip
    common = {"operation": "bench", "parameters": {}, "content": [], "image": SHAPE}
    write_version(paths.ingested, rows, parent=None, **common)
    write_version(paths.curated, rows, parent=Version.open(paths.ingested), **common)
    graded = {name: rng.beta(4, 4, count) for name in ("mean", "entropy", "sharpness", "noise")}
    graded |= {
        "std": rng.beta(4, 4, count) / 2,
        "p01": rng.beta(2, 9, count) / 2,
        "p99": rng.beta(9, 2, count) / 2 + 0.5,
    }
    sizes = {"width": [28] * count, "height": [28] * count, "channels": [1] * count, "aspect": [1.0] * count}
    facts = {**dict.fromkeys(MEASURE_SCHEMA.names, [None] * count), **graded, **sizes, "bytes": [300] * count,
             "id": digits, "content_hash": digits[::-1], "perceptual_hash": [value[:16] for value in digits]}  # fmt: skip
    write_table(paths.measures / "part-0.parquet", pa.table(facts, schema=MEASURE_SCHEMA))
    twins = digits[: count // 20]
    filled = {"id": twins, "source": twins, "reason": [DUPLICATE_NEAR] * len(twins), "action": ["warn"] * len(twins),
              "measure": ["perceptual_hash"] * len(twins)}  # fmt: skip
    empty = {name: [None] * len(twins) for name in VERDICT_SCHEMA.names}
    write_table(paths.verdicts / "part-0.parquet", pa.table({**empty, **filled}, schema=VERDICT_SCHEMA))
    write_table(paths.quarantine / "part-0.parquet", QUARANTINE_SCHEMA.empty_table())


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(root: Path) -> None:
    """Run in a process of its own: import, then validate twice, the second time against an accepted version."""
    import great_expectations  # noqa: F401

    print(f"import of Great Expectations alone: peak {peak_gib():.2f} GiB")
    from aigc_core.commands.quality_accept import accept
    from aigc_core.stages.validate import validate

    config, paths = configuration.parse({}), Paths(root)
    for words in ("without an accepted version", "with one"):
        began = time.monotonic()
        result = validate(config, paths)
        print(f"validate {words}: {time.monotonic() - began:.1f} s, peak {peak_gib():.2f} GiB; {result.summary}")
        accept(config, paths)
    print(f"peak {peak_gib():.2f} GiB, bar {LIMIT_GIB} GiB: {'met' if peak_gib() < LIMIT_GIB else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=["make", "timed"], help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "make":
        make(Paths(options.root), options.rows, options.seed)
        return
    if options.part == "timed":
        timed(options.root)
        return
    with tempfile.TemporaryDirectory() as folder:
        print(f"{options.rows:,} rows of measures", flush=True)
        # A child counts the memory of the process that started it as its own: neither part may be done in this one.
        for part in ("make", "timed"):
            command = [sys.executable, __file__, "--part", part, "--root", folder]
            subprocess.run([*command, "--rows", str(options.rows), "--seed", str(options.seed)], check=True)


if __name__ == "__main__":
    main()

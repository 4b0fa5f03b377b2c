"""How fast the quality rooms are, and how much memory they take; every ratio comes from one run on one machine.

    python bench/quality.py speed   --data DIR    files on disk to measures, hashes and verdicts, beside cleanvision
                                                  and beside a loop that only decodes
    python bench/quality.py hashing --data DIR    hashes beside imagehash; a million hashes searched; recall on 50,000
    python bench/quality.py scale   --data DIR    time per image and peak memory of ingest, measure, curate and validate
    python bench/quality.py archive --data DIR    the same for the whole of cifar10.zip, read from the archive
    python bench/quality.py rows                  a million rows of measures through validate

DIR holds mnist/ (idx files) and cifar10.zip. Needs the extra `bench`: cleanvision, imagehash.
"""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path

#: Where each command lives. Nothing is imported before it is known: worker processes import this file again.
HOMES = {
    "speed": "quality_speed",
    "hashing": "quality_hashing",
    "scale": "quality_stages",
    "archive": "quality_stages",
    "rows": "quality_stages",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar=" | ".join(HOMES))
    for name in HOMES:
        command = commands.add_parser(name)
        command.set_defaults(name=name)
        if name != "rows":
            command.add_argument("--data", type=Path, required=True, help="folder with mnist/ and cifar10.zip")
        if name in ("speed", "hashing"):
            command.add_argument("--count", type=int, default=10_000 if name == "speed" else 5_000)
            command.add_argument("--rounds", type=int, default=3)
        if name == "hashing":
            command.add_argument("--hashes", type=int, default=1_000_000)
            command.add_argument("--distances", type=int, nargs="+", default=[2, 4])
            command.add_argument("--recall", type=int, default=50_000)
        if name == "scale":
            command.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
        if name == "archive":
            command.add_argument("--limit", type=int)
        if name in ("scale", "archive"):
            command.add_argument("--stages", nargs="+", default=["ingest", "measure", "curate", "validate"])
        if name == "rows":
            command.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    getattr(import_module(HOMES[args.name]), args.name)(args)


if __name__ == "__main__":
    main()

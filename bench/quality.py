"""How fast the data side is, and how much memory it takes; every ratio comes from one run on one machine.

    stages    ingest, measure and curate as a user runs them, each in a process of its own, beside cleanvision, imagededup and
              DataEval on the same files; with the learned rules and without, and what the extractor takes
    speed     files on disk to measures, hashes and verdicts in a running process, beside cleanvision and beside a loop that
              only decodes
    hashing   hashes beside imagehash; a million hashes searched; recall on 50,000
    archive   ingest, measure, curate and validate of the whole of cifar10.zip, read from the archive
    rows      a million rows of measures through validate

DIR holds mnist/ (idx files) and cifar10.zip. Needs the extra `bench`; `stages` leaves out tools that are not installed.

Examples:
    python bench/quality.py stages --data DIR
    python bench/quality.py stages --data DIR --counts 300 --sides 0 96
    python bench/quality.py stages --data DIR --counts 100000 --sides 0 --no-peers
    python bench/quality.py speed --data DIR --count 10000 --rounds 3
    python bench/quality.py rows --rows 1000000
"""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path

#: Where each command lives. Nothing is imported before it is known: worker processes import this file again.
HOMES = {
    "stages": "quality_stages",
    "speed": "quality_speed",
    "hashing": "quality_hashing",
    "archive": "quality_volume",
    "rows": "quality_volume",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar=" | ".join(HOMES))
    for name in HOMES:
        command = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        command.set_defaults(name=name)
        if name != "rows":
            command.add_argument("--data", type=Path, required=True, help="folder with mnist/ and cifar10.zip")
        _add_options(command, name)
    args = parser.parse_args()
    if args.name != "stages":  # they run as users run them, and nobody sets it there
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    getattr(import_module(HOMES[args.name]), args.name)(args)


def _add_options(command: argparse.ArgumentParser, name: str) -> None:
    if name == "stages":
        command.add_argument(
            "--counts",
            type=positive,
            nargs="+",
            help="numbers of files; without this 3,000, 10,000 and 60,000, the last for --sides 0 alone",
        )
        command.add_argument(
            "--sides",
            type=natural,
            nargs="+",
            default=[0, 96, 256],
            help="px; 0 is the files as they are, other sides are resized and saved as JPEG",
        )
        command.add_argument(
            "--rounds", type=positive, default=1, help="the table shows medians; the extractor runs in the first"
        )
        command.add_argument(
            "--no-extractor", action="store_true", help="leave out the extractor, which takes minutes a set"
        )
        command.add_argument("--no-peers", action="store_true", help="time the stages alone")
    if name in ("speed", "hashing"):
        command.add_argument("--count", type=int, default=10_000 if name == "speed" else 5_000, help="files")
        command.add_argument("--rounds", type=int, default=3, help="ratios are medians")
    if name == "hashing":
        command.add_argument("--hashes", type=int, default=1_000_000, help="random hashes that are searched")
        command.add_argument("--distances", type=int, nargs="+", default=[2, 4], help="bits")
        command.add_argument("--recall", type=int, default=50_000, help="hashes that are also compared by brute force")
    if name == "archive":
        command.add_argument("--limit", type=int, help="read so many files; without this all 60,000")
        command.add_argument("--stages", nargs="+", default=["ingest", "measure", "curate", "validate"])
    if name == "rows":
        command.add_argument("--rows", type=int, default=1_000_000, help="rows of measures")


def positive(text: str) -> int:
    """A whole number from 1."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def natural(text: str) -> int:
    """A whole number from 0."""
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


if __name__ == "__main__":
    main()

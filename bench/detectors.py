"""How good the detectors are: known defects planted into files like users', the stages run on them, found or not.

    python bench/detectors.py --data ../shared/data --write docs/detectors.md            # every set, 5 seeds, 2 %
    python bench/detectors.py --data ../shared/data --write docs/detectors.md --moved    # copies turned and cut, too
    python bench/detectors.py --sets sprites colours --small                             # to see that it works
    python bench/detectors.py --sets --folder DIR                                        # class folders of one's own
    python bench/detectors.py --sets textures --kinds alone --rate 0.005 0.05 0.1        # each kind by itself
    python bench/detectors.py --sets sprites --sheets DIR                                # pictures of what is planted

docs/detectors.md says what is planted, how it is counted and what is asked. With --out a long bench goes on where it was:
runs of the same code and settings are taken from there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from defects import kinds, sets
from defects.pictures import SettingsError

SMALL = 900


def settings() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder with mnist/*.gz and cifar10.zip; without it those two are left out"
    )
    parser.add_argument(
        "--sets", nargs="*", choices=list(sets.SETS), help="all without this; none where no name follows"
    )
    parser.add_argument("--folder", type=Path, nargs="+", default=[], help="class folders of one's own, each as a set")
    parser.add_argument("--rows", type=int, default=2500, help="pictures of each set before planting")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rate", type=float, nargs="+", default=[0.02], help="share of the rows that each kind gets")
    parser.add_argument(
        "--kinds", nargs="+", default=["all"], choices=["all", "alone", *kinds.KINDS], metavar="all | alone | KIND"
    )
    parser.add_argument("--moved", action="store_true", help="plant and search turned, mirrored and cut copies too")
    parser.add_argument("--no-peers", action="store_true", help="our figures alone")
    parser.add_argument("--small", action="store_true", help=f"one seed and {SMALL} rows")
    parser.add_argument("--out", type=Path, help="file of figures; runs that are in it are not made again")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the folders of the runs there")
    parser.add_argument(
        "--sheets", type=Path, metavar="DIR", help="write contact sheets of what is planted, and run nothing"
    )
    parser.add_argument("--summary", action="store_true", help="the summary alone, one line per set and rate")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into docs/detectors.md")
    s = parser.parse_args()
    if s.small:
        s.rows, s.seeds = SMALL, 1
    if s.sets is None:
        s.sets = [name for name, one in sets.SETS.items() if s.data or not one.needs_data]
    if needy := [name for name in s.sets if sets.SETS[name].needs_data and not s.data]:
        parser.error(f"{', '.join(needy)} need --data")
    return s


def main() -> None:
    """Plant, run, count, print."""
    s = settings()
    # Before torch is imported: its threads would wait for each other on a busy machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from defects import runs

    try:
        (runs.draw if s.sheets else runs.everything)(s)
    except SettingsError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()

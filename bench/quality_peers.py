"""One other tool over a folder of files, in the process that this file is started in: `quality_peers.py TOOL FOLDER PROCESSES`.

Run by quality_stages.py. A tool is imported where it is called, and nothing of this project before it where that can be avoided:
what a process takes to start is part of what is timed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def cleanvision(folder: Path, processes: int) -> None:
    """Its default issue types, among them exact and near duplicates."""
    from cleanvision import Imagelab

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        Imagelab(data_path=str(folder)).find_issues(n_jobs=processes)


def imagededup(folder: Path, processes: int) -> None:
    """Its perceptual hash of every file, and the near duplicates by it."""
    from imagededup.methods import PHash  # type: ignore[import-untyped]

    tool = PHash(verbose=False)
    encodings = tool.encode_images(folder, recursive=True, num_enc_workers=processes)
    tool.find_duplicates(encoding_map=encodings, num_dist_workers=processes)


def dataeval(folder: Path, processes: int) -> None:
    """Its duplicates, its outliers by all statistics, and its label check on pixels, as the bench of the detectors calls them."""
    from dataeval.config import use_max_processes
    from defects.peers import TOOLS as CALLS
    from defects.pictures import Row

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = {str(path): Row(path.name, path.read_bytes(), path.parent.name) for path in files}
    with use_max_processes(processes):
        CALLS["dataeval"](rows, False)


TOOLS: dict[str, Callable[[Path, int], None]] = {
    "cleanvision": cleanvision, "imagededup": imagededup, "dataeval": dataeval,
}  # fmt: skip


def installed() -> dict[str, str]:
    """Version by name, of the tools that are installed."""
    return {name: version(name) for name in TOOLS if find_spec(name) is not None}


def command(name: str, folder: Path, processes: int) -> list[str]:
    """What starts the tool in a process of its own."""
    return [sys.executable, str(Path(__file__).resolve()), name, str(folder), str(processes)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    TOOLS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))

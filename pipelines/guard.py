"""Runs one command in a process group of its own, and ends that group when whoever asked for it is gone.

    python guard.py dvc repro train

The guard reads its standard input, of which the asking process holds the other end: it closes when that process asks
for the end, and also when that process is killed and can ask for nothing. Needs the standard library alone, because
it is started for every stage.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence


def end_group(process: subprocess.Popen[bytes], patience_s: float = 10.0) -> None:
    """End a process that leads its own group, with everything it started: asked first, then killed."""
    for sign, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, patience_s)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        except PermissionError:
            break  # what macOS says of a group that holds only ended processes
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and _group_alive(process):
            time.sleep(0.05)
    process.wait()


def guard(command: Sequence[str]) -> int:
    """Run `command` until it ends or standard input closes. Returns its exit code; 128 + n where signal n ended it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_when_closed, args=(process,), daemon=True).start()
    try:
        status = process.wait()
    finally:
        end_group(process)
    return 128 - status if status < 0 else status


def _end_when_closed(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    end_group(process)


def _group_alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # an ended leader that nobody waited for would count as alive
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))

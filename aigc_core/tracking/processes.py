"""Which process a run belongs to, whether it is still there, and signals that end it in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

HOST, PID, STARTED = "process.host", "process.pid", "process.started"


def own() -> dict[str, str]:
    """Host, process id and start time of this process, as tags of a run."""
    return {HOST: socket.gethostname(), PID: str(os.getpid()), STARTED: _started(os.getpid())}


def gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags name ran on this host and is no more; its id may be another's by now."""
    if tags.get(HOST) != socket.gethostname() or not tags.get(PID, "").isdigit():
        return False
    try:
        os.kill(int(tags[PID]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's process: there is one, and its start time says whether it is this one
    now = _started(int(tags[PID]))
    return bool(now) and now != tags.get(STARTED, now)


def _started(pid: int) -> str:
    """When a process began, in a form that only equality is asked of; empty where the system does not tell, or it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "ended" if fields[0] in "ZX" else f"{boot[:8]}-{fields[19]}"
    except (OSError, IndexError):
        pass
    try:
        asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return asked.stdout.strip()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Within it, SIGTERM and a closed terminal raise SystemExit where they find the main thread, so that its run is ended.

    Signals that somebody handles or ignores already are left to them, and processes forked within it die of them as before.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    chosen = [getattr(signal, name) for name in names]
    if threading.current_thread() is not threading.main_thread():
        chosen = []
    mine, main = [number for number in chosen if signal.getsignal(number) is signal.SIG_DFL], os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        if os.getpid() != main:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise SystemExit(128 + number)

    for number in mine:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)

"""Processes whose work nobody waits for any more end themselves: stages whose DVC has died, workers whose stage has died.

DVC does not end its command when it is killed itself. A stage that went on would write into the places of the one that the next
`dvc repro` starts, and nobody would record what it made.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import connection, parent_process
from pathlib import Path

#: Set by DVC for the commands that it starts, and for nothing else: a stage that a person starts outlives its terminal.
STAGE = "DVC_STAGE"
#: Seconds between two looks.
PAUSE_S = 0.5
#: Seconds that a stage has to end in order.
PATIENCE_S = 10.0
ENDED = 128 + signal.SIGTERM


def end_with_dvc() -> None:
    """Where DVC started this process, end it soon after DVC has ended: with SIGTERM, and for good after PATIENCE_S."""
    stage = os.environ.get(STAGE)
    if stage:
        threading.Thread(target=_watch, args=(stage,), daemon=True).start()


def end_with_parent() -> None:
    """End this worker process as soon as the process that started it has ended. Executors take this as their `initializer`."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def starter(stage: str) -> int | None:
    """Id of the process that DVC runs in; None where it has ended, 0 where it cannot be known.

    Between DVC and this process there may be a shell, torchrun and others. They have the name of the stage in their
    environment, which DVC itself has not.
    """
    child, parent = os.getpid(), os.getppid()
    while parent and _environment_names(parent, stage):
        child, parent = parent, _parent_of(parent)
    if parent == 0:
        return 0
    try:
        theirs, ours = os.getpgid(parent), os.getpgid(child)
    except OSError:
        return None
    # DVC leaves its command in its own group, and what adopts a command whose DVC has ended is in another one. A command
    # that leads a group has left DVC's on purpose.
    if theirs == ours:
        return parent
    return 0 if ours == child else None


def _watch(stage: str) -> None:
    first = starter(stage)
    if first == 0:
        return
    while first is not None and starter(stage) == first:
        time.sleep(PAUSE_S)
    with suppress(OSError, ValueError):  # who read this may have ended as well
        print(
            f"aigc: DVC, which started {stage}, has ended, so this stage ends too: run `dvc repro {stage}` again",
            file=sys.stderr,
        )
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)
    os._exit(ENDED)


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(ENDED)


def _environment_names(process: int, stage: str) -> bool:
    try:
        variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:  # another user's, or a system that does not tell
        return False
    return f"{STAGE}={stage}".encode() in variables


def _parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0

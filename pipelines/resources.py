"""Runs stages of a DVC repository: waits for whoever is at work on the same files, and leaves no process behind."""

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from pipelines import guard
from pipelines.stages import DvcStage, DvcWorkspace, Status, overlap

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What DVC itself says around a stage's own words.
_DVC_NOISE = re.compile(
    r"^(Running stage '|> |ERROR: failed to reproduce|Stage '.*' (didn't|is cached)|WARNING: '.*' is empty\.$)"
)
_BUSY = "is being blocked by"
PATIENCE_S = 30.0  # the guard asks for ten seconds and kills after ten more


@dataclass(frozen=True)
class Outcome:
    """How reproducing a stage ended: `ran` is False where DVC took the outs from its cache."""

    success: bool
    ran: bool
    seconds: float
    output: list[str] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether DVC refused, because another process is at work on the same paths."""
        return not self.success and any(_BUSY in line for line in self.output)

    def error_text(self, lines: int = 20) -> str:
        """The last lines of the stage's own output, or DVC's words where the stage said nothing."""
        said = [line for line in self.output if line.strip()]
        own = [line for line in said if not _DVC_NOISE.match(line)]
        return "\n".join((own or said)[-lines:]) or "the stage failed without a word"


class DvcCli(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Runs stages of the DVC repository at `repo_dir` with the DVC of this Python."""

    repo_dir: str
    _workspace: DvcWorkspace | None = PrivateAttr(default=None)

    @property
    def root(self) -> Path:
        """The repository's folder."""
        return Path(self.repo_dir)

    def status(self, address: str) -> Status:
        """What DVC says of the stage now. Asked in this process, because starting DVC takes a second."""
        if self._workspace is None:
            self._workspace = DvcWorkspace(self.root)
        return self._workspace.status(address)

    def reproduce(self, stage: DvcStage, *, run_id: str, say: Callable[[str], None]) -> Outcome:
        """Run `dvc repro` for this stage alone, once its files are free; `say` receives its output while it comes.

        All that the call started ends with it, also where this process is killed: an interrupted run leaves no
        training behind.
        """
        # --wait-for-lock waits for the repository, not for a stage that is at work on the same paths.
        self.wait_until_free(stage, say)
        return self.call(["repro", "--single-item", stage.address], run_id=run_id, say=say)

    def call(self, arguments: Sequence[str], *, run_id: str, say: Callable[[str], None]) -> Outcome:
        """Run `dvc` with these arguments in the repository."""
        # -P: a file of the repository that is called like a module of Python's is not to be taken for that.
        command = [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", *arguments]
        return run_guarded(command, self.root, {"DAGSTER_RUN_ID": run_id}, say)

    def wait_until_free(self, stage: DvcStage, say: Callable[[str], None], interval_s: float = 1.0) -> None:
        """Return once no process is at work on the stage's files; `say` hears of the wait when it begins and ends."""
        began, at_work = time.monotonic(), blocker(self.root, stage)
        if at_work is None:
            return
        say(f"{stage.address} waits: process {at_work[0]} ({at_work[1]}) is at work on its files")
        while blocker(self.root, stage) is not None:
            time.sleep(interval_s)
        say(f"{stage.address} goes on after {time.monotonic() - began:.0f} s: its files are free")


def blocker(root: Path, stage: DvcStage) -> tuple[int, str] | None:
    """Process id and command of a living process that DVC would refuse the stage for; None where nobody is at work.

    Reads the file in which DVC notes who is at work on what. DVC's own function for it would enter this process
    there, too, and a `dvc` in a terminal could fail because of that.
    """
    try:
        notes = json.loads((root / ".dvc" / "tmp" / "rwlock").read_text())
    except (OSError, ValueError):
        return None  # nobody has ever been at work, or the file is being written
    writers = [(Path(path), holder) for path, holder in notes.get("write", {}).items()]
    readers = [(Path(path), holder) for path, holders in notes.get("read", {}).items() for holder in holders]
    # Who reads disturbs only who writes.
    for places, holders in (((*stage.deps, *stage.outs), writers), (stage.outs, readers)):
        for path, holder in holders:
            if any(overlap(path, place) for place in places) and _alive(holder["pid"]):
                return int(holder["pid"]), str(holder["cmd"])
    return None


def run_guarded(
    command: Sequence[str], folder: Path, environment: dict[str, str], say: Callable[[str], None]
) -> Outcome:
    """Run a `dvc` command below a guard, which ends it with all that it started as soon as this process lets go."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-P", guard.__file__, *command],
        cwd=folder,
        env={**_environment(), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - opened with PIPE
    output: list[str] = []
    try:
        for lines in _batches(process):
            output += lines
            say("\n".join(lines))
        status = process.wait()
    finally:
        process.stdin.close()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            guard.end_group(process)
        if process.stdout:
            process.stdout.close()
    ran = any(line.startswith("Running stage '") for line in output)
    return Outcome(status == 0, ran, time.monotonic() - began, output)


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's process
    return True


def _environment() -> dict[str, str]:
    """The stage finds the tools of this Python, and does not paint for a terminal."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    plain = {"NO_COLOR": "1", "TERM": "dumb", "PYTHONUNBUFFERED": "1", "COLUMNS": "120", "DVC_NO_ANALYTICS": "1"}
    return {**os.environ, **plain, "PATH": path}


def _batches(process: subprocess.Popen[bytes], interval_s: float = 1.0) -> Iterator[list[str]]:
    """Yield the output as lists of whole lines, at most one list per interval: each becomes a row in an event log."""
    assert process.stdout is not None  # noqa: S101 - opened with PIPE
    descriptor, rest, ready, last = process.stdout.fileno(), b"", [], 0.0
    while True:
        if select.select([descriptor], [], [], interval_s)[0]:
            chunk = os.read(descriptor, 65536)
            *whole, rest = (rest + chunk).split(b"\n")
            ready += whole
            if not chunk:
                break
        if ready and time.monotonic() - last >= interval_s:
            yield [_clean(line) for line in ready]
            ready, last = [], time.monotonic()
    ready += [rest] if rest else []
    if ready:
        yield [_clean(line) for line in ready]


def _clean(line: bytes) -> str:
    """One line as a person would have seen it: without colours, after the last redraw of a progress bar."""
    text = _ANSI.sub("", line.decode(errors="replace")).rstrip("\r")
    return text.rsplit("\r", 1)[-1].rstrip()

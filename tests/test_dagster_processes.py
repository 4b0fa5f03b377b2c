"""Processes that Dagster starts: they wait for each other, and none survives the one that asked for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc_toys import dvc, make_repository

from pipelines.resources import DvcCli, blocker
from pipelines.stages import read_stages

ROOT = Path(__file__).resolve().parents[1]
SLOW = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep({seconds})\nopen('out.txt', 'w').write('made')\n"
#: Runs the first stage of the repository that it is given, as a step of a run does, and prints what it is told.
CALLER = (
    # A shell that runs tests in the background ignores SIGINT, and its children inherit that.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import sys; from pathlib import Path; from pipelines.resources import DvcCli; from pipelines.stages import read_stages\n"
    "root = Path(sys.argv[1]); stage = read_stages(root)[0]\n"
    "outcome = DvcCli(repo_dir=str(root)).reproduce(stage, run_id='x', say=lambda text: print(text, flush=True))\n"
    "sys.exit(not outcome.success)"
)


def slow_repository(tmp_path: Path, seconds: float) -> Path:
    return make_repository(
        tmp_path / "toy",
        {
            "dvc.yaml": "stages:\n  make:\n    cmd: python make.py\n    deps: [make.py]\n    outs: [out.txt]\n",
            "make.py": SLOW.format(seconds=seconds),
        },
    )


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CALLER, str(root)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def started(root: Path) -> int:
    wait_for(lambda: (root / "pid").exists() and (root / "pid").read_text() != "")
    return int((root / "pid").read_text())


def alive(pid: int) -> bool:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_its_caller(tmp_path: Path, ending: signal.Signals) -> None:
    root = slow_repository(tmp_path, seconds=120)
    caller = start(root)
    try:
        stage_pid = started(root)
        caller.send_signal(ending)
        caller.wait(timeout=180)
        wait_for(lambda: not alive(stage_pid), seconds=30)
    finally:
        caller.kill()
        caller.communicate()
    (root / "make.py").write_text("open('out.txt', 'w').write('made')\n")
    dvc(root, "repro")  # no lock is left behind


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    root = slow_repository(tmp_path, seconds=120)
    (root / "make.py").write_text(
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLOW.format(seconds=120)
    )
    caller = start(root)
    try:
        stage_pid = started(root)
        caller.kill()
        caller.wait(timeout=180)
        wait_for(lambda: not alive(stage_pid), seconds=40)
    finally:
        caller.communicate()


def test_two_runs_at_once_wait_for_each_other_and_say_so_twice(tmp_path: Path) -> None:
    root = slow_repository(tmp_path, seconds=6)
    with (root / "make.py").open("a") as handle:
        handle.write("open('ran.log', 'a').write('ran ')\n")
    first = start(root)
    started(root)
    second = start(root)
    said = {name: one.communicate(timeout=300)[0] for name, one in (("first", first), ("second", second))}
    assert (first.returncode, second.returncode) == (0, 0), said
    assert (root / "ran.log").read_text() == "ran "
    assert said["second"].count("make waits: process") == 1
    assert said["second"].count("make goes on after") == 1
    assert said["second"].count("didn't change") == 1  # DVC was started once, when the files were free
    assert "waits" not in said["first"]


def test_who_blocks_a_stage_is_read_from_the_notes_of_dvc(tmp_path: Path) -> None:
    root = make_repository(
        tmp_path / "toy",
        {
            "dvc.yaml": "stages:\n"
            "  make: {cmd: touch out/a, outs: [out/a]}\n"
            "  use: {cmd: touch used, deps: [out/a], outs: [used]}\n"
        },
    )
    make, use = read_stages(root)
    notes = root / ".dvc/tmp/rwlock"
    notes.parent.mkdir(parents=True, exist_ok=True)

    def note(kind: str, path: str, pid: int) -> None:
        holder = {"pid": pid, "cmd": "dvc repro"}
        notes.write_text(json.dumps({kind: {str(root / path): holder if kind == "write" else [holder]}}))

    ended = subprocess.Popen(["true"])
    ended.wait()
    assert (blocker(root, make), blocker(root, use)) == (None, None)
    note("write", "out/a", os.getpid())
    assert blocker(root, make) == blocker(root, use) == (os.getpid(), "dvc repro")
    note("write", "out", os.getpid())  # the folder that holds it
    assert blocker(root, make) is not None
    note("write", "out/b", os.getpid())
    assert blocker(root, make) is None
    note("read", "out/a", os.getpid())  # reading stops whoever writes, and no other reader
    assert blocker(root, make) is not None
    assert blocker(root, use) is None
    note("write", "out/a", ended.pid)
    assert blocker(root, make) is None
    notes.write_text('{"write": {')
    assert blocker(root, make) is None


def test_a_file_named_like_a_module_does_no_harm(tmp_path: Path) -> None:
    root = slow_repository(tmp_path, seconds=0)
    (root / "copy.py").write_text("raise SystemExit('this is the file of the repository')\n")
    (stage,) = read_stages(root)
    said: list[str] = []
    assert DvcCli(repo_dir=str(root)).reproduce(stage, run_id="x", say=said.append).success, said

"""Killed stages, workers and DVC: nothing runs on, nothing is left over, and the next run makes the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import kills  # noqa: E402
from test_end_to_end import environment, make_checkout, run  # noqa: E402

MAKE_IMAGES = """
import sys
import numpy as np
from PIL import Image
chance = np.random.default_rng(0)
for number in range(2200):  # enough for worker processes
    Image.fromarray(chance.integers(0, 256, (12, 12), dtype=np.uint8)).save(f"{sys.argv[1]}/{number}.png")
"""
#: The start of a process that writes in a folder and never finishes.
UNFINISHED = """
import os, signal, sys, time
from pathlib import Path
from aigc_core.files import atomic_file, atomic_folder
target = Path(sys.argv[1])
with atomic_folder(target) as folder, atomic_file(target.with_suffix(".csv")) as file:
    (folder / "half").write_text("half")
    file.write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""
WRITE = """
import sys
from pathlib import Path
from aigc_core.files import write_json
write_json(Path(sys.argv[1]), 1)
"""
#: A stage that DVC started, as far as its environment says; `signal` is sent to the process that started it.
STAGE = """
import sys, time
from aigc_core import orphans
orphans.end_with_dvc()
print("begun", flush=True)
time.sleep(float(sys.argv[1]))
print("finished", flush=True)
"""
WORKERS = """
import os, time
from aigc_core.quality.workers import ordered_map
if __name__ == "__main__":
    print(os.getpid(), flush=True)
    list(ordered_map(time.sleep, [600] * 4, 2))
"""


@pytest.fixture
def python():
    """Starts a script in a process of its own, which does not outlive the test."""
    started = []

    def start(script: str, *arguments: str, **more) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *arguments]
        started.append(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
        )
        return started[-1]

    yield start
    for process in started:
        end(process)


def gone(processes: list[int], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{process}").exists() and _state(process) != "Z" for process in processes):
            return True
        time.sleep(0.1)
    return False


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def end(process: subprocess.Popen[str]) -> None:
    """Kill it, and close the pipes without reading to their ends: what it started may hold them."""
    process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


# -- what a killed process leaves -----------------------------------------------------------------
def test_the_next_process_removes_what_a_killed_one_left_and_nothing_that_another_holds(tmp_path, python):
    (tmp_path / ".notes-12345678.unfinished").mkdir()  # a person's own
    killed, living = (python(UNFINISHED, str(tmp_path / name)) for name in ("killed", "living"))
    for process in (killed, living):
        assert process.stdout.readline() == "begun\n"
    end(killed)
    before = {path.name for path in tmp_path.iterdir()}
    assert sum("killed" in name for name in before) == sum("living" in name for name in before) == 2
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "other.json")], cwd=ROOT, check=True)
    after = {path.name for path in tmp_path.iterdir()}
    assert after == {name for name in before if "killed" not in name} | {"other.json"}


def test_a_folder_whose_former_one_is_being_removed_is_whole_when_the_process_is_killed(tmp_path, python):
    target = tmp_path / "out"
    script = """
import os, shutil, signal, sys
from pathlib import Path
from aigc_core import files
target = Path(sys.argv[1])
for content in ("old", "new"):
    with files.atomic_folder(target) as folder:
        for number in range(3):
            (folder / f"{number}").write_text(content)
    # The first thing that is removed is the last thing that this process does.
    os.unlink = lambda *a, **b: os.kill(os.getpid(), signal.SIGKILL)
"""
    process = python(script, str(target))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [(target / f"{number}").read_text() for number in range(3)] == ["new"] * 3


# -- what runs on ---------------------------------------------------------------------------------
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="asks /proc which process started which")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("shells", [0, 2])
def test_a_stage_ends_when_the_process_that_is_dvc_ends(python, number, shells):
    # DVC is a process without the stage's name in its environment; between it and the stage there may be shells.
    stage = f"import sys; exec({STAGE!r})"
    script = f"""
import os, subprocess, sys
command = [sys.executable, "-c", {stage!r}, "60"]
for _ in range({shells}):
    command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *command]
subprocess.run(command, env={{**os.environ, "DVC_STAGE": "train@gan"}})
"""
    dvc = python(script)
    assert dvc.stdout.readline() == "begun\n"
    os.kill(dvc.pid, number)
    said, told = dvc.communicate(timeout=180)  # the pipes are the stage's as well, and close when it has ended
    assert said == ""
    assert "train@gan" in told


@pytest.mark.parametrize("variables", [{}, {"DVC_STAGE": ""}])
def test_a_stage_that_a_person_started_outlives_the_shell(variables):
    clean = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"} | variables
    command = ["/bin/sh", "-c", '"$@" & exit 0', "sh", sys.executable, "-c", STAGE, "2"]
    shell = subprocess.run(command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, text=True, timeout=180, check=True)
    assert shell.stdout == "begun\nfinished\n"


def test_a_stage_that_left_the_group_of_dvc_on_purpose_goes_on():
    clean = {**os.environ, "DVC_STAGE": "train@gan"}
    stage = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & exit 0', "sh", "setsid", sys.executable, "-c", STAGE, "2"],
        cwd=ROOT, env=clean, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert stage.communicate(timeout=180)[0] == "begun\nfinished\n"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="asks /proc which process started which")
def test_a_stage_whose_dvc_died_before_it_looked_ends(python):
    # The shell that stands for DVC ends at once, so that the stage has been adopted when it begins.
    late = f"import time; time.sleep(1); exec({STAGE!r})"
    script = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {late!r}, '30'], env={{**os.environ, 'DVC_STAGE': 'x'}})"
    dvc = python(script, start_new_session=True)
    said, told = dvc.communicate(timeout=180)
    assert "finished" not in said
    assert "dvc repro x" in told


def test_workers_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    parent = subprocess.Popen(
        [sys.executable, "workers.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    parent.stdout.readline()
    deadline = time.monotonic() + 180
    while (
        len(kills.children(parent.pid, tmp_path)) < 3 and time.monotonic() < deadline
    ):  # two, and what counts resources
        time.sleep(0.1)
    processes = kills.children(parent.pid, tmp_path)
    assert len(processes) == 3
    time.sleep(1)  # a worker that has only just been started hears of its parent's end from Python itself
    end(parent)
    ended = gone(processes)
    for process in processes if not ended else []:
        os.kill(process, signal.SIGKILL)
    assert ended


# -- with DVC itself ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A checkout that has read and measured enough images for worker processes."""
    checkout = make_checkout(
        tmp_path_factory.mktemp("kills") / "finished", tracking__enabled=False, source__kind="folder",
        quality__label_suspect__action="off", quality__out_of_domain__action="off",
    )  # fmt: skip
    assert run(checkout, sys.executable, "-c", MAKE_IMAGES, str(checkout / "data/raw")).returncode == 0
    return checkout, kills.prepare(checkout, ("ingest", "measure"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "stage"), [(0, "measure"), (1, "ingest"), (2, "measure")])
def test_after_random_kills_the_outs_are_the_same_and_nothing_is_left(finished, tmp_path, number, stage):
    checkout, seconds = finished
    found = kills.play(checkout, tmp_path / "round", stage, seconds[stage], random.Random(number), 1)
    assert found.kills
    assert found.good, found


@pytest.mark.slow
def test_a_stage_that_dvc_runs_ends_with_dvc(finished, tmp_path):
    checkout, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy)
    kills.make_outdated(copy, "measure")
    dvc = subprocess.Popen(
        ["dvc", "repro", "measure"], cwd=copy, env=environment(copy), stdout=subprocess.PIPE, text=True
    )
    while not (stage := kills.children(dvc.pid, copy)):
        assert dvc.poll() is None
        time.sleep(0.05)
    dvc.terminate()
    dvc.communicate()
    assert gone([*stage, *kills.alive(copy)])
    assert not kills.alive(copy)

"""Where a checkout may lie and what may be in it: full and read-only disks, odd paths, labels and clocks, and two who work at once."""

import os
import resource
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from test_end_to_end import environment, make_checkout, outs, run  # noqa: E402
from test_report import write_outs  # noqa: E402

from aigc_core.errors import TrainingError  # noqa: E402
from aigc_core.paths import Paths  # noqa: E402
from aigc_core.training import checkpoint  # noqa: E402

pytestmark = pytest.mark.slow

#: All stages of the graph but the study, one after another in one process: loading the libraries takes longer than they do.
STAGES = [
    ["ingest"], ["extractor"], ["measure"], ["curate"], ["validate"], ["augment"], ["train", "vae"], ["train", "gan"],
    ["pretrain", "vae"], ["pretrain", "gan"], ["finetune", "vae"], ["finetune", "gan"], ["evaluate", "vae"],
    ["evaluate", "gan"], ["evaluate_finetune", "vae"], ["evaluate_finetune", "gan"], ["choose"], ["final"], ["report"],
]  # fmt: skip
RUN_ALL = f"""
import warnings
from aigc_core.cli import app
for stage in {STAGES!r}:
    app(stage, standalone_mode=False)
"""
MAKE_IMAGES = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
chance, root = np.random.default_rng(0), Path(sys.argv[1])
for label, bright in zip(sys.argv[3:], (0, 4)):
    (root / label).mkdir(parents=True)
    for number in range(260):
        pixels = chance.integers(0, 60, (8, 8), dtype=np.uint8)
        pixels[bright : bright + 3] += chance.integers(80, 180, (3, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(root / label / f"{number}{sys.argv[2]}.png")
    for name in ("cut", "blank"):
        place = root / label / f"{name}{sys.argv[2]}.png"
        Image.new("L", (8, 8), 7 + bright).save(place)
        if name == "cut":
            place.write_bytes(place.read_bytes()[:40])
"""
HTML = "<img src=x onerror=alert(1)>"
LABELS = [HTML, "\"quotes' & \n<b>newline"]
NAME = "\n\"'<script>alert(2)<!--"


class Tags(HTMLParser):
    """Elements of a page, and the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.handlers: set[str] = set()
        self.sources: list[str] = []
        self.data = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}
        self.sources += [value for name, value in attrs if name == "src"]

    def handle_data(self, data):
        self.data += data


def small(folder: Path, **changes: object) -> Path:
    return make_checkout(folder, tracking__enabled=False, ablation__enabled=False, **changes)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- odd paths, labels and names ------------------------------------------------------------------
@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A whole graph below a path with blanks and Chinese characters, on labels and file names made of HTML, quotes and newlines."""
    place = tmp_path_factory.mktemp("places") / "我的 项目 \"1\" & 'b'"
    checkout = small(
        place, source__kind="folder", expectations__min_rows=50, expectations__min_compared=0, train__vae__steps=20,
        train__gan__steps=20, train__grid_every=10, extractor__steps=60, finetune__per_class=20, expectations__max_share__leak=0.5,
    )  # fmt: skip
    made = run(checkout, sys.executable, "-c", MAKE_IMAGES, str(checkout / "data/raw"), NAME, *LABELS)
    assert made.returncode == 0, made.stderr
    done = run(checkout, sys.executable, "-c", RUN_ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    return checkout


def test_labels_and_names_are_text_on_the_page_and_nothing_else(hostile):
    page = Tags((hostile / "data/report/report.html").read_text())
    for label in LABELS:
        assert " ".join(label.split()) in " ".join(page.data.split())
    assert "cut" + " ".join(NAME.split()) in " ".join(page.data.split())
    assert not page.handlers
    assert all(source.startswith("data:") for source in page.sources)
    assert "alert(2)" not in "".join(
        part.split("</script>")[0] for part in (hostile / "data/report/report.html").read_text().split("<script")[1:]
    )


def test_dvc_runs_a_stage_at_an_odd_path(hostile):
    before = tree(hostile / "data/content")
    done = run(hostile, "dvc", "repro", "ingest")
    assert done.returncode == 0, done.stderr
    assert tree(hostile / "data/content") == before
    assert "data/ingested" in outs(hostile)


# -- full and read-only disks ---------------------------------------------------------------------
@pytest.fixture
def disk(tmp_path):
    """A file system of 64 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"nothing may be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path, free: int) -> Path:
    """Take all room but `free` bytes; returns the file that does."""
    filling, state = disk / "filling", os.statvfs(disk)
    with filling.open("wb") as file:
        file.write(bytes(state.f_bavail * state.f_bsize - free))
    return filling


def refused(done: subprocess.CompletedProcess[str], what: str) -> None:
    """A stage ended with one sentence, which says what was wrong."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert what in done.stderr


def test_ingest_on_a_full_disk_writes_nothing_and_recovers(disk, ingested):
    checkout = small(disk / "checkout")
    filling = fill(disk, 60_000)
    refused(run(checkout, "aigc", "ingest"), "No space left on device")
    assert {path.name for path in (checkout / "data").iterdir()} == {
        "raw",
        "ids",
        "weights",
        "profile.json",
        "decisions.csv",
    }
    filling.unlink()
    assert run(checkout, "dvc", "repro", "ingest").returncode == 0
    assert outs(checkout) == outs(ingested)


def test_a_report_on_a_full_disk_leaves_the_former_page(disk):
    paths = write_outs(Paths(disk / "checkout"))
    shutil.copy(ROOT / "params.yaml", paths.root)
    command, place = [sys.executable, "-m", "aigc_core.cli", "report"], {"cwd": paths.root, "env": environment(ROOT)}
    assert subprocess.run(command, **place).returncode == 0
    before = tree(paths.report.parent)
    filling = fill(disk, 20_000)
    refused(subprocess.run(command, **place, capture_output=True, text=True), "No space left on device")
    assert tree(paths.report.parent) == before
    filling.unlink()
    assert subprocess.run(command, **place).returncode == 0
    assert tree(paths.report.parent) == before


def test_a_checkpoint_on_a_full_disk_leaves_the_former_one(disk):
    checkpoint.save(disk, {"step": 1, "weights": torch.zeros(10)})
    filling = fill(disk, 100_000)
    larger = {"step": 2, "weights": torch.zeros(100_000)}
    with pytest.raises(TrainingError, match="step 2"):
        checkpoint.save(disk, larger)
    assert checkpoint.load(disk)["step"] == 1
    assert {path.name for path in disk.iterdir()} == {"filling", "step-00000001.pt"}
    filling.unlink()
    checkpoint.save(disk, larger)
    assert checkpoint.load(disk)["step"] == 2


def test_an_evaluation_that_may_not_write_a_large_file_replaces_nothing(hostile):
    before = tree(hostile / "data/evaluation/gan")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    command = ["aigc", "evaluate", "gan"]
    done = subprocess.run(
        command, cwd=hostile, env=environment(hostile), preexec_fn=limit, capture_output=True, text=True, timeout=600
    )
    refused(done, "File too large")
    assert tree(hostile / "data/evaluation/gan") == before
    assert run(hostile, *command).returncode == 0
    assert tree(hostile / "data/evaluation/gan") == before


def test_a_read_only_checkout_is_one_sentence(disk):
    checkout = small(disk / "checkout")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    before = tree(checkout)
    refused(run(checkout, "aigc", "ingest"), "Read-only file system")
    assert run(checkout, "dvc", "repro", "ingest").returncode != 0
    assert tree(checkout) == before


# -- two at once, and clocks ----------------------------------------------------------------------
@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    checkout = small(tmp_path_factory.mktemp("places") / "ingested")
    assert run(checkout, "dvc", "repro", "ingest").returncode == 0
    return checkout


def test_two_at_once_leave_the_right_outs(ingested, tmp_path):
    checkout = small(tmp_path / "two")
    both = [
        subprocess.Popen(
            ["dvc", "repro", "ingest"], cwd=checkout, env=environment(checkout), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=300)[0] for process in both]
    assert 0 in [process.returncode for process in both], told
    for process, text in zip(both, told, strict=True):
        assert process.returncode == 0 or "lock" in text or "busy" in text, text
    assert run(checkout, "dvc", "repro", "ingest").returncode == 0
    assert outs(checkout) == outs(ingested)


def test_what_a_file_holds_decides_and_not_its_time(ingested):
    page, code = ingested / "data/raw/README.md", ingested / "aigc_core/stages/ingest.py"
    before, now = outs(ingested), time.time()
    for shift in (-4e8, 1e8):
        for file in (page, code, ingested / "params.yaml", ingested / "data/ingested/rows.parquet"):
            os.utime(file, (now + shift, now + shift))
        assert "Running stage" not in run(ingested, "dvc", "repro", "ingest").stdout
    text = page.read_text()
    page.write_text(text[:-1] + ("." if text[-1] != "." else ","))  # other bytes of the same number, and an older time
    os.utime(page, (now - 5e8, now - 5e8))
    changed = run(ingested, "dvc", "repro", "ingest")
    assert "Running stage" in changed.stdout
    assert changed.returncode == 0
    assert outs(ingested) == before

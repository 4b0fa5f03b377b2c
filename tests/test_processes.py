"""Two processes that share every batch train as one does, the launcher being torchrun's environment."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_data import curated, settings

from aigc_core.errors import ConfigError
from aigc_core.stages.train import train
from aigc_core.training import processes

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("one_thread")

#: Every family, with what is hardest to share: second derivatives, augmentation that follows the logits, early validation.
JOBS = [
    ("vae", {"vae": {"steps": 12, "likelihood": "bernoulli", "clip_norm": 1.0}}),
    ("gan", {"gan": {"steps": 12, "augment": "ada", "ada_images": 100}}),
    ("gan", {"gan": {"steps": 12, "loss": "wgan-gp", "mlp_r1": 0.0, "augment": "diffaugment"}}),
    ("flow", {"flow": {"steps": 12, "sample_steps": 2}, "validate_every": 4, "validation_share": 0.4}),
]

SHARED = """
import sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from aigc_core.config import parse
from aigc_core.paths import Paths
from aigc_core.stages.train import train
from aigc_core.training import processes
with processes.joined("cpu"):
    for root, config, family in {jobs!r}:
        print(train(parse(config), Paths(Path(root)), family).summary)
"""


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def start_processes(count: int, code: str) -> list[subprocess.Popen[str]]:
    """What torchrun would start: one process per rank, which find each other by the environment."""
    port, started = free_port(), []
    for rank in range(count):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        environment |= {name: str(value) for name, value in place.items()}
        started.append(subprocess.Popen([sys.executable, "-c", code], env=environment, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))  # fmt: skip
    return started


def run_processes(count: int, code: str) -> list[tuple[int, str, str]]:
    """Return code, output and errors of each; none outlives the test."""
    started = start_processes(count, code)
    try:
        said = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(started, said, strict=True)]


def test_two_processes_train_as_one(tmp_path):
    shared, alone = [], []
    for number, (family, options) in enumerate(JOBS):
        config = settings(**options)
        one, two = curated(tmp_path / f"one{number}"), curated(tmp_path / f"two{number}")
        train(config, one, family)
        shared.append((str(two.root), config.model_dump(), family))
        alone.append((one.model(family), two.model(family)))
    results = run_processes(2, SHARED.format(jobs=shared))
    assert [code for code, _, _ in results] == [0, 0], results
    assert "the first one writes the model" in results[1][1]
    assert "12 steps on 48 rows" in results[0][1]
    for one, two in alone:
        assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
        curves = [
            [line.split(",") for line in (folder / "curve.csv").read_text().splitlines()] for folder in (one, two)
        ]
        assert curves[0][0] == curves[1][0]
        for mine, theirs in zip(curves[0][1:], curves[1][1:], strict=True):
            assert [float(value) for value in theirs] == pytest.approx(
                [float(value) for value in mine], rel=2e-5, abs=1e-5
            )
        first, second = (load_file(folder / "model.safetensors") for folder in (one, two))
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=1e-3, atol=1e-4)


def test_a_batch_that_cannot_be_shared_and_a_stage_that_does_not_share_are_said(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 3)
    with pytest.raises(
        ConfigError, match=r"train\.batch_size = 16 cannot be shared evenly by 3 processes: take a mult"
    ):
        processes.refuse_uneven(16)
    processes.refuse_uneven(15)
    monkeypatch.setattr(processes, "count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"torchrun started 2 processes, and only `aigc train` shares"):
        processes.refuse_alone()


def test_a_draw_for_a_part_is_a_part_of_the_draw_for_the_whole(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes.dist, "get_rank", lambda: 1)
    whole = torch.randn((6, 4), generator=torch.Generator().manual_seed(5))
    with processes.drawing(3):
        drawn = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
        again = torch.randn((3, 4), generator=torch.Generator().manual_seed(5))
        other = torch.randn((2, 4), generator=torch.Generator().manual_seed(5))
    assert torch.equal(drawn, whole[3:])
    assert torch.equal(again, drawn)
    left = torch.randn((2, 4), generator=torch.Generator().manual_seed(5))
    assert torch.equal(other, left), "what is not drawn for the rows is left alone"
    assert processes.part(6) == slice(3, 6)

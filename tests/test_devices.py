"""Precision, compiled networks, and where the images of a training lie: what a processor can show of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_data import curated, folder_bytes, settings, stop_after

from aigc_core.data import loader
from aigc_core.errors import ConfigError
from aigc_core.files import read_json
from aigc_core.stages.train import train, training_job
from aigc_core.tracking.link import Link
from aigc_core.training import compiled, steps
from aigc_core.training.chance import Batches
from aigc_core.training.rows import Rows, take_step
from aigc_core.training.session import spec_of

ROOT = Path(__file__).parents[1]
FAMILIES = ("vae", "gan", "flow")
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_computes_in_bf16_keeps_float32_weights_and_resumes(family, tmp_path, monkeypatch):
    config = settings(precision="bf16")
    paths, broken, exact = (curated(tmp_path / name) for name in "abc")
    train(config, paths, family)
    train(settings(), exact, family)
    curves = [(folder.model(family) / "curve.csv").read_text().splitlines() for folder in (paths, exact)]
    assert curves[0] != curves[1]
    values, others = (curve[-1].split(",")[1:] for curve in curves)
    assert [float(value) for value in values] == pytest.approx([float(value) for value in others], rel=0.1, abs=0.1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.trainers[family], 12)
        train(config, broken, family)
    train(config, broken, family)
    assert folder_bytes(broken.model(family)) == folder_bytes(paths.model(family))
    trainer = trainer_of(family, broken, precision="bf16")
    rows = Rows(training_job(config, broken, family).data, CPU)
    found = take_step(trainer, rows, torch.arange(16), 0, 0)
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert {weight.dtype for network in trainer.state().values() for weight in network.parameters()} == {torch.float32}


def test_bf16_sees_the_weights_of_the_step_before(tmp_path):
    """A cast that autocast keeps would be of the weights before the discriminator's update."""
    paths, seen = curated(tmp_path), []
    trainer = trainer_of("gan", paths, precision="bf16")
    layer = trainer.trainer.gan.discriminator.score
    layer.register_forward_hook(lambda module, given, out: seen.append((given[0], out, module.weight.detach().clone())))
    take_step(trainer, Rows(training_job(settings(), paths, "gan").data, CPU), torch.arange(16), 0, 0)
    assert not torch.equal(seen[0][2], seen[-1][2])
    for given, out, weight in seen:
        assert out.dtype == torch.bfloat16
        expected = given.bfloat16() @ weight.bfloat16().T + layer.bias.bfloat16() * 0
        assert torch.allclose(out - out.mean(), expected - expected.mean(), atol=0.05)


def test_tf32_is_refused_where_there_is_no_card(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.precision = 'tf32' is a format of NVIDIA cards.*runs on cpu"):
        train(settings(precision="tf32"), curated(tmp_path), "vae")


def trainer_of(family: str, paths, **options):
    config = settings(**options)
    job = training_job(config, paths, family)
    return steps.build(spec_of(config, family, job.image, job.data.classes), config.train, CPU, 0)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_networks_take_the_same_steps(family, tmp_path):
    torch._dynamo.reset()
    paths, options = curated(tmp_path), {"gan": {"mlp_r1": 0.0}} if family == "gan" else {}
    rows, used = Rows(training_job(settings(), paths, family).data, CPU), []

    def backend(graph, inputs):
        used.append(graph)
        return graph

    plain, other = trainer_of(family, paths, **options), trainer_of(family, paths, **options)
    compiled.compile_networks(other, backend)
    for step in range(3):
        index = Batches(48, 16, 0).at(step)
        expected, found = take_step(plain, rows, index, 0, step), take_step(other, rows, index, 0, step)
        assert {name: value.item() for name, value in found.items()} == {
            name: value.item() for name, value in expected.items()
        }
    assert len(used) >= {"vae": 2, "gan": 2, "flow": 1}[family], "every network went through the compiler"
    assert set(other.model.state_dict()) == set(plain.model.state_dict())
    average = {"gan": "generator", "flow": "velocity"}.get(family)
    if average:
        modules = getattr(other.model, average).modules()
        assert all(module._compiled_call_impl is None for module in modules), "what is sampled from is left"


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_what_cannot_be_compiled_is_said_and_left(tmp_path):
    paths = curated(tmp_path)
    rows = Rows(training_job(settings(), paths, "vae").data, CPU)

    def broken(graph, inputs):
        raise RuntimeError("no such instruction\nand a page more")

    def make():
        return trainer_of("vae", paths)

    timed = compiled.choose(make, rows, Batches(48, 16, 0), 0, "eager")
    assert re.fullmatch(r"(not )?compiled: [\d.]+ ms a step compiled, [\d.]+ as it is", timed.why)
    assert timed.compiled == timed.why.startswith("compiled")
    found = compiled.choose(make, rows, Batches(48, 16, 0), 0, broken)
    assert not found.compiled
    assert found.why.startswith("not compiled: ")
    assert "\n" not in found.why


@pytest.mark.parametrize("free", [0, 10**9])
def test_images_mapped_to_a_file_train_to_the_same_bytes(free, tmp_path, monkeypatch):
    usual, other = curated(tmp_path / "a"), curated(tmp_path / "b")
    train(settings(), usual, "gan")
    monkeypatch.setattr(loader, "free_memory", lambda: free)
    mapped = []
    monkeypatch.setattr(loader.np, "memmap", lambda *a, made=loader.np.memmap, **k: mapped.append(1) or made(*a, **k))
    before = sorted(other.data.rglob("*"))
    train(settings(), other, "gan")
    assert len(mapped) == (free == 0)
    assert folder_bytes(other.model("gan")) == folder_bytes(usual.model("gan"))
    new = {path for path in other.data.rglob("*") if path not in before}
    assert all(other.data / "models" in (path, *path.parents) for path in new), "the file has no name"


def test_images_beyond_the_limit_stay_where_they_are(tmp_path):
    data = training_job(settings(), curated(tmp_path), "vae").data
    device, index = torch.device("meta"), torch.arange(16)
    assert Rows(data, device, limit=48 * 64).pixels.device == device
    assert Rows(data, device, limit=48 * 64 - 1).pixels.device == CPU
    near, far = Rows(data, CPU), Rows(data, CPU, limit=0)
    assert torch.equal(near.batch(index).images, far.batch(index).images)
    assert torch.equal(near.batch(index).images, data.pixels[:16].float() / 127.5 - 1)


@pytest.mark.filterwarnings("ignore")  # MLflow's own use of its database library warns
def test_speed_and_load_are_in_mlflow(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.chdir(tmp_path)
    config, paths = settings(), curated(tmp_path)
    chosen = {"enabled": True, "system_metrics": True}
    config = config.model_copy(update={"tracking": config.tracking.model_copy(update=chosen)})
    train(config, paths, "vae")
    client = Link(paths, None).client()
    metrics = client.get_run(read_json(paths.run_file("train@vae"))["run_id"]).data.metrics
    assert metrics["images_per_second"] > 0
    assert metrics["system/cpu_utilization_percentage"] >= 0
    assert not (tmp_path / "mlflow.db").exists(), "MLflow's own default store"
    assert "images_per_second" not in (paths.model("vae") / "curve.csv").read_text()


@pytest.mark.parametrize(("chosen", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_of_torch_sleep_while_they_wait_unless_somebody_chose_otherwise(chosen, policy):
    """Torch reads the variable when it is loaded, so it has to be set before."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    code = "import os, sys, aigc_core.cli; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [policy, "False"]

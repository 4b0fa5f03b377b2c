"""The engine under strain: what is not finite, a full disk, a kill at the worst moment, and a look ahead."""

import errno
import re

import pytest
import torch
from torch import nn
from training_data import curated, folder_bytes, settings, stop_after
from typer.testing import CliRunner

from aigc_core import cli, tracking
from aigc_core.errors import DataError, TrainingError
from aigc_core.files import read_json
from aigc_core.stages.train import train, training_job
from aigc_core.tracking.link import Link
from aigc_core.training import checkpoint, steps
from aigc_core.training.chance import Batches
from aigc_core.training.guard import Guard, UnstableError
from aigc_core.training.outlook import look_ahead
from aigc_core.training.session import spec_of
from aigc_core.training.trainer import update

FAMILIES = ("vae", "gan", "flow")
pytestmark = pytest.mark.usefixtures("one_thread")


# -- the guard -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loss_that_is_not_finite_stops_with_step_rows_and_checkpoint(family, tmp_path, monkeypatch):
    paths, trainer = curated(tmp_path), steps.trainers[family]
    step, calls = trainer.step, []

    def poisoned(self, *arguments):
        calls.append(1)
        if len(calls) == 12:
            with torch.no_grad():
                for module in self.state().values():
                    next(iter(module.parameters())).fill_(float("nan"))
        return step(self, *arguments)

    monkeypatch.setattr(trainer, "step", poisoned)
    with pytest.raises(
        UnstableError, match=r"loss is nan at step 12 \(rows .* and 12 more\); the last good check"
    ) as caught:
        train(settings(), paths, family)
    assert not paths.model(family).exists()
    (kept,) = paths.work.rglob(checkpoint.PATTERN)
    assert kept.name == "step-00000010.pt"
    assert checkpoint.short(kept) in str(caught.value)
    data = training_job(settings(), paths, family).data
    expected = [data.ids[index] for index in Batches(48, 16, 0).at(11).tolist()]
    assert caught.value.rows == expected
    assert all(identity[:12] in str(caught.value) for identity in expected[:4])
    note = read_json(kept.parent / "stopped.json")
    assert (note["step"], note["rows"]) == (12, expected)


def guard_of(limit: float, work) -> Guard:
    return Guard(limit, Batches(8, 4, 0), [f"row{index}" for index in range(8)], work)


def test_the_first_bad_step_is_named_however_late_it_is_noticed(tmp_path):
    guard = guard_of(100.0, tmp_path)
    for step, value in enumerate((1.0, 3.0, 101.0, float("inf")), start=1):
        guard.watch(step, {"loss": torch.tensor(value), "other": torch.tensor(0.0)})
    with pytest.raises(
        UnstableError, match=r"loss is 101, beyond train\.max_loss = 100, at step 3 .*no checkpoint was"
    ):
        guard.look()


def test_the_guard_looks_by_itself_before_too_many_losses_wait(tmp_path):
    guard = guard_of(100.0, tmp_path)
    guard.watch(1, {"loss": torch.tensor(float("nan"))})
    with pytest.raises(UnstableError, match="at step 1 "):
        for step in range(2, 1000):
            guard.watch(step, {"loss": torch.tensor(0.0)})
    assert step < 300


def test_weights_that_broke_after_a_finite_loss_reach_no_checkpoint(tmp_path, monkeypatch):
    paths, step = curated(tmp_path), steps.VaeTrainer.step

    def poisoned(self, *arguments):
        values = step(self, *arguments)
        with torch.no_grad():
            next(iter(self.model.parameters())).fill_(float("inf"))
        return values

    monkeypatch.setattr(steps.VaeTrainer, "step", poisoned)
    with pytest.raises(UnstableError, match=r"a weight of model is not finite at step 1 "):
        train(settings(checkpoint_every=1), paths, "vae")
    assert not list(paths.work.rglob(checkpoint.PATTERN))


def test_a_clipped_gradient_has_the_norm_asked_for():
    layer = nn.Linear(3, 1, bias=False)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    update(optimizer, 10 * layer(torch.tensor([[3.0, 0.0, 4.0]])).sum(), clip_norm=0.5)
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[-0.3, 0.0, -0.4]]))
    update(optimizer, 0.01 * layer(torch.tensor([[3.0, 0.0, 4.0]])).sum(), clip_norm=0.5)  # short: left as it is
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[-0.33, 0.0, -0.44]]))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_clips(family, tmp_path):
    outs = []
    for index, clip in enumerate((None, 1e-3)):
        paths = curated(tmp_path / str(index))
        train(settings(**{family: {"steps": 4, "clip_norm": clip}}), paths, family)
        outs.append(folder_bytes(paths.model(family))["curve.csv"])
    assert outs[0] != outs[1]


# -- checkpoints -----------------------------------------------------------------------------------------------


def test_the_last_k_checkpoints_stay(tmp_path, monkeypatch):
    paths = curated(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 18)
        train(settings(keep_checkpoints=2), paths, "gan")
    files = sorted(paths.work.rglob(checkpoint.PATTERN))
    assert [path.name for path in files] == ["step-00000010.pt", "step-00000015.pt"]
    files[1].write_bytes(b"broken")
    with pytest.raises(TrainingError, match=r"step-00000015\.pt is not a readable checkpoint"):
        train(settings(keep_checkpoints=2), paths, "gan")
    files[1].unlink()
    train(settings(keep_checkpoints=2), paths, "gan")  # from step 10
    fresh = curated(tmp_path / "fresh")
    train(settings(), fresh, "gan")
    assert folder_bytes(paths.model("gan")) == folder_bytes(fresh.model("gan"))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("[enforce fail] x\ny")]
)
def test_a_full_disk_ends_in_one_sentence_and_the_last_checkpoint_is_good(error, tmp_path, monkeypatch):
    paths, save, calls = curated(tmp_path), torch.save, []

    def full(state, target):
        calls.append(1)
        if len(calls) < 3:
            return save(state, target)
        target.write_bytes(b"half of it")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(TrainingError) as caught:
            train(settings(), paths, "vae")
    said = str(caught.value)
    assert re.search(
        r"the checkpoint of step 15 cannot be written \(.*free.*\), .*step-00000010\.pt stays: make room", said
    )
    assert "\n" not in said
    (place,) = {path.parent for path in paths.work.rglob(checkpoint.PATTERN)}
    assert [path.name for path in place.iterdir() if path.suffix == ".pt"] == ["step-00000010.pt"], "no half file"
    assert checkpoint.load(place)["step"] == 10
    train(settings(), paths, "vae")
    fresh = curated(tmp_path / "fresh")
    train(settings(), fresh, "vae")
    assert folder_bytes(paths.model("vae")) == folder_bytes(fresh.model("vae"))


@pytest.mark.filterwarnings("ignore")  # MLflow's own use of its database library warns
def test_the_mlflow_curve_has_no_gap_and_no_double_after_two_kills(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("DAGSTER_RUN_ID", raising=False)
    config = settings(log_every=5, checkpoint_every=10, vae={"steps": 40})
    config = config.model_copy(update={"tracking": config.tracking.model_copy(update={"enabled": True})})
    paths = curated(tmp_path)
    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt),
    ):  # past a checkpoint and what was sent with it
        stop_after(patch, steps.VaeTrainer, 17)
        train(config, paths, "vae")

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # between a checkpoint and its sending
        patch.setattr(tracking.MlflowTracker, "flush", killed)
        train(config, paths, "vae")
    train(config, paths, "vae")
    known = read_json(paths.run_file("train@vae"))
    client = Link(paths, None).client()
    history = client.get_metric_history(known["run_id"], "kl_loss")
    assert [point.step for point in history] == [5, 10, 15, 20, 25, 30, 35, 40]
    rows = [line.split(",") for line in (paths.model("vae") / "curve.csv").read_text().splitlines()[1:]]
    assert [point.value for point in history] == pytest.approx([float(row[2]) for row in rows], rel=1e-4)


# -- a look ahead ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_an_outlook_counts_what_is_there(family, tmp_path):
    config = settings()
    job = training_job(config, curated(tmp_path), family)
    trainer = steps.build(spec_of(config, family, job.image, job.data.classes), config.train, torch.device("cpu"), 0)
    found = look_ahead(trainer, job.data, 16, 0)
    assert found.kept == sum(weight.numel() for weight in trainer.model.parameters())
    assert found.trained == sum(layer.parameters for layer in found.layers) + (
        0 if family == "gan" else 1 if family == "vae" else 64
    )
    assert all(layer.output[0] in (16,) for layer in found.layers)
    assert found.memory["training images"] == 48 * 64
    assert found.memory["optimizers"] == 2 * found.memory["gradients"] == 8 * found.trained
    assert found.step_seconds > 0


def test_a_dry_run_says_it_and_writes_nothing(tmp_path, monkeypatch):
    paths = curated(tmp_path)
    (tmp_path / "params.yaml").write_text("train: {device: cpu, batch_size: 16, network: {mlp_width: 32}}\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(cli.app, ["train", "gan", "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 0
    for words in ("gan on 48 rows of 4 classes, 8 x 8 px", "discriminator.analysis.head.0", "[16, 32]", "memory: about",
                  "time: about", "ms a step", "are trained"):  # fmt: skip
        assert words in result.stdout, result.stdout
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "params.yaml").write_text("train: {device: cpu, batch_size: 64}\n")
    with pytest.raises(DataError, match="48 training rows are fewer than one batch of 64"):
        CliRunner().invoke(cli.app, ["train", "gan", "--dry-run"], catch_exceptions=False)
    assert paths.data.exists()

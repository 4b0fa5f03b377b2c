"""Training: the same bytes twice, exact resume after kill -9, and one clear sentence where it cannot go on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import curated, folder_bytes, settings, stop_after

from aigc_core.commands.dry_run import dry_run
from aigc_core.commands.generate import generate
from aigc_core.config import Config
from aigc_core.data.loader import load_images
from aigc_core.data.store import Version
from aigc_core.errors import ConfigError, DataError, TrainingError
from aigc_core.files import read_json
from aigc_core.modalities import image
from aigc_core.models.bound import importance_bound
from aigc_core.models.zoo import load_model, to_unit
from aigc_core.paths import Paths
from aigc_core.stages.ablate import ablate
from aigc_core.stages.evaluate_finetune import evaluate_finetune
from aigc_core.stages.finetune import finetune, small_target
from aigc_core.stages.pretrain import pretrain
from aigc_core.stages.train import train
from aigc_core.training import checkpoint, ema, outlook, session, steps

ROOT = Path(__file__).parents[1]
FAMILIES = ("vae", "gan", "flow")
pytestmark = pytest.mark.usefixtures("one_thread")


# -- outs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_two_runs_leave_the_same_bytes(family, tmp_path):
    folders = []
    for name in ("first", "second"):
        paths = curated(tmp_path / name)
        train(settings(), paths, family)
        folders.append(folder_bytes(paths.model(family)))
    assert set(folders[0]) == {"curve.csv", "model.json", "model.safetensors", "samples.png"}
    assert folders[0] == folders[1]


@pytest.mark.parametrize(
    ("family", "columns"),
    [
        ("gan", "step,generator_loss,discriminator_loss,r1_penalty"),
        ("vae", "step,reconstruction_loss,kl_loss"),
        ("flow", "step,velocity_loss"),
    ],
)
def test_curve_and_card_say_what_was_done(family, columns, tmp_path):
    paths = curated(tmp_path)
    config = settings(gan={"steps": 12}, vae={"steps": 12}, flow={"steps": 12})
    result = train(config, paths, family)
    lines = (paths.model(family) / "curve.csv").read_text().splitlines()
    assert lines[0] == columns
    assert [line.split(",")[0] for line in lines[1:]] == ["5", "10", "12"]
    card = read_json(paths.model(family) / "model.json")
    assert card["step"] == 12
    assert card["rows"] == 48
    assert card["classes"] == ["a", "b", "c", "d"]
    assert card["dataset_version"] == Version.open(paths.curated).card.version
    assert "12 steps on 48 rows of 4 classes" in result.summary
    assert not list((paths.work / "checkpoints").rglob("*.pt")), "a finished training leaves no checkpoints"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("size", "channels"), [(20, 3), (8, 4)])
def test_colour_alpha_and_convolution_train(family, size, channels, tmp_path):
    paths = curated(tmp_path, size=size, channels=channels)
    train(settings(gan={"steps": 3}, vae={"steps": 3}, flow={"steps": 3, "sample_steps": 2}), paths, family)
    images = load_model(paths.model(family)).sample(torch.tensor([0, 1]), seed=0)
    assert images.shape == (2, channels, size, size)


def test_checkpoint_distance_changes_nothing(tmp_path):
    outs = []
    for every in (3, 1000):
        paths = curated(tmp_path / str(every))
        train(settings(checkpoint_every=every), paths, "gan")
        outs.append(folder_bytes(paths.model("gan")))
    assert outs[0] == outs[1]


def test_training_learns(tmp_path):
    paths = curated(tmp_path)
    train(settings(vae={"steps": 200}), paths, "vae")
    rows = (paths.model("vae") / "curve.csv").read_text().splitlines()[1:]
    first, last = (float(row.split(",")[1]) for row in (rows[0], rows[-1]))
    assert last < first - 10
    # Classes are told apart: the stripes of "a" lie across those of "b".
    samples = load_model(paths.model("vae")).sample(torch.tensor([0] * 20 + [1] * 20), seed=0).float().mean(1)
    across, along = samples[:20].mean(0), samples[20:].mean(0)
    assert across.mean(1).std() > 3 * across.mean(0).std()
    assert along.mean(0).std() > 3 * along.mean(1).std()


@pytest.mark.parametrize(
    "gan",
    [
        {"loss": "minimax"},
        {"loss": "hinge", "spectral_norm": True},
        {"loss": "wgan-gp", "mlp_r1": 0},
        {"loss": "lsgan"},
    ],
    ids=lambda gan: gan["loss"],
)
def test_every_gan_loss_learns_and_resumes(gan, tmp_path, monkeypatch):
    config = settings(gan={"steps": 150, "learning_rate": 0.002, "ema": 0.9, **gan}, checkpoint_every=30)
    unbroken, broken = curated(tmp_path / "a"), curated(tmp_path / "b")
    train(config, unbroken, "gan")
    columns = (unbroken.model("gan") / "curve.csv").read_text().splitlines()[0].split(",")
    assert ("gradient_penalty" in columns) == (gan["loss"] == "wgan-gp")
    samples = load_model(unbroken.model("gan")).sample(torch.tensor([0] * 20 + [1] * 20), seed=0).float().mean(1)
    across, along = samples[:20].mean(0), samples[20:].mean(0)
    assert across.mean(1).std() > 2 * across.mean(0).std(), "the stripes of one class lie across"
    assert along.mean(0).std() > 2 * along.mean(1).std(), "those of the other along"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 100)
        train(config, broken, "gan")
    train(config, broken, "gan")
    assert folder_bytes(broken.model("gan")) == folder_bytes(unbroken.model("gan"))


def test_an_averaged_vae_resumes_and_is_an_average(tmp_path, monkeypatch):
    config = settings(vae={"steps": 60, "ema": 0.9}, checkpoint_every=20)
    unbroken, broken, last = (curated(tmp_path / name) for name in "abc")
    train(config, unbroken, "vae")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.VaeTrainer, 50)
        train(config, broken, "vae")
    train(config, broken, "vae")
    assert folder_bytes(broken.model("vae")) == folder_bytes(unbroken.model("vae"))
    train(settings(vae={"steps": 60}, checkpoint_every=20), last, "vae")
    curves = [(paths.model("vae") / "curve.csv").read_bytes() for paths in (unbroken, last)]
    assert curves[0] == curves[1], "averaging does not touch what is trained"
    one, other = (load_model(paths.model("vae")).networks.state_dict() for paths in (unbroken, last))
    assert all((one[name] != other[name]).any() for name in one if name.endswith("weight"))


@pytest.mark.parametrize("size", [28, 32])
def test_the_mnist_preset_trains(size, tmp_path, monkeypatch):
    monkeypatch.setattr(outlook, "SECONDS", 0.0)
    paths = curated(tmp_path, size=size)
    config = settings(preset="dcgan-mnist", gan={"steps": 3}, network={"latent": 64, "conv_width": 8})
    told = dry_run(config, paths, "gan").summary
    assert "passes over the rows; preset dcgan-mnist" in told
    assert "ConvTranspose2d" in told
    train(config, paths, "gan")
    spec = load_model(paths.model("gan")).spec
    assert (spec.architecture, spec.latent, spec.conv_width) == ("dcgan", 100, 8)
    columns = (paths.model("gan") / "curve.csv").read_text().splitlines()
    assert columns[1].split(",")[3] == "0", "no R1"


@pytest.mark.parametrize("vae", [{"likelihood": "logistic"}, {"likelihood": "bernoulli", "free_bits": 0.1}])
def test_every_likelihood_learns(vae, tmp_path):
    paths = curated(tmp_path)
    train(settings(vae={"steps": 200, **vae}), paths, "vae")
    rows = (paths.model("vae") / "curve.csv").read_text().splitlines()[1:]
    first, last = (float(row.split(",")[1]) for row in (rows[0], rows[-1]))
    assert last < first - 5
    model = load_model(paths.model("vae"))
    assert model.spec.likelihood == vae["likelihood"]
    samples = model.sample(torch.tensor([0] * 20 + [1] * 20), seed=0).float().mean(1)
    assert samples[:20].mean(0).mean(1).std() > 2 * samples[:20].mean(0).mean(0).std()
    data = load_images(Version.open(paths.curated), "train", size=8, channels=1, classes=list("abcd"))
    binary = torch.where(to_unit(data.pixels) > 0, 1.0, -1.0).double()
    bounds = [importance_bound(model.networks, binary, data.labels, torch.arange(48), k, 0).mean() for k in (1, 50)]
    assert bounds[0] < bounds[1] < 0, "a bound of a probability"


# -- resume ----------------------------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from aigc_core.config import parse
from aigc_core.paths import Paths
from aigc_core.stages.train import train
train(parse({config!r}), Paths(Path({root!r})), {family!r})
"""


def start_training(config: Config, paths: Paths, family: str) -> subprocess.Popen[bytes]:
    code = KILLED.format(config=config.model_dump(), root=str(paths.root), family=family)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)


def wait_for_checkpoint(process: subprocess.Popen[bytes], paths: Paths) -> None:
    deadline = time.monotonic() + 600
    while not list(paths.work.rglob(checkpoint.PATTERN)):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "no checkpoint within ten minutes"
        time.sleep(0.002)


@pytest.mark.parametrize("family", FAMILIES)
def test_killed_and_resumed_equals_never_killed(family, tmp_path, monkeypatch):
    config = settings(
        gan={"steps": 600}, vae={"steps": 600}, flow={"steps": 600}, checkpoint_every=50, log_every=30, grid_every=5000
    )
    unbroken = curated(tmp_path / "unbroken")
    train(config, unbroken, family)
    killed = curated(tmp_path / "killed")
    process = start_training(config, killed, family)
    wait_for_checkpoint(process, killed)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not killed.model(family).exists(), "nothing half-written"
    (place,) = killed.work.rglob(checkpoint.PATTERN)
    done = checkpoint.load(place.parent)["step"]
    trainer = steps.trainers[family]
    calls, step = [], trainer.step
    monkeypatch.setattr(trainer, "step", lambda *arguments: calls.append(1) or step(*arguments))
    train(config, killed, family)
    assert 0 < done < 600
    assert len(calls) == 600 - done, "it went on from the checkpoint"
    assert folder_bytes(killed.model(family)) == folder_bytes(unbroken.model(family))


def test_a_checkpoint_of_other_settings_or_data_is_not_resumed(tmp_path, monkeypatch):
    paths, config = curated(tmp_path / "a"), settings()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 12)
        train(config, paths, "gan")
    assert list(paths.work.rglob(checkpoint.PATTERN))
    other = config.model_copy(update={"seed": 1})
    train(other, paths, "gan")
    fresh = curated(tmp_path / "b")
    train(other, fresh, "gan")
    assert folder_bytes(paths.model("gan")) == folder_bytes(fresh.model("gan"))


@pytest.mark.parametrize("changed", ["source_digest", "threads.count"])
def test_a_checkpoint_of_other_code_or_threads_is_left_aside_and_named(changed, tmp_path, monkeypatch, capsys):
    paths = curated(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 12)
        train(settings(), paths, "gan")
    (place,) = paths.work.rglob(checkpoint.PATTERN)
    calls, step = [], steps.GanTrainer.step
    monkeypatch.setattr(steps.GanTrainer, "step", lambda *arguments: calls.append(1) or step(*arguments))
    monkeypatch.setattr(f"aigc_core.training.session.{changed}", lambda *_: 5)
    train(settings(), paths, "gan")
    assert len(calls) == 20
    assert checkpoint.short(place) in capsys.readouterr().err


def test_a_model_says_how_many_threads_computed_it(tmp_path):
    paths = curated(tmp_path)
    train(settings(), paths, "gan")
    assert read_json(paths.model("gan") / "model.json")["threads"] == torch.get_num_threads()


def test_changed_log_distance_after_an_interruption_leaves_an_even_curve(tmp_path, monkeypatch):
    paths = curated(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 12)
        train(settings(log_every=5), paths, "gan")
    train(settings(log_every=4), paths, "gan")
    lines = (paths.model("gan") / "curve.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["4", "8", "12", "16", "20"]


def test_a_broken_checkpoint_says_what_to_do(tmp_path):
    (tmp_path / "step-00000005.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"step-00000005\.pt is not a readable checkpoint: remove that file"):
        checkpoint.load(tmp_path)


def test_a_checkpoint_never_runs_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"step": Evil()}, tmp_path / "step-00000005.pt")
    with pytest.raises(TrainingError):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "ran").exists()


# -- bad input -------------------------------------------------------------------------------------------------


def test_fewer_rows_than_a_batch(tmp_path):
    paths = curated(tmp_path, per_class=3)
    with pytest.raises(DataError, match=r"12 training rows are fewer than one batch of 16.*train\.batch_size"):
        train(settings(), paths, "gan")
    assert not paths.model("gan").exists()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("labelled", "classes", "told"), [(True, ("a",), "of 1 class"), (False, ("",), "without labels")]
)
def test_one_class_or_none_trains_and_samples(family, labelled, classes, told, tmp_path):
    paths = curated(tmp_path, classes="a" if labelled else "abcd", per_class=40, labelled=labelled)
    result = train(settings(**{family: {"steps": 3}}), paths, family)
    assert f"on {40 if labelled else 160} rows {told};" in result.summary
    model = load_model(paths.model(family))
    assert model.spec.classes == classes
    assert model.sample(torch.zeros(5, dtype=torch.int64), seed=0).shape == (5, 1, 8, 8)
    assert generate(paths, family, None, 2, 0, tmp_path / "out", allow_memorized=True).metrics == {"images": 2}
    name = f"{family}-a-0001.png" if labelled else f"{family}-0001.png"
    assert (tmp_path / "out" / name).exists()
    with pytest.raises(ConfigError, match="no label 'q'" if labelled else "learnt without labels: leave --label q out"):
        generate(paths, family, "q", 2, 0, tmp_path / "out", allow_memorized=True)


def test_without_labels_what_needs_classes_says_so_and_the_rest_goes_on(tmp_path):
    paths, config = curated(tmp_path, labelled=False), settings()
    why = (
        "not run: pre-training on other classes (pretrain.source.kind: same) needs at least two classes, and this data has "
        "no labels"
    )
    for stage in (pretrain, finetune, evaluate_finetune):
        assert stage(config, paths, "gan").summary == why
    assert read_json(paths.evaluation_finetune("gan") / "metrics.json") == {}
    assert "needs at least two classes" in ablate(config, paths).summary
    assert read_json(paths.ablation / "ledger.json")["ran"] is False
    # Another source has classes to learn from, and the target is then some of the rows.
    (tmp_path / "other/x").mkdir(parents=True)
    for index in range(20):
        pixels = np.random.default_rng(index).integers(0, 255, (8, 8, 1)).astype(np.uint8)
        (tmp_path / f"other/x/{index}.png").write_bytes(image.encode_png(pixels))
    source = config.pretrain.source.model_copy(update={"kind": "folder", "path": "other"})
    config = config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"source": source})})
    few = config.finetune.model_copy(update={"per_class": 20})
    config = config.model_copy(update={"finetune": few})
    pretrain(config, paths, "gan")
    finetune(config, paths, "gan")
    assert load_model(paths.finetuned("gan") / "tuned").spec.classes == ("",)
    assert len(read_json(paths.finetuned("gan") / "target.json")["ids"]) == 20


def test_no_class_at_all_is_refused():
    with pytest.raises(DataError, match="no class is chosen"):
        session.spec_of(settings(), "vae", {"size": 8, "channels": 1}, [])


def test_a_missing_version_names_what_to_run(tmp_path):
    with pytest.raises(DataError, match="dvc repro"):
        train(settings(), Paths(tmp_path), "gan")


def test_a_missing_device_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # on any machine
    with pytest.raises(ConfigError, match="this machine has no usable CUDA device: use auto or cpu"):
        train(settings(device="cuda"), curated(tmp_path), "gan")


# -- pretrain and finetune -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_pretrain_and_finetune_split_the_classes(family, tmp_path):
    paths, config = curated(tmp_path), settings()
    pretrain(config, paths, family)
    assert load_model(paths.pretrained(family)).spec.classes == ("a", "b")
    finetune(config, paths, family)
    tuned, scratch = (load_model(paths.finetuned(family) / name) for name in ("tuned", "scratch"))
    assert tuned.spec.classes == scratch.spec.classes == ("c", "d")
    assert tuned.card["step"] == scratch.card["step"] == 10
    assert tuned.card["weights_sha256"] != scratch.card["weights_sha256"]
    target = read_json(paths.finetuned(family) / "target.json")
    assert target["classes"] == ["c", "d"]
    assert target["per_class"] == 8
    assert len(set(target["ids"])) == 16
    assert not list(paths.work.rglob("*.pt"))


def test_the_small_target_keeps_its_rows_when_others_go(tmp_path):
    version = Version.open(curated(tmp_path).curated)
    chosen = small_target(version, ["c", "d"], 4, seed=0)
    assert [chosen.labels.tolist().count(label) for label in (0, 1)] == [4, 4]
    assert small_target(version, ["c", "d"], 4, seed=1).ids != chosen.ids
    assert set(chosen.ids) < set(small_target(version, ["c", "d"], 6, seed=0).ids)
    assert set(small_target(version, ["c"], 4, seed=0).ids) < set(chosen.ids)


def test_unknown_classes_are_answered_with_the_known_ones(tmp_path):
    paths = curated(tmp_path)
    config = settings()
    wrong = config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"classes": ["a", "q"]})})
    with pytest.raises(ConfigError, match=r"pretrain\.classes names 'q'.*a, b, c, d"):
        pretrain(wrong, paths, "gan")


def test_a_second_source_is_fitted_and_what_cannot_be_read_is_counted(tmp_path):
    paths = curated(tmp_path)
    chance = np.random.default_rng(1)
    for name in ("x", "y"):
        folder = tmp_path / "other" / name
        folder.mkdir(parents=True)
        for index in range(10):
            pixels = chance.integers(0, 255, (24, 30, 3)).astype(np.uint8)
            (folder / f"{index}.png").write_bytes(image.encode_png(pixels))
    (tmp_path / "other/x/broken.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "other/flat.png").write_bytes(b"")  # without a class it is not even read
    (tmp_path / "other/test/x").mkdir(parents=True)
    (tmp_path / "other/test/x/1.png").write_bytes(b"\x89PNG broken")
    config = settings()
    source = config.pretrain.source.model_copy(update={"kind": "folder", "path": "other"})
    config = config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"source": source})})
    result = pretrain(config, paths, "vae")
    assert "20 rows" in result.summary
    assert "1 files that cannot be decoded" in result.summary
    spec = load_model(paths.pretrained("vae")).spec
    assert spec.classes == ("x", "y")
    assert (spec.size, spec.channels) == (8, 1)


# -- the engine's parts ----------------------------------------------------------------------------------------


def test_ema_follows_a_hand_worked_average():
    average, model = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(average.weight, 0.0)
    torch.nn.init.constant_(model.weight, 1.0)
    ema.update(average, model, decay=0.9, step=10_000)
    assert average.weight.item() == pytest.approx(0.1)
    ema.update(average, model, decay=0.9, step=10_000)
    assert average.weight.item() == pytest.approx(0.19)
    ema.update(average, model, decay=0.9, step=0)
    assert average.weight.item() > 0.9, "a young average follows quickly"


BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dagster", "dvc", "mlflow", "great_expectations", "albumentations"):
            raise ModuleNotFoundError("No module named " + name, name=name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from aigc_core.config import parse
from aigc_core.paths import Paths
from aigc_core.stages.train import train
print(train(parse({config!r}), Paths(Path({root!r})), "gan").summary)
"""


@pytest.mark.parametrize("tracking", [False, True])
def test_training_needs_none_of_the_platforms(tracking, tmp_path):
    paths = curated(tmp_path / "checkout")
    config = settings(gan={"steps": 4})
    config = config.model_copy(update={"tracking": config.tracking.model_copy(update={"enabled": tracking})})
    code = BLOCKED.format(config=config.model_dump(), root=str(paths.root))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 steps on 48 rows" in done.stdout
    assert ("mlflow is not installed" in done.stderr) == tracking
    assert (paths.model("gan") / "model.safetensors").exists()
    shutil.rmtree(paths.root)

"""Fine-tuning: what is carried over, what each mode holds still, and that a resumed training holds it again."""

import pytest
import torch
from safetensors.torch import load_file
from training_data import curated, folder_bytes, settings, stop_after

from aigc_core.config import Config, parse
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import read_json
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.stages.finetune import finetune
from aigc_core.stages.pretrain import pretrain
from aigc_core.training import session, steps
from aigc_core.training.trainer import Batch
from aigc_core.training.transfer import GENERATOR, Start, begin, settle

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = {"size": 8, "channels": 1}


def with_(config: Config, **sections: dict) -> Config:
    raw = config.model_dump()
    for name, values in sections.items():
        raw[name] = {**raw[name], **values}
    return parse(raw)


def trainer_of(family: str, classes: str = "ab", seed: int = 0, config: Config | None = None):
    config = config or settings()
    spec = session.spec_of(config, family, IMAGE, list(classes))
    return steps.build(spec, config.train, torch.device("cpu"), seed)


def tuned(paths: Paths, family: str) -> dict[str, torch.Tensor]:
    return load_file(paths.finetuned(family) / "tuned" / "model.safetensors")


def run_both(paths: Paths, config: Config, family: str) -> tuple[dict, dict]:
    """Weights before and after fine-tuning."""
    pretrain(config, paths, family)
    finetune(config, paths, family)
    return load_file(paths.pretrained(family) / "model.safetensors"), tuned(paths, family)


# -- modes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "held"), [(8, "head.0"), (20, "trunk.0")], ids=["mlp", "conv"])
def test_freeze_discriminator_trains_all_but_its_lower_layers(size, held, tmp_path):
    config = with_(settings(), finetune={"mode": "freeze_discriminator", "frozen_layers": 2, "steps": 4})
    before, after = run_both(curated(tmp_path, size=size), config, "gan")
    second = {"head.0": "head.2", "trunk.0": "trunk.2"}[held]
    frozen = {f"discriminator.analysis.{layer}.{part}" for layer in (held, second) for part in ("weight", "bias")}
    tables = {"discriminator.label.weight", "generator.label.weight"}
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert same == frozen
    assert set(after) == set(before) > tables
    card = read_json(Paths(tmp_path).finetuned("gan") / "tuned" / "model.json")
    assert card["start"] == {
        "mode": "freeze_discriminator", "frozen_layers": 2, "classes_carried": [], "not_carried": sorted(tables)
    }  # fmt: skip


@pytest.mark.parametrize("family", GENERATOR)
@pytest.mark.parametrize("size", [8, 20])
def test_scale_shift_moves_weights_along_themselves_alone(family, size, tmp_path):
    quick = {family: {"steps": 4, "learning_rate": 0.01}}
    config = with_(settings(**quick), finetune={"mode": "scale_shift", "steps": 4})
    before, after = run_both(curated(tmp_path, size=size), config, family)
    part, moved = GENERATOR[family], 0
    assert set(after) == set(before), "what is saved are plain weights"
    start = read_json(Paths(tmp_path).finetuned(family) / "tuned" / "model.json")["start"]
    assert (start["mode"], start["scale_shift_rate"]) == ("scale_shift", config.finetune.scale_shift_rate)
    for name, value in after.items():
        inside = name.startswith(f"{part}.") and name.endswith("weight") and ".label." not in name
        if inside and value.dim() in (2, 4):
            old, new = before[name].flatten(1), value.flatten(1)
            factor = (new * old).sum(1) / (old * old).sum(1)
            torch.testing.assert_close(new, factor[:, None] * old, rtol=1e-4, atol=1e-6)
            moved += int(((factor - 1).abs() > 1e-6).sum())
        else:
            assert not torch.equal(value, before[name]), name
    assert moved > 10, "the factors were trained"
    assert load_model(Paths(tmp_path).finetuned(family) / "tuned").sample(torch.tensor([0, 1]), seed=0).shape[0] == 2


@pytest.mark.parametrize(
    ("family", "mode"),
    [("gan", "freeze_discriminator"), ("gan", "scale_shift"), ("vae", "scale_shift"), ("flow", "scale_shift")],
)
def test_a_killed_fine_tuning_goes_on_holding(family, mode, tmp_path, monkeypatch):
    config = with_(settings(gan={"steps": 20, "spectral_norm": True}), finetune={"mode": mode, "steps": 12})
    unbroken, broken = curated(tmp_path / "a"), curated(tmp_path / "b")
    run_both(unbroken, config, family)
    pretrain(config, broken, family)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.trainers[family], 8)
        finetune(config, broken, family)
    calls, step = [], steps.trainers[family].step
    monkeypatch.setattr(steps.trainers[family], "step", lambda *given: calls.append(1) or step(*given))
    finetune(config, broken, family)
    assert len(calls) == 12 - 5 + 12, "from the checkpoint of step 5, then the arm from scratch"
    assert folder_bytes(broken.finetuned(family)) == folder_bytes(unbroken.finetuned(family))


def test_a_checkpoint_of_another_mode_is_not_resumed(tmp_path, monkeypatch):
    paths, config = curated(tmp_path / "a"), settings()
    pretrain(config, paths, "gan")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 8)
        finetune(config, paths, "gan")
    other = with_(config, finetune={"mode": "scale_shift"})
    finetune(other, paths, "gan")
    fresh = curated(tmp_path / "b")
    run_both(fresh, other, "gan")
    assert folder_bytes(paths.finetuned("gan")) == folder_bytes(fresh.finetuned("gan"))


def test_modes_by_family_and_what_a_family_cannot(tmp_path):
    paths, config = curated(tmp_path), settings()
    config = with_(config, finetune={"mode": {"gan": "freeze_discriminator"}})
    run_both(paths, config, "vae")
    assert read_json(paths.finetuned("vae") / "tuned" / "model.json")["start"]["mode"] == "full"
    with pytest.raises(ConfigError, match=r"freezes the discriminator, which the vae does not have.*mode: \{gan:"):
        finetune(with_(config, finetune={"mode": "freeze_discriminator"}), paths, "vae")
    pretrain(config, paths, "gan")
    with pytest.raises(ConfigError, match=r"frozen_layers = 4, but the discriminator has 4 layers"):
        finetune(with_(config, finetune={"frozen_layers": 4}), paths, "gan")
    assert not paths.finetuned("gan").exists()


# -- what is carried over --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", GENERATOR)
def test_label_rows_go_by_the_name_of_the_class(family):
    source, target = trainer_of(family, "abc", seed=0), trainer_of(family, "dca", seed=1)
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    given = source.model.state_dict()
    facts = begin(target, Start(given, ("a", "b", "c")))
    assert facts == {
        "mode": "full", "classes_carried": ["c", "a"], "not_carried": ["decoder.log_spread"] if family == "vae" else []
    }  # fmt: skip
    after = target.model.state_dict()
    for name in target.model.label_tensors():
        assert torch.equal(after[name][0], before[name][0]), "a class that the source does not know starts anew"
        assert torch.equal(after[name][1:], given[name][[2, 0]])
    for name in set(after) - target.model.label_tensors() - set(facts["not_carried"]):
        assert torch.equal(after[name], given[name]), name
    live = target.state().get(GENERATOR[family])
    if live is not None:
        average = getattr(target.model, GENERATOR[family]).state_dict()
        assert all(torch.equal(value, average[name]) for name, value in live.state_dict().items())


def test_the_spread_of_a_vae_is_learnt_anew():
    source, target = trainer_of("vae"), trainer_of("vae", "cd", seed=1)
    with torch.no_grad():
        source.model.decoder.log_spread.fill_(-2.0)
    facts = begin(target, Start(source.model.state_dict(), ("a", "b")))
    assert target.model.decoder.log_spread == 0
    assert "decoder.log_spread" in facts["not_carried"]


def test_networks_of_another_size_are_refused():
    small = with_(settings(), train={"network": {"latent": 4, "mlp_width": 16, "conv_width": 8}})
    source = trainer_of("gan", config=small).model.state_dict()
    with pytest.raises(DataError, match=r"of [\d,]+ numbers only 65 of the pre-trained model fit"):  # biases
        begin(trainer_of("gan"), Start(source, ("a", "b")))


def test_settling_changes_no_sample():
    trainer = trainer_of("gan", "cd", seed=1)
    begin(trainer, Start(trainer_of("gan").model.state_dict(), ("a", "b"), "scale_shift"))
    noise, labels = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1, 0])
    with torch.no_grad():
        for weight in trainer.model.generator.parameters():
            weight.mul_(1.5)
        before = trainer.model.generate(noise, labels)
        settle(trainer)
        assert torch.equal(trainer.model.generate(noise, labels), before)
    assert set(trainer.model.state_dict()) == set(trainer_of("gan").model.state_dict())


def test_the_average_starts_at_the_loaded_weights_and_leaves_them_soon():
    """Kept for the whole horizon of .999, which is 1,000 steps, a short training would still show the other classes."""
    source, target = trainer_of("gan"), trainer_of("gan", "cd", seed=1)
    given = source.model.state_dict()
    begin(target, Start(given, ("a", "b")))
    average, live = target.gan.generator, target.generator
    start = [weight.detach().clone() for weight in average.parameters()]
    assert all(
        torch.equal(given[f"generator.{name}"], value)
        for name, value in average.state_dict().items()
        if "label" not in name
    )
    chance = torch.Generator().manual_seed(0)
    for step in range(120):
        images = torch.rand((8, 1, 8, 8), generator=chance) * 2 - 1
        target.step(Batch(images, torch.tensor([0, 1] * 4), torch.arange(8)), chance, step)

    def distance(first, second):
        return sum((a - b).square().sum() for a, b in zip(first, second, strict=True)) ** 0.5

    with torch.no_grad():
        moved, behind = distance(live.parameters(), start), distance(live.parameters(), average.parameters())
    assert behind < 0.3 * moved


# -- other sources ---------------------------------------------------------------------------------------------


def test_the_embedded_digits_are_a_source(tmp_path):
    paths = curated(tmp_path, classes="0123", size=12)
    config = with_(settings(), pretrain={"source": {"kind": "digits", "limit": 60}})
    pretrain(config, paths, "gan")
    card = read_json(paths.pretrained("gan") / "model.json")
    assert (card["size"], card["rows"], card["classes"]) == (12, 60, [str(digit) for digit in range(10)])
    finetune(config, paths, "gan")
    start = read_json(paths.finetuned("gan") / "tuned" / "model.json")["start"]
    assert start == {"mode": "full", "classes_carried": ["2", "3"], "not_carried": []}


@pytest.mark.parametrize(("family", "part"), [("gan", "generator"), ("vae", "decoder"), ("flow", "velocity")])
def test_what_scale_and_shift_train_moves_faster(family, part):
    """The rate is that of every number of the generator that is trained, and of no other."""
    given, rate = trainer_of(family).model.state_dict(), 30.0
    trainer = trainer_of(family, "cd", seed=1)
    usual = {group["lr"] for optimizer in trainer.optimizers.values() for group in optimizer.param_groups}
    begin(trainer, Start(given, ("a", "b"), "scale_shift", scale_shift_rate=rate))
    network = trainer.state().get(part, getattr(trainer.model, part))
    inside = {name for name, value in network.named_parameters() if value.requires_grad}
    names = {value: name for name, value in network.named_parameters()}
    rates = {
        weight: group["lr"] / usual.copy().pop()
        for optimizer in trainer.optimizers.values()
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    swift = {names[weight] for weight, found in rates.items() if found == pytest.approx(rate)}
    plain = {name for name in inside - swift if rates[dict(network.named_parameters())[name]] == pytest.approx(1)}
    assert swift | plain == inside
    assert plain <= {"log_spread", "unlabelled"}
    assert all(found == pytest.approx(1) for weight, found in rates.items() if weight not in names)
    assert all(group["params"] for optimizer in trainer.optimizers.values() for group in optimizer.param_groups)

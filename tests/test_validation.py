"""Validation on rows put aside: the best state is kept, training may end early, and a kill changes nothing."""

import pytest
import torch
from test_training import start_training, wait_for_checkpoint
from training_data import curated, folder_bytes, settings, stop_after

from aigc_core.errors import DataError
from aigc_core.files import read_json
from aigc_core.models.zoo import load_model
from aigc_core.stages.train import train, training_job
from aigc_core.training import checkpoint, steps
from aigc_core.training.validation import Validation, measures, put_aside

FAMILIES = ("vae", "gan", "flow")
ON = {"validate_every": 5, "validation_share": 0.4}
pytestmark = pytest.mark.usefixtures("one_thread")


def points(folder) -> list[tuple[int, float]]:
    rows = (folder / "validation.csv").read_text().splitlines()
    return [(int(step), float(value)) for step, value in (row.split(",") for row in rows[1:])]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_state_is_the_model_and_a_kill_changes_nothing(family, tmp_path, monkeypatch):
    config, unbroken, broken = settings(**ON), curated(tmp_path / "a"), curated(tmp_path / "b")
    told, look = [], Validation.look

    def falling_then_rising(self, model, step):  # best at step 10
        self._measure = lambda model: abs(step - 10.0)
        told.append({name: value.clone() for name, value in model.state_dict().items()})
        return look(self, model, step)

    with monkeypatch.context() as patch:
        patch.setattr(Validation, "look", falling_then_rising)
        train(config, unbroken, family)
        with monkeypatch.context() as deeper, pytest.raises(KeyboardInterrupt):
            stop_after(deeper, steps.trainers[family], 17)
            train(config, broken, family)
        train(config, broken, family)
    assert folder_bytes(broken.model(family)) == folder_bytes(unbroken.model(family))
    assert points(unbroken.model(family)) == [(5, 5), (10, 0), (15, 5), (20, 10)]
    card = read_json(unbroken.model(family) / "model.json")
    aside = card["validation"]["rows"]
    assert (card["step"], card["rows"] + aside, card["validation"]["trained"]) == (10, 48, 20)
    assert 12 <= aside <= 26
    saved = load_model(unbroken.model(family)).networks.state_dict()
    assert all(torch.equal(value.float(), told[1][name]) for name, value in saved.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_measure_falls_while_a_model_learns_and_is_the_same_twice(family, tmp_path):
    paths = curated(tmp_path)
    config = settings(**{**ON, "validate_every": 60, family: {"steps": 180, "learning_rate": 0.002}})
    train(config, paths, family)
    found = points(paths.model(family))
    assert found[-1][1] < found[0][1]
    data = training_job(config, paths, family).data
    name, measure = measures[family](data, data.pixels, 0)
    model = load_model(paths.model(family)).networks.float()
    assert measure(model) == measure(model)
    assert name == {"gan": "validation_fd"}.get(family, "validation_loss")


def test_training_ends_when_patience_does(tmp_path, monkeypatch):
    paths, look = curated(tmp_path), Validation.look

    def rising(self, model, step):
        self._measure = lambda model: float(step)
        return look(self, model, step)

    monkeypatch.setattr(Validation, "look", rising)
    result = train(settings(**ON, patience=2), paths, "vae")
    assert points(paths.model("vae")) == [(5, 5), (10, 10), (15, 15)]
    card = read_json(paths.model("vae") / "model.json")
    assert (card["step"], card["validation"]["trained"]) == (5, 15)
    assert "15 steps on" in result.summary
    assert (paths.model("vae") / "curve.csv").read_text().splitlines()[-1].startswith("15,")


def test_killed_with_a_signal_it_goes_on_with_the_best_state(tmp_path):
    config = settings(
        vae={"steps": 400}, **{**ON, "validate_every": 20}, checkpoint_every=50, log_every=50, grid_every=5000
    )
    unbroken, killed = curated(tmp_path / "a"), curated(tmp_path / "b")
    train(config, unbroken, "vae")
    process = start_training(config, killed, "vae")
    wait_for_checkpoint(process, killed)
    process.kill()
    process.wait()
    process.stderr.close()
    (place,) = {path.parent for path in killed.work.rglob(checkpoint.PATTERN)}
    state = checkpoint.load(place)
    assert state["validation"]["best"]["step"] <= state["step"]
    train(config, killed, "vae")
    assert folder_bytes(killed.model("vae")) == folder_bytes(unbroken.model("vae"))


def test_rows_are_put_aside_by_their_own_hash_and_copies_go_with_them(tmp_path):
    ids = [f"row{number}" for number in range(2000)]
    aside = put_aside(ids, 0.2, {})
    assert 330 < int(aside.sum()) < 470
    assert torch.equal(put_aside(ids[1000:], 0.2, {}), aside[1000:]), "whatever stands beside a row"
    copies = {f"copy of {identity}": identity for identity in ids}
    assert torch.equal(put_aside(list(copies), 0.2, copies), aside)
    data = training_job(settings(), curated(tmp_path), "vae").data
    data.ids[1] = "a copy"
    asked = {"every": 1, "share": 0.4, "patience": None, "seed": 0}
    found = Validation("vae", data, origins={"a copy": data.ids[0]}, **asked)
    alone = put_aside(data.ids[:1], 0.4, {})
    assert (1 in found.learnt) == (not bool(alone[0]))
    assert not set(found.learnt.tolist()) & set(
        put_aside(data.ids, 0.4, {"a copy": data.ids[0]}).nonzero().flatten().tolist()
    )


def test_too_few_rows_put_aside_are_said(tmp_path):
    with pytest.raises(
        DataError, match=r"train\.validation_share = 0\.1 puts \d+ of 48 training rows aside.* needs 16"
    ):
        train(settings(validate_every=5), curated(tmp_path), "gan")

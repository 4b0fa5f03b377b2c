"""The final model: the released one on every kept row but the reference, and what is said where there is none."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
import torch
from training_data import curated, folder_bytes, settings, stop_after
from typer.testing import CliRunner

from aigc_core import cli
from aigc_core.commands.explain import learnt_from
from aigc_core.commands.generate import generate, verify
from aigc_core.config import Config
from aigc_core.data.store import Version, write_version
from aigc_core.errors import DataError, GateError
from aigc_core.files import read_json, write_json, write_table
from aigc_core.modalities import provenance
from aigc_core.models.zoo import load_model
from aigc_core.paths import FAMILIES, Paths
from aigc_core.records import VERDICT_SCHEMA
from aigc_core.stages.choose import choose
from aigc_core.stages.final import final
from aigc_core.stages.train import train
from aigc_core.training import steps

pytestmark = pytest.mark.usefixtures("one_thread")


def divided(root, per_class: int = 56) -> Paths:
    """A curated version with all three splits, and verdicts that name one reference row as the twin of a test row."""
    paths = curated(root, per_class=per_class)
    version = Version.open(paths.curated)
    parts = ["reference", "train", "train", "test"]
    splits = [parts[place % 4] for place in range(version.rows.num_rows)]
    rows = version.rows.set_column(version.rows.schema.get_field_index("split"), "split", pa.array(splits, pa.string()))
    image, place = version.card.image, paths.curated
    write_version(place, rows, operation="curate", parameters={}, parent=None, content=["../content"], image=image)
    version = Version.open(paths.curated)
    first = {split: version.select(split)["id"][0].as_py() for split in parts}
    twin = {
        "id": first["reference"],
        "source": "x",
        "reason": "leak",
        "action": "inform",
        "measure": "correlation",
        "cluster": first["test"],
    }
    write_table(paths.verdicts / "part-0.parquet", pa.Table.from_pylist([twin], VERDICT_SCHEMA))
    return paths


def judged(paths: Paths, config: Config, **passed: bool) -> None:
    """Both families trained, and the gate's answer to each."""
    for number, family in enumerate(FAMILIES):
        train(config, paths, family)
        details = paths.evaluation(family) / "details"
        weights = read_json(paths.model(family) / "model.json")["weights_sha256"]
        write_json(details / "facts.json", {"model_sha256": weights})
        good = passed[family]
        write_json(details / "memorization.json", {"passed": good, "reasons": [] if good else ["It copies."]})
        write_json(paths.evaluation(family) / "metrics.json", {"fd_over_floor": 2.0 - number, "fd": 1.0})
    choose(config, paths)


@pytest.fixture
def paths(tmp_path) -> Iterator[Paths]:
    return divided(tmp_path)


def test_it_learns_from_training_and_test_rows_and_never_from_the_reference(paths):
    config = settings()
    judged(paths, config, vae=False, gan=True)
    result = final(config, paths)
    version = Version.open(paths.curated)
    facts, card = (read_json(paths.final / f"{name}.json") for name in ("final", "model"))
    assert facts["rows"] == card["rows"] == version.select("train").num_rows + version.select("test").num_rows == 168
    assert card["step"] == read_json(paths.model("gan") / "model.json")["step"]
    assert card["evaluated_model_sha256"] == read_json(paths.model("gan") / "model.json")["weights_sha256"]
    assert card["weights_sha256"] != card["evaluated_model_sha256"]
    assert facts["evaluated"] == {"fd_over_floor": 1.0, "fd": 1.0}
    assert "not evaluated on held-out rows" in facts["note"]
    assert "gan: retrained for 20 steps on all 168 rows but the reference" in result.summary
    copies = read_json(paths.final / "memorization.json")
    assert copies["figures"]["held_out"] == 55, "56 reference rows, one of them the twin of a test row"
    learnt = {row["id"] for row in version.rows.to_pylist() if row["split"] != "reference"}
    assert {pair["train_id"] for pair in copies["closest"]} <= learnt
    (check,) = read_json(paths.final / "checks.json")["checks"]
    assert (check["name"], check["passed"]) == ("final_memorization", copies["passed"])
    assert learnt_from(paths, card["weights_sha256"]) == ["train", "test"]
    assert learnt_from(paths, "another") == ["train"]


def test_of_two_released_families_the_nearer_one_is_taken_and_two_runs_are_the_same(paths, tmp_path, monkeypatch):
    config = settings()
    judged(paths, config, vae=True, gan=True)
    final(config, paths)
    assert read_json(paths.final / "final.json")["family"] == "gan"
    first = folder_bytes(paths.final)
    assert load_model(paths.final).sample(torch.tensor([0, 1]), seed=0).shape == (2, 1, 8, 8)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps.GanTrainer, 12)
        final(config, paths)
    final(config, paths)
    assert folder_bytes(paths.final) == first


def test_where_nothing_was_released_a_card_says_so_and_generate_refuses(paths, tmp_path):
    config = settings()
    with pytest.raises(DataError, match="there is no trained vae yet: run `aigc train vae`"):
        choose(config, paths)
    with pytest.raises(DataError, match="run `aigc choose`"):
        final(config, paths)
    judged(paths, config, vae=False, gan=False)
    final(config, paths)
    assert sorted(path.name for path in paths.final.iterdir()) == ["checks.json", "final.json"]
    why = "the vae is withheld (It copies); the gan is withheld (It copies)"
    assert read_json(paths.final / "final.json") == {"made": False, "why": why}
    assert not read_json(paths.final / "checks.json")["checks"][0]["passed"]
    with pytest.raises(GateError, match=r"no final model to generate with: the vae is withheld \(It copies\)"):
        generate(paths, "final", None, 2, 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    train(config.model_copy(update={"seed": 1}), paths, "gan")
    with pytest.raises(DataError, match=r"trained again since .*: run `aigc evaluate gan` first"):
        choose(config, paths)


def test_the_choice_and_the_final_model_are_blind_to_a_family_that_is_not_released(paths):
    config = settings()
    judged(paths, config, vae=False, gan=True)
    chosen = paths.release.read_bytes()
    judged(paths, settings(vae={"steps": 30}), vae=False, gan=True)
    assert paths.release.read_bytes() == chosen
    # The released family is trained as it was when it was judged.
    final(settings(gan={"learning_rate": 0.5}, vae={"steps": 30}), paths)
    first = folder_bytes(paths.final)
    final(config, paths)
    assert folder_bytes(paths.final) == first


def test_switched_off_it_makes_nothing(paths):
    config = settings()
    judged(paths, config, vae=False, gan=True)
    off = config.model_copy(update={"final": config.final.model_copy(update={"enabled": False})})
    assert "final.enabled is false" in final(off, paths).summary
    assert not (paths.final / "model.json").exists()


def test_generate_takes_it_by_name_and_asks_its_own_check(paths, tmp_path, monkeypatch):
    config = settings()
    with pytest.raises(DataError, match="there is no final model yet: run `aigc final`"):
        generate(paths, "final", None, 2, 0, tmp_path / "out")
    judged(paths, config, vae=False, gan=True)
    final(config, paths)
    facts = read_json(paths.final / "final.json")
    write_json(paths.final / "final.json", facts | {"memorization": "failed", "reasons": ["It copies."]})
    with pytest.raises(
        GateError, match=r"did not pass its memorization check \(It copies\): generate with `--model gan`"
    ):
        generate(paths, "final", None, 2, 0, tmp_path / "out")
    write_json(paths.final / "final.json", facts | {"memorization": "passed", "reasons": []})
    (tmp_path / "params.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(
        cli.app, ["generate", "--model", "final", "-n", "2", "--out", "out"], catch_exceptions=False
    )
    assert result.exit_code == 0
    mark = provenance.read((tmp_path / "out/final-b-0001.png").read_bytes()).mark
    card = read_json(paths.final / "model.json")
    assert (mark.family, mark.model_sha256, mark.memorization) == ("gan", card["weights_sha256"], "passed")
    assert "unchanged" in verify(tmp_path / "out/final-a-0000.png").summary


def test_too_few_reference_rows_leave_the_question_open(tmp_path):
    paths, config = divided(tmp_path, per_class=20), settings()
    judged(paths, config, vae=False, gan=True)
    final(config, paths)
    facts = read_json(paths.final / "final.json")
    assert facts["memorization"] == "unknown"
    assert facts["reasons"] == ["fewer than 50 reference rows are no copies of what the model learnt from"]
    with pytest.raises(GateError, match="did not pass its memorization check"):
        generate(paths, "final", None, 2, 0, tmp_path / "out")

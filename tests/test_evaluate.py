"""extractor, evaluate and evaluate_finetune on a tiny made-up version with made-up models."""

import contextlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from aigc_core.config import Config
from aigc_core.data.loader import load_images
from aigc_core.data.splits import assign_split
from aigc_core.data.store import ContentWriter, Version, write_version
from aigc_core.errors import ConfigError, DataError
from aigc_core.evaluation.comparability import identity_digest
from aigc_core.evaluation.compare import Real, Setting, Yardstick
from aigc_core.evaluation.features import Recipe, load_extractor, train_extractor
from aigc_core.evaluation.memorization import Limits
from aigc_core.evaluation.metrics import WITH_INTERVAL, frechet_distance
from aigc_core.evaluation.pictures import class_rows, nearest_training
from aigc_core.files import write_table
from aigc_core.modalities.image import RESIZE_MODE, encode_png
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, VERDICT_SCHEMA, row_id
from aigc_core.stages import evaluate as evaluate_stage
from aigc_core.stages import evaluate_finetune as finetune_stage
from aigc_core.stages.extractor import extractor as extractor_stage
from aigc_core.stages.parts.release import memorization_of
from aigc_core.tracking import Tracker
from aigc_core.training import held_out, independent

CLASSES = ["a", "b", "c"]
SPLITS = {"reference": 90, "train": 240, "test": 150}
LIMITS = Limits(alpha=0.01, max_copy_rate=0.03, max_closest=0.01, max_preference=2.5, cells=4)
SETTING = Setting(neighbours=5, floor_draws=4, max_samples=1000, seed=0, jackknife_groups=6, limits=LIMITS)


def draw(labels, chance):
    """A bright bar whose row says the class, its column and brightness vary: (N, 1, 8, 8) uint8."""
    pixels = chance.integers(0, 50, (len(labels), 1, 8, 8)).astype(np.uint8)
    for index, label in enumerate(labels):
        start = chance.integers(0, 4)
        pixels[index, 0, 1 + 2 * label, start : start + 5] += chance.integers(100, 200, dtype=np.uint8)
    return pixels


def tensors(n, seed):
    labels = np.arange(n) % 3
    return torch.from_numpy(draw(labels, np.random.default_rng(seed))), torch.from_numpy(labels)


def honest(labels, seed):
    """A sampler as good as the data."""
    return torch.from_numpy(draw(labels.tolist(), np.random.default_rng(seed + 100)))


def one_class(labels, seed):
    """A sampler that draws nothing but class a."""
    return honest(torch.zeros_like(labels), seed)


RECIPE = Recipe(dimensions=8, steps=80, batch_size=32, learning_rate=0.003)


@pytest.fixture(scope="module")
def yardstick():
    extractor = train_extractor(*tensors(90, 0), CLASSES, RECIPE, seed=0, device="cpu")
    return Yardstick(extractor, Real(CLASSES, *tensors(240, 1), *tensors(150, 2)), SETTING)


def test_an_honest_sampler_is_near_the_floor_and_a_collapsed_one_is_not(yardstick):
    good, bad = yardstick.judge(honest), yardstick.judge(one_class)
    extractor, test = yardstick.extractor, yardstick.test_features
    # One set of 150 in few effective dimensions says little: the floor is what such sets get in the middle.
    sets = [frechet_distance(test, extractor.features(honest(yardstick.test_labels, seed))) for seed in range(12)]
    assert 0.4 * yardstick.floor.fd < np.median(sets) < 2.5 * yardstick.floor.fd
    assert good.metrics["cas"] > good.metrics["cas_real"] - 0.05
    assert good.metrics["coverage"] > 0.85 * good.metrics["coverage_real"]
    assert bad.metrics["fd"] > 10 * good.metrics["fd"]
    assert bad.metrics["coverage"] < 0.5
    assert bad.metrics["clipped_coverage"] == pytest.approx(1 / 3, abs=0.05), "a third of the classes is there"
    assert bad.metrics["clipped_density"] > 0.9, "what is there is good"
    assert min(good.metrics["clipped_density"], good.metrics["clipped_coverage"]) > 0.85
    assert good.metrics["clipped_density_real"] == good.metrics["clipped_coverage_real"] == 1
    assert bad.metrics["cas"] < 0.6
    lines = {line["label"]: line for line in bad.per_class}
    assert lines["a"]["coverage"] > 0.6 > 0.3 > lines["b"]["coverage"]
    assert lines["c"]["agreement"] < 0.2 < 0.8 < lines["c"]["agreement_real"]


def test_metrics_are_flat_numbers_and_repeat(yardstick):
    first, second = yardstick.judge(honest).metrics, yardstick.judge(honest).metrics
    assert first == second
    expected = {f"{name}{end}" for name in WITH_INTERVAL for end in ("", "_real", "_low", "_high")}
    gaps = {f"{name}_gap_worst{end}" for name in ("coverage", "cas", "agreement") for end in ("", "_real", "_limit")}
    expected |= gaps | {"fd_floor", "fd_floor_std", "fd_over_floor", "fd_dimensions", "n", "c_t", "auth_pct", "auth_pct_real",
                        "auth_gap", "copy_rate", "copy_rate_real", "copy_rate_unseen", "closest", "closest_unseen",
                        "preference", "c_t_unseen", "memorization_passed", "cas_chance"}  # fmt: skip
    assert set(first) == expected
    assert first["n"] == 150
    assert all(isinstance(value, int | float) and np.isfinite(value) for value in first.values())
    for name in WITH_INTERVAL:
        assert first[f"{name}_low"] <= first[name] <= first[f"{name}_high"], name


def test_the_class_that_is_served_worst_is_named(yardstick):
    def drops_b(labels, seed):
        return honest(torch.where(labels == 1, 0, labels), seed)

    found = yardstick.judge(drops_b)
    assert (found.worst["coverage"], found.worst["agreement"]) == ("b", "b")
    assert found.worst["cas"] in "ab", "what is drawn as a and called b teaches both wrongly"
    assert found.metrics["agreement_gap_worst"] > 0.8 > found.metrics["agreement_gap_worst_limit"]
    good = yardstick.judge(honest).metrics
    for name in ("coverage", "cas", "agreement"):
        assert 0 <= good[f"{name}_gap_worst_real"] < good[f"{name}_gap_worst_limit"]
    assert good["coverage_gap_worst"] <= good["coverage_gap_worst_limit"]


def test_memorization_is_a_verdict_of_its_own(yardstick):
    def copier(labels, seed):
        chance, train = np.random.default_rng(seed), yardstick.real
        pools = [np.flatnonzero(train.train_labels.numpy() == index) for index in range(3)]
        return train.train_pixels[torch.tensor([int(chance.choice(pools[index])) for index in labels.tolist()])]

    assert yardstick.judge(honest).metrics["memorization_passed"] == 1
    copied = yardstick.judge(copier)
    assert copied.metrics["fd"] < 0.05 * yardstick.judge(one_class).metrics["fd"], "the distance does not see it"
    assert copied.metrics["memorization_passed"] == 0
    assert copied.metrics["copy_rate"] == 1


def test_fewer_images_mean_fewer_dimensions_for_everything(yardstick):
    wide = train_extractor(*tensors(90, 0), CLASSES, Recipe(16, 40, 32, 0.003), seed=0, device="cpu")
    small = Yardstick(wide, yardstick.real, Setting(5, 2, 110, 0, jackknife_groups=5))
    assert (small.n, small.dimensions) == (110, 11)
    assert small.judge(honest).metrics["fd_dimensions"] == 11
    with pytest.raises(DataError, match="70 held-out images are too few"):
        Yardstick(wide, yardstick.real, Setting(5, 2, 70, 0))


def test_without_two_classes_nothing_is_said_that_needs_labels(yardstick):
    real = yardstick.real
    alike = [torch.zeros_like(labels) for labels in (real.train_labels, real.test_labels)]
    one = Yardstick(
        yardstick.extractor, Real([""], real.train_pixels, alike[0], real.test_pixels, alike[1]), SETTING
    )  # fmt: skip
    found = one.judge(lambda labels, seed: honest(torch.arange(len(labels)) % 3, seed))
    named = {name for name in found.metrics if name.startswith(("cas", "agreement")) or name.endswith("_worst")}
    assert named == set()
    assert set(found.metrics) == {
        name for name in yardstick.judge(honest).metrics if not name.startswith(("cas", "agreement", "coverage_gap"))
    }
    assert found.metrics["coverage"] > 0.8
    assert (found.worst, [set(line) for line in found.per_class]) == (
        {}, [{"label", "test_rows", "coverage", "coverage_real"}]
    )  # fmt: skip
    said = evaluate_stage.in_words(found.metrics | {"copy_rate": 0.079, "closest": 0.021, "preference": 3.94})
    assert "cas and agreement need labels" in said
    assert all(number in said for number in ("7.9%", "2.1%", "3.94")), "the three figures that decide"


def test_n_is_the_smaller_split(yardstick):
    few = Real(CLASSES, *tensors(99, 1), *tensors(150, 2))
    assert Yardstick(yardstick.extractor, few, SETTING).n == 99


def test_the_reference_hash_follows_the_test_images(yardstick):
    real = yardstick.real
    changed = real.test_pixels.clone()
    changed[0, 0, 0, 0] += 1
    other = Yardstick(yardstick.extractor, Real(CLASSES, real.train_pixels, real.train_labels, changed,
                                                real.test_labels), SETTING)  # fmt: skip
    assert other.reference_hash != yardstick.reference_hash


def test_nearest_training_image_of_a_copy_is_its_original(yardstick):
    train = yardstick.real.train_pixels
    found = nearest_training(train[[5, 9, 60]], train, seed=0)
    assert np.array_equal(found.samples, found.training)
    assert found.distances.max() == pytest.approx(0, abs=1e-4)


def test_the_class_grid_keeps_its_columns_when_a_class_is_short():
    pixels, labels = tensors(9, 0)
    cells, columns, names = class_rows(CLASSES, [(pixels, labels), (pixels[:1], labels[:1])])
    assert (len(cells), columns, names) == (3 * 17, 17, CLASSES)
    assert np.array_equal(cells[17], pixels[1].permute(1, 2, 0).numpy())
    assert (cells[8] == 128).all()


# -- the stages ------------------------------------------------------------------------------------


def write_verdicts(paths, lines):
    """(id, reason, id of the twin) as the curate stage writes them."""
    rows = [
        dict.fromkeys(VERDICT_SCHEMA.names)
        | {"id": one, "source": "", "reason": reason, "action": "warn", "measure": "pairs", "cluster": twin}
        for one, reason, twin in lines
    ]
    paths.verdicts.mkdir(parents=True, exist_ok=True)
    write_table(paths.verdicts / "part-0.parquet", pa.Table.from_pylist(rows, schema=VERDICT_SCHEMA))


def make_checkout(root, labels=CLASSES, *, told=True):
    """An ingested and a curated version of made-up bars; one reference row cannot be decoded. `told`: looks tell the label."""
    paths = Paths(root)
    chance = np.random.default_rng(7)
    columns = {name: [] for name in ROW_SCHEMA.names}
    with ContentWriter(paths.content) as writer:
        for split, count in SPLITS.items():
            for index in range(count):
                number = index % len(labels)
                shown = number if told else int(chance.integers(len(labels)))
                pixels = draw([shown], chance)[0].transpose(1, 2, 0)
                content = b"broken" if (split, index) == ("reference", 0) else encode_png(pixels)
                source = f"{split}/{index}.png"
                writer.add(row_id(source), content)
                row = {"id": row_id(source), "label": labels[number], "split": split, "source": source}
                for name, values in columns.items():
                    values.append(row.get(name))
    rows = pa.table(columns, schema=ROW_SCHEMA)
    shape = {"size": 8, "channels": 1, "resize": RESIZE_MODE}
    common = {"parameters": {}, "parent": None, "content": ["../content"], "image": shape}
    write_version(paths.ingested, rows, operation="ingest", **common)
    readable = rows.filter(pc.not_equal(rows["source"], "reference/0.png"))
    write_version(paths.curated, readable, operation="curate", **common)
    write_verdicts(paths, [])
    return paths


def made_up_config(**evaluate):
    return Config.model_validate(
        {
            "extractor": {"dimensions": 8, "steps": 60, "batch_size": 32, "learning_rate": 0.003},
            "evaluate": {"floor_draws": 3, "jackknife_groups": 5, "memorization": {"cells": 4}, **evaluate},
            "train": {"device": "cpu"},
            "tracking": {"enabled": False},
        }
    )


def made_up_model(classes, sampler=honest, family="gan"):
    networks = build(ModelSpec(family, 8, 1, tuple(classes), 4, 16, 8), 0).double()
    return SimpleNamespace(
        spec=networks.spec, card={"weights_sha256": "ab" * 32}, sample=sampler, networks=networks
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    paths = make_checkout(tmp_path_factory.mktemp("checkout"))
    result = extractor_stage(made_up_config(), paths)
    assert result.metrics["reference_rows"] == 89
    return paths


def test_extractor_stage_writes_what_it_says(checkout):
    card = json.loads((checkout.extractor / "extractor.json").read_text())
    assert card["hash"] == load_extractor(checkout.extractor).hash
    assert (card["size"], card["channels"], card["classes"], card["dimensions"]) == (8, 1, CLASSES, 8)
    assert card["instrument"]["labels"]["accuracy"] > 0.8


@pytest.mark.parametrize("labels", [["a"], [None]])
def test_without_two_classes_the_extractor_learns_from_images_and_says_where_that_stops(tmp_path, labels):
    paths = make_checkout(tmp_path, labels)
    result = extractor_stage(made_up_config(), paths)
    assert "no two classes to tell apart" in result.summary
    assert "train_accuracy" not in result.metrics
    card = json.loads((paths.extractor / "extractor.json").read_text())
    assert (card["classes"], card["reference_rows"]) == ([], 89)
    assert set(card["instrument"]["tried"]) >= {"views"}
    assert "labels" not in card["instrument"]["tried"]
    assert load_extractor(paths.extractor).features(tensors(4, 0)[0]).shape == (4, 8)


@pytest.mark.parametrize(("labels", "tried"), [(CLASSES, 60), ([None], 200)])
def test_the_extractor_is_tried_on_so_many_training_images(tmp_path, monkeypatch, labels, tried):
    monkeypatch.setattr("aigc_core.stages.extractor.TRIED", tried)
    paths = make_checkout(tmp_path, labels)
    extractor_stage(made_up_config(), paths)
    instrument = json.loads((paths.extractor / "extractor.json").read_text())["instrument"]
    if labels == CLASSES:
        assert instrument["labels"]["rows"] == 60
    else:
        assert instrument["tried"]["views"]["n"] == 100, "half of them"


def test_one_class_alone_cannot_be_learnt_and_is_named(tmp_path):
    asked = made_up_config()
    asked = asked.model_copy(update={"extractor": asked.extractor.model_copy(update={"learn": "labels"})})
    with pytest.raises(ConfigError, match="all labels are 'a'"):
        extractor_stage(asked, make_checkout(tmp_path / "one", ["a"]))
    with pytest.raises(ConfigError, match="no image has a label"):
        extractor_stage(asked, make_checkout(tmp_path / "none", [None]))


def test_labels_that_looks_do_not_tell_are_not_learnt_and_evaluate_says_what_judges(tmp_path, monkeypatch):
    paths = make_checkout(tmp_path, told=False)
    result = extractor_stage(made_up_config(), paths)
    card = json.loads((paths.extractor / "extractor.json").read_text())
    assert (card["classes"], card["instrument"]["labels"]["by_looks"]) == ([], False)
    assert card["learnt_from"] == card["instrument"]["learnt_from"] != "labels"
    for figure in ("train_accuracy", "train_chance"):
        assert f"{result.metrics[figure]:.1%}" in result.summary
    before = (paths.extractor / "extractor.json").read_bytes()
    extractor_stage(made_up_config(), paths)
    assert (paths.extractor / "extractor.json").read_bytes() == before, "the same bytes again"
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    monkeypatch.setattr(
        "aigc_core.stages.parts.beside.unfit_words", lambda instrument: f"judged by {instrument['learnt_from']}"
    )
    found = evaluate_stage.evaluate(made_up_config(), paths, "gan")
    assert f"judged by {card['learnt_from']}" in found.summary
    assert found.metrics["agreement_real"] < 0.6, "the classifier of the training images cannot tell them either"


def test_what_the_extractor_learns_from_can_be_asked_for(tmp_path):
    paths = make_checkout(tmp_path)
    config = made_up_config()
    for learn, known in (("views", []), ("labels", CLASSES)):
        asked = config.model_copy(update={"extractor": config.extractor.model_copy(update={"learn": learn})})
        extractor_stage(asked, paths)
        card = json.loads((paths.extractor / "extractor.json").read_text())
        assert (card["learnt_from"], card["classes"], card["instrument"]["learn"]) == (learn, known, learn)


def test_test_rows_of_a_class_that_nothing_taught_are_counted_and_named(tmp_path, monkeypatch):
    paths = make_checkout(tmp_path)
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    extractor_stage(made_up_config(), paths)
    rows = pq.read_table(paths.curated / "rows.parquet").to_pylist()
    held = [row for row in rows if row["split"] == "test"][:25]
    for place, row in enumerate(held):
        row["label"] = "zebra" if place < 22 else None
    write_version(paths.curated, pa.Table.from_pylist(rows, ROW_SCHEMA), operation="curate", parameters={}, parent=None,
                  content=["../content"], image={"size": 8, "channels": 1, "resize": RESIZE_MODE})  # fmt: skip
    result = evaluate_stage.evaluate(made_up_config(), paths, "gan")
    assert result.facts["test_rows"] == SPLITS["test"] - 25
    assert result.facts["test_rows_left_out"] == 25
    assert result.facts["test_rows_not_learnt"] == {"": 3, "zebra": 22}
    assert "zebra (22)" in result.summary
    assert "without a label (3)" in result.summary


def test_evaluate_takes_rows_without_labels(tmp_path, monkeypatch):
    paths = make_checkout(tmp_path, [None])
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model([""]))
    extractor_stage(made_up_config(), paths)
    result = evaluate_stage.evaluate(made_up_config(), paths, "gan")
    assert (result.metrics["n"], result.facts["test_rows_left_out"]) == (150, 0)
    assert result.facts["need_labels"] == ["cas", "agreement"]
    assert result.metrics["fd_over_floor"] < 5, "the sampler draws such images"
    assert "need_labels" not in json.loads((paths.evaluation("gan") / "details/facts.json").read_text()).get(
        "worst", {}
    )


def test_tags_say_what_compares_and_what_is_released(checkout, monkeypatch):
    said = {}

    class Told(Tracker):
        def tags(self, values):
            said.update(values)

    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    monkeypatch.setattr(evaluate_stage, "open_tracker", lambda *_: contextlib.nullcontext(Told()))
    result = evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    assert said == {"comparable": identity_digest(result.facts), "released": "yes"}
    train = Version.open(checkout.curated)
    known = load_images(train, "train", size=8, channels=1, classes=CLASSES)

    def copier(labels, seed):
        chance = np.random.default_rng(seed)
        pools = [np.flatnonzero(known.labels.numpy() == index) for index in range(3)]
        return known.pixels[[int(chance.choice(pools[label])) for label in labels.tolist()]]

    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES, copier))
    evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    assert said["released"] == "no"
    checks = json.loads((checkout.evaluation("gan") / "details/checks.json").read_text())["checks"]
    assert [check["passed"] for check in checks if check["name"] == "memorization"] == [False]
    assert memorization_of(checkout, "gan", "ab" * 32)[0] == "failed"


def test_where_the_source_brings_test_images_reference_images_stand_for_those_never_seen(checkout, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    version = Version.open(checkout.curated)
    assert held_out.brings_own_test(version), "these rows were called test, whatever their content"
    evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    place = checkout.evaluation("gan") / "details/memorization.json"
    own = json.loads(place.read_text())
    assert (own["held_out"], own["figures"]["held_out"], own["figures"]["n"]) == ("reference", 89, 150)
    assert own["held_out_why"] == ""
    monkeypatch.setattr(held_out, "brings_own_test", lambda version: False)
    evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    divided = json.loads(place.read_text())
    assert (divided["held_out"], divided["figures"]["held_out"], divided["held_out_why"]) == ("test", 150, "")
    monkeypatch.undo()


def test_where_too_few_reference_images_are_independent_the_test_images_serve_and_that_is_said(tmp_path, monkeypatch):
    paths = make_checkout(tmp_path)
    version = Version.open(paths.curated)
    reference, train = (sorted(version.select(split)["id"].to_pylist()) for split in ("reference", "train"))
    write_verdicts(paths, [(name, "duplicate_near", train[0]) for name in reference[:40]])
    unseen = held_out.unseen_rows(version, paths.verdicts, CLASSES, 400, 0)
    assert unseen.ids is None
    assert "only 49 reference images" in unseen.why
    extractor_stage(made_up_config(), paths)
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    evaluate_stage.evaluate(made_up_config(), paths, "gan")
    told = json.loads((paths.evaluation("gan") / "details/memorization.json").read_text())
    assert (told["held_out"], told["held_out_why"]) == ("test", unseen.why)


def test_rows_that_stand_for_images_never_seen_are_drawn_before_they_are_read(checkout):
    version = Version.open(checkout.curated)
    whole = sorted(version.select("reference")["id"].to_pylist())
    assert held_out.unseen_rows(version, checkout.verdicts, CLASSES, 400, 0).ids == set(whole)
    cut = held_out.unseen_rows(version, checkout.verdicts, CLASSES, 60, 0).ids
    assert cut == {whole[place] for place in np.random.default_rng(0).permutation(len(whole))[:60]}
    assert cut != held_out.unseen_rows(version, checkout.verdicts, CLASSES, 60, 1).ids
    labels = {row["id"]: row["label"] for row in version.rows.to_pylist()}
    own = held_out.drawn_rows(version, checkout.verdicts, "reference", ("train",), ["b"], 400, 0)
    assert own == {name for name in whole if labels[name] == "b"}


def test_a_split_by_content_is_told_from_one_that_the_source_brings():
    shares = Config().split
    names = [f"{number:x}" * 8 for number in range(400)]

    def version(given):
        split = [assign_split(name, given(place), shares) for place, name in enumerate(names)]
        rows = pa.table({"id": names, "content_hash": names, "split": split})
        return SimpleNamespace(select=lambda wanted: rows.filter(pc.equal(rows["split"], wanted)))

    assert not held_out.brings_own_test(version(lambda place: None))
    assert held_out.brings_own_test(version(lambda place: "test" if place % 4 == 0 else "train"))
    assert not held_out.brings_own_test(version(lambda place: "train")), "no test row at all"


def test_evaluate_writes_numbers_facts_and_pictures_twice_the_same(checkout, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    result = evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    place = checkout.evaluation("gan")
    first = {path.name: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
    assert set(first) == {"headline.json", "metrics.json", "facts.json", "per_class.csv", "nearest.png", "classes.png",
                          "memorization.json", "closest.png", "extractors.json", "likeness.json", "likeness.png",
                          "checks.json", "latents.json", "interpolation.png"}  # fmt: skip
    assert not any(name.startswith("iw_bound") for name in result.metrics)
    others = json.loads(first["extractors.json"])["opinions"]
    assert set(others) == {"domain", "random_conv", "pixel_pca"}
    assert others["domain"]["fd"] == result.metrics["fd"]
    assert len({opinion["hash"] for opinion in others.values()}) == 3
    assert all(opinion["n"] == 150 and opinion["fd_over_floor"] < 4 for opinion in others.values())
    assert [check["passed"] for check in json.loads(first["checks.json"])["checks"]] == [True, True]
    alike = json.loads(first["likeness.json"])
    assert alike["dataset_version"] == Version.open(checkout.curated).card.version
    assert [len(sample["nearest"]) for sample in alike["samples"]] == [6] * 8
    verdict = json.loads(first["memorization.json"])
    assert (verdict["passed"], verdict["reasons"]) == (True, [])
    assert verdict["limits"]["max_copy_rate"] == 0.03
    assert verdict["figures"]["copy_rate"] == result.metrics["copy_rate"]
    assert len(verdict["closest"]) == 32
    train = set(Version.open(checkout.curated).select("train")["id"].to_pylist())
    assert {pair["train_id"] for pair in verdict["closest"]} <= train
    ratios = [pair["ratio"] for pair in verdict["closest"]]
    assert ratios == sorted(ratios)
    assert json.loads(first["metrics.json"]) == result.metrics
    facts = json.loads(first["facts.json"])
    assert facts["extractor_hash"] == load_extractor(checkout.extractor).hash
    assert (facts["n"], facts["resize"], facts["model_sha256"]) == (150, RESIZE_MODE, "ab" * 32)
    assert Image.open(io.BytesIO(first["nearest.png"])).width > 200
    evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    assert first == {path.name: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def test_a_vae_has_pictures_of_its_codes_and_a_bound_where_it_is_asked(checkout, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES, family="vae"))
    result = evaluate_stage.evaluate(made_up_config(bound_samples=7), checkout, "vae")
    place = checkout.evaluation("vae")
    stored = json.loads((place / "metrics.json").read_text())
    name = "iw_bound_gaussian_k7"
    assert stored[f"{name}_low"] < stored[name] < stored[f"{name}_high"]
    assert f"importance-weighted bound {stored[name]:.2f} nats" in result.summary
    known = json.loads((place / "details/latents.json").read_text())
    assert known["pictures"] == ["interpolation", "reconstructions", "traversals"]
    assert (known["dimensions"], len(known["activity"])) == (4, 4)
    assert known["active"] == sum(value > 0.01 for value in known["activity"])
    with Image.open(place / "details/traversals.png") as picture:
        assert picture.height > 200
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    other = evaluate_stage.evaluate(made_up_config(bound_samples=7), checkout, "vae")
    assert not any(name.startswith("iw_bound") for name in other.metrics), "a GAN has no likelihood"


def test_evaluate_refuses_too_few_and_leaves_nothing(checkout, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    with pytest.raises(DataError, match="at least 80 are needed"):
        evaluate_stage.evaluate(made_up_config(max_samples=79), checkout, "flow")
    assert not checkout.evaluation("flow").exists()


def test_test_rows_that_look_like_training_rows_are_not_held_out(tmp_path):
    paths = make_checkout(tmp_path)
    version = Version.open(paths.curated)
    names = {split: version.select(split)["id"].to_pylist() for split in ("train", "test")}
    train, test = names["train"], names["test"]
    write_verdicts(paths, [
        (test[0], "duplicate_near", train[0]),
        (train[1], "duplicate_near", test[1]),
        (test[2], "leak", "elsewhere"), (train[2], "duplicate_exact", "elsewhere"),
        (test[3], "duplicate_near", test[4]), (test[5], "blank", train[5]),
    ])  # fmt: skip
    hashes = {train[6]: "same", test[6]: "same", test[7]: "other"}
    column = pa.array([hashes.get(name) for name in version.rows["id"].to_pylist()], pa.string())
    rows = version.rows.set_column(version.rows.schema.get_field_index("content_hash"), "content_hash", column)
    found = independent.independent_test_rows(Version(version.folder, version.card, rows), paths.verdicts)
    assert set(test) - found == {test[0], test[1], test[2], test[6]}
    (paths.verdicts / "part-0.parquet").unlink()
    with pytest.raises(DataError, match="aigc curate"):
        independent.independent_test_rows(version, paths.verdicts)


def test_evaluate_finetune_holds_both_models_to_one_yardstick(checkout, monkeypatch):
    place = checkout.finetuned("gan")
    place.mkdir(parents=True, exist_ok=True)
    rows = Version.open(checkout.curated).select("train")
    seen = [row["id"] for row in rows.to_pylist() if row["label"] in ("b", "c")][:60]
    target = {"classes": ["b", "c"], "ids": seen, "per_class": 30}
    (place / "target.json").write_text(json.dumps(target))

    def sampler(shift):
        return lambda labels, seed: honest(labels + 1 - shift, seed)

    models = {"tuned": made_up_model(["b", "c"], sampler(0)), "scratch": made_up_model(["b", "c"], sampler(1))}
    monkeypatch.setattr(finetune_stage, "load_model", lambda folder, device: models[folder.name])
    finetune_stage.evaluate_finetune(made_up_config(), checkout, "gan")
    metrics = json.loads((checkout.evaluation_finetune("gan") / "metrics.json").read_text())
    assert metrics["tuned"]["n"] == 100
    assert metrics["tuned"]["fd_floor"] == metrics["scratch"]["fd_floor"]
    assert metrics["tuned"]["cas_real"] == metrics["scratch"]["cas_real"]
    assert metrics["tuned"]["fd"] < metrics["scratch"]["fd"]
    facts = json.loads((checkout.evaluation_finetune("gan") / "details/facts.json").read_text())
    assert facts["classes"] == ["b", "c"]
    verdict = json.loads((checkout.evaluation_finetune("gan") / "details/memorization_tuned.json").read_text())
    assert {pair["train_id"] for pair in verdict["closest"]} <= set(seen), "judged by the rows that it saw"
    with pytest.raises(DataError, match="aigc finetune vae"):
        finetune_stage.evaluate_finetune(made_up_config(), checkout, "vae")

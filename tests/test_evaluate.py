"""extractor, evaluate and evaluate_finetune on a tiny made-up version with made-up models."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image

from aigc_core.config import Config
from aigc_core.data.store import ContentWriter, write_version
from aigc_core.errors import DataError
from aigc_core.evaluation.compare import Real, Setting, Yardstick
from aigc_core.evaluation.features import Recipe, load_extractor, train_extractor
from aigc_core.evaluation.metrics import frechet_distance
from aigc_core.evaluation.pictures import class_rows, nearest_training
from aigc_core.modalities.image import RESIZE_MODE, encode_png
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, row_id
from aigc_core.stages import evaluate as evaluate_stage
from aigc_core.stages import evaluate_finetune as finetune_stage
from aigc_core.stages.extractor import extractor as extractor_stage

CLASSES = ["a", "b", "c"]
SPLITS = {"reference": 90, "train": 240, "test": 150}
SETTING = Setting(neighbours=5, floor_draws=4, max_samples=1000, seed=0)


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
    assert bad.metrics["cas"] < 0.6
    lines = {line["label"]: line for line in bad.per_class}
    assert lines["a"]["coverage"] > 0.6 > 0.3 > lines["b"]["coverage"]
    assert lines["c"]["agreement"] < 0.2 < 0.8 < lines["c"]["agreement_real"]


def test_metrics_are_flat_numbers_and_repeat(yardstick):
    first, second = yardstick.judge(honest).metrics, yardstick.judge(honest).metrics
    assert first == second
    assert {"fd", "fd_floor", "fd_floor_std", "fd_over_floor", "fd_real", "fd_dimensions", "coverage", "coverage_real",
            "density", "density_real", "cas", "cas_real", "n"} == set(first)  # fmt: skip
    assert first["n"] == 150
    assert all(np.isfinite(value) for value in first.values())


def test_fewer_images_mean_fewer_dimensions_for_everything(yardstick):
    wide = train_extractor(*tensors(90, 0), CLASSES, Recipe(16, 40, 32, 0.003), seed=0, device="cpu")
    small = Yardstick(wide, yardstick.real, Setting(5, 2, 110, 0))
    assert (small.n, small.dimensions) == (110, 11)
    assert small.judge(honest).metrics["fd_dimensions"] == 11
    with pytest.raises(DataError, match="70 held-out images are too few"):
        Yardstick(wide, yardstick.real, Setting(5, 2, 70, 0))


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


def make_checkout(root, labels=CLASSES):
    """An ingested and a curated version of made-up bars; one reference row cannot be decoded."""
    paths = Paths(root)
    chance = np.random.default_rng(7)
    columns = {name: [] for name in ROW_SCHEMA.names}
    with ContentWriter(paths.content) as writer:
        for split, count in SPLITS.items():
            for index in range(count):
                number = index % len(labels)
                pixels = draw([number], chance)[0].transpose(1, 2, 0)
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
    return paths


def made_up_config(**evaluate):
    return Config.model_validate(
        {
            "extractor": {"dimensions": 8, "steps": 60, "batch_size": 32, "learning_rate": 0.003},
            "evaluate": {"floor_draws": 3, **evaluate},
            "train": {"device": "cpu"},
            "tracking": {"enabled": False},
        }
    )


def made_up_model(classes, sampler=honest):
    return SimpleNamespace(
        spec=SimpleNamespace(classes=tuple(classes)), card={"weights_sha256": "ab" * 32}, sample=sampler
    )


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
    assert card["train_accuracy"] > 0.8


@pytest.mark.parametrize(
    ("labels", "sentence"), [(["a"], "only the class 'a'"), ([None], "no training row has a label")]
)
def test_extractor_stage_needs_two_classes(tmp_path, labels, sentence):
    paths = make_checkout(tmp_path, labels)
    with pytest.raises(DataError, match=sentence):
        extractor_stage(made_up_config(), paths)
    assert not paths.extractor.exists()


def test_evaluate_writes_numbers_facts_and_pictures_twice_the_same(checkout, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    result = evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    place = checkout.evaluation("gan")
    first = {path.name: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
    assert set(first) == {"metrics.json", "facts.json", "per_class.csv", "nearest.png", "classes.png"}
    assert json.loads(first["metrics.json"]) == result.metrics
    facts = json.loads(first["facts.json"])
    assert facts["extractor_hash"] == load_extractor(checkout.extractor).hash
    assert (facts["n"], facts["resize"], facts["model_sha256"]) == (150, RESIZE_MODE, "ab" * 32)
    assert Image.open(io.BytesIO(first["nearest.png"])).width > 200
    evaluate_stage.evaluate(made_up_config(), checkout, "gan")
    assert first == {path.name: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def test_evaluate_refuses_too_few_and_leaves_nothing(checkout, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "load_model", lambda folder, device: made_up_model(CLASSES))
    with pytest.raises(DataError, match="at least 80 are needed"):
        evaluate_stage.evaluate(made_up_config(max_samples=79), checkout, "vae")
    assert not checkout.evaluation("vae").exists()


def test_evaluate_finetune_holds_both_models_to_one_yardstick(checkout, monkeypatch):
    place = checkout.finetuned("gan")
    place.mkdir(parents=True, exist_ok=True)
    target = {"classes": ["b", "c"], "ids": ["x"] * 20, "per_class": 10}
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
    with pytest.raises(DataError, match="aigc finetune vae"):
        finetune_stage.evaluate_finetune(made_up_config(), checkout, "vae")

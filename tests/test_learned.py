"""Suspect labels and strange images: planted ones are found, no row vouches for itself, and bytes repeat."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aigc_core.config import LabelSuspect
from aigc_core.data.store import Version
from aigc_core.modalities.image import content_hash, encode_png
from aigc_core.quality import domain
from aigc_core.quality import learned as learned_module
from aigc_core.quality.descriptors import fit_descriptor
from aigc_core.quality.labels import out_of_fold
from aigc_core.quality.learned import Learner
from aigc_core.quality.suspects import find, noise_rate, wrong_probability
from aigc_core.records import LEARNED_SCHEMA
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure


def clouds(rows=600, classes=3, flips=0.1, seed=0):
    """Gaussian clouds, features of about unit variance, true and given labels."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    features = (rng.normal(size=(classes, 20))[true] + 0.4 * rng.normal(size=(rows, 20))).astype(np.float32)
    wrong = rng.random(rows) < flips
    given = np.where(wrong, (true + rng.integers(1, classes, rows)) % classes, true)
    return features, true, given, rng.integers(0, 5, rows)


def predict(features, given, folds, classes=3, learnt=None):
    learnt = np.ones(len(given), bool) if learnt is None else learnt
    return out_of_fold(features, given, folds, learnt, classes)


def test_flipped_labels_are_improbable_and_their_share_is_estimated():
    features, true, given, folds = clouds()
    said = predict(features, given, folds)
    wrong = wrong_probability(said.given, noise_rate(said.given, 3), 3) > 0.5
    assert not wrong[given == true].any()
    assert wrong[given != true].mean() > 0.5
    assert 0.5 < noise_rate(said.given, 3) / (given != true).mean() < 1.1
    assert (said.predicted == true).mean() > 0.98


def test_clean_labels_have_few_suspects():
    features, _, given, folds = clouds(flips=0)
    said = predict(features, given, folds)
    assert (wrong_probability(said.given, noise_rate(said.given, 3), 3) > 0.5).mean() < 0.005


def test_a_row_never_votes_on_itself_nor_do_rows_of_its_fold():
    features, _, given, folds = clouds()
    other = given.copy()
    own = folds == folds[0]
    other[own] = (other[own] + 1) % 3
    before, after = predict(features, given, folds), predict(features, other, folds)
    scale = [said.predicted[own] for said in (before, after)]
    assert (scale[0] == scale[1]).all()
    others = predict(features, np.where(own, given, (given + 1) % 3), folds)
    assert (others.predicted[own] != before.predicted[own]).mean() > 0.9


def test_rows_that_are_not_learnt_from_are_predicted_all_the_same():
    features, true, given, folds = clouds()
    learnt = np.arange(len(given)) < 300
    scrambled = np.where(learnt, given, (given + 1) % 3)
    said = predict(features, scrambled, folds, learnt=learnt)
    assert (said.predicted == true).mean() > 0.95


def test_bayes_rule_by_hand():
    # r = 0.1, K = 3, p = 0.2: 0.8 x 0.05 against 0.2 x 0.9.
    assert wrong_probability(np.array([0.2]), 0.1, 3)[0] == pytest.approx(0.04 / 0.22)


def test_the_threshold_of_a_suspect_is_where_the_probability_crosses():
    given = np.array([0.9] * 50 + [0.001] * 5 + [0.01, 0.02, 0.05, 0.1])
    rows = pa.table(
        {"id": [f"{n:02d}" for n in range(len(given))], "label": ["a", "b"] * 29 + ["a"], "split": ["train"] * len(given),
         "label_probability": given, "label_predicted": ["b"] * len(given)}
    )  # fmt: skip
    found, rate = find(rows, LabelSuspect(action="warn"))
    bound = found[0][1].threshold
    assert 0 < rate < 0.5
    assert {identity for identity, _ in found} == {f"{n:02d}" for n in np.flatnonzero(given < bound)}
    assert all(verdict.score < 0.5 for _, verdict in found)


def pictures(rows, seed, kind="bars"):
    """Small images: soft bars, or a checkerboard of noise."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.choice(np.array([0, 255], np.uint8), (rows, 12, 12, 1))
    at = rng.uniform(3, 9, (rows, 1, 1))
    image = 200 * np.exp(-np.square(np.arange(12)[None, :, None] - at) / 4) + 20 + rng.normal(0, 4, (rows, 12, 12))
    return np.clip(image, 0, 255).astype(np.uint8)[..., None]


def test_strange_images_are_far_from_the_reference_and_usual_ones_are_not():
    view = domain.fit_view(domain.statistics(pictures(300, 0)))
    usual = view.distances(domain.statistics(pictures(200, 1)))
    strange = view.distances(domain.statistics(pictures(200, 2, "noise")))
    assert strange.min() > 3 * usual.max()
    assert (usual > 1).mean() < 0.15, "one is the reference's own 95th percentile"
    assert (view.own > 1).mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("share", [0, 0.1, 0.2])
def test_strangers_in_the_reference_do_not_make_strangers_usual(share):
    count = int(300 * share)
    reference = np.concatenate([pictures(300 - count, 0), pictures(count, 3, "noise")])
    view = domain.fit_view(domain.statistics(reference))
    usual = view.distances(domain.statistics(pictures(200, 1)))
    assert view.distances(domain.statistics(pictures(200, 2, "noise"))).min() > 3 * usual.max()
    assert view.own[300 - count :].min(initial=np.inf) > 3 * view.own[: 300 - count].max(), "nor themselves"


def test_reference_rows_are_measured_by_others():
    rows = np.random.default_rng(0).normal(size=(12, 30)).astype(np.float32)
    view = domain.fit_view(rows)
    assert np.median(view.own) > 1.2 * np.median(view.distances(rows)), (
        "few rows lie close to what they made themselves"
    )


def test_descriptions_do_not_depend_on_the_batch():
    images = np.concatenate([pictures(50, 3), pictures(50, 4, "noise")])
    descriptor = fit_descriptor(images, filters=16)
    assert np.allclose(descriptor(images)[70], descriptor(images[70:71])[0], atol=1e-5)
    assert np.array_equal(domain.statistics(images)[70], domain.statistics(images[70:71])[0])
    assert descriptor(images).shape == (100, descriptor.dimensions)


def test_flat_images_alone_are_described_by_constants():
    flat = np.stack([np.full((12, 12, 1), level, np.uint8) for level in range(0, 200, 10)])
    described = fit_descriptor(flat)(flat)
    assert np.isfinite(described).all()
    assert np.ptp(described, axis=0).max() == 0


def learned(scratch, order=None, **rule):
    """200 bars lying or standing (a, b) in train and reference, 3 of a rare class, and copies of one under another label."""
    images = pictures(200, 7)
    images[1::2] = images[1::2].transpose(0, 2, 1, 3)
    images = np.concatenate([images, pictures(3, 8), np.repeat(images[:1], 6, axis=0)])
    labels = [*"ab" * 100, *["rare"] * 3, *"b" * 6]
    ids = [f"{n:04d}" for n in range(len(images))]
    splits = ["reference" if n < 60 else "train" for n in range(len(images))]
    table = pa.table(
        {"id": ids, "content_hash": [content_hash(one) for one in images], "label": labels, "split": splits}
    )

    scratch.mkdir()
    learner = Learner(table, ids[:60], images[:60], LabelSuspect(action="warn", **rule), scratch)
    places = list(range(len(images))) if order is None else list(order)
    for start in range(0, len(places), 50):
        part = places[start : start + 50]
        some = [ids[n] for n in part]
        learner.add(some, learner.lens(images[part], np.array(learner.wanted(some))))
    return learner.table()


def test_the_order_of_the_batches_changes_nothing(tmp_path):
    shuffled = np.random.default_rng(0).permutation(209)
    assert learned(tmp_path / "one").equals(learned(tmp_path / "other", order=shuffled))


def test_a_class_with_too_few_rows_is_not_learnt(tmp_path):
    lines = learned(tmp_path / "few").to_pylist()
    assert all(line["label_probability"] is None for line in lines[200:203])
    assert {line["label_predicted"] for line in lines[:200]} == {"a", "b"}


def test_copies_of_one_image_share_a_fold_and_only_the_first_rows_are_learnt_from(tmp_path, monkeypatch):
    asked = {}

    def spy(features, labels, folds, learnt, classes, advance):
        asked.update(folds=folds, learnt=learnt)
        return out_of_fold(features, labels, folds, learnt, classes, advance)

    monkeypatch.setattr(learned_module, "out_of_fold", spy)
    learned(tmp_path / "copies", max_rows=150)
    assert asked["learnt"].nonzero()[0].tolist() == list(range(150))
    assert len(asked["folds"]) == 206
    assert len(set(asked["folds"].tolist())) == 5
    assert set(asked["folds"][200:]) == {asked["folds"][0]}


def test_one_is_the_reference_s_own_95th_percentile(tmp_path):
    distances = np.array(learned(tmp_path / "own")["domain_distance"].to_pylist())
    assert np.quantile(distances[:60], domain.USUAL) == pytest.approx(1, rel=1e-3)


@pytest.fixture
def source(make):
    """Bars lying (a) and standing (b), some with the other's label, noise among the training rows, a broken file."""
    files = {}
    for n, image_ in enumerate(pictures(150, 5)):
        for label, pixels in (("a", image_), ("b", image_.transpose(1, 0, 2))):
            folder = "test" if n % 5 == 0 else "train"
            files[f"{folder}/{label}/{n}.png"] = encode_png(pixels)
    for n, image_ in enumerate(pictures(4, 6)):
        files[f"train/b/wrong{n}.png"] = encode_png(image_)
        files[f"train/a/strange{n}.png"] = encode_png(pictures(1, 50 + n, "noise")[0])
    files["train/a/broken.png"] = b"broken"
    config, paths = make.config("folder", make.folder(files)), make.paths()
    ingest(config, paths)
    return config, paths, Version.open(paths.ingested)


def test_the_stage_says_of_every_row_what_can_be_said(source):
    config, paths, version = source
    words = measure(config, paths).summary
    table = pq.read_table(paths.measures / "learned.parquet")
    assert table.schema.equals(LEARNED_SCHEMA)
    assert f"labels of {table.num_rows - table['label_probability'].null_count} rows in 2 classes" in words
    assert table["id"].to_pylist() == sorted(version.rows["id"].to_pylist())
    rows = {row["source"]: row | said for row, said in
            zip(version.rows.sort_by("id").to_pylist(), table.to_pylist(), strict=True)}  # fmt: skip
    assert rows["train/a/broken.png"]["domain_distance"] is None
    usual = [
        row["domain_distance"] for name, row in rows.items() if name[-5].isdigit() and "s" not in name.split("/")[-1]
    ]
    strange = [row["domain_distance"] for name, row in rows.items() if "strange" in name and row["split"] == "train"]
    assert min(strange) > max(distance for distance in usual[10:40])
    for name, row in rows.items():
        assert (row["label_probability"] is None) == (row["split"] == "test" or "broken" in name)
        if "wrong" in name:
            assert row["label_predicted"] == "a"
            assert row["label_probability"] < 0.05
    assert not list(paths.work.iterdir()), "nothing stays behind"


def test_the_stage_writes_the_same_bytes_whatever_the_number_of_workers(source):
    config, paths, _ = source
    digests = set()
    for workers in (1, 2):
        measure(config, paths, workers=workers)
        digests.add(hashlib.sha256((paths.measures / "learned.parquet").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_labels_of_test_rows_change_nothing(source, monkeypatch):
    config, paths, version = source
    measure(config, paths)
    before = pq.read_table(paths.measures / "learned.parquet")
    labels = ["a" if s == "test" else label for s, label in
              zip(version.rows["split"].to_pylist(), version.rows["label"].to_pylist(), strict=True)]  # fmt: skip
    at = version.rows.column_names.index("label")
    other = Version(version.folder, version.card, version.rows.set_column(at, "label", pa.array(labels)))
    monkeypatch.setattr(Version, "open", lambda _: other)
    measure(config, paths)
    assert before.equals(pq.read_table(paths.measures / "learned.parquet"))


def test_with_both_rules_off_nothing_is_learned(source):
    config, paths, _ = source
    quality = config.quality.model_dump()
    quality["label_suspect"]["action"] = quality["out_of_domain"]["action"] = "off"
    words = measure(type(config).model_validate({"quality": quality}), paths).summary
    assert "off" in words
    assert pq.read_table(paths.measures / "learned.parquet").num_rows == 0


def test_flat_images_are_neither_learnt_from_nor_told_a_label(tmp_path):
    images = pictures(120, 7)
    images[100:] = 9
    ids = [f"{n:04d}" for n in range(120)]
    rows = pa.table(
        {"id": ids, "content_hash": [content_hash(one + np.uint8(n)) for n, one in enumerate(images)],
         "label": [*"ab" * 60], "split": ["reference" if n < 60 else "train" for n in range(120)]}
    )  # fmt: skip
    learner = Learner(rows, ids[:60], images[:60], LabelSuspect(action="warn"), tmp_path)
    learner.add(ids, learner.lens(images, np.array(learner.wanted(ids))))
    told = [line["label_probability"] is not None for line in learner.table().to_pylist()]
    assert told == [True] * 100 + [False] * 20

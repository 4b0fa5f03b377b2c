"""From features and labels to suspects: how scores become probabilities, what is trusted, and when nothing can be told."""

import numpy as np
import pyarrow as pa
import pytest

from aigc_core.config import LabelSuspect
from aigc_core.quality import labels as labels_module
from aigc_core.quality import learned, suspects
from aigc_core.quality.labels import out_of_fold

RULE = LabelSuspect(action="warn")


def clouds(rows=400, classes=2, dimensions=20, spread=1.0, flips=0.0, shares=None, seed=0):
    """Features of Gaussian clouds, true labels, given labels, folds."""
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, rows, p=shares)
    features = rng.normal(size=(classes, dimensions))[true] + spread * rng.normal(size=(rows, dimensions))
    given = np.where(rng.random(rows) < flips, (true + rng.integers(1, classes, rows)) % classes, true)
    return features.astype(np.float32), true, given, np.arange(rows) % 5


def predict(features, given, folds, classes):
    return out_of_fold(features, given, folds, np.ones(len(given), bool), classes)


def test_the_scaling_takes_back_what_a_regression_prefers():
    rng = np.random.default_rng(0)
    given = rng.integers(0, 2, 600)
    scores = (np.eye(2)[given] + 0.6 * rng.normal(size=(600, 2))).astype(np.float32)
    sharpness, bias = labels_module._scaling(scores, given, 0.0)
    shifted, other = labels_module._scaling(scores + np.float32([0.7, 0]), given, 0.0)
    assert shifted == pytest.approx(sharpness, rel=0.1)
    assert (other - bias)[0] - (other - bias)[1] == pytest.approx(-0.7 * sharpness, rel=0.15)


def test_rows_of_a_rare_class_are_not_taken_for_the_large_one():
    features, true, _, folds = clouds(1200, 3, spread=2.0, shares=[0.9, 0.05, 0.05])
    said = predict(features, true, folds, 3)
    for label in range(3):
        assert (said.predicted == label).sum() > 0.5 * (true == label).sum()


@pytest.mark.parametrize("order", [1, -1])
def test_the_weight_of_the_ridge_is_the_one_under_which_the_labels_are_likeliest(monkeypatch, order):
    features, _, given, folds = clouds()
    monkeypatch.setattr(labels_module, "RIDGES", (300.0,))
    alone = predict(features, given, folds, 2)
    monkeypatch.setattr(labels_module, "RIDGES", (300.0, 1e7)[::order])
    both = predict(features, given, folds, 2)
    assert np.allclose(alone.given, both.given, atol=1e-6)


@pytest.mark.parametrize("flips", [0.04, 0.3])
def test_a_part_of_the_wrong_labels_is_put_down_to_hard_images(monkeypatch, flips):
    features, _, given, folds = clouds(600, 3, spread=0.4, flips=flips)
    estimates, trusted = [], []
    likeliest, scaling = labels_module._likeliest, labels_module._scaling

    def estimate(scores, labels):
        estimates.append(likeliest(scores, labels))
        return estimates[-1]

    def scale(scores, labels, rate):
        trusted.append(rate)
        return scaling(scores, labels, rate)

    monkeypatch.setattr(labels_module, "_likeliest", estimate)
    monkeypatch.setattr(labels_module, "_scaling", scale)
    predict(features, given, folds, 3)
    rate = min(estimates, key=lambda fit: fit[1])[0]
    assert rate == pytest.approx((given != clouds(600, 3, spread=0.4)[1]).mean(), abs=0.03)
    assert trusted == [pytest.approx(min(0.5 * rate, 0.05))]


def test_blocks_do_not_show(monkeypatch):
    features, _, given, folds = clouds(300)
    whole = predict(features, given, folds, 2)
    monkeypatch.setattr(labels_module, "BLOCK", 37)
    parts = predict(features, given, folds, 2)
    assert np.allclose(whole.given, parts.given, atol=1e-4)
    assert (whole.predicted == parts.predicted).all()
    assert np.allclose(whole.given + np.where(whole.predicted == given, 0, whole.probability), 1 * np.where(
        whole.predicted == given, whole.probability, 1), atol=1e-6)  # fmt: skip


def test_progress_is_told_to_the_end():
    features, _, given, folds = clouds(200)
    told = []
    out_of_fold(features, given, folds, np.ones(200, bool), 2, told.append)
    assert sum(told) == pytest.approx(1)


@pytest.mark.parametrize(("count", "learnt"), [(19, ["b"]), (20, ["a", "b"])])
def test_a_class_is_learnt_from_four_rows_a_fold_on(count, learnt):
    def some(label, number, split="train", content="x"):
        return [{"label": label, "split": split, "content_hash": content}] * number

    rows = some("a", count) + some("a", 30, split="test") + some("a", 30, content=None) + some("b", 20)
    assert learned._classes(rows + some(None, 40), folds=5) == learnt
    assert learned._classes(some("a", 12), folds=3) == ["a"]


def told(given, labels=None, split="train", predicted=None):
    """Rows of which the other folds have said something."""
    count = len(given)
    return pa.table({
        "id": [f"{n:04d}" for n in range(count)], "label": labels or ["a", "b"] * (count // 2) + ["a"] * (count % 2),
        "split": [split] * count if isinstance(split, str) else split, "content_hash": [f"{n}" for n in range(count)],
        "label_probability": pa.array(given, pa.float64()), "label_predicted": ["b"] * count,
        "label_predicted_probability": pa.array(predicted or given, pa.float64()),
    })  # fmt: skip


def test_the_share_of_wrong_labels_is_that_of_the_training_rows():
    given = [0.99] * 90 + [0.0001] * 10 + [0.0001] * 60
    _, alone = suspects.find(told(given[:100]), RULE)
    found, rate = suspects.find(told(given, split=["train"] * 100 + ["reference"] * 60), RULE)
    assert rate == alone == pytest.approx(0.1, abs=0.02)
    assert len(found) == 70, "and reference rows are suspected all the same"
    assert suspects.find(told(given, split="reference"), RULE) == ([], None)


def test_the_score_is_the_probability_that_the_label_is_right():
    found, rate = suspects.find(told([0.99] * 95 + [0.0001] * 5), RULE)
    wrong = suspects.wrong_probability(np.array([0.0001]), rate, 2)[0]
    assert [verdict.score for _, verdict in found] == [pytest.approx(1 - wrong)] * 5
    assert {verdict.detail.split()[-1] for _, verdict in found} == {"b"}
    strict = RULE.model_copy(update={"min_probability": wrong + 1e-9})
    assert suspects.find(told([0.99] * 95 + [0.0001] * 5), strict)[0] == []


def test_rows_that_nothing_is_said_of_are_no_suspects():
    found, rate = suspects.find(told([0.99] * 40 + [None] * 4), RULE)
    assert found == []
    assert rate < 0.05
    assert suspects.find(told([0.99] * 40).drop_columns("label_probability"), RULE) == ([], None)
    off = RULE.model_copy(update={"action": "off"})
    assert suspects.find(told([0.0001] * 40), off) == ([], None)


def test_one_class_has_no_wrong_labels_that_could_hide():
    assert suspects.can_tell(told([0.5] * 40, labels=["a"] * 40), RULE, 0.0)


@pytest.mark.parametrize(("sure", "tells"), [(3, False), (6, True)])
def test_labels_can_be_told_where_a_twentieth_of_exchanged_ones_would_show(sure, tells):
    rows = told([0.6] * 100, predicted=[0.9999999] * sure + [0.6] * (100 - sure))
    assert suspects.can_tell(rows, RULE, 0.02) == tells


def test_a_set_without_a_wrong_label_is_asked_for_one():
    """At a share of nought nothing would ever be wrong."""
    assert suspects.can_tell(told([0.99] * 100, predicted=[0.999999] * 100), RULE, 0.0)


def test_classes_are_unchecked_where_no_row_of_training_or_reference_was_told():
    rows = told([0.9] * 4 + [None] * 6, labels=["a", "a", "b", "c", "c", "c", "d", "d", "e", None],
                split=["train", "train", "reference", "test", "train", "reference", "test", "test", "train", "train"])  # fmt: skip
    assert suspects.unchecked(rows, RULE) == {"c": 2, "e": 1}
    assert suspects.unchecked(rows.drop_columns("label_probability"), RULE) == {"a": 2, "b": 1, "c": 2, "e": 1}
    broken = rows.set_column(3, "content_hash", pa.array([None] * 10, pa.string()))
    assert suspects.unchecked(broken, RULE) == {}
    assert suspects.unchecked(rows, RULE.model_copy(update={"action": "off"})) == {}

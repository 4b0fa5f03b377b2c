"""Two results stand side by side only when they were measured alike; and what `aigc compare` makes of that."""

import json

import pytest

from aigc_core.commands.compare import compare_results
from aigc_core.errors import DataError
from aigc_core.evaluation.comparability import compare, differences, identity_digest, refuse_unlike
from aigc_core.paths import Paths

FACTS = {
    "reference_hash": "r" * 64,
    "extractor_hash": "e" * 64,
    "fd_dimensions": 32,
    "n": 500,
    "resize": "lanczos-cover",
}
METRICS = {"fd": 0.4, "fd_floor": 0.2, "fd_floor_std": 0.01, "fd_over_floor": 2.0, "fd_real": 0.2, "fd_dimensions": 32,
           "fd_low": 0.35, "fd_high": 0.45, "coverage": 0.9, "coverage_real": 1.0, "n": 500, "c_t": -1.0}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"reference_hash": "x" * 64}, r"test images \(reference_hash\): r{12} and x{12}"), ({"n": 200}, "n.*: 500 and 200"),
     ({"extractor_hash": "x"}, "feature extractor"), ({"resize": "nearest"}, "lanczos-cover and nearest"),
     ({"fd_dimensions": 20}, "32 and 20")],
)  # fmt: skip
def test_whatever_differs_is_named_and_refused(changed, named):
    other = {**FACTS, **changed}
    assert identity_digest(other) != identity_digest(FACTS)
    with pytest.raises(DataError, match=named):
        refuse_unlike({"gan": FACTS, "vae": FACTS, "old": other}, "do better")


def test_what_the_models_are_does_not_hinder_a_comparison():
    other = {**FACTS, "model_sha256": "m", "dataset_version": "v9"}
    assert differences(FACTS, other) == []
    assert identity_digest(other) == identity_digest(FACTS)
    refuse_unlike({"gan": FACTS, "vae": other}, "")


def test_differences_are_in_multiples_of_what_real_images_get():
    found = {
        line.name: line
        for line in compare(METRICS, {**METRICS, "fd": 0.7, "fd_low": 0.6, "fd_high": 0.8, "coverage": 0.5})
    }
    assert set(found) == {"fd", "coverage", "c_t"}
    assert found["fd"].share == pytest.approx(1.5)
    assert found["fd"].overlap is False
    assert found["coverage"].share == pytest.approx(-0.4)
    assert (found["coverage"].overlap, found["c_t"].share) == (None, None)
    assert compare(METRICS, METRICS)[0].overlap is True


def write(folder, metrics, facts=FACTS):
    (folder / "details").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "details" / "facts.json").write_text(json.dumps(facts))


def test_compare_prints_both_or_says_why_not(tmp_path, capsys):
    paths = Paths(tmp_path)
    write(paths.evaluation("gan"), METRICS)
    write(paths.evaluation("vae"), {**METRICS, "fd": 0.6})
    write(paths.evaluation_finetune("gan"), {"tuned": METRICS, "scratch": METRICS}, {**FACTS, "n": 300})
    result = compare_results(paths, "gan", "vae")
    assert "vae is 0.200 farther from real images than gan by fd, 1.00 times the floor" in result.summary
    assert "Training seeds alone make such a difference" in result.summary
    write(tmp_path / "far", {**METRICS, "fd": 40.0})
    assert "larger than training seeds make" in compare_results(paths, "gan", str(tmp_path / "far")).summary
    assert "coverage" in capsys.readouterr().out
    assert compare_results(paths, "gan-tuned", "gan-scratch").metrics["fd"] == 0
    assert compare_results(paths, str(paths.evaluation("vae")), "gan").metrics["fd"] == pytest.approx(-0.2)
    for second, sentence in (("gan-tuned", "number of samples"), ("x", "name one of vae, gan, vae-tuned"),
                             ("vae-tuned", "aigc evaluate_finetune vae"),
                             (str(paths.evaluation_finetune("gan")), "holds the results of scratch, tuned")):  # fmt: skip
        with pytest.raises(DataError, match=sentence):
            compare_results(paths, "gan", second)

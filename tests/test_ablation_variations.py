"""Does the leading decision keep its sign under other training recipes? Conclusions from cells, and the cells of a real study."""

import numpy as np
import pytest
import study_data as data
from study_cells import on, study, with_variations

from aigc_core.ablation import confirm, estimate, runner, variations
from aigc_core.ablation.cells import to_frame
from aigc_core.ablation.plan import resolve
from aigc_core.ablation.runner import run_cells
from aigc_core.ablation.statistics import Estimate
from aigc_core.ablation.statistics import estimate as with_error
from aigc_core.ablation.study import Study
from aigc_core.config import parse
from aigc_core.paths import Paths
from aigc_core.report import ablation, forest

SAME = {"third_rate": 1.4, "triple_rate": 1.6, "equal_passes": 1.5}


def gain(mean, error=0.05, freedom=15.0):
    return with_error(mean, error, freedom, error * np.sqrt(2), 2)


def conclusion(ratios):
    return study(with_variations(ratios))


def test_a_decision_that_keeps_its_sign_everywhere_is_said_to():
    found = conclusion(SAME)
    assert found.robustness.keys() == {"curate"}
    assert found.robustness["curate"].conclusion == variations.ROBUST
    assert found.headline.action == "clean"
    assert "under other training recipes" in found.headline.sentence
    assert [one.gain.n for one in found.robustness["curate"].varied] == [2, 2, 2]
    assert [np.exp(one.gain.mean) for one in found.robustness["curate"].varied] == pytest.approx(
        [1.4, 1.6, 1.5], rel=0.1
    )


def test_one_turned_sign_makes_it_depend_on_the_recipe():
    found = conclusion({**SAME, "triple_rate": 0.6})
    assert found.robustness["curate"].conclusion == variations.DEPENDS
    assert [one.variation.name for one in found.robustness["curate"].of(variations.TURNS)] == ["triple_rate"]
    assert found.headline.action == "depends on the training recipe"
    assert "3 times the learning rate" in found.headline.sentence


def test_what_few_trainings_do_not_tell_is_neither():
    found = conclusion({**SAME, "third_rate": 1.01})
    assert found.robustness["curate"].conclusion == variations.UNSURE
    assert found.headline.action == "clean"
    assert "under other training recipes" not in found.headline.sentence
    assert any("may keep its sign" in sentence for sentence in found.headline.evidence)


def test_trainings_that_fail_are_no_kept_sign():
    frame = with_variations(SAME)
    gone = frame.arm == "triple_rate_without_curate"
    frame.loc[gone, ["fd", "cas"]] = np.nan
    frame.loc[gone, "error"] = "the loss is not finite"
    found = study(frame)
    assert found.robustness["curate"].conclusion == variations.UNSURE
    assert [one.state for one in found.robustness["curate"].varied] == ["keeps", "failed", "keeps"]
    page = ablation.render(found.to_dict())
    assert "no pair of trainings was finished at 3 times the learning rate" in page


@pytest.mark.parametrize(
    ("own", "other", "state"),
    [
        (gain(0.5), gain(0.5), "keeps"),
        (gain(-0.5), gain(-0.5), "keeps"),
        (gain(0.5), gain(0.13), "open"),  # 0.13 is beyond 0 at 95 %, not at 99 %
        (gain(0.5), gain(-0.13), "turns"),
        (gain(0.5), gain(-0.05), "turns"),  # not told from 0, but from 0.5
        (gain(0.1), gain(-0.02), "open"),
        (gain(-0.5), gain(0.2), "turns"),
        (gain(0.5), Estimate(-0.4, np.nan, np.nan, np.nan, 1, np.nan), "open"),  # one pair tells nothing
    ],
)
def test_the_state_of_a_sign(own, other, state):
    assert variations.vary(variations.VARIATIONS[0], own, other).state == state


def test_equal_passes_are_more_steps_where_there_are_more_rows():
    third, triple, passes = variations.VARIATIONS
    assert [one.steps(800, 150, 100) for one in (third, triple, passes)] == [800, 800, 1200]
    assert [one.rate for one in (third, triple, passes)] == pytest.approx([1 / 3, 3, 1])


def test_no_false_claim_where_a_variation_has_no_effect():
    """A decision that pays in the study and does nothing at a third of the rate."""
    chance, wrong = np.random.default_rng(0), 0
    for _ in range(2000):
        error = 0.15 / np.sqrt(2)
        varied = [
            variations.vary(one, gain(0.5), gain(chance.normal(mean, error), error))
            for one, mean in zip(variations.VARIATIONS, (0.0, 1.0, 1.0), strict=True)
        ]
        wrong += variations.Robustness("curate", gain(0.5), tuple(varied)).conclusion == variations.ROBUST
    assert wrong <= 26  # 2,000 x 0.5 % = 10, and more than 26 has a chance below 0.001 %


def test_the_page_shows_every_variation():
    found = conclusion(SAME).to_dict()
    page = ablation.render(found)
    drawn = forest.forest(found)
    for one in variations.VARIATIONS:
        assert one.words in page
        assert one.words in drawn
    assert found["varied"] == 10
    assert "third_rate" not in forest.forest(study().to_dict())
    assert on(conclusion(SAME), "curate").verdict == "pays"


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """A study whose first decision has an effect that three seeds tell: its layout, lines, checkout and settings."""
    paths = data.build(Paths(tmp_path_factory.mktemp("varied")))
    config = data.settings(variations=2, decisions=["curate"])
    config = parse({**config.model_dump(), "train": {**config.train.model_dump(), "vae": {"steps": 12}}})
    return resolve(config, paths), paths, config


def test_the_cells_of_a_variation_are_trained_in_another_way(varied):
    layout, paths, config = varied
    plan = layout.plan
    later = confirm.later_cells(plan, {"variation": ["curate"]})
    full, without = ({line["rows"] for line in plan.cells if line["arm"] == arm} for arm in ("full", "without_curate"))
    passes = round(6 * max(without) / max(full))
    assert {(line["arm"], line["steps"], round(line["rate"], 3)) for line in later} == {
        ("third_rate", 6, 0.333), ("third_rate_without_curate", 6, 0.333), ("triple_rate", 6, 3.0),
        ("triple_rate_without_curate", 6, 3.0), ("equal_passes_without_curate", passes, 1.0),
    }  # fmt: skip
    assert confirm.later_cells(plan, {"variation": []}) == []
    lines = runner.Crew(layout, paths, config, runner._unseen, None).finish(later)
    distances = {(line["arm"], line["seed"]): line["fd"] for line in lines}
    assert len(distances) == len(set(distances.values())) == 10
    assert all(np.isfinite(value) for value in distances.values())
    cost = estimate.Cost(0.01, 2.0, 1.0, "made up")
    words = estimate.in_words(plan, estimate.look_ahead(plan, paths, config.ablation, cost, 1))
    assert "2 seeds under each of 3 other training recipes" in words["cells"]
    assert "with 1 process (" in words["time left"]
    assert "1 twin of training rows is left out" in words["judged by"]


def test_a_study_runs_them_where_the_leading_decision_is_told_and_only_there(varied, monkeypatch):
    layout, paths, config = varied
    for told in (True, False):
        monkeypatch.setattr("aigc_core.ablation.headline.Finding.told", told)
        lines = run_cells(layout, paths, config)
        assert {line["kind"] == "variation" for line in lines} == ({True, False} if told else {False})
        assert runner.missing_cells(layout.plan, paths) == set()
        found = Study(layout.plan.to_dict(), to_frame(lines))
        assert found.robustness.keys() == ({"curate"} if told else set())


def test_equal_passes_over_as_many_rows_are_planned_for_no_decision(varied):
    _, paths, _ = varied
    wanted = data.settings(variations=2, decisions=["curate", {"name": "turns", "augment": ["rotate"]}])
    plan = resolve(wanted, paths).plan
    names = {arm["name"] for arm in plan.arms if arm["kind"] == "variation"}
    assert {"third_rate_without_turns", "triple_rate_without_turns", "equal_passes_without_curate"} <= names
    assert "equal_passes_without_turns" not in names, "the rows are the same, and so are the steps"

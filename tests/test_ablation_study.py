"""A study of planted effects: what is there is found, what is not is not claimed, and what is broken says so."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from study_cells import ARMS, FLOOR, PLAN, ROWS, SIZES, cells, on, study, with_bought, with_confirmation

from aigc_core.ablation import headline as headline_of
from aigc_core.ablation import verdicts as v
from aigc_core.ablation import words
from aigc_core.ablation.scaling import Band
from aigc_core.ablation.spread import ALONE
from aigc_core.ablation.study import Study
from aigc_core.errors import DataError


def test_planted_effects_get_their_verdicts():
    found = study()
    assert found.void == []
    assert on(found, "curate").verdict == v.PAYS
    assert on(found, "curate").effect == pytest.approx(1.5, abs=0.05), "a ratio of distances, without over with"
    assert on(found, "curate").floors == pytest.approx(1.0, abs=0.1)
    assert on(found, "augment").verdict == v.HURTS
    assert on(found, "augment").effect == pytest.approx(0.6, abs=0.05)
    assert "1.67 times farther from real images" in on(study(cells(spread=0.001)), "augment").sentence
    assert on(found, "deduplicate").verdict == v.EQUIVALENT
    assert on(found, "deduplicate", "cas").verdict == v.PAYS
    assert on(found, "curate").low < on(found, "curate").effect < on(found, "curate").high
    assert on(found, "curate").control_effect == pytest.approx(1.4, abs=0.1)
    assert "Which rows curation removes matters" in on(found, "curate").sentence
    assert on(found, "deduplicate").p_holm >= on(found, "deduplicate").p
    assert list(found.ledger.decision.unique()) == PLAN["decisions"]


def test_an_effect_is_told_beside_planted_damage_where_that_was_seen():
    # Curation is worth log 1.5, two per cent of blanks cost log 1.75.
    sentence = on(study(cells(spread=0.001)), "curate").sentence
    assert "about 0.7 times what 2 % blank images cost" in sentence
    unseen = study(cells(blanks_2=("positive_control", None, 2.0, 0.9, 1.0), spread=0.001))
    assert "times what" not in on(unseen, "curate").sentence


def test_effects_are_paired_by_seed():
    frame = cells(spread=0.02)
    # A fifth that a seed brings to all arms alike does not blur the differences.
    frame["fd"] *= 1 + 0.2 * frame.seed
    line = on(study(frame), "curate")
    assert line.verdict == v.PAYS
    assert line.spread_paired < 0.1 < line.spread_unpaired


def test_equivalent_is_what_lies_within_the_smallest_effect_and_no_effect_says_what_would_have_been_seen():
    line = on(study(cells(spread=0.02)), "deduplicate")
    assert line.verdict == v.EQUIVALENT
    assert "lies within 10 % on both sides" in line.sentence
    assert on(study(cells(spread=0.02), smallest_effect=0.01), "deduplicate").verdict == v.NO_EFFECT
    loud = cells(spread=0.3, seed=3)
    line = on(study(loud), "deduplicate")
    assert line.verdict == v.NO_EFFECT
    assert line.smallest_visible > 1.1
    assert "could have been missed" in line.sentence


def test_a_blind_study_says_so_beside_every_effect_that_it_does_not_see():
    loud = {"spread": 0.3, "seed": 3}
    blind = study(cells(**loud, blanks_2=("positive_control", None, 2.0, 0.9, 1.0)))
    assert blind.void == []
    assert "did not see 2 % blank images either" in on(blind, "deduplicate").sentence
    assert (
        "either"
        not in on(study(cells(**loud, blanks_2=("positive_control", None, 9.0, 0.9, 1.0))), "deduplicate").sentence
    )


def test_a_decision_that_is_no_better_than_random_removal_says_so():
    frame = cells(seed=1, random_curate=("random_control", "curate", 2.0, 0.9, 1.0))
    sentence = on(study(frame), "curate").sentence
    assert "cannot be told from removing as many rows at random" in sentence


def test_rows_that_were_brought_in_are_held_against_as_many_others():
    line = on(study(with_bought(spread=0.03)), "bought")
    assert line.effect == pytest.approx(1.25, abs=0.05)
    assert line.control_effect == pytest.approx(2.5 / 2.2, abs=0.05)
    assert line.kind_low < line.low < line.effect < line.high < line.kind_high
    assert "Its rows are worth more than as many others: 1." in line.sentence
    same = with_bought(spread=0.03)
    same.loc[same.arm == "random_bought", "fd"] += 0.3 * FLOOR
    assert "Its rows cannot be told from as many others" in on(study(same), "bought").sentence
    same.loc[same.arm == "random_bought", "fd"] += 0.3 * FLOOR
    assert "Its rows are worth less than as many others: 1." in on(study(same), "bought").sentence


def test_sizes_that_no_curve_fits_are_not_called_unmeasured():
    frame = cells(sizes=SIZES)
    frame.loc[frame["share"] == 0.32, "fd"] += 2 * FLOOR
    found = study(frame)
    assert found.headline.sentence.startswith("Clean")
    assert "what more data would buy is open: no curve fits the sizes" in found.headline.sentence
    assert "five" not in found.headline.sentence
    assert found.to_dict()["scaling"]["too_few"] is False


def test_a_gain_by_copying_is_copying():
    frame = cells(full=("baseline", None, 2.0, 0.9, -8.0), without_augment=("treatment", "augment", 3.0, 0.9, 1.0),
                  without_curate=("treatment", "curate", 3.0, 0.9, -8.0))  # fmt: skip
    # Nearer to the training rows without copies: better or smoother samples are, too.
    assert on(study(frame), "augment").verdict == v.PAYS
    assert "c_t became worse" in on(study(frame), "augment").sentence
    copies = frame["seed"].map(lambda seed: 0.2 + 0.01 * (seed % 3))
    frame.loc[frame["arm"].isin(["full", "without_curate"]), "copy_rate"] = copies
    found = study(frame)
    assert on(found, "augment").verdict == v.COPYING
    assert "copy_rate became worse" in on(found, "augment").sentence.replace("c_t, ", "")
    # Copying that was there before is not the decision's.
    assert on(found, "curate").verdict == v.PAYS
    assert re.search(r"Drop augmentation \(\S+ times nearer, by copying\)", found.headline.sentence)


def test_a_distance_that_is_better_without_a_decision_by_copies_is_no_reason_to_drop_it():
    frame = cells()  # without augmentation the distance is better
    copies = frame["seed"].map(lambda seed: 0.25 + 0.01 * (seed % 3))
    frame.loc[frame["arm"] == "without_augment", "copy_rate"] = copies
    found = study(frame)
    assert on(found, "augment").verdict == v.COPYING_WITHOUT
    assert "better by copying" in on(found, "augment").sentence
    assert "augmentation" not in found.headline.sentence
    # Where both arms copy alike, the distance decides.
    frame.loc[frame["arm"].isin(["full", "placebo"]), "copy_rate"] = copies
    assert on(study(frame), "augment").verdict == v.HURTS


def test_a_rate_that_real_images_could_have_is_not_the_side_of_copying():
    frame = cells(without_augment=("treatment", "augment", 3.0, 0.9, 1.0))
    frame.loc[frame["arm"] == "full", "copy_rate"] = frame["seed"].map(lambda seed: 0.014 + 0.0001 * seed)
    assert on(study(frame), "augment").verdict == v.COPYING, (
        "the nominal rate of 1 % is taken as exact without a number of rows"
    )
    assert on(study(frame, test_rows=500), "augment").verdict == v.PAYS


@pytest.mark.parametrize(
    ("unseen", "verdict"),
    [({}, v.COPYING), ({"unseen_rows": 0}, v.COPYING), ({"unseen_rows": 500}, v.PAYS)],
)
def test_the_rate_is_held_to_the_rows_that_it_was_calibrated_on(unseen, verdict):
    frame = cells(without_augment=("treatment", "augment", 3.0, 0.9, 1.0))
    frame.loc[frame["arm"] == "full", "copy_rate"] = frame["seed"].map(lambda seed: 0.014 + 0.0001 * seed)
    assert on(study(frame, test_rows=1_000_000, **unseen), "augment").verdict == verdict


def test_a_better_fit_is_not_copying():
    # Nearer to every real image, but not nearer to training rows than held-out ones are.
    frame = cells(full=("baseline", None, 2.0, 0.9, 2.0), without_augment=("treatment", "augment", 3.0, 0.9, 6.0))
    assert on(study(frame), "augment").verdict == v.PAYS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"placebo": ("placebo", None, 3.0, 0.9, 1.0)}, "a random few of the rows"),
        ({"placebo": ("placebo", None, 1.2, 0.9, 1.0)}, "a random few of the rows"),
        ({"blanks_2": ("positive_control", None, 1.0, 0.9, 1.0)}, "this budget cannot judge"),
    ],
)
def test_a_study_that_cannot_be_believed_is_void(changes, reason):
    found = study(cells(**changes))
    assert reason in " ".join(found.void)
    assert set(found.ledger.verdict) == {v.VOID}
    assert found.headline.action == "void"
    assert "says nothing about the data" in found.headline.sentence
    assert not all(check.passed for check in found.checks)
    assert on(found, "curate").effect == pytest.approx(1.5, abs=0.1), "the numbers stay"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"blanks_2": ("positive_control", None, 2.0, 0.9, 1.0)}, "not seen"),
        ({"blanks_2": None}, "unknown"),
        ({"placebo": None}, "seen"),
        ({"placebo": ("placebo", None, 2.1, 0.9, 1.0)}, "seen"),
    ],
)
def test_a_study_that_sees_less_is_not_void(changes, state):
    found = study(cells(**changes))
    assert found.void == []
    assert found.gates[1].state == state
    assert on(found, "curate").verdict == v.PAYS
    assert found.headline.action == "clean"


def test_a_control_whose_cells_failed_is_not_called_one_that_was_not_run():
    frame = cells()
    for arm in ("placebo", "blanks_2"):
        frame.loc[(frame.arm == arm) & (frame.seed > 0), ["fd", "error"]] = [np.nan, "the loss is not finite"]
    assert [check.observed for check in study(frame).checks] == ["finished pairs: 1", "finished pairs: 1", "8 failed"]


def test_failed_cells_are_named_and_nothing_is_dropped():
    frame = cells()
    broken = (frame.arm == "without_curate") & (frame.seed < 2)
    frame.loc[broken, ["fd", "cas", "coverage", "agreement"]] = np.nan
    frame.loc[broken, "error"] = "the loss is not finite"
    found = study(frame)
    line = on(found, "curate")
    assert (line.pairs, line.lost) == (3, 2)
    assert line.verdict == v.PAYS
    assert "2 seeds could not be paired because a cell failed." in line.sentence
    assert any("2 of 35 cells failed" in note for note in found.headline.evidence)
    assert not found.checks[-1].passed
    arm = next(arm for arm in found.to_dict()["arms"] if arm["arm"] == "without_curate")
    assert (arm["failed"], arm["errors"]) == (2, ["the loss is not finite"])


def test_an_arm_without_any_finished_cell_cannot_be_trained_without_the_decision():
    frame = cells()
    frame.loc[frame.arm == "without_curate", "fd"] = np.nan
    frame.loc[frame.arm == "without_curate", "error"] = "class 7 has fewer rows than it needs"
    line = on(study(frame), "curate")
    assert line.verdict == "cannot be trained without it"
    assert "5 of 5 trainings without it failed, and 0 of 25 with it" in line.sentence
    assert "class 7 has fewer rows" in on(study(frame), "curate", "cas").sentence
    assert study(frame).headline.action == "keep"
    assert "Keep curation: trainings fail without" in study(frame).headline.sentence
    few = frame[frame.seed == 0]
    assert on(study(few), "curate").verdict == v.NO_VERDICT, "one failure is no conclusion"


def test_failures_in_one_arm_more_than_in_the_others_are_the_conclusion():
    def broken(chosen):
        frame = cells()
        frame.loc[chosen(frame), ["fd", "error"]] = [np.nan, "the loss is not finite"]
        return study(frame)

    without = broken(lambda frame: (frame.arm == "without_curate") & (frame.seed < 3))
    assert on(without, "curate").verdict == "trains less reliably without it"
    assert "3 of 5 trainings without it failed, and 0 of 25 with it" in on(without, "curate").sentence
    assert without.headline.action == "keep"
    everywhere = broken(lambda frame: (frame.arm != "without_augment") & (frame.seed < 4))
    assert on(everywhere, "augment").verdict == "trains less reliably with it"
    assert on(everywhere, "curate").verdict not in ("trains less reliably without it", "trains less reliably with it")
    assert "Drop augmentation (trainings fail more often with it)" in everywhere.headline.sentence


def test_an_arm_that_lacks_another_decision_too_says_nothing_of_how_trainings_fail_with_this_one():
    pair = {"without_curate_and_augment": ("treatment", "curate_and_augment", 3.0, 0.9, 1.0)}
    arms = [{"name": "without_curate_and_augment", "recipe": {"off": ["curate", "augment"]}}]
    frame = cells(**pair)
    broken = frame.arm.isin(["without_curate", "without_curate_and_augment"]) & (frame.seed < 3)
    frame.loc[broken, ["fd", "error"]] = [np.nan, "the loss is not finite"]
    assert "3 of 5 trainings without it failed, and 0 of 25 with it" in on(study(frame, arms=arms), "curate").sentence


def test_the_decision_that_leads_is_that_of_the_headline():
    assert study().leader.decision == "curate", "augmentation has the larger effect, and hurts"
    half = cells(without_half_the_data=("treatment", "half_the_data", 9.0, 0.9, 1.0))
    assert study(half).leader.decision == "curate", "how much data there is leads only where nothing else was asked"
    alone = half[~half.decision.isin(["curate", "augment", "deduplicate"])]
    assert study(alone).leader.decision == "half_the_data"
    assert study(cells(without_curate=None, without_deduplicate=None)).leader.decision == "augment"
    assert study(cells(blanks_2=("positive_control", None, 1.0, 0.9, 1.0))).leader is None, "void"


def test_one_seed_gives_no_verdict():
    frame = cells()
    line = on(study(frame[frame.seed % 100 == 0]), "curate")
    assert line.verdict == v.NO_VERDICT
    assert "at least two seeds" in line.sentence


def test_a_decision_that_changes_nothing_says_so():
    frame = cells()
    full = frame[frame.arm == "full"].set_index("seed")
    same = frame.arm == "without_deduplicate"
    for name in ("fd", "cas", "coverage", "agreement", "c_t"):
        frame.loc[same, name] = full[name].loc[frame.loc[same, "seed"]].to_numpy()
    frame.loc[same, "rows_touched"] = 0
    line = on(study(frame), "deduplicate")
    assert line.verdict == v.EQUIVALENT
    assert "changes no row" in line.sentence


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="columns fd are missing"):
        study(cells().drop(columns="fd"))
    frame = cells()
    frame.loc[frame.arm == "placebo", "fd_floor"] *= 1.1
    with pytest.raises(DataError, match="different yardsticks"):
        study(frame)
    frame = cells().assign(fd_floor=0.0)
    with pytest.raises(DataError, match="the held-out images are all alike"):
        study(frame)
    frame = cells()
    frame.loc[frame.arm == "full", ["fd", "error"]] = [np.nan, "diverged at step 12"]
    with pytest.raises(DataError, match="diverged at step 12"):
        study(frame)


def test_the_curve_gives_a_headline_and_a_worth_in_images():
    found = study(cells(sizes=SIZES, spread=0.02))
    assert found.fit.curves is not None
    assert found.fit.gain(2).value == pytest.approx(np.log(2 / (1.2 + 0.8 * 2**-0.6)), abs=0.05)
    line = on(found, "curate")
    assert 0 < line.worth_images < ROWS
    assert line.worth.startswith("worth about")
    assert on(found, "augment").worth.startswith("dropping it")
    assert math.isnan(on(found, "deduplicate").worth_images)
    assert found.headline.action == "clean"
    assert found.headline.sentence.startswith("Clean: curation")
    assert "Drop augmentation" in found.headline.sentence


def test_without_sizes_there_are_dots_only():
    found = study()
    assert found.to_dict()["scaling"]["refusal"].endswith("dots only")
    assert len(found.to_dict()["scaling"]["dots"]) == 5
    assert on(found, "curate").worth == ""


def quiet(**changes):
    """No decision has an effect."""
    arms = {"without_curate": ("treatment", "curate", 2.0, 0.9, 1.0), "without_augment": ("treatment", "augment", 2.0, 0.9, 1.0),
            "without_deduplicate": ("treatment", "deduplicate", 2.0, 0.9, 1.0)}  # fmt: skip
    return cells(spread=0.02, **{**arms, **changes})


def test_headlines_of_studies_without_a_paying_decision():
    assert study(quiet(sizes=SIZES), smallest_effect=0.05).headline.action == "collect"
    assert "gold mine" in study(quiet(sizes=SIZES), smallest_effect=0.05).headline.sentence
    bubble = study(quiet(sizes=SIZES), smallest_effect=0.4).headline
    assert (bubble.action, "bubble" in bubble.sentence) == ("stop", True)
    unsure = study(quiet()).headline
    assert unsure.action == "cannot tell"
    assert "was not measured" in unsure.sentence
    near = {arm: (*ARMS[arm][:2], 1.0, 0.9, 1.0) for arm in ("full", "placebo", "without_curate", "without_augment",
                                                             "without_deduplicate")}  # fmt: skip
    assert "as near to real images" in study(quiet(**near)).headline.sentence


def test_hurting_alone_is_a_headline():
    found = study(quiet(without_augment=("treatment", "augment", 1.2, 0.9, 1.0))).headline
    assert found.action == "drop"
    assert found.sentence.startswith("Drop augmentation (1.")
    harm = quiet(without_augment=("treatment", "augment", 1.9, 0.9, 1.0))
    assert on(study(harm), "augment").verdict == v.HURTS
    assert study(harm).headline.action == "cannot tell", "five per cent do not matter where ten do"


def test_a_study_of_sizes_alone_does_not_speak_of_decisions_that_pay():
    frame = cells(sizes=SIZES, without_curate=None, random_curate=None, without_augment=None, without_deduplicate=None)
    found = study(frame, decisions=[], smallest_effect=0.4)
    assert found.headline.sentence.endswith("that matter, and no decision was measured.")
    assert len(found.ledger) == 0
    assert found.to_dict()["ledger"] == []


def test_an_interval_that_leaves_out_zero_without_a_verdict_says_why():
    gains = np.array([0.5, 0.1, 0.35, 0.6, 0.05])
    one, *_ = v.judge(
        [v.measure("fd", own, np.zeros(5), 0, 3, ALONE) for own in (gains, gains[::-1], np.array([1, -1, 2, -2, 0.5]))]
    )
    assert one.gain.low > 0
    assert one.verdict == v.NO_EFFECT
    told = words.sentence("curate", one, words.Scale(0.1))
    assert "which leaves out 0 alone but not as one of 3 decisions (p adjusted for them 0." in told
    alone = v.judge([v.measure("fd", np.array([1, -1, 2, -2, 0.5]), np.zeros(5), 0, 1)])[0]
    assert "alone" not in words.sentence("curate", alone, words.Scale(0.1))


def test_augmented_copies_are_no_images_of_the_curve():
    plain, frame = cells(sizes=SIZES), cells(sizes=SIZES)
    frame["rows"] *= 3
    arms = [{"name": "full", "copies": 2}]
    found, known = study(frame, arms=arms), study(plain)
    assert found.fit.sizes == known.fit.sizes == [100, 180, 320, 560, 1000]
    assert on(found, "curate").worth == on(known, "curate").worth
    assert found.to_dict()["scaling"]["largest"] == ROWS


def test_equal_cells_give_equal_json_and_times_stay_out():
    frame = cells(sizes=SIZES)
    shuffled = frame.sample(frac=1, random_state=0).assign(seconds=np.linspace(1, 2, len(frame)))
    first, second = (json.dumps(study(one).to_dict(), allow_nan=False) for one in (frame, shuffled))
    assert first == second
    timed = study(shuffled).to_dict(timing=True)
    assert any(line["seconds"] for line in timed["ledger"])
    assert isinstance(study(shuffled).ledger, pd.DataFrame)


def test_false_verdicts_are_as_rare_as_promised():
    wrong, voids, trials = 0, 0, 40
    for seed in range(trials):
        frame = quiet(seed=seed)
        found = Study({**PLAN, "decisions": ["curate"]}, frame[frame.decision.isna() | (frame.decision == "curate")])
        wrong += found.effects["curate", "fd"].verdict in (v.PAYS, v.HURTS)
        voids += bool(found.void)
    assert wrong <= 6  # 40 x 5 % = 2, and more than 6 has a chance below 1 %
    assert voids <= 4  # 40 x 1 % = 0.4


def test_an_effect_that_no_thousand_seeds_would_see_says_so_instead_of_naming_a_thousand():
    noisy = v.judge([v.measure("fd", np.array([-40.0, 30.0, 5.0, -20.0, 35.0]), np.zeros(5), lost=0, asked=1)])[0]
    assert "more than 1,000 seeds would see it" in words.sentence("curate", noisy, words.Scale(0.1))
    calm = v.judge([v.measure("fd", np.array([-0.2, 0.15, 0.03, -0.1, 0.17]), np.zeros(5), lost=0, asked=1)])[0]
    assert "about " in words.sentence("curate", calm, words.Scale(0.1))


def test_the_end_of_an_interval_that_leaves_out_zero_does_not_read_as_zero():
    assert words.figure(-4.5e-5, "cas") == "-0.005"
    assert words.figure(-1e-7, "cas") == "+0.0"
    assert words.figure(0.0, "fd") == "1.00"
    assert words.figure(0.004, "fd") == "1.004"
    assert words.figure(-0.004, "fd") == "0.996"


def confirmed(ratio, **more):
    return study(with_confirmation(ratio, **more), confirm_steps=2000)


def test_the_full_budget_confirms_or_the_headline_says_that_it_depends():
    same = confirmed(1.5).headline
    assert same.action == "clean"
    assert "and so it does at the full 2,000 steps" in same.sentence
    several = confirmed(1.5, without_deduplicate=("treatment", "deduplicate", 2.6, 0.9, 1.0)).headline
    assert "and so does curation at the full 2,000 steps" in several.sentence, "of two that pay one was confirmed"
    more = confirmed(3.0)
    assert more.headline.action == "clean"
    assert "how much depends on the budget" in more.headline.sentence
    assert on(more, "curate").full_effect == pytest.approx(3.0, abs=0.2)
    assert more.confirmations["curate"].differs
    turned = confirmed(0.7).headline
    assert turned.action == "depends on the budget"
    assert any("differ by more than their intervals" in sentence for sentence in turned.evidence)
    assert confirmed(1.5, spread=0.001).confirmations.keys() == {"curate"}


def test_one_pair_at_the_full_budget_is_shown_and_decides_nothing():
    frame = with_confirmation(0.7)
    found = study(frame[(frame.kind != "confirmation") | (frame.seed == 0)])
    assert not found.confirmations["curate"].differs
    assert found.headline.action == "clean"


def test_a_study_of_another_family_says_so_first():
    why = "the gan is the family that is released"
    other = study(model="vae", family_released=False, family_why=why).headline
    assert other.sentence.startswith(f"This is about the VAE: {why}. Clean")
    same = study(model="gan", family_released=True, family_why=why).headline
    assert same.sentence.startswith("Clean")
    assert f"{words.upper(why)}." in same.evidence


def test_shares_have_at_least_the_spread_of_rounding():
    frame = cells()
    for arm, cas in (("full", 0.9), ("without_curate", 0.896)):
        frame.loc[frame.arm == arm, "cas"] = cas
    rest = ~frame.arm.isin(["full", "without_curate"])
    frame.loc[rest, "cas"] = 0.9
    line = on(study(frame, test_rows=250), "curate", "cas")
    assert line.low < line.effect < line.high
    assert line.spread_paired == pytest.approx(1 / (250 * 6**0.5), rel=0.6)
    assert line.p > 0


def test_other_metrics_are_corrected_over_decisions_and_metrics():
    found = study()
    effects = found.effects
    assert effects["curate", "fd"].asked == 3
    assert effects["curate", "cas"].asked == 9
    assert effects["deduplicate", "cas"].adjusted == pytest.approx(min(1, 9 * effects["deduplicate", "cas"].gain.p))


@pytest.mark.parametrize(("value", "warned"), [(19.9, False), (20.1, True)])
def test_a_recipe_far_from_real_images_is_warned_of(value: float, warned: bool):
    sentence = headline_of._distance_words(Band(value, value, value))
    assert ("ablation.steps" in sentence) == warned

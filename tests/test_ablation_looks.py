"""Declared looks: levels that together make 5 %, a study that stops when it has its answers, and no other result after an interruption."""

import json

import numpy as np
import pytest
import study_data as data
import sweep_data
from scipy.stats import multivariate_normal, norm
from study_cells import PLAN, cells, on

from aigc_core.ablation import asked, estimate, runner
from aigc_core.ablation import statistics as s
from aigc_core.ablation import verdicts as v
from aigc_core.ablation.cells import to_frame
from aigc_core.ablation.looks import Look, local_levels
from aigc_core.ablation.plan import resolve
from aigc_core.ablation.study import Study
from aigc_core.config import parse
from aigc_core.errors import ConfigError
from aigc_core.files import read_json, write_json
from aigc_core.paths import Paths
from aigc_core.report import ablation as report
from aigc_core.stages.ablate import summary

SHARES = (0.2, 0.4, 0.6, 1.0)


def crossing(levels, shares):
    """Chance that a mean of nothing crosses a bound at any look, by the multivariate normal distribution."""
    t = np.array(shares)
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    bounds = norm.isf(np.array(levels) / 2)
    inside = multivariate_normal(cov=correlation, allow_singular=True, seed=0, maxpts=200_000, abseps=1e-6)
    return 1 - inside.cdf(bounds, lower_limit=-bounds)


def test_the_levels_of_the_looks_are_those_of_lan_and_demets():
    levels = local_levels(0.05, SHARES)
    # After 4, 8, 12 and 20 seeds: about 0, 0.0018, 0.0105 and 0.0436, told to the nearest five thousandths.
    assert levels == pytest.approx((0.0, 0.0018, 0.0105, 0.0436), abs=0.0025)
    assert levels[0] == pytest.approx(2 * norm.sf(norm.isf(0.025) / np.sqrt(0.2)))
    for number in (2, 3, 4):
        spent = 2 * norm.sf(norm.isf(0.025) / np.sqrt(SHARES[number - 1]))
        assert crossing(levels[:number], SHARES[:number]) == pytest.approx(spent, abs=2e-5)


def test_the_levels_after_4_8_12_and_20_seeds_are_those_of_the_page_of_verdicts():
    levels = [Look((4, 8, 12, 20), seeds).level() for seeds in (4, 8, 12, 20)]
    assert levels == pytest.approx([0.00001, 0.0019, 0.0107, 0.0455], abs=5e-5)
    assert levels[0] == pytest.approx(0.00001, abs=5e-6)


@pytest.mark.parametrize("shares", [(1.0,), (0.003, 1.0), (0.5, 0.51, 1.0), tuple(i / 20 for i in range(3, 21))])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12])
def test_all_looks_together_spend_no_more_than_the_level(shares, alpha):
    levels = local_levels(alpha, shares)
    if len(shares) < 4:
        assert crossing(levels, shares) == pytest.approx(alpha, abs=2e-5)
    assert 0.5 * alpha < levels[-1] <= alpha + 1e-9
    if shares == (1.0,):
        assert levels == pytest.approx((alpha,))


def test_a_study_without_looks_is_judged_as_ever():
    once = Look()
    assert (once.level(3), once.confidence, once.times(3), once.stopped) == (s.ALPHA / 3, s.LEVEL, 3, False)


def test_p_is_scaled_so_that_it_is_compared_with_alpha():
    look = Look((4, 8, 12, 20), 8)
    level = local_levels(0.05, SHARES)[1]
    assert (look.number, look.stopped) == (2, True)
    assert s.holm([level], look.times)[0] == pytest.approx(s.ALPHA)
    # Of two the smaller is held to the bound of half the level, which is less than half of the bound.
    half = local_levels(0.025, SHARES)[1]
    assert half < level / 2
    adjusted = s.holm([half, level], look.times)
    assert adjusted == pytest.approx([s.ALPHA, s.ALPHA])
    assert s.holm([1.01 * half, 0.2], look.times)[0] > s.ALPHA
    assert s.holm([0.0, np.nan], Look((3, 1000), 3).times)[0] == 0


def test_the_interval_of_a_look_leaves_out_zero_where_its_test_rejects():
    chance = np.random.default_rng(0)
    look = Look((4, 8, 12, 20), 8)
    for shift in np.linspace(0.2, 2.5, 60):
        gains = shift + chance.normal(0, 1, 8)
        effect = v.judge([v.measure("fd", gains, np.zeros(8), 0, 1, look=look)], look=look)[0]
        assert (effect.adjusted < s.ALPHA) == effect.gain.excludes_zero()
        assert effect.visible > v.measure("fd", gains, np.zeros(8), 0, 1).visible


def test_equivalent_takes_more_at_an_early_look_too():
    gains = np.array([-0.1, 0.1, -0.06, 0.06, -0.12, 0.12, -0.02, 0.02])
    words = []
    for look in (Look(), Look((4, 8, 12, 20), 8)):
        effect = v.measure("fd", gains, np.zeros(8), 0, 1, look=look)
        words.append(v.judge([effect], 0.08, look)[0].verdict)
    assert words == [v.EQUIVALENT, v.NO_EFFECT]


def declared(frame, looks, seeds):
    plan = {**PLAN, "seeds": list(range(seeds)), "settings": {"ablation": {"looks": looks}}}
    return Study(plan, frame)


def test_a_study_is_judged_at_the_level_of_the_look_that_it_has_reached():
    frame = cells(spread=0.05, seeds=8)
    once = Study({**PLAN, "seeds": list(range(8))}, frame)
    early, last = declared(frame, [4, 8, 12], 20), declared(frame, [4], 8)
    assert (early.look.number, last.look.number) == (2, 2)
    for found in (early, last):
        assert on(found, "curate").p == on(once, "curate").p
        level = found.look.level(3)
        assert found.effects["curate", "fd"].level == level < s.ALPHA / 3
        assert on(found, "curate").low < on(once, "curate").low
    assert early.look.level() < last.look.level()
    assert on(early, "curate").p_holm > on(once, "curate").p_holm


def test_random_controls_and_rows_of_the_same_kind_are_judged_at_the_level_of_the_look():
    other = {"random_augment": ("random_control", "augment", 1.4, 0.9, 1.0)}
    frame = cells(spread=0.2, seeds=8, **other)
    once, early = Study({**PLAN, "seeds": list(range(8))}, frame), declared(frame, [4, 8, 12], 20)
    ps = [one.p for one, _ in once.controls.values()]
    assert len(ps) == 2
    adjusted = [p for _, p in early.controls.values()]
    assert adjusted == pytest.approx(s.holm(ps, Look((4, 8, 12, 20), 8).times), abs=0)
    assert adjusted != pytest.approx(s.holm(ps))
    for decision in once.controls:
        pairs = [(study.controls[decision][0], study.rows_like_these(decision)) for study in (early, once)]
        for own, plain in zip(*pairs, strict=True):
            assert (own.low, own.high) == pytest.approx(plain.within(early.look.confidence))
            assert own.low < plain.low


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"looks": [2], "seeds": 10}, "looks"),
        ({"looks": [4, 10], "seeds": 10}, "looks"),
        ({"looks": [8, 4], "seeds": 10}, "looks"),
        ({"looks": [4, 4], "seeds": 10}, "looks"),
        ({"looks": 4, "seeds": 10}, "looks"),
    ],
)
def test_looks_that_are_none_are_refused_in_one_sentence(settings, words):
    with pytest.raises(ConfigError, match=words):
        parse({"ablation": settings})
    assert parse({"ablation": {"looks": [4, 8], "seeds": 10}}).ablation.looks == [4, 8]
    assert parse({}).ablation.looks == []


#: fd in floors at each look, told by an arm's name and seed, in the place of what trainings would give.
CLEAR, NOTHING = {"without_curate": 2.1}, {"without_curate": 2.0}


def planted(effects, ran, spread=0.02):
    """A stand-in for training: cells whose figures follow from (arm, seed) alone; `ran` collects the cells that were run."""

    def execute(tasks, bench, processes):
        for task in tasks:
            own = json.loads((task.version / "card.json").read_text())["operation"].removeprefix("ablation: ")
            chance = np.random.default_rng([task.seed, len(own), sum(map(ord, own)), 2])
            base = {"blanks_2": 3.0}.get(own, 2.0)
            fd = effects.get(own, base) * np.exp(chance.normal(0, spread))
            figures = {
                "fd": fd,
                "fd_floor": 1.0,
                "coverage": 0.8,
                "coverage_real": 0.9,
                "agreement": 0.9,
                "agreement_real": 0.9,
            }
            figures |= {"cas": 0.8, "cas_real": 0.9} if task.cas else {}
            line = {
                "cell": task.cell,
                "seed": task.seed,
                "steps": task.steps,
                "error": None,
                "metrics": figures,
                "seconds": {"all": 1.0},
            }
            write_json(task.out, line)
            ran.append((own, task.seed))
            yield line

    return execute


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "make_bench", lambda *args: None)
    return data.build(Paths(tmp_path))


def run(paths, monkeypatch, effects, config, spread=0.02):
    ran = []
    monkeypatch.setattr(runner, "execute", planted(effects, ran, spread))
    plan = resolve(config, paths).plan
    lines = runner.run_cells(resolve(config, paths), paths, config)
    return plan, lines, ran


def looked(looks=(4, 6), seeds=9, **more):
    return data.settings(**{"looks": list(looks), "seeds": seeds, "smallest_effect": 1e-4, **more})


def test_a_large_effect_ends_a_study_early_and_the_other_seeds_are_not_run(paths, monkeypatch):
    plan, lines, ran = run(paths, monkeypatch, CLEAR, looked())
    assert len(plan.cells) == 5 * 9
    assert {one["seed"] for one in lines} == {0, 1, 2, 3, 4, 5}, "four seeds of nine are held to next to nothing"
    assert len(ran) == len(set(ran)) == 5 * 6
    study = Study(plan.to_dict(), to_frame(lines))
    assert study.effects["curate", "fd"].verdict == v.PAYS
    facts = study.to_dict()["look"]
    assert (facts["number"], facts["of"], facts["seeds"], facts["planned"]) == (2, 3, 6, 9)
    assert (facts["saved"], facts["trainings"], facts["stopped"]) == (15, 45, True)
    assert study.to_dict()["plan"]["seeds"] == [0, 1, 2, 3, 4, 5]
    assert runner.missing_cells(plan, paths) == set()
    cost = estimate.Cost(1.0, 0.0, 0.0, "made up")
    assert estimate.look_ahead(plan, paths, looked().ablation, cost, 1).left == []
    page = report.render(study.to_dict())
    assert "look 2 of 3 (6 of 9 seeds)" in page
    assert facts["sentence"] in page
    assert facts["sentence"] in summary(study)


def test_nothing_is_looked_at_to_the_end(paths, monkeypatch):
    plan, lines, ran = run(paths, monkeypatch, NOTHING, looked())
    assert len(ran) == 5 * 9
    study = Study(plan.to_dict(), to_frame(lines))
    assert study.effects["curate", "fd"].verdict == v.NO_EFFECT
    facts = study.to_dict()["look"]
    assert (facts["number"], facts["saved"], facts["stopped"]) == (3, 0, False)
    assert facts["level"] == pytest.approx(local_levels(0.05, (4 / 9, 6 / 9, 1.0))[2])


def test_what_is_equivalent_ends_a_study_too_and_one_open_decision_does_not(paths, monkeypatch):
    both = {"without_curate": 3.0, "without_deduplicate": 2.0}
    _, lines, _ = run(paths, monkeypatch, both, looked(decisions=["curate", "deduplicate"], smallest_effect=0.5))
    assert max(one["seed"] for one in lines) < 8
    tight = looked(decisions=["curate", "deduplicate"])
    _, lines, _ = run(paths, monkeypatch, both, tight)
    assert max(one["seed"] for one in lines) == 8


def test_a_study_that_cannot_be_believed_goes_on(paths, monkeypatch):
    _, lines, _ = run(paths, monkeypatch, {"without_curate": 3.0, "placebo": 4.0}, looked())
    assert max(one["seed"] for one in lines) == 8


def test_an_interruption_changes_no_result(paths, monkeypatch, tmp_path):
    plan, lines, _ = run(paths, monkeypatch, CLEAR, looked())

    class PowerError(Exception):
        pass

    for after in (2, 20, 27, 30):
        other = data.build(Paths(tmp_path / f"again{after}"))
        ran = []

        def fail(line, fresh, ran=ran, after=after):
            if len(ran) == after:
                raise PowerError

        monkeypatch.setattr(runner, "execute", planted(CLEAR, ran))
        layout = resolve(looked(), other)
        if after < 30:
            with pytest.raises(PowerError):
                runner.run_cells(layout, other, looked(), fail)
        assert len(ran) <= 30
        again = runner.run_cells(layout, other, looked(), None)
        assert to_frame(again).equals(to_frame(lines))
        assert len(ran) == len(set(ran)) == 30, "no cell is run twice"
    assert resolve(looked(), other).plan.digest == plan.digest


def test_seeds_that_another_study_left_behind_do_not_change_where_it_stops(paths, monkeypatch):
    whole = data.settings(seeds=9)
    _, every, _ = run(paths, monkeypatch, CLEAR, whole)
    assert len(every) == 45
    _, lines, ran = run(paths, monkeypatch, CLEAR, looked())
    assert (len(lines), ran) == (30, [])


def test_the_decision_that_leads_is_confirmed_with_seeds_that_were_used(paths, monkeypatch):
    config = looked(confirm=8)
    _, lines, _ = run(paths, monkeypatch, CLEAR, config)
    later = {one["seed"] for one in lines if one["kind"] == "confirmation"}
    assert later == {0, 1, 2, 3, 4, 5}


def test_looks_are_part_of_the_plan_and_one_declared_study_is_one_look(paths):
    plans = [resolve(config, paths).plan for config in (looked(()), looked(), looked((5, 7)))]
    assert len({plan.digest for plan in plans}) == 3
    assert len({tuple(line["cell"] for line in plan.cells) for plan in plans}) == 1, "looks make no other cells"
    asked.record(plans[1], paths)
    asked.record(plans[1], paths)
    assert len(read_json(paths.work / "ablation" / "asked.json")) == 1
    assert asked.earlier(plans[1], paths) == {}
    assert [line["looks"] for line in asked.earlier(plans[0], paths)["curate"]] == [[4, 6]]
    assert "4, 6" in asked.in_words(plans[2], paths)[0]
    assert estimate.visible(0.1, 9, plans[1]) > estimate.visible(0.1, 9, plans[0])


def test_a_sweep_keeps_a_study_going_until_a_cut_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "make_bench", lambda *args: None)
    paths = sweep_data.build(Paths(tmp_path))
    config = looked(sweep={"blurry": [0.05]}, decisions=[])
    _, lines, _ = run(paths, monkeypatch, {}, config)
    assert max(one["seed"] for one in lines) == 8
    _, lines, _ = run(sweep_data.build(Paths(tmp_path / "told")), monkeypatch, {"cut_blurry_0.05": 1.0}, config)
    assert max(one["seed"] for one in lines) < 8

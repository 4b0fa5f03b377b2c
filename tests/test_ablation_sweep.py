"""Where should a rule cut: the worst rows by its measure go first, beside as many random rows, and a cut is told or not."""

import numpy as np
import pandas as pd
import pytest
import study_data as data
import sweep_data
from study_cells import FLOOR, PLAN, cells

from aigc_core import ablation
from aigc_core.ablation import asked, estimate, spread, sweep
from aigc_core.ablation import statistics as s
from aigc_core.ablation.cuts import sweeps, table
from aigc_core.ablation.looks import Look
from aigc_core.ablation.plan import check_unchanged, resolve
from aigc_core.ablation.recipes import Recipe
from aigc_core.ablation.stopping import answered
from aigc_core.ablation.study import Study
from aigc_core.config import parse
from aigc_core.config.study import GRADED
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.quality import reasons, rules
from aigc_core.records import row_id
from aigc_core.report import ablation as report
from aigc_core.report import sweeps as pictures
from aigc_core.stages.ablate import ablate

SHARES = [0.02, 0.05]


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    return sweep_data.build(Paths(tmp_path_factory.mktemp("sweep")))


def test_what_can_be_swept_is_every_reason_with_a_graded_measure():
    graded = {statistic.reason for statistic in rules.STATISTICS}
    assert set(GRADED) == graded | {reasons.TOO_SMALL, reasons.BLANK, reasons.LABEL_SUSPECT}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"blury": [0.1]}, "blury is no reason: did you mean 'blurry'.*out_of_domain"),
        ({"duplicate_near": [0.1]}, "duplicate_near has no measure.*too_small"),
        ({"blurry": [5]}, "5 % is 0.05"),
        ({"blurry": [1.0]}, "between 0 and 1"),
        ({"blurry": [0.0]}, "between 0 and 1"),
        ({"blurry": [-0.1]}, "between 0 and 1"),
        ({"blurry": [float("nan")]}, r"sweep\.blurry\.0 = nan"),
        ({"blurry": []}, "at least one share"),
        ({"blurry": [0.1, 0.1]}, "each once"),
        (["blurry"], "sweep"),
    ],
)
def test_a_sweep_of_nothing_is_refused_in_one_sentence(wanted, words):
    with pytest.raises(ConfigError, match=words):
        parse({"ablation": {"sweep": wanted}})


def test_the_worst_rows_by_the_measure_go_first_and_as_many_by_chance_beside(paths):
    choose = data.chooser(paths, sweep={"blurry": SHARES})
    base = choose.select(Recipe(swept="blurry"), 0)
    assert base.ids == choose.select(Recipe(), 0).ids, "the rule takes out no row here"
    gone = {}
    for share in SHARES:
        recipe = Recipe(swept="blurry", cut=share)
        gone[share] = set(base.ids) - set(choose.select(recipe, 0).ids)
        assert gone[share] == set(sweep_data.BLURRY[: round(share * 180)])
        assert choose.select(recipe, 0) == choose.select(recipe, 1)
        first, second = (choose.select(Recipe(swept="blurry", cut=share, by_chance=True), seed) for seed in (0, 1))
        assert len(first.ids) == len(second.ids) == 180 - len(gone[share])
        assert first.ids != second.ids
    few, many = (
        set(base.ids) - set(choose.select(Recipe(swept="blurry", cut=share, by_chance=True), 0).ids) for share in SHARES
    )
    assert few < many, "more random rows are the same ones and others"


def test_the_baseline_of_a_sweep_has_the_rows_that_the_rule_alone_takes_out(tmp_path):
    paths = sweep_data.build(Paths(tmp_path))
    bad = dict.fromkeys(sweep_data.BLURRY, "blurry")
    data.quarantine(paths, bad)
    data.quarantine(paths, {sweep_data.BLURRY[0]: "duplicate_exact"})
    choose = data.chooser(paths, sweep={"blurry": SHARES})
    base, full = (set(choose.select(recipe, 0).ids) for recipe in (Recipe(swept="blurry"), Recipe()))
    assert base - full == set(sweep_data.BLURRY[1:]), "a row that another rule takes out too stays out"
    assert base - set(choose.select(Recipe(swept="blurry", cut=0.02), 0).ids) == set(sweep_data.BLURRY[1:5])
    plan = ablation.freeze(data.settings(sweep={"blurry": SHARES}), paths)
    rows = {arm["name"]: arm["rows"] for arm in plan.arms}
    assert (rows["full"], rows["uncut_blurry"]) == (168, 179)
    assert rows["cut_blurry_0.02"] == rows["random_cut_blurry_0.02"] == 175


def test_a_plan_has_the_arms_with_their_thresholds_and_fits_the_data_again(paths):
    config = parse(
        {
            **data.settings(sweep={"blurry": SHARES}).model_dump(),
            "quality": {"blurry": {"action": "off", "false_positives": 0.01, "margin": 0.1}},
        }
    )
    layout = resolve(config, paths)
    plan = layout.plan
    arms = {arm["name"]: arm for arm in plan.arms}
    assert [arm["name"] for arm in plan.arms if arm["kind"] in ("cut", "random_cut", "uncut")] == [
        "uncut_blurry", "cut_blurry_0.02", "random_cut_blurry_0.02", "cut_blurry_0.05", "random_cut_blurry_0.05",
    ]  # fmt: skip
    assert arms["cut_blurry_0.02"]["cut"] == {
        "reason": "blurry", "share": 0.02, "rows": 4, "of": 180, "measure": "noise", "value": 0.0004,
    }  # fmt: skip
    assert "cut" not in arms["random_cut_blurry_0.02"]
    by_arm = {name: [one["cell"] for one in plan.cells if one["arm"] == name] for name in arms}
    assert by_arm["uncut_blurry"] == by_arm["full"], "what is the same is trained once"
    assert not any(one["cas"] for one in plan.cells if one["arm"].startswith(("cut", "random_cut")))
    assert check_unchanged(plan, paths).plan == plan
    assert ablation.freeze(data.settings(), paths).digest != plan.digest
    other = parse({**config.model_dump(), "quality": {"blank": {"action": "quarantine", "max_std": 0.3}}})
    frozen = ablation.freeze(other, paths)
    assert frozen.digest != plan.digest, "the rules decide the order"
    assert check_unchanged(frozen, paths).plan == frozen


def test_shares_that_cannot_be_cut_are_named_and_not_run(paths):
    plan = ablation.freeze(
        data.settings(sweep={"blurry": [0.001, 0.05], "dark": [0.1], "out_of_domain": [0.05]}), paths
    )
    told = {one["arm"]: one["why"] for one in plan.skipped}
    assert set(told) == {
        f"{prefix}cut_{name}"
        for name in ("blurry_0.001", "dark_0.1", "out_of_domain_0.05")
        for prefix in ("", "random_")
    }
    assert "is no row" in told["cut_blurry_0.001"]
    assert {arm["name"] for arm in plan.arms if arm["kind"] == "uncut"} == {"uncut_blurry"}, (
        "nothing is paired with the others"
    )
    assert "fewer than" in told["cut_dark_0.1"], "no reference row has the measure"
    with pytest.raises(DataError, match=r"no decision .* and no cut of ablation\.sweep"):
        ablation.freeze(data.settings(decisions=["fix_labels"], sweep={"dark": [0.1]}), paths)
    alone = ablation.freeze(data.settings(decisions=[], sweep={"blurry": [0.05]}), paths)
    assert {arm["kind"] for arm in alone.arms} == {
        "baseline",
        "placebo",
        "positive_control",
        "uncut",
        "cut",
        "random_cut",
    }


def order(values):
    return sweep.Order("dark", values, {name: ("p99", -value) for name, value in values.items()})


def test_rows_that_are_equal_go_together_or_stay_together():
    rows = [f"r{index:02}" for index in range(20)]
    values = {name: 9.0 if index < 3 else 5.0 if index < 6 else -float(index) for index, name in enumerate(rows)}
    assert len(sweep.cut(order(values), rows, 0.2).ids) == 3, "three are nearer to four than six are"
    assert len(sweep.cut(order(values), rows, 0.25).ids) == 6
    found = sweep.cut(order(values), rows, 0.35)
    assert (len(found.ids), found.measure, found.value, found.of) == (7, "p99", 6.0, 20)
    with pytest.raises(DataError, match="20 rows are equal"):
        sweep.cut(order(dict.fromkeys(rows, 1.0)), rows, 0.1)
    with pytest.raises(DataError, match="a measure of 2 training rows"):
        sweep.cut(order({"r00": 1.0, "r01": 0.5}), rows, 0.1)


def test_a_reason_with_several_statistics_and_one_with_a_fixed_bound_have_one_order(tmp_path):
    wide, dull = {}, {}
    ids = [row_id(f"{split}/{index}.png") for split, count in data.SPLITS.items() for index in range(count)]
    chance = np.random.default_rng(3)
    for name in ids:
        wide[name] = int(chance.integers(30, 40))
        dull[name] = float(chance.uniform(0.1, 0.3))
    wide[row_id("train/3.png")], wide[row_id("train/4.png")], wide[row_id("train/5.png")] = 300, 9, 80
    dull[row_id("train/7.png")] = 0.02
    paths = sweep_data.build(Paths(tmp_path), width=wide, height=wide, std=dull)
    choose = data.chooser(paths, sweep={"odd_size": [0.01, 0.017], "blank": [0.006]})
    assert choose.cut_of(Recipe(swept="odd_size", cut=0.01)).ids == {row_id("train/3.png"), row_id("train/4.png")}
    assert choose.cut_of(Recipe(swept="odd_size", cut=0.017)).ids == {
        row_id(f"train/{index}.png") for index in (3, 4, 5)
    }
    assert choose.uncut("blank") != choose.kept(())
    blank = choose.cut_of(Recipe(swept="blank", cut=0.006))
    assert (blank.ids, blank.measure, blank.value) == ({row_id("train/7.png")}, "std", 0.02)


#: fd in floors of the baseline, the cuts and random rows: 2 % of the rows hurt, three more per cent do nothing.
SWEPT = {
    "uncut_blurry": ("uncut", "blurry", 2.4, 0.9, 1.0),
    "cut_blurry_0.02": ("cut", "blurry", 2.0, 0.9, 1.0),
    "random_cut_blurry_0.02": ("random_cut", "blurry", 2.4, 0.9, 1.0),
    "cut_blurry_0.05": ("cut", "blurry", 2.05, 0.9, 1.0),
    "random_cut_blurry_0.05": ("random_cut", "blurry", 2.45, 0.9, 1.0),
    "cut_blurry_0.2": ("cut", "blurry", 2.9, 0.9, 1.0),
    "random_cut_blurry_0.2": ("random_cut", "blurry", 2.5, 0.9, 1.0),
}
CUTS = {0.02: 20, 0.05: 50, 0.2: 200}
ARMS = [{"name": "full", "kind": "baseline", "decision": None, "copies": 0, "recipe": {}}] + [
    {"name": f"cut_blurry_{share:g}", "kind": "cut", "decision": "blurry", "recipe": {},
     "cut": {"reason": "blurry", "share": share, "rows": rows, "of": 1000, "measure": "noise", "value": share / 10}}
    for share, rows in CUTS.items()
]  # fmt: skip


def swept(spread=0.02, plan=None, **changes):
    return Study({**PLAN, "arms": ARMS, **(plan or {})}, cells(spread=spread, **{**SWEPT, **changes}))


def test_the_best_cut_is_told_with_its_gain_and_held_against_random_rows():
    (found,) = sweeps(swept())
    first, second, third = found.cuts
    assert first.gain.mean == pytest.approx(np.log(2.4 / 2.0), abs=0.03)
    assert first.random.mean == pytest.approx(0, abs=0.03)
    assert first.over.mean == pytest.approx(np.log(2.4 / 2.0), abs=0.03)
    assert second.over.mean == pytest.approx(np.log(2.45 / 2.05), abs=0.03)
    assert (first.told, second.told, third.told) == (True, True, True)
    assert third.over.mean < 0
    assert found.best == first, "of those that are told the one with the largest gain"
    assert found.answered
    ps = [one.over.p for one in found.cuts]
    assert [one.adjusted for one in found.cuts] == pytest.approx(s.holm(ps))
    # Against single sets: the error has the spread of one set in it.
    assert first.over.error == pytest.approx(first.over.spread * np.sqrt(1 + 1 / 5))
    assert "20 of 1,000 rows, threshold noise 0.002" in found.sentence
    assert "worst 20 %" in found.sentence


def test_the_spread_of_a_cut_is_that_of_the_arms_of_its_sweep():
    frame, chance = (
        cells(spread=0.02, **SWEPT),
        np.random.default_rng(7),
    )  # no arm of these spreads more than all together
    for arm in SWEPT:  # the arms of the sweep spread ten times as much as those of the decisions
        frame.loc[frame.arm == arm, "fd"] += 0.2 * FLOOR * chance.standard_normal(5)
    study = Study({**PLAN, "arms": ARMS}, frame)
    (found,) = sweeps(study)
    logs = {arm: -np.log(frame.loc[frame.arm == arm, "fd"].to_numpy() / FLOOR) for arm in SWEPT}
    shared = spread.pool(np.stack(list(logs.values())), 3)  # the uncut baseline is the first
    assert shared.spread > 3 * study.pairs.pool("fd").spread
    for gain in (gain for one in found.cuts for gain in (one.gain, one.random)):
        assert (gain.spread, gain.freedom) == pytest.approx((shared.spread, shared.freedom))


def test_a_sweep_is_judged_at_the_level_of_the_look():
    frame = cells(spread=0.2, seeds=8, **SWEPT)
    plan = {**PLAN, "arms": ARMS, "seeds": list(range(20)), "settings": {"ablation": {"looks": [4, 8]}}}
    (once,), early = sweeps(Study({**PLAN, "arms": ARMS}, frame)), Study(plan, frame)
    (found,) = sweeps(early)
    ps, times = [one.over.p for one in once.cuts], Look((4, 8, 20), 8).times
    assert [one.adjusted for one in found.cuts] == pytest.approx(s.holm(ps, times), abs=0)
    assert [one.adjusted for one in once.cuts] == pytest.approx(s.holm(ps), abs=0)
    assert [one.told for one in found.cuts] != [one.told for one in once.cuts]
    for now, before in zip(found.cuts, once.cuts, strict=True):
        for name in ("gain", "random", "over"):
            own, plain = getattr(now, name), getattr(before, name)
            assert (own.low, own.high) == pytest.approx(plain.within(early.look.confidence))
            assert own.low < plain.low


def test_cuts_that_are_like_random_rows_are_not_told():
    same = {name: (*facts[:2], 2.4, *facts[3:]) for name, facts in SWEPT.items()}
    (found,) = sweeps(swept(**same))
    assert found.best is None
    assert not found.answered
    assert found.sentence.startswith("No cut by blurry is told")
    assert "2, 5, 20 %" in found.sentence
    loud = sweeps(swept(spread=0.4))[0]
    assert not any(one.told for one in loud.cuts if one.adjusted >= s.ALPHA)


def test_a_cut_that_beats_random_rows_and_not_the_baseline_says_so():
    worse = {
        "cut_blurry_0.02": ("cut", "blurry", 2.6, 0.9, 1.0),
        "random_cut_blurry_0.02": ("random_cut", "blurry", 3.4, 0.9, 1.0),
    }
    none = {name: None for name in SWEPT if name.endswith(("0.05", "0.2"))}
    (found,) = sweeps(swept(**worse, **none))
    assert found.best.share == 0.02
    assert found.best.gain.mean < 0
    assert "leaving out none is better still" in found.sentence


def test_other_questions_of_the_study_do_not_change_with_a_sweep():
    with_it, without = swept(), Study(PLAN, cells(spread=0.02))
    assert with_it.pairs.pool("fd").arms == without.pairs.pool("fd").arms
    assert list(with_it.decisions) == list(without.decisions)
    assert with_it.failures("curate").of_with == without.failures("curate").of_with


def test_cells_that_failed_and_a_void_study_are_said():
    frame = cells(spread=0.02, **SWEPT)
    frame.loc[(frame.arm == "random_cut_blurry_0.02") & (frame.seed == 1), ["fd", "error"]] = [np.nan, "diverged"]
    frame.loc[frame.arm == "random_cut_blurry_0.05", ["fd", "error"]] = [np.nan, "diverged"]
    (found,) = sweeps(Study({**PLAN, "arms": ARMS}, frame))
    assert [one.lost for one in found.cuts] == [1, 5, 0]
    assert found.cuts[1].over is None
    assert not found.cuts[1].told
    void = swept(placebo=("placebo", None, 3.0, 0.9, 1.0))
    assert void.void
    assert sweeps(void)[0].sentence.startswith("Void")
    assert not any(cut["told"] for cut in void.to_dict()["sweeps"][0]["cuts"])


def test_a_sweep_of_which_no_cut_was_finished_is_no_answer():
    alone = dict.fromkeys(("without_curate", "random_curate", "without_augment", "without_deduplicate"))
    plan = {**PLAN, "arms": ARMS, "settings": {"ablation": {"sweep": {"blurry": list(CUTS)}}}}
    frame = cells(spread=0.02, **SWEPT, **alone)
    assert answered(Study(plan, frame))
    frame.loc[frame.kind == "cut", ["fd", "error"]] = [np.nan, "diverged"]
    assert not answered(Study(plan, frame))
    assert answered(Study({**plan, "arms": ARMS[:1]}, cells(spread=0.001))), (
        "a sweep without any planned cut asks nothing"
    )


def test_the_page_has_a_plot_a_table_and_the_sentence():
    facts = swept().to_dict()
    page = report.render(facts)
    assert facts["sweeps"][0]["best"] == 0.02
    assert facts["sweeps"][0]["sentence"] in page
    assert page.count("<svg") == 3
    assert "0.02 %" not in page
    first = facts["sweeps"][0]["cuts"][0]
    assert report.ends(first["gain"]) in page
    assert "Where a rule should cut" not in report.render(Study(PLAN, cells()).to_dict())
    drawn = pictures.sweep(facts["sweeps"][0], 0.1)
    assert "var(--good)" in drawn
    assert "var(--bad)" in drawn
    assert drawn == pictures.sweep(facts["sweeps"][0], 0.1)
    lines = table(facts["sweeps"])
    assert [(line["reason"], line["share"], line["told"]) for line in lines] == [
        ("blurry", share, True) for share in CUTS
    ]
    assert len({tuple(line) for line in lines}) == 1


def test_a_sweep_runs_and_is_in_every_out(tmp_path, monkeypatch, capsys):
    paths = sweep_data.build(Paths(tmp_path))
    config = data.settings(sweep={"blurry": [0.05]}, decisions=[])
    cost = estimate.Cost(0.01, 2.0, 2.0, "made up")
    monkeypatch.setattr(estimate, "past_cost", lambda plan, paths: cost)
    ablate(config, paths, plan_only=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "cut_blurry_0.05: the worst 9 of 180 rows, threshold noise 0.0009" in said
    result = ablate(config, paths)
    assert result.metrics["cells"] == 18
    facts = read_json(paths.ablation / "ledger.json")
    (found,) = facts["sweeps"]
    assert found["cuts"][0]["gain"]["n"] == found["cuts"][0]["over"]["n"] == 3
    assert found["sentence"] in result.summary
    assert found["sentence"] in (paths.ablation / "ledger.html").read_text()
    frame = pd.read_parquet(paths.ablation / "cells.parquet")
    assert set(frame.loc[frame.kind.isin(["cut", "random_cut", "uncut"]), "decision"]) == {"blurry"}
    (entry,) = read_json(paths.work / "ablation" / "asked.json")
    assert entry["decisions"] == ["the sweep of blurry"]
    other = ablation.freeze(data.settings(sweep={"blurry": [0.03]}, decisions=[]), paths)
    assert list(asked.earlier(other, paths)) == ["the sweep of blurry"]
    assert not asked.earlier(ablation.freeze(config, paths), paths)

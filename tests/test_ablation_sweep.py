"""Where should a rule cut: the worst rows by its measure go first, beside as many random rows, and a cut is told or not."""

import numpy as np
import pandas as pd
import pytest
import study_data as data
import sweep_data
from study_cells import FLOOR, PLAN, cells, line

from aigc_core import ablation
from aigc_core.ablation import statistics as s
from aigc_core.ablation import sweep
from aigc_core.ablation.arms import Chooser, Recipe
from aigc_core.ablation.plan import check_unchanged, resolve
from aigc_core.ablation.pool import open_pool
from aigc_core.config import parse
from aigc_core.config.study import GRADED
from aigc_core.errors import ConfigError, DataError
from aigc_core.paths import Paths
from aigc_core.quality import reasons, rules
from aigc_core.records import row_id

SHARES = [0.02, 0.05]


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    return sweep_data.build(Paths(tmp_path_factory.mktemp("sweep")))


def chooser(paths: Paths, **settings) -> Chooser:
    config = data.settings(**settings)
    return Chooser(open_pool(config, paths), config.ablation, config.augment)


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
        ({"blurry": [float("nan")]}, "between 0 and 1"),
        ({"blurry": []}, "at least one share"),
        ({"blurry": [0.1, 0.1]}, "each once"),
        (["blurry"], "sweep"),
    ],
)
def test_a_sweep_of_nothing_is_refused_in_one_sentence(wanted, words):
    with pytest.raises(ConfigError, match=words):
        parse({"ablation": {"sweep": wanted}})


def test_the_worst_rows_by_the_measure_go_first_and_as_many_by_chance_beside(paths):
    choose = chooser(paths, sweep={"blurry": SHARES})
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
    few, many = (set(base.ids) - set(choose.select(Recipe(swept="blurry", cut=share, by_chance=True), 0).ids) for share in SHARES)
    assert few < many, "more random rows are the same ones and others"


def test_the_baseline_of_a_sweep_has_the_rows_that_the_rule_alone_takes_out(tmp_path):
    paths = sweep_data.build(Paths(tmp_path))
    bad = dict.fromkeys(sweep_data.BLURRY, "blurry")
    data.quarantine(paths, bad)
    data.quarantine(paths, {sweep_data.BLURRY[0]: "duplicate_exact"})
    choose = chooser(paths, sweep={"blurry": SHARES})
    base, full = (set(choose.select(recipe, 0).ids) for recipe in (Recipe(swept="blurry"), Recipe()))
    assert base - full == set(sweep_data.BLURRY[1:]), "a row that another rule takes out too stays out"
    assert base - set(choose.select(Recipe(swept="blurry", cut=0.02), 0).ids) == set(sweep_data.BLURRY[1:5])
    plan = ablation.freeze(data.settings(sweep={"blurry": SHARES}), paths)
    rows = {arm["name"]: arm["rows"] for arm in plan.arms}
    assert (rows["full"], rows["uncut_blurry"]) == (168, 179)
    assert rows["cut_blurry_0.02"] == rows["random_cut_blurry_0.02"] == 175


def test_a_plan_has_the_arms_with_their_thresholds_and_fits_the_data_again(paths):
    config = parse({**data.settings(sweep={"blurry": SHARES}).model_dump(), "quality": {"blurry": {"action": "off", "false_positives": 0.01, "margin": 0.1}}})
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
    assert ablation.freeze(other, paths).digest != plan.digest, "the rules decide the order"


def test_shares_that_cannot_be_cut_are_named_and_not_run(paths):
    plan = ablation.freeze(data.settings(sweep={"blurry": [0.001, 0.05], "dark": [0.1], "out_of_domain": [0.05]}), paths)
    told = {one["arm"]: one["why"] for one in plan.skipped}
    assert set(told) == {f"{prefix}cut_{name}" for name in ("blurry_0.001", "dark_0.1", "out_of_domain_0.05") for prefix in ("", "random_")}
    assert "is no row" in told["cut_blurry_0.001"]
    assert "fewer than" in told["cut_dark_0.1"], "no reference row has the measure"
    with pytest.raises(DataError, match=r"no decision .* and no cut of ablation\.sweep"):
        ablation.freeze(data.settings(decisions=["fix_labels"], sweep={"dark": [0.1]}), paths)
    alone = ablation.freeze(data.settings(decisions=[], sweep={"blurry": [0.05]}), paths)
    assert {arm["kind"] for arm in alone.arms} == {"baseline", "placebo", "positive_control", "uncut", "cut", "random_cut"}


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
    wide[row_id("train/3.png")], wide[row_id("train/4.png")], wide[row_id("train/5.png")] = 300, 5, 50
    dull[row_id("train/7.png")] = 0.02
    paths = sweep_data.build(Paths(tmp_path), width=wide, height=wide, std=dull)
    choose = chooser(paths, sweep={"odd_size": [0.01, 0.017], "blank": [0.006]})
    assert choose.cut_of(Recipe(swept="odd_size", cut=0.01)).ids == {row_id("train/3.png"), row_id("train/4.png")}
    assert choose.cut_of(Recipe(swept="odd_size", cut=0.017)).ids == {row_id(f"train/{index}.png") for index in (3, 4, 5)}
    assert choose.uncut("blank") != choose.kept(())
    blank = choose.cut_of(Recipe(swept="blank", cut=0.006))
    assert (blank.ids, blank.measure, blank.value) == ({row_id("train/7.png")}, "std", 0.02)

"""Plans and arms: which rows every arm has, what is refused, and that a frozen plan is what runs."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import study_data as data

from aigc_core import ablation
from aigc_core.ablation import deciding, estimate, versions, worker
from aigc_core.ablation import pool as pool_module
from aigc_core.ablation.arms import arms_of
from aigc_core.ablation.plan import Plan, check_unchanged, resolve
from aigc_core.ablation.recipes import Recipe
from aigc_core.ablation.reference import held_out
from aigc_core.ablation.versions import ArmWriter
from aigc_core.ablation.worker import arm_images
from aigc_core.config import parse
from aigc_core.data.store import Version, write_version
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import write_json, write_table
from aigc_core.paths import Paths
from aigc_core.records import PAIR_SCHEMA, ROW_SCHEMA, VERDICT_SCHEMA, row_id

ALL = ["curate", "deduplicate", "fix_labels", "augment", "half_the_data"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    return data.build(Paths(tmp_path_factory.mktemp("study")))


def test_full_is_what_the_pipeline_trains_on_and_without_curate_has_everything_back(paths):
    choose = data.chooser(paths)
    curated = set(Version.open(paths.curated).select("train")["id"].to_pylist())
    everything = set(Version.open(paths.ingested).select("train")["id"].to_pylist())
    assert set(choose.select(Recipe(), 0).ids) == curated
    assert set(choose.select(Recipe(off=("curate",)), 0).ids) == everything


def test_each_decision_gives_back_its_own_rows_only(paths):
    own = {"name": "no_blanks", "reasons": ["blank"]}
    choose = data.chooser(paths, decisions=["deduplicate", own])
    full = len(choose.select(Recipe(), 0).ids)
    assert len(choose.select(Recipe(off=("deduplicate",)), 0).ids) == full + data.COPIES
    assert len(choose.select(Recipe(off=("no_blanks",)), 0).ids) == full + data.BLANKS


def test_the_random_control_is_as_large_as_full_and_another_draw_for_another_seed(paths):
    choose = data.chooser(paths)
    full, first, second = (choose.select(recipe, seed) for recipe, seed in
                           ((Recipe(), 0), (Recipe(random="curate"), 0), (Recipe(random="curate"), 1)))  # fmt: skip
    assert len(first.ids) == len(second.ids) == len(full.ids)
    assert first.ids != second.ids
    assert set(first.ids) != set(full.ids)


def test_a_seed_draws_the_same_rows_in_every_arm(paths):
    choose = data.chooser(paths, subsample=0.5)
    whole = data.chooser(paths).select(Recipe(), 0)
    first, second, without = (choose.select(recipe, seed) for recipe, seed in
                              ((Recipe(), 0), (Recipe(), 1), (Recipe(off=("curate",)), 0)))  # fmt: skip
    assert choose.select(Recipe(), 0, whole=True) == whole
    assert abs(len(first.ids) - len(whole.ids) / 2) <= len(data.CLASSES)
    assert set(first.ids) < set(whole.ids)
    assert len(set(first.ids) & set(second.ids)) < 0.8 * len(first.ids), "another seed, other rows"
    assert len(set(first.ids) & set(without.ids)) > 0.8 * len(first.ids), "another arm, the same draw"
    assert set(choose.select(Recipe(share=0.5), 0).ids) < set(first.ids)


def test_what_a_decision_touches_does_not_depend_on_the_draw(paths):
    plans = [resolve(data.settings(subsample=share), paths).plan for share in (1.0, 0.6)]
    touched = [{arm["name"]: arm["rows_touched"] for arm in plan.arms} for plan in plans]
    assert touched[0]["without_curate"] == touched[1]["without_curate"] > 0
    assert plans[0].digest != plans[1].digest
    assert max(cell["rows"] for cell in plans[1].cells) < max(cell["rows"] for cell in plans[0].cells)


def test_sizes_are_nested_and_keep_the_class_shares(paths):
    choose = data.chooser(paths)
    small, large = (set(choose.select(Recipe(share=share), 3).ids) for share in (0.2, 0.6))
    assert small < large
    labels = [choose.pool.labels[identity] for identity in small]
    assert {labels.count(name) for name in data.CLASSES} == {12}


def test_the_users_own_rows_can_be_taken_away(paths):
    bought = [f"train/{index}.png" for index in range(30)]
    (paths.root / "bought.csv").write_text("source\n" + "\n".join(bought) + "\n  \n")
    choose = data.chooser(paths, decisions=[{"name": "bought", "ids": "bought.csv"}])
    full, without, control = (choose.select(recipe, 0) for recipe in
                              (Recipe(), Recipe(off=("bought",)), Recipe(random="bought")))  # fmt: skip
    assert set(full.ids) - set(without.ids) == {row_id(source) for source in bought}
    assert len(control.ids) == len(without.ids)
    assert control.ids != without.ids


def test_an_operation_of_the_augmentation_can_be_taken_away_by_itself(paths):
    turns = {"name": "turns", "augment": ["rotate", "flip"]}
    config = data.settings(decisions=["curate", turns])
    plan = ablation.freeze(config, paths)
    arms = {arm["name"]: arm for arm in plan.arms}
    assert {"full", "without_turns", "without_curate"} <= arms.keys()
    assert "random_turns" not in arms
    assert arms["without_turns"]["rows"] == arms["full"]["rows"] == 360
    assert arms["without_turns"]["rows_touched"] == 180  # the copies, made without turning
    layout = resolve(config, paths)
    writer = ArmWriter(layout.pool, paths, config, layout.plan.code)
    made = {}
    for arm in layout.arms:
        if arm.name in ("full", "without_turns"):
            version = Version.open(writer.write(arm, layout.selections[arm.name, 0], 0))
            made[arm.name] = arm_images(version.folder, tuple(data.CLASSES)).pixels
            assert version.card.parameters["augment"]["rotate"] == (10 if arm.name == "full" else 0)
    assert not made["full"].equal(made["without_turns"])
    nothing = [{"name": "mirror", "augment": ["flip"]}]  # the configured augmentation does not flip
    skipped = ablation.freeze(data.settings(decisions=["curate", *nothing]), paths).skipped
    assert [line["arm"] for line in skipped] == ["without_mirror"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\nx\n", "needs a column"),
        ("id\nnobody\n", "not training rows"),
        (None, "is no file beside params"),
        (b"PK\x03\x04\xff\xfe", "save it as CSV"),
        ("id\n" + "x" * 200_000, "save it as CSV"),
    ],
)
def test_a_csv_that_names_no_training_row_is_refused(paths, text, words):
    path = paths.root / "own.csv"
    path.unlink(missing_ok=True)
    if text:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=words):
        data.chooser(paths, decisions=[{"name": "mine", "ids": "own.csv"}])


def test_the_reference_has_no_twin_of_any_arms_rows(paths, tmp_path):
    choose = data.chooser(paths)
    leak = row_id(f"test/{data.LEAK}.png")
    _, twins = held_out(choose.pool, paths, choose.select(Recipe(), 0).ids)
    assert twins == 0  # the twin of the test row is quarantined, and full does not train on it
    rows, twins = held_out(choose.pool, paths, choose.pool.labels.keys())
    assert twins == 1
    assert leak not in rows["id"].to_pylist()
    measures = replace(paths, root=tmp_path)
    write_json(measures.verdicts / "_calibration.json", {"leak": {"threshold": 0.985}})
    ends = sorted([row_id("test/5.png"), row_id("train/7.png")])
    line = {"a": ends[0], "b": ends[1], "similarity": 0.99, "transform": "flip"}
    other = sorted([row_id("test/6.png"), row_id("train/7.png")])
    lines = [line, {**line, "a": other[0], "b": other[1], "similarity": 0.98}]
    write_table(measures.measures / "pairs.parquet", pa.Table.from_pylist(lines, PAIR_SCHEMA))
    rows, twins = held_out(choose.pool, measures, choose.pool.labels.keys())
    assert twins == 2
    assert row_id("test/5.png") not in rows["id"].to_pylist()
    lines = [
        {**line, "a": ends[0], "b": ends[1]}
        for ends in (sorted([row_id(f"test/{n}.png"), row_id("train/7.png")]) for n in range(1, 50))
    ]
    write_table(measures.measures / "pairs.parquet", pa.Table.from_pylist(lines, PAIR_SCHEMA))
    with pytest.raises(DataError, match=r"70 of 120 test rows are left .* because 50 are twins"):
        held_out(choose.pool, measures, choose.pool.labels.keys())


def test_an_arm_is_a_dataset_version_with_its_lineage(paths):
    config = data.settings(decisions=ALL)
    layout = resolve(config, paths)
    writer = ArmWriter(layout.pool, paths, config, layout.plan.code)
    blanks = next(arm for arm in layout.arms if arm.name == "blanks_2")
    seed = blanks.seeds[0]
    version = Version.open(writer.write(blanks, layout.selections["blanks_2", seed], seed))
    assert version.card.parent == Version.open(paths.ingested).card.version
    assert version.card.operation == "ablation: blanks_2"
    images = arm_images(version.folder, tuple(data.CLASSES))
    spread = images.pixels.flatten(1).float().std(1)
    planted = int((spread == 0).sum())
    assert planted == 8  # a fiftieth of 180 rows and of their 180 copies
    assert len(images) == 360 + planted
    operations = {row["op"].split("[")[0].split("(")[0] for row in version.rows.to_pylist() if row["op"]}
    assert operations == {"augment", "blank"}
    plain = next(arm for arm in layout.arms if arm.name == "without_augment")
    assert len(arm_images(writer.write(plain, layout.selections[plain.name, seed], seed), tuple(data.CLASSES))) == 180


def test_a_decision_that_changes_no_row_is_named_and_not_run(paths):
    plan = ablation.freeze(data.settings(decisions=["curate", "fix_labels"]), paths)
    assert [line["arm"] for line in plan.skipped] == ["without_fix_labels", "random_fix_labels"]
    assert "changes no training row" in plan.skipped[0]["why"]
    assert not any(arm["decision"] == "fix_labels" for arm in plan.arms)
    with pytest.raises(DataError, match=r"no decision of ablation\.decisions can be measured"):
        ablation.freeze(data.settings(decisions=["fix_labels"]), paths)


def test_a_decision_that_changes_no_row_is_told_with_the_way_out(tmp_path):
    paths = data.build(Paths(tmp_path))
    (paths.root / "blank.csv").write_text("source\nblank/0.png\n")
    warn = {"source": "", "reason": "label_suspect", "action": "warn", "measure": "label_probability"}
    place = paths.verdicts / "part-0.parquet"
    lines = [{**warn, "id": row_id(f"train/{index}.png")} for index in range(3)]
    lines += [{**warn, "id": row_id("blank/0.png")}, {**warn, "id": row_id("test/0.png")}]  # gone, and no training row
    write_table(place, pa.concat_tables([pq.read_table(place), pa.Table.from_pylist(lines, VERDICT_SCHEMA)]))
    sharp, mirror = {"name": "sharp", "reasons": ["blurry", "noisy"]}, {"name": "mirror", "augment": ["flip"]}
    mine = {"name": "mine", "ids": "blank.csv"}
    plan = ablation.freeze(data.settings(decisions=["curate", "fix_labels", sharp, mirror, mine]), paths)
    told = {line["arm"]: line["why"].split(": ", 1)[-1] for line in plan.skipped if line["arm"].startswith("without")}
    assert told == {
        "without_fix_labels": "curation only warns (label_suspect of 3 training rows); to take them out, set "
        "quality.label_suspect.action to quarantine in params.yaml and run `aigc curate`",
        "without_sharp": "no training row has blurry or noisy against it",
        "without_mirror": "the section `augment` has flip at 0, or makes no copies",
        "without_mine": "none of the rows that blank.csv names is in the full recipe",
    }
    assert check_unchanged(plan, paths).plan == plan


def test_labels_that_people_corrected_are_part_of_the_full_recipe_and_not_of_one_without(tmp_path):
    paths = data.build(Paths(tmp_path))
    changed = {row_id("train/0.png"): "b", row_id("train/3.png"): "c"}
    rows = Version.open(paths.curated).rows.to_pylist()
    for row in rows:
        row |= {"label": changed[row["id"]], "op": "relabel by Ann"} if row["id"] in changed else {}
    write_version(
        paths.curated, pa.Table.from_pylist(rows, ROW_SCHEMA), operation="curate", parameters={}, image=data.IMAGE,
        parent=Version.open(paths.ingested), content=["../content"],
    )  # fmt: skip
    config = data.settings(decisions=["curate", "fix_labels", "augment"])
    layout = resolve(config, paths)
    writer, labels = ArmWriter(layout.pool, paths, config, layout.plan.code), {}
    for arm in layout.arms:
        version = Version.open(writer.write(arm, layout.selections[arm.name, arm.seeds[0]], arm.seeds[0]))
        labels[arm.name] = {row["id"]: row["label"] for row in version.rows.to_pylist()}
    for name in ("full", "blanks_2", "random_curate", "without_augment"):
        assert {one: labels[name].get(one, wanted) for one, wanted in changed.items()} == changed, name
    for name in ("without_curate", "without_fix_labels"):
        assert [labels[name][one] for one in changed] == ["a", "a"], name
    told = {arm["name"]: arm["rows_touched"] for arm in layout.plan.arms}
    assert told["without_fix_labels"] == 4  # two rows and their copies
    assert told["without_curate"] == 2 * (data.BLANKS + data.COPIES) + 4
    skipped = {line["arm"]: line["why"] for line in layout.plan.skipped}
    assert skipped == {"random_fix_labels": "fix_labels changes labels, not the number of rows, so that chance has nothing to remove"}  # fmt: skip


@pytest.mark.parametrize(("share", "words"), [(0.05, "fewer than one batch of 16"), (0.001, "is no row")])
def test_a_size_too_small_to_train_on_is_named_and_not_run(paths, share, words):
    plan = ablation.freeze(data.settings(sizes=[share, 1.0]), paths)
    assert [line["arm"] for line in plan.skipped] == [f"size_{share:g}"]
    assert words in plan.skipped[0]["why"]
    assert plan.sizes == [1.0]


def test_a_class_that_an_arm_would_lose_is_named(paths):
    of_a = [row_id(f"train/{index}.png") for index in range(0, 180, 3)]
    (paths.root / "class.csv").write_text("id\n" + "\n".join(of_a) + "\n")
    plan = ablation.freeze(data.settings(decisions=["curate", {"name": "class_a", "ids": "class.csv"}]), paths)
    why = next(line["why"] for line in plan.skipped if line["arm"] == "without_class_a")
    assert "class 'a' would have 0 training rows" in why
    assert "groups: label" in why, "a larger share would not help"
    assert "random_class_a" not in {arm["name"] for arm in plan.arms}


def test_the_whole_size_shares_the_cells_of_full_and_the_placebo_does_not(paths):
    plan = ablation.freeze(data.settings(sizes=[0.5, 1.0], seeds=4), paths)
    words = estimate.in_words(
        plan, estimate.look_ahead(plan, paths, data.settings().ablation, estimate.Cost(0.01, 2, 1, "made up"), 1)
    )
    assert "(4 cells are another one as well" in words["cells"]
    cells = {arm: [line["cell"] for line in plan.cells if line["arm"] == arm] for arm in ("full", "size_1", "placebo")}
    assert cells["full"] == cells["size_1"]
    assert not set(cells["full"]) & set(cells["placebo"])


def test_the_placebo_leaves_out_the_same_rows_for_every_seed(paths):
    choose = data.chooser(paths, placebo=0.1)
    full, first, second = (choose.select(recipe, seed, whole=True) for recipe, seed in
                           ((Recipe(), 0), (Recipe(placebo=0.1), 0), (Recipe(placebo=0.1), 1)))  # fmt: skip
    assert first == second
    assert set(first.ids) < set(full.ids)
    assert len(full.ids) - len(first.ids) == 18
    other = replace(choose, seed=7).select(Recipe(placebo=0.1), 0, whole=True)
    assert set(other.ids) != set(first.ids), "another configured seed leaves out others"
    few = data.chooser(paths, placebo=0.1, subsample=0.5)
    assert len(set(few.select(Recipe(), 3).ids) - set(few.select(Recipe(placebo=0.1), 3).ids)) < 15, "a draw of its own"


def test_a_plan_is_the_same_twice_and_an_extended_one_keeps_its_cells(paths):
    config = data.settings(decisions=ALL)
    first, again = ablation.freeze(config, paths), ablation.freeze(config, paths)
    assert first.to_dict() == again.to_dict()
    longer = ablation.freeze(data.settings(decisions=[*ALL[:1]], seeds=5), paths)
    short = ablation.freeze(data.settings(decisions=[*ALL[:1]], seeds=3), paths)
    assert {line["cell"] for line in short.cells} < {line["cell"] for line in longer.cells}


@pytest.mark.parametrize("change", [{"steps": 7}, {"model": "gan"}])
def test_what_decides_a_figure_makes_other_cells(paths, change):
    first, other = ablation.freeze(data.settings(), paths), ablation.freeze(data.settings(**change), paths)
    assert not {line["cell"] for line in first.cells} & {line["cell"] for line in other.cells}


def test_what_decides_no_figure_keeps_the_plan(paths):
    config = data.settings()
    other = config.model_dump()
    other["train"]["gan"]["learning_rate"] = 0.1
    other["quality"]["duplicate_near"]["transforms"] = ["flip"]
    other["ablation"]["parallel"] = 2
    assert ablation.freeze(parse(other), paths) == ablation.freeze(config, paths)


def test_code_that_makes_the_rows_of_an_arm_makes_other_cells():
    files = [Path(deciding.__file__).parents[1] / name for name in deciding.CODE]
    assert all(file.exists() for file in files)
    assert {Path(module.__file__) for module in (versions, worker)} <= set(files)


def test_a_plan_edited_by_hand_is_refused(paths, tmp_path):
    path = tmp_path / "plan.json"
    plan = ablation.freeze(data.settings(), paths)
    plan.save(path)
    assert Plan.load(path) == plan
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "smallest_effect": 0.01}))
    with pytest.raises(ConfigError, match="changed after it was frozen"):
        Plan.load(path)
    for text in ("{}", "[]", "no json", '{"digest": "x"}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match="is not a plan"):
            Plan.load(path)
    with pytest.raises(ConfigError, match="does not exist"):
        Plan.load(tmp_path / "nowhere.json")


def test_pairs_of_decisions_are_switched_off_together(paths):
    own = {"name": "no_blanks", "reasons": ["blank"]}
    decisions = ["deduplicate", own, "curate", "half_the_data"]
    layout = resolve(data.settings(decisions=decisions, combinations=True, confirm=3), paths)
    rows = {arm["name"]: arm["rows"] for arm in layout.plan.arms}
    assert rows["without_deduplicate_and_no_blanks"] == rows["full"] + data.COPIES + data.BLANKS
    assert rows["without_no_blanks_and_half_the_data"] == (rows["full"] + data.BLANKS) / 2
    told = {line["arm"]: line["why"] for line in layout.plan.skipped}
    assert set(told) == {"without_deduplicate_and_curate", "without_no_blanks_and_curate"}
    assert "nothing left that deduplicate changes" in told["without_deduplicate_and_curate"]
    assert "random_deduplicate_and_no_blanks" not in rows
    assert "full_budget_without_deduplicate_and_no_blanks" in rows
    assert "full_budget_without_deduplicate_and_curate" not in rows
    kinds = {arm["name"]: (arm["kind"], arm["decision"]) for arm in layout.plan.arms}
    assert kinds["without_deduplicate_and_no_blanks"] == ("treatment", "deduplicate_and_no_blanks")
    idle = resolve(data.settings(decisions=["curate", "fix_labels"], combinations=True), paths).plan.skipped
    assert (
        "without_fix_labels is not run" in {line["arm"]: line["why"] for line in idle}["without_curate_and_fix_labels"]
    )


def test_groups_of_rows_are_questions_of_their_own(paths):
    by = {name: resolve(data.settings(groups=name, decisions=["curate"]), paths) for name in ("folder", "label")}
    folders = {arm["name"]: arm for arm in by["folder"].plan.arms}
    told = {line["arm"]: line["why"] for line in by["folder"].plan.skipped}
    assert "fewer" in told["without_folder_train"], "a class would be lost"
    assert "none of the rows of folder_blank" in told["without_folder_blank"]
    halves = {arm["name"]: arm for arm in by["label"].plan.arms}
    assert {"without_half_of_a", "random_half_of_a", "without_half_of_c"} <= halves.keys()
    assert 15 < halves["without_half_of_a"]["rows_touched"] < 45  # of sixty
    assert halves["without_half_of_a"]["rows"] == halves["random_half_of_a"]["rows"]
    layout = by["label"]
    gone = set(layout.selections["full", 0].ids) - set(layout.selections["without_half_of_a", 0].ids)
    assert {layout.pool.labels[one] for one in gone} == {"a"}
    assert not (folders.keys() & halves.keys()) - {"full", "placebo", "blanks_2", "without_curate", "random_curate"}


def test_groups_that_are_too_many_or_called_like_a_decision_are_refused(paths, monkeypatch):
    (paths.root / "some.csv").write_text("source\ntrain/1.png\n")
    named = {"name": "half_of_a", "ids": "some.csv"}
    with pytest.raises(ConfigError, match="without_half_of_a"):
        resolve(data.settings(groups="label", decisions=[named]), paths)
    monkeypatch.setattr(pool_module, "MOST_GROUPS", 2)
    with pytest.raises(ConfigError, match="makes 3 groups"):
        resolve(data.settings(groups="label"), paths)


def test_data_that_changed_after_the_plan_stops_it(tmp_path):
    paths = data.build(Paths(tmp_path / "now"))
    plan = ablation.freeze(data.settings(), paths)
    check_unchanged(plan, paths)
    data.build(paths, train_rows=150)
    with pytest.raises(DataError, match="no longer fits what is here"):
        check_unchanged(plan, paths)


def test_verdicts_that_are_not_those_of_the_curated_version_are_refused(tmp_path):
    paths = data.build(Paths(tmp_path / "torn"))
    table = Version.open(paths.curated).rows.slice(50)
    write_table(paths.curated / "rows.parquet", table)
    with pytest.raises(DataError, match="run `aigc curate` again"):
        ablation.freeze(data.settings(), paths)


@pytest.mark.parametrize(
    ("ablation_settings", "words"),
    [
        ({"decisions": ["curate", "curate"]}, "lists 'curate' twice|lists curate twice"),
        ({"decisions": [{"name": "full", "ids": "x.csv"}]}, "means something of its own"),
        ({"decisions": [{"name": "x"}]}, "give `ids`"),
        ({"sizes": [0.5, 0.5]}, "twice"),
        ({"sizes": [1.5]}, "sizes"),
        ({"seeds": 2}, "seeds"),
        ({"decisions": [{"name": "placebo", "ids": "x.csv"}]}, "means something of its own"),
    ],
)
def test_settings_that_make_no_study_are_refused_in_one_sentence(ablation_settings, words):
    with pytest.raises(ConfigError, match=words):
        parse({"ablation": ablation_settings})


def test_arms_are_named_and_kinded_as_the_statistics_expect(paths):
    arms = {
        arm.name: (arm.kind, arm.decision) for arm in arms_of(data.settings(decisions=ALL, sizes=[0.32]).ablation, 0)
    }
    assert arms == {
        "full": ("baseline", None), "placebo": ("placebo", None), "blanks_2": ("positive_control", None),
        "without_curate": ("treatment", "curate"), "random_curate": ("random_control", "curate"),
        "without_deduplicate": ("treatment", "deduplicate"), "random_deduplicate": ("random_control", "deduplicate"),
        "without_fix_labels": ("treatment", "fix_labels"), "random_fix_labels": ("random_control", "fix_labels"),
        "without_augment": ("treatment", "augment"), "without_half_the_data": ("treatment", "half_the_data"),
        "size_0.32": ("size", None),
    }  # fmt: skip

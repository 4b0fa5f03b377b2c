"""Running a study: cells are run once, in any number of processes, and survive whatever ends the study."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import study_data as data

from aigc_core import ablation
from aigc_core.ablation import confirm, estimate, headline, known, live, runner, worker
from aigc_core.ablation.cells import MEMORY, METRICS, to_frame, to_table
from aigc_core.ablation.lines import first_cells, known_cells
from aigc_core.ablation.plan import resolve
from aigc_core.ablation.runner import run_cells, samples
from aigc_core.ablation.stopping import judged
from aigc_core.config import parse
from aigc_core.errors import ConfigError, DataError, TrainingError
from aigc_core.files import atomic_folder, sha256_file
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build as build_model
from aigc_core.models.zoo import save_model
from aigc_core.paths import Paths
from aigc_core.records import row_id
from aigc_core.stages.evaluate import make_yardstick
from aigc_core.training import checkpoint
from aigc_core.training.held_out import Unseen


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    return data.build(Paths(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def finished(paths):
    """A study in one process: its layout and the cells with whether each was run or found."""
    layout, seen = resolve(data.settings(), paths), []
    lines = run_cells(layout, paths, data.settings(), lambda line, fresh: seen.append((line["cell"], fresh)))
    return layout, lines, seen


def test_every_planned_cell_has_a_line_with_all_figures(finished, paths):
    layout, lines, seen = finished
    assert len(lines) == len(layout.plan.cells) == 15
    assert all(fresh for _, fresh in seen)
    frame = to_frame(lines)
    assert frame["error"].isna().all()
    for name in (*METRICS, *MEMORY):
        taught = frame["kind"].isin(["baseline", "treatment"]) | (name not in ("cas", "cas_real"))
        assert np.isfinite(frame.loc[taught, name]).all(), name
        assert frame.loc[~taught, name].isna().all(), name
    assert frame["fd_floor"].nunique() == 1
    assert to_frame(to_table(frame).to_pylist()).equals(frame)


def test_a_finished_study_runs_nothing_again_and_an_extended_one_what_is_new(finished, paths):
    layout, lines, _ = finished
    seen = []
    again = run_cells(layout, paths, data.settings(), lambda line, fresh: seen.append(fresh))
    assert again == lines
    assert not any(seen)
    config, seen = data.settings(seeds=4), []
    longer = run_cells(resolve(config, paths), paths, config, lambda line, fresh: seen.append(fresh))
    assert sorted(seen) == [False] * 15 + [True] * 5
    assert [line["fd"] for line in longer if line["seed"] in (0, 1, 2) and line["arm"] == "full"] == [
        line["fd"] for line in lines if line["arm"] == "full"
    ]


def test_cells_are_the_same_figures_in_two_processes(finished, paths, tmp_path):
    layout, lines, _ = finished
    elsewhere = data.build(Paths(tmp_path / "two"))
    config = data.settings(parallel=2)
    both = run_cells(resolve(config, elsewhere), elsewhere, config)
    assert to_frame(both).equals(to_frame(lines))
    first, second = samples(layout.plan, paths), samples(layout.plan, elsewhere)
    assert first.keys() == second.keys() == {arm["name"] for arm in layout.plan.arms}
    for name, pixels in first.items():
        assert pixels.shape == (8, 1, 8, 8)
        assert np.array_equal(pixels, second[name])


def test_memorization_is_asked_with_the_rows_that_evaluate_takes(finished, paths, monkeypatch):
    """The source of these rows brought its own test images, so that reference images stand for images never seen."""
    layout, config = finished[0], data.settings()
    yardstick = runner.make_yardstick(layout, paths, config)
    expected = make_yardstick(config, paths, layout.pool.curated, layout.pool.classes, "cpu")
    assert (layout.plan.unseen_rows, len(yardstick.decoys)) == (90, 90)
    assert yardstick.decoys.equal(expected.decoys)
    bench = runner.make_bench(layout, paths, config, yardstick)
    folder = next((paths.work / "ablation/arms").glob("*/card.json")).parent
    few = replace(yardstick.real, decoys=yardstick.real.decoys[:49])
    judgement = yardstick.judge(lambda labels, seed: yardstick.test_pixels, cas=False)
    assert set(worker.remembered(folder, judgement, bench)) == set(MEMORY)
    monkeypatch.setattr(yardstick, "real", few)
    worker.witness_of.cache_clear()
    assert worker.remembered(folder, judgement, bench) == {}
    monkeypatch.setattr("aigc_core.ablation.plan.unseen_rows", lambda *_: Unseen(None))
    others = resolve(config, paths).plan
    assert others.unseen_rows == 0
    assert not {line["cell"] for line in others.cells} & {line["cell"] for line in layout.plan.cells}


def test_a_distance_is_the_mean_over_several_sets_of_samples(finished, paths):
    import torch  # in a test module of its own name it is what pickle takes torch's constants from, and workers have no such module

    layout, _, _ = finished
    yardstick = runner.make_bench(layout, paths, data.settings()).yardstick
    seeds = []

    def sampler(labels, seed):
        seeds.append(seed)
        noise = torch.randint(0, 120, yardstick.test_pixels.shape, generator=torch.Generator().manual_seed(seed))
        return (yardstick.test_pixels.int() + noise).clamp(0, 255).to(torch.uint8)

    judgement = yardstick.judge(sampler, cas=False)
    found = worker.redrawn(judgement, sampler, yardstick)
    assert len(seeds) == len(set(seeds)) == worker.DRAWS
    single = [
        yardstick.judge(lambda labels, _, seed=seed: sampler(labels, seed), cas=False).metrics for seed in [*seeds]
    ]
    for name in ("fd", "coverage"):
        values = [metrics[name] for metrics in single]
        assert name == "coverage" or len(set(values)) == worker.DRAWS
        assert found[name] == pytest.approx(np.mean(values))
    assert "cas" not in judgement.metrics


def test_a_seed_draws_the_weights_and_an_arm_its_rows(finished):
    _, lines, _ = finished
    assert len({line["fd"] for line in lines}) == len(lines)


def test_memorization_is_asked_by_the_limits_of_the_study_at_hand(finished, paths):
    layout, _, _ = finished
    bench = runner.make_bench(layout, paths, data.settings())
    other = bench.config.model_dump()
    other["evaluate"]["memorization"]["cells"] = 1
    folder = next((paths.work / "ablation" / "arms").iterdir())
    many, one = (worker.witness_of(folder, each) for each in (bench, replace(bench, config=parse(other))))
    assert many.limits.cells > one.limits.cells == 1
    assert len(many.centres) > len(one.centres)
    assert worker.witness_of(folder, bench).limits == many.limits


def test_a_cell_that_diverges_is_a_line_that_says_so(paths):
    config = data.settings()
    layout = resolve(config, paths)
    wild = layout.plan.config.model_dump()
    wild["train"]["vae"]["learning_rate"] = 1e12
    plan = replace(
        layout.plan, settings=wild, cells=[{**line, "cell": "f" * 60 + line["cell"][:4]} for line in layout.plan.cells]
    )
    lines = run_cells(replace(layout, plan=plan), paths, config)
    assert all("lower the learning rate" in line["error"] for line in lines)
    assert to_frame(lines)["fd"].isna().all()


def test_what_else_goes_wrong_costs_one_cell_and_is_tried_again(finished, tmp_path, monkeypatch):
    paths, honest = data.build(Paths(tmp_path)), worker.train
    full = OSError(28, "No space left on device", "/home/me/file")
    errors = iter([RuntimeError("boom\nand more"), MemoryError(), DataError("a shard is gone"), full])

    def train(*arguments, **named):
        if (error := next(errors, None)) is not None:
            raise error
        return honest(*arguments, **named)

    monkeypatch.setattr(worker, "train", train)
    layout = resolve(data.settings(), paths)
    lines = run_cells(layout, paths, data.settings())
    again = "(not kept: the next study tries this cell again)"
    assert [line["error"] for line in lines if line["error"]] == [
        f"RuntimeError: boom {again}", f"MemoryError {again}", f"a shard is gone {again}",
        f"OSError: No space left on device {again}",
    ]  # fmt: skip
    assert len(known_cells(layout.plan, paths)) == 11
    notes = {line["cell"]: worker.traceback_file(runner.cell_file(paths, line["cell"])) for line in lines[:4]}
    assert all("in _measure" in note.read_text() for note in notes.values())
    seen = []
    whole = run_cells(layout, paths, data.settings(), lambda line, fresh: seen.append(fresh))
    assert sorted(seen) == [False] * 11 + [True] * 4
    assert to_frame(whole).equals(to_frame(finished[1]))
    assert not any(note.exists() for note in notes.values())


def test_figures_that_are_no_numbers_fail_the_cell_in_words(paths, monkeypatch):
    monkeypatch.setattr(worker, "remembered", lambda folder, judgement, bench: {"c_t": float("nan")})
    config = data.settings(steps=4)
    layout = resolve(config, paths)
    lines = run_cells(layout, paths, config)
    assert {line["error"] for line in lines} == {
        "c_t of its samples is nan: what this training makes cannot be measured"
    }
    assert len(known_cells(layout.plan, paths)) == len(lines)


def test_pre_training_is_a_start_and_without_it_there_is_none(tmp_path):
    paths = data.build(Paths(tmp_path / "checkout"))
    with pytest.raises(DataError, match="run `aigc pretrain vae` first"):
        resolve(data.settings(decisions=["pretrain"]), paths)
    spec = ModelSpec("vae", 8, 1, ("x", "y"), 4, 16, 4)
    with atomic_folder(paths.pretrained("vae")) as folder:
        save_model(folder, build_model(spec, 5), {})
    config = data.settings(decisions=["pretrain"])
    layout = resolve(config, paths)
    assert [arm["name"] for arm in layout.plan.arms] == ["full", "placebo", "blanks_2", "without_pretrain"]
    lines = {(line["arm"], line["seed"]): line for line in run_cells(layout, paths, config)}
    assert all(line["error"] is None for line in lines.values())
    assert lines["full", 0]["rows"] == lines["without_pretrain", 0]["rows"]
    assert lines["full", 0]["fd"] != lines["without_pretrain", 0]["fd"]
    plain = resolve(data.settings(), paths)
    untouched = {line["cell"] for line in plain.plan.cells if line["arm"] == "full"}
    assert {lines["without_pretrain", seed]["cell"] for seed in (0, 1, 2)} == untouched


def test_half_a_cell_file_is_as_good_as_none(finished, paths):
    layout, lines, _ = finished
    file = runner.cell_file(paths, lines[0]["cell"])
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    assert len(known_cells(layout.plan, paths)) == 14
    assert run_cells(layout, paths, data.settings())[0]["fd"] == lines[0]["fd"]
    assert json.loads(file.read_text())["cell"] == lines[0]["cell"]


def test_a_killed_worker_is_told_in_one_sentence(paths, monkeypatch):
    layout = resolve(data.settings(steps=5), paths)
    monkeypatch.setattr(runner, "_work", data.die)
    with pytest.raises(TrainingError, match=r"lower ablation\.parallel"):
        run_cells(layout, paths, data.settings(parallel=2, steps=5))


STUDY = """
import signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import study_data as data
from aigc_core.ablation.plan import resolve
from aigc_core.ablation.runner import run_cells
from aigc_core.paths import Paths

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background ignores it
    config = data.settings(seeds=3, steps=1500, parallel=2)
    paths = Paths(Path({root!r}))
    run_cells(resolve(config, paths), paths, config, lambda line, fresh: print("cell", flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_is_ended_keeps_its_cells_and_leaves_no_process(tmp_path, sign):
    paths = data.build(Paths(tmp_path / "checkout"))
    script = tmp_path / "study.py"
    script.write_text(STUDY.format(tests=str(Path(__file__).parent), root=str(paths.root)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    # Progress leaves an empty line where there is no terminal.
    assert next(line for line in process.stdout if line.strip()) == "cell\n"
    # A terminal sends Ctrl-C to the whole group; kill -9 is for the parent alone.
    (os.killpg if sign == signal.SIGINT else os.kill)(process.pid, sign)
    process.communicate(timeout=120)
    assert process.returncode != 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _alive(process.pid):
        time.sleep(0.1)
    assert not _alive(process.pid), "workers outlive the study"
    config = data.settings(seeds=3, steps=1500)
    layout = resolve(config, paths)
    done = known_cells(layout.plan, paths)
    assert 0 < len(done) < len(layout.plan.cells)
    stamps = {cell: sha256_file(runner.cell_file(paths, cell)) for cell in done}
    cells = [{**line, "steps": 2} for line in layout.plan.cells]
    short = replace(layout, plan=replace(layout.plan, cells=cells))  # what is left need not be long here
    run_cells(short, paths, config)
    assert {cell: sha256_file(runner.cell_file(paths, cell)) for cell in done} == stamps


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_run_gives_a_study_and_refuses_data_that_changed_meanwhile(tmp_path, monkeypatch):
    paths = data.build(Paths(tmp_path / "checkout"))
    with monkeypatch.context() as patch:
        patch.chdir(paths.data)
        with pytest.raises(ConfigError, match=r"no params\.yaml"):
            ablation.freeze(data.settings())
        (paths.root / "params.yaml").touch()
        plan = ablation.freeze(data.settings(parallel=1))
        study = ablation.run(plan, config=data.settings())
    assert set(study.ledger["decision"]) == {"curate"}
    assert {check.name for check in study.checks} >= {"placebo_quiet", "positive_control_seen"}

    def meddle(line, fresh):
        data.build(paths, train_rows=150)

    with pytest.raises(DataError, match="no longer fits"):
        ablation.run(plan, paths, data.settings(), meddle)


def test_cells_are_not_used_again_where_curation_changed_what_they_are_held_to(tmp_path):
    paths = data.build(Paths(tmp_path))
    before = ablation.freeze(data.settings(), paths)
    ablation.run(before, paths, data.settings())
    data.quarantine(paths, {row_id(f"train/{index}.png"): "blurry" for index in range(40)})
    study = ablation.run(ablation.freeze(data.settings(), paths), paths, data.settings())
    assert study.rows == data.SPLITS["train"] - 40
    assert not {line["cell"] for line in before.cells} & set(
        study.cells["cell"]
    )  # also without curation: the same rows


def test_costs_come_from_cells_that_ran_here_or_from_a_timed_run(finished, paths, tmp_path):
    layout, _, _ = finished
    past = estimate.past_cost(layout.plan, paths)
    assert past.step > 0
    assert past.judge > 0
    assert "cells that ran" in past.measured
    assert estimate.past_cost(layout.plan, Paths(tmp_path)) is None
    other = ablation.freeze(data.settings(model="gan"), paths)
    assert estimate.past_cost(other, paths) is None  # what another training costs says nothing
    timed = estimate.pilot(layout, paths, runner.make_bench(layout, paths, data.settings()))
    assert timed.step > 0


def test_finished_cells_tell_the_spread_and_how_far_the_full_recipe_is(finished, paths):
    layout, lines, _ = finished
    done = known_cells(layout.plan, paths)
    few = {line["cell"]: done[line["cell"]] for line in layout.plan.cells if line["seed"] < 2}
    assert known.known_spread(layout.plan, few) is None  # two pairs tell no spread
    fd = {(line["arm"], line["seed"]): line["fd"] for line in lines}
    pooled = [np.var([np.log(fd["full", seed] / fd[arm, seed]) for seed in range(3)], ddof=1)
              for arm in ("placebo", "without_curate", "random_curate", "blanks_2")]  # fmt: skip
    # The 20 % point of chi-squared with eight degrees of freedom is 4.594.
    assert known.known_spread(layout.plan, done) == pytest.approx(np.sqrt(8 * np.mean(pooled) / 4.594), rel=1e-3)
    floors = [line["fd"] / line["fd_floor"] for line in lines if line["arm"] == "full"]
    assert known.distance_of(layout.plan, done) == pytest.approx(np.mean(floors))
    assert known.distance_of(layout.plan, {}) is None
    cost = estimate.Cost(0.01, 2.0, 1.0, "made up")
    outlook = estimate.look_ahead(layout.plan, paths, data.settings().ablation, cost, 2)
    far = replace(outlook, distance=headline.FAR + 1)
    assert "warning" in estimate.in_words(layout.plan, far)
    assert "warning" not in estimate.in_words(layout.plan, replace(outlook, distance=headline.FAR - 1))
    assert (outlook.left, outlook.known, outlook.seconds) == ([], 15, 0.0)
    assert outlook.seeds >= 2


COST = estimate.Cost(step=0.01, judge=2.0, brief=2.0, measured="made up")


@pytest.fixture(scope="module")
def long_plan(paths):
    """Five arms of ten seeds, 600 steps each."""
    return ablation.freeze(data.settings(seeds=10, steps=600), paths)


def budgeted(plan, known, *more):
    return estimate.fit_budget(plan, confirm.expected_cells(plan), known, *more)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(1e9, (10, 600)), (160, (7, 600)), (60, (4, 300))],
)
def test_a_budget_gives_up_seeds_first_and_steps_then(long_plan, budget, expected):
    assert budgeted(long_plan, (), COST, 2, budget) == expected


def test_a_budget_pays_for_no_cell_that_is_done(long_plan):
    done = [line["cell"] for line in long_plan.cells]
    assert budgeted(long_plan, done, COST, 2, 1) == (10, 600)
    assert budgeted(long_plan, done[4:], COST, 2, 26) == (10, 600)  # four are left, two rounds of 8 s
    with pytest.raises(ConfigError, match="takes about 26 s"):
        budgeted(long_plan, done[4:], COST, 2, 25)


def test_a_budget_that_is_too_small_or_no_time_is_refused(long_plan):
    with pytest.raises(ConfigError, match="the smallest study of these arms takes about 40 s"):
        budgeted(long_plan, (), COST, 2, 20)
    with pytest.raises(ConfigError, match="takes about 35 s"):  # a study that is shorter than what is cut to stays it
        cells = [{**line, "steps": 50} for line in long_plan.cells]
        budgeted(replace(long_plan, steps=50, cells=cells), (), COST, 2, 20)
    assert [estimate.seconds_of(text) for text in ("90s", "10m", "1.5h", "45")] == [90, 600, 5400, 45]
    for text in ("soon", "-3m", "0", "10 days"):
        with pytest.raises(ConfigError, match="is no time"):
            estimate.seconds_of(text)


def test_a_longer_training_is_priced_from_where_the_shorter_one_ends(paths):
    plan = ablation.freeze(data.settings(seeds=5, steps=600, confirm=3), paths)  # of 4,000 steps
    cost = estimate.Cost(step=0.01, judge=2.0, brief=2.0, measured="made up")
    outlook = estimate.look_ahead(plan, paths, data.settings().ablation, cost, 1)
    assert len(outlook.left) == 25 + 6
    assert outlook.seconds == pytest.approx(estimate.START_S + 25 * 8 + 6 * (2 + 34))
    first = {line["cell"] for line in first_cells(plan)}
    assert budgeted(plan, first, cost, 1, estimate.START_S + 6 * 42) == (5, 600)
    with pytest.raises(ConfigError, match="set ablation"):
        budgeted(plan, first, cost, 1, estimate.START_S + 6 * 42 - 1)


def test_fewer_seeds_than_four_are_planned_for_those_who_ask_for_them(paths):
    plan = ablation.freeze(data.settings(seeds=3, steps=600), paths)
    assert budgeted(plan, (), COST, 2, 60) == (3, 425)


def test_cells_that_teach_no_classifier_cost_less():
    cost = estimate.Cost(step=0.01, judge=3.0, brief=1.0, measured="made up")
    lines = [{"steps": 100, "cas": True}, {"steps": 100, "cas": False}, {"steps": 500, "cas": False}]
    assert [cost.cell(line) for line in lines] == [4.0, 2.0, 6.0]
    assert cost.wall(lines, 2) == 6.0 + 2.0
    assert cost.wall(lines, 1) == 12.0


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory):
    """A study whose leading decision is looked at again at the full budget: its layout, lines, checkout and settings."""
    paths = data.build(Paths(tmp_path_factory.mktemp("confirmed")))
    config = data.settings(confirm=2, decisions=["deduplicate", "curate"])
    config = parse({**config.model_dump(), "train": {**config.train.model_dump(), "vae": {"steps": 12}}})
    layout = resolve(config, paths)
    return layout, run_cells(layout, paths, config), paths, config


def test_the_decision_that_leads_is_confirmed_at_the_full_budget(confirmed):
    layout, lines, _, _ = confirmed
    later = [line for line in lines if line["kind"] == "confirmation"]
    led = confirm.leading(judged(layout.plan, [line for line in lines if line["kind"] != "confirmation"]))[
        "confirmation"
    ]
    assert len(led) == 1
    assert {line["decision"] for line in later} == {None, *led}
    assert sorted((line["arm"], line["seed"]) for line in later) == sorted(
        (arm, seed) for arm in ("full_budget", f"full_budget_without_{led[0]}") for seed in (0, 1)
    )
    assert {line["steps"] for line in later} == {12} == {layout.plan.confirm_steps}
    assert all(np.isfinite(line["fd"]) for line in later)
    frame = to_frame(lines)
    assert set(frame.loc[frame["kind"] != "confirmation", "steps"]) == {6}
    taught = frame.groupby("kind")["cas"].apply(lambda own: bool(own.notna().all()))
    assert taught.to_dict() == {"baseline": True, "confirmation": False, "placebo": False, "positive_control": False,
                                "random_control": False, "treatment": True}  # fmt: skip


def test_a_longer_training_goes_on_from_the_shorter_one_to_the_same_weights(finished, paths, tmp_path):
    layout, _, _ = finished
    bench = runner.make_bench(layout, paths, data.settings())
    images = worker.arm_images(next((paths.work / "ablation" / "arms").iterdir()), tuple(data.CLASSES))
    state = tmp_path / "state"
    worker.train(images, bench, 0, 6, state=state)
    assert checkpoint.load(state)["step"] == 6
    straight, on, again = (worker.train(images, bench, 0, 9, state=place) for place in (None, state, state))
    assert checkpoint.load(state)["step"] == 6
    for name, weights in straight.model.state_dict().items():
        assert weights.equal(on.model.state_dict()[name]), name
        assert weights.equal(again.model.state_dict()[name]), name
    checkpoint.latest(state).write_bytes(b"torn")
    torn = worker.train(images, bench, 0, 9, state=state)
    past = worker.train(images, bench, 0, 4, state=state)
    assert all(weights.equal(torn.model.state_dict()[name]) for name, weights in straight.model.state_dict().items())
    assert checkpoint.load(state)["step"] == 4
    assert not all(
        weights.equal(past.model.state_dict()[name]) for name, weights in straight.model.state_dict().items()
    )


def test_a_confirmed_study_misses_nothing_and_goes_on_from_where_it_was(confirmed):
    layout, lines, paths, config = confirmed
    planned = {line["arm"] for line in layout.plan.cells}
    assert {"full_budget_without_deduplicate", "full_budget_without_curate"} <= planned
    assert runner.missing_cells(layout.plan, paths) == set()
    assert not (paths.work / "ablation" / "states").exists()
    ours = {line["arm"] for line in lines}
    assert len(planned - ours) == 1
    last = next(line for line in lines if line["arm"] == "full_budget")
    runner.cell_file(paths, last["cell"]).unlink()
    assert runner.missing_cells(layout.plan, paths) == {last["cell"]}
    seen = []
    assert to_frame(run_cells(layout, paths, config, lambda line, fresh: seen.append(fresh))).equals(to_frame(lines))
    assert sum(seen) == 1


def test_the_largest_effect_that_is_told_from_nothing_leads(finished):
    layout, lines, _ = finished
    line = {"seed": 0, "share": 1.0, "rows": 9, "rows_touched": 1, "fd_floor": 0.1, "error": None, "steps": 6}
    line |= dict.fromkeys(set(to_frame(lines).columns) - line.keys(), None)

    def arm(name, decision, values):
        kind = "baseline" if decision is None else "treatment"
        return [{**line, "cell": f"{name}{seed}", "arm": name, "kind": kind, "decision": decision, "seed": seed, "fd": fd}
                for seed, fd in enumerate(values)]  # fmt: skip

    full = arm("full", None, [1.0, 1.01, 0.99, 1.0])
    sure = arm("without_curate", "curate", [1.2, 1.21, 1.19, 1.2])
    loud = arm("without_augment", "augment", [0.5, 4.0, 0.6, 2.5])
    plan = replace(layout.plan, decisions=["curate", "augment"])
    assert confirm.leading(judged(plan, full + sure + loud)) == {"confirmation": ["curate"], "variation": ["curate"]}
    assert confirm.leading(judged(plan, full + loud)) == {"confirmation": ["augment"], "variation": []}, (
        "none is told from nothing"
    )
    assert (
        confirm.leading(judged(plan, [{**one, "fd": None, "error": "lower the learning rate"} for one in full])) == {}
    )


def test_a_proxy_of_the_full_length_has_nothing_to_confirm(paths):
    for ablation_settings in ({"steps": 4000, "confirm": 3}, {"steps": None, "confirm": 3}, {"confirm": 0}):
        plan = ablation.freeze(data.settings(**ablation_settings), paths)
        assert plan.confirm_steps is None
        assert not any(arm["kind"] == "confirmation" for arm in plan.arms)
    other = data.settings(confirm=3).model_dump()
    other["train"]["vae"]["steps"] = 5000
    plans = [ablation.freeze(config, paths) for config in (data.settings(confirm=3), parse(other))]
    assert [plan.confirm_steps for plan in plans] == [4000, 5000]
    proxies = [{line["cell"] for line in first_cells(plan)} for plan in plans]
    assert proxies[0] == proxies[1], "the full budget makes no other proxy"


def test_the_board_counts_cells_and_failures(finished):
    layout, lines, _ = finished
    board = live.Board(layout.plan, 2)
    board.take({"cell": lines[0]["cell"], "error": None}, True)
    board.take({"cell": lines[1]["cell"], "error": "lower the learning rate"}, True)
    assert board.totals_line().startswith("2 of 15 cells done, 2 running, 11 waiting, 1 failed")
    assert live.Board(layout.plan, 2, layout.plan.cells[:4]).totals_line().startswith("0 of 4 cells done, 2 running")


def test_the_board_says_after_which_seeds_a_study_may_stop(finished, paths):
    plan = ablation.freeze(data.settings(seeds=9, looks=[4, 6]), paths)
    assert re.findall(r"may stop after ([\d, ]+) seeds", live.Board(plan, 1).totals_line()) == ["4, 6"]
    assert "may stop" not in live.Board(finished[0].plan, 1).totals_line()


def test_a_cell_that_two_arms_share_fails_once(paths):
    plan = ablation.freeze(data.settings(sizes=[1.0]), paths)
    board = live.Board(plan, 1)
    board.take({"cell": plan.cells[0]["cell"], "error": "lower the learning rate"}, True)
    assert (board.failed["full"], board.failed["size_1"]) == (1, 1)
    assert board.totals_line().startswith("1 of 15 cells done, 1 running, 13 waiting, 1 failed")

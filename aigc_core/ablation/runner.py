"""Runs the cells of a plan that nobody has run yet, one process per core, and collects all of them.

A finished cell is a file named by its digest, written whole: whatever ends a study, the next one goes on from there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.ablation.confirm import expected_cells, later_cells, leading
from aigc_core.ablation.lines import Line, cell_file, collect, finished, first_cells, known_cells
from aigc_core.ablation.plan import Layout, Plan
from aigc_core.ablation.stopping import answered, judged, stages
from aigc_core.ablation.versions import ArmWriter
from aigc_core.ablation.worker import Bench, Task, run_cell
from aigc_core.config import Config
from aigc_core.data.loader import load_images
from aigc_core.errors import TrainingError
from aigc_core.evaluation.compare import Real, Setting, Yardstick
from aigc_core.evaluation.features import load_extractor
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.training import checkpoint
from aigc_core.training.held_out import REFERENCE
from aigc_core.training.loop import choose_device
from aigc_core.training.transfer import Start

#: Called for every cell that is known: (cell's line, whether it was run just now).
Watcher = Callable[[Line, bool], None]
#: GPU memory that a process of its own takes, in bytes: context, weights and activations of the default networks.
GPU_BYTES = 2 << 30
#: What a cell imports, some of it only when the first optimizer is made: seconds that no worker has to spend again.
PRELOAD = [__name__, "torch._dynamo", "pyarrow.dataset"]


def missing_cells(plan: Plan, paths: Paths) -> set[str]:
    """Digests of the cells that are left to run, as far as can be told before the study ran."""
    known = known_cells(plan, paths)
    return {line["cell"] for line in expected_cells(plan, known)} - known.keys()


def make_yardstick(layout: Layout, paths: Paths, config: Config) -> Yardstick:
    """Floors, the real classifier and the extractor, computed once for all cells of a study."""
    plan, pool = layout.plan, layout.pool
    device = choose_device(config.train.device)
    extractor = load_extractor(paths.extractor, str(device))
    frame: dict[str, Any] = {"size": extractor.size, "channels": extractor.channels, "classes": pool.classes}
    train = load_images(pool.curated, "train", **frame)
    test = load_images(pool.curated, "test", ids=set(layout.test["id"].to_pylist()), **frame)
    unseen = layout.unseen.ids
    decoys = None if unseen is None else load_images(pool.curated, REFERENCE, ids=unseen, **frame).pixels
    real = Real(pool.classes, train.pixels, train.labels, test.pixels, test.labels, decoys=decoys)
    chosen = plan.config.evaluate
    # The spread over the seeds is what counts here, and memorization is asked of every arm's own rows by the worker.
    setting = Setting(
        chosen.neighbours, chosen.floor_draws, chosen.max_samples, plan.config.seed, str(device), jackknife_groups=0
    )
    with one_thread():
        return Yardstick(extractor, real, setting)


def make_bench(layout: Layout, paths: Paths, config: Config, yardstick: Yardstick | None = None) -> Bench:
    """What all cells share; `yardstick` saves making it again."""
    plan, device = layout.plan, choose_device(config.train.device)
    start = Start.of(load_model(paths.pretrained(plan.model))) if plan.start else None
    yardstick = yardstick or make_yardstick(layout, paths, config)
    return Bench(plan.config, plan.model, yardstick, start, device.type)


def run_cells(
    layout: Layout, paths: Paths, config: Config, watch: Watcher | None = None, yardstick: Yardstick | None = None
) -> list[Line]:
    """Run what is missing and return one line per cell, as CELL_SCHEMA has it (failed cells too): all cells at the study's
    own steps, up to the declared look that leaves nothing open, then those of the decision that leads, at the full budget and
    under other training recipes.

    `config` says on which device and in how many processes; what decides figures is in the plan. `yardstick`
    saves making it again.
    Raises TrainingError where a worker process was killed; the cells that are done stay done.
    """
    plan = layout.plan
    crew = Crew(layout, paths, config, watch or _unseen, yardstick)
    lines: list[Line] = []
    used: list[int] = []
    for seeds in stages(plan):
        used += seeds
        lines += crew.finish([line for line in first_cells(plan) if line["seed"] in seeds])
        study = judged(plan, lines)
        if study is not None and answered(study):
            break
    later = later_cells(plan, leading(study))
    lines += crew.finish([line for line in later if line["seed"] in used])
    checkpoint.forget(_states(paths))
    return lines


def _states(paths: Paths) -> Path:
    """Where trainings leave their state for those at the full budget, until a study is done."""
    return paths.work / "ablation" / "states"


@dataclass
class Crew:
    """What runs cells of one study, some of them after others."""

    layout: Layout
    paths: Paths
    config: Config
    watch: Watcher
    yardstick: Yardstick | None
    bench: Bench | None = None

    def finish(self, wanted: list[dict[str, Any]]) -> list[Line]:
        """The finished lines of planned cells; those that nobody has run yet are run."""
        done = finished(wanted, self.paths)
        for line in done.values():
            self.watch(line, False)
        missing = [line for line in wanted if line["cell"] not in done]
        if missing:
            processes = workers(self.config, len({line["cell"] for line in missing}))
            warm_up(processes)  # imports run beside the making of the yardstick
            with one_thread():
                self.bench = self.bench or make_bench(self.layout, self.paths, self.config, self.yardstick)
                for line in execute(_tasks(self.layout, self.paths, missing), self.bench, processes):
                    done[line["cell"]] = line
                    self.watch(line, True)
        return collect(self.layout.plan, wanted, done)


def _unseen(line: Line, fresh: bool) -> None:
    """Nobody watches."""
    del line, fresh


def _tasks(layout: Layout, paths: Paths, missing: list[dict[str, Any]]) -> list[Task]:
    """A task per missing cell; its arm is written as a dataset version first."""
    writer = ArmWriter(layout.pool, paths, layout.plan.config, layout.plan.code)
    arms = {arm.name: arm for arm in layout.arms}
    longer = {line["training"] for line in layout.plan.cells if line["steps"] > layout.plan.steps}
    tasks: dict[str, Task] = {}
    for line in missing:
        arm, seed = arms[line["arm"]], line["seed"]
        selection = layout.selections[arm.name, seed]
        if line["cell"] not in tasks:
            folder = writer.write(arm, selection, seed)
            resumes = line["training"] in longer and line["steps"] >= layout.plan.steps
            state = _states(paths) / line["training"] if resumes else None
            out = cell_file(paths, line["cell"])
            tasks[line["cell"]] = Task(
                line["cell"], folder, seed, line["steps"], line["rate"], line["cas"], selection.start, state, out
            )
    return list(tasks.values())


def workers(config: Config, cells: int) -> int:
    """Processes: as asked for; else one per core, on a GPU as many as its free memory takes."""
    wanted: int | str = config.ablation.parallel
    if isinstance(wanted, str):
        wanted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if choose_device(config.train.device).type == "cuda":
            wanted = min(wanted, max(1, torch.cuda.mem_get_info()[0] // GPU_BYTES))
    return max(1, min(wanted, cells))


def warm_up(processes: int) -> None:
    """Start importing what workers need, in the background and once for all of them; one process needs none."""
    if processes > 1 and _context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


def _context() -> BaseContext:
    """Workers are forked from a process that has imported everything and has no thread; Windows imports in each."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(PRELOAD)
    return context


def execute(tasks: list[Task], bench: Bench, processes: int) -> Iterator[Line]:
    """Yield cells as they are done: in this process where one is enough, else in workers."""
    if processes == 1:
        for task in tasks:
            yield run_cell(task, bench)
        return
    context = _context()
    listener, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, context, _set_up, (bench, listener))
    waiting: set[Future[Line]] = set()
    try:
        waiting = {pool.submit(_work, task) for task in tasks}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise TrainingError(
            "a worker process of the study was killed (most likely it ran out of memory): lower ablation.parallel and run "
            "it again; the cells that are done stay done"
        ) from None
    finally:
        alive.close()  # ends workers that are still at a cell
        pool.shutdown(wait=False, cancel_futures=True)
        listener.close()


_bench: Bench | None = None


def _set_up(bench: Bench, listener: Connection) -> None:
    """A worker's start: one thread, deaf to Ctrl-C (the parent ends it), gone when the parent is gone."""
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(listener,), daemon=True).start()
    _bench = bench


def _end_with_parent(listener: Connection) -> None:
    """The pipe's other end is the parent's alone: it closes when the study ends, however the parent ended."""
    try:
        listener.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _work(task: Task) -> Line:
    if _bench is None:
        raise AssertionError("a worker was not set up")
    return run_cell(task, _bench)


@contextmanager
def one_thread() -> Iterator[None]:
    """A cell's figures must not depend on how many run beside it: sums of one thread round in one way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def samples(plan: Plan, paths: Paths) -> dict[str, npt.NDArray[np.uint8]]:
    """Arm name to samples (N, C, S, S) of its first seed: the same latents and labels for every arm."""
    found: dict[str, npt.NDArray[np.uint8]] = {}
    for planned in plan.cells:
        file = cell_file(paths, planned["cell"]).with_suffix(".npy")
        if planned["arm"] not in found and file.exists():
            found[planned["arm"]] = np.load(file, allow_pickle=False)
    return found

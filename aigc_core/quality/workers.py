"""A function over many pieces, on all cores, in order and with a bounded queue.

Workers are started fresh (spawn): a forked copy of a process that runs threads may hang. Each computes with one thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from threadpoolctl import threadpool_limits

from aigc_core.errors import WorkerError
from aigc_core.orphans import end_with_parent

Piece = TypeVar("Piece")
Result = TypeVar("Result")
#: Pieces that may wait per worker, sent or finished: bounds memory, and no worker runs dry.
WAITING = 3
#: Below this many rows starting processes takes longer than it saves.
PARALLEL_ROWS = 2000
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(rows: int) -> int:
    """Processes that so many rows are worth: one per core, or this one alone."""
    return cores() if rows >= PARALLEL_ROWS else 1


def ordered_map(function: Callable[[Piece], Result], pieces: Iterable[Piece], workers: int) -> Iterator[Result]:
    """`function` of each piece, in the order of the pieces; in this process where `workers` is below 2.

    `function` is importable by name; pieces and results can be pickled. Raises WorkerError when a worker was ended from
    outside, or when memory runs out, also in this process; what the function itself raises comes through.
    """
    try:
        if workers < 2:
            yield from map(function, pieces)
        else:
            with _one_thread_each():
                yield from _parallel(function, pieces, workers)
    except BrokenProcessPool:
        raise WorkerError(
            f"one of {workers} worker processes was ended from outside, most often because memory ran out: free memory "
            "or lower the number of rows (source.limit) and run it again; nothing was replaced"
        ) from None
    except MemoryError:
        raise WorkerError(
            "memory ran out: free memory or take the largest images out of the source, and run it again; nothing was replaced"
        ) from None


def _parallel(function: Callable[[Piece], Result], pieces: Iterable[Piece], workers: int) -> Iterator[Result]:
    with ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool:
        yield from _in_order(pool, function, pieces, workers)


def _in_order(
    pool: Executor, function: Callable[[Piece], Result], pieces: Iterable[Piece], workers: int
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            waiting.append(pool.submit(function, piece))
            if len(waiting) >= WAITING * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # the reader stopped early, or something was raised: do not compute what nobody takes
        for future in waiting:
            future.cancel()


def threaded_map(function: Callable[[Piece], Result], pieces: Iterable[Piece], workers: int) -> Iterator[Result]:
    """As `ordered_map`, in threads of this process: for work that leaves Python's lock alone, on data that stays here.

    Products of matrices take one thread each meanwhile: on two cores the library's own threads under two of these waited for
    each other five times as long as they computed.
    """
    if workers < 2:
        yield from map(function, pieces)
        return
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield from _in_order(pool, function, pieces, workers)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers read these when they start; this process has read them already."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

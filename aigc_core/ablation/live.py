"""The plan and a running study on the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from aigc_core.ablation import since
from aigc_core.ablation.cells import CONFIRMATION, CUT, LATER, VARIATION
from aigc_core.ablation.confirm import expected_cells
from aigc_core.ablation.estimate import Outlook, clock, first_arms, in_words
from aigc_core.ablation.lines import Line
from aigc_core.ablation.plan import Plan
from aigc_core.ablation.runner import Watcher

#: Where there is no terminal, a line is printed at every such share of the cells.
LINES = 10


def show_plan(plan: Plan, outlook: Outlook, console: Console) -> None:
    """Arms x seeds, cost and power; what cannot be measured, and why."""
    table = Table(title=f"Data-value study {plan.digest[:12]}", title_justify="left", box=None, pad_edge=False)
    table.add_column("arm")
    for name in ("rows", "differ from full", "seeds"):
        table.add_column(name, justify="right")
    seeds = {arm["name"]: [line["seed"] for line in plan.cells if line["arm"] == arm["name"]] for arm in plan.arms}
    for arm in first_arms(plan):
        own = seeds[arm["name"]]
        table.add_row(arm["name"], f"{arm['rows']:,}", f"{arm['rows_touched']:,}", f"{own[0]}-{own[-1]}")
    console.print(table)
    for text in [*additions_in_words(plan), *cuts_in_words(plan)]:
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    for line in plan.skipped:
        console.print(
            f"not run: {line['arm']}: {line['why']}", highlight=False, markup=False, style="yellow", soft_wrap=True
        )
    for name, text in in_words(plan, outlook).items():
        style = "yellow" if name == "warning" else None
        console.print(f"{name:<10} {text}", highlight=False, markup=False, emoji=False, soft_wrap=True, style=style)


def additions_in_words(plan: Plan) -> list[str]:
    """What every decision about rows that came since a revision is about."""
    return [f"{arm['decision']}: {since.in_words(arm['since'])}" for arm in plan.arms if "since" in arm]


def cuts_in_words(plan: Plan) -> list[str]:
    """What every cut of a sweep leaves out, and the threshold that its share means on this data."""
    told = []
    for arm in plan.arms:
        if arm["kind"] == CUT:
            cut = arm["cut"]
            told.append(
                f"{arm['name']}: the worst {cut['rows']:,} of {cut['of']:,} rows, threshold {cut['measure']} {cut['value']:g}"
            )
    return told


@contextmanager
def busy(console: Console, what: str) -> Iterator[None]:
    """Says what takes a while: beside a sign of life on a terminal, as a line elsewhere."""
    if console.is_terminal:
        with console.status(what):
            yield
        return
    console.print(what, highlight=False, soft_wrap=True)
    yield


class Board:
    """Counts cells as they come: done, running, left, failed, time left.

    Of which decision the later cells are follows from the others: those of a kind have one line together. `cells` are those
    that are run, where these are not what the study comes to by itself.
    """

    def __init__(self, plan: Plan, processes: int, cells: list[Line] | None = None) -> None:
        later = {CONFIRMATION: f"at {plan.confirm_steps or 0:,} steps", VARIATION: "other training recipes"}
        names = {arm["name"]: later[arm["kind"]] if arm["kind"] in LATER else arm["name"] for arm in plan.arms}
        self.owners = {line["cell"]: names[line["arm"]] for line in plan.cells}
        self.arms: dict[str, list[str]] = {}  # cell -> arms that it belongs to
        for line in expected_cells(plan) if cells is None else cells:
            self.arms.setdefault(line["cell"], []).append(names[line["arm"]])
        owners = [owner for own in self.arms.values() for owner in own]
        self.totals = {name: owners.count(name) for name in dict.fromkeys(owners)}
        self.done = dict.fromkeys(self.totals, 0)
        self.failed = dict.fromkeys(self.totals, 0)
        self.processes, self.finished, self.fresh, self.failures = processes, 0, 0, 0
        looks = plan.settings["ablation"]["looks"]
        self.may_stop = f"; may stop after {', '.join(map(str, looks))} seeds" if looks else ""
        self.began = time.monotonic()

    @property
    def left(self) -> int:
        """Cells that are not finished, running ones included."""
        return len(self.arms) - self.finished

    def take(self, line: Line, fresh: bool) -> None:
        """Count one finished cell; `fresh` ones tell the pace."""
        self.finished += 1
        self.fresh += fresh
        self.failures += line["error"] is not None
        for arm in self.arms.get(line["cell"], [self.owners[line["cell"]]]):
            self.done[arm] += 1
            self.failed[arm] += line["error"] is not None

    def time_left(self) -> str:
        """From the pace so far."""
        if not self.fresh:
            return "?"
        return clock((time.monotonic() - self.began) / self.fresh * self.left)

    def totals_line(self) -> str:
        """One line for both kinds of display."""
        running = min(self.processes, self.left)
        return (
            f"{self.finished} of {len(self.arms)} cells done, {running} running, {self.left - running} waiting, "
            f"{self.failures} failed; {self.time_left()} left{self.may_stop}"
        )

    def __rich__(self) -> Table:
        table = Table(caption=self.totals_line(), caption_justify="left", box=None, pad_edge=False)
        table.add_column("arm")
        for name in ("done", "of", "failed"):
            table.add_column(name, justify="right")
        for arm, total in self.totals.items():
            table.add_row(arm, str(self.done[arm]), str(total), str(self.failed[arm] or ""))
        return table


@contextmanager
def watching(plan: Plan, processes: int, console: Console, cells: list[Line] | None = None) -> Iterator[Watcher]:
    """A watcher that keeps a table on the terminal up to date, or prints a line now and then where there is none; see Board."""
    board = Board(plan, processes, cells)
    if console.is_terminal:
        with Live(board, console=console, refresh_per_second=2):
            yield board.take
        return
    step = max(1, len(board.arms) // LINES)

    def take(line: Line, fresh: bool) -> None:
        board.take(line, fresh)
        if fresh and (board.finished % step == 0 or board.left == 0):
            console.print(board.totals_line(), highlight=False, soft_wrap=True)

    yield take

"""data log: the dataset versions of the workspace and of git's history, with their origin and what curation took out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from aigc_core.commands.data_versions import Committed, Snapshot, State, Workspace
from aigc_core.commands.revisions import Cache, commits_with_lock, find_commit, is_shallow
from aigc_core.data.store import Card
from aigc_core.errors import DataError
from aigc_core.files import read_json
from aigc_core.modalities.containers import plain
from aigc_core.paths import Paths
from aigc_core.records import NOTICES_FILE, StageResult
from aigc_core.report.facts import SPLITS, total

#: Commits that a version's line names, letters of their messages, and failures that are told one by one.
NAMED_COMMITS, SUBJECT_LETTERS, NAMED_FAILURES = 2, 40, 3
#: Columns of the table where it does not go to a terminal.
WIDTH = 160


@dataclass
class Line:
    """One version: its card, the states that hold it (newest first), and what was taken out on the way to it."""

    name: str
    card: Card
    states: list[State] = field(default_factory=list)
    quarantined: int | None = None  # rows; None where nothing was judged for it, or the verdicts are not here
    notices: dict[str, int] = field(
        default_factory=dict
    )  # what ingest left out, guessed or found not to meet: code to count

    @property
    def rows(self) -> int:
        """Rows of the version."""
        return total({"counts": self.card.counts})

    @property
    def splits(self) -> dict[str, int]:
        """Rows by split."""
        return {split: sum(self.card.counts.get(split, {}).values()) for split in SPLITS}

    def facts(self) -> dict[str, Any]:
        """The line as plain values."""
        return {
            "name": self.name, "version": self.card.version, "parent": self.card.parent, "operation": self.card.operation,
            "rows": self.rows, "splits": self.splits, "quarantined": self.quarantined, "reasons": self.card.dropped,
            "notices": self.notices, "states": [state.name for state in self.states],
        }  # fmt: skip


def log(paths: Paths, revisions: Sequence[str] = (), *, all_commits: bool = False) -> StageResult:
    """Print every version of the workspace, of the named git revisions and, on demand, of all commits that change dvc.lock.

    A version that several states hold is one line. Raises DataError where a revision is unknown, or where nothing
    is there to tell.
    """
    committed, failed = _committed(paths, revisions, all_commits=all_commits)
    states: list[State] = [Workspace(paths), *committed]
    lines, unread = _lines(states)
    notices = [*_history_notices(paths, committed, all_commits=all_commits), *_first([*failed, *unread])]
    if not lines:
        told = "; ".join(notices) or "`dvc pull` brings those of a remote, `dvc repro` makes one"
        raise DataError(f"there is no dataset version to tell of: {told}")
    notices += _strangers(lines)
    wide = None if Console().is_terminal else WIDTH
    Console(markup=False, emoji=False, width=wide).print(_table(lines), highlight=False)
    count, revisions_read = len(lines), len(committed)
    places = (
        f"the workspace and {revisions_read:,} revision{'s' * (revisions_read != 1)}" if committed else "the workspace"
    )
    return StageResult(
        f"{count:,} version{'s' * (count != 1)} in {places}",
        {"versions": count, "revisions": revisions_read},
        {"notices": notices, "versions": [line.facts() for line in lines]},
    )


def _committed(paths: Paths, revisions: Sequence[str], *, all_commits: bool) -> tuple[list[Committed], list[str]]:
    """The named states and those of history, and why some of history cannot be read. A named one that cannot raises."""
    named = [find_commit(paths.root, name) for name in revisions]
    every = commits_with_lock(paths.root) if all_commits else []
    if not named and not every:
        return [], []
    cache = Cache.of(paths.root)
    found, failed = [Committed.open(paths, commit, cache) for commit in named], []
    asked = {commit.commit for commit in named}
    for commit in every:
        try:
            if commit.commit not in asked:
                found.append(Committed.open(paths, commit, cache))
        except DataError as error:
            failed.append(str(error))
    return found, failed


def _history_notices(paths: Paths, committed: Sequence[Committed], *, all_commits: bool) -> list[str]:
    if not all_commits:
        return []
    told = []
    if is_shallow(paths.root):
        told.append("this clone is shallow, earlier commits are not in it: `git fetch --unshallow` brings them")
    if not committed:
        told.append("no commit holds a readable dvc.lock: a commit of dvc.lock records the versions")
    return told


def _first(failed: Sequence[str]) -> list[str]:
    """The first sentences, and how many are like them."""
    more = len(failed) - NAMED_FAILURES
    return [
        *failed[:NAMED_FAILURES],
        *([f"{more:,} more could not be read for reasons like these"] if more > 0 else []),
    ]


def _lines(states: Iterable[State]) -> tuple[list[Line], list[str]]:
    """One line per version, in the order in which the states hold them; and why some cannot be read."""
    lines: dict[tuple[str, str], Line] = {}
    failed: list[str] = []
    for state in states:
        for name in state.versions():
            try:
                snapshot = Snapshot.open(state, name)
                line = lines.get((name, snapshot.card.version)) or _line(snapshot)
            except DataError as error:
                failed.append(str(error))
                continue
            lines[name, snapshot.card.version] = line
            line.states.append(state)
    return list(lines.values()), failed


def _line(snapshot: Snapshot) -> Line:
    line = Line(snapshot.name, snapshot.card)
    verdicts = snapshot.verdicts() if snapshot.card.operation == "curate" else None
    if verdicts is not None:
        line.quarantined = len(pc.unique(verdicts.filter(pc.equal(verdicts["action"], "quarantine"))["id"]))
    notices = snapshot.folder.get(NOTICES_FILE)
    if notices is not None and notices.is_file():
        line.notices = {str(notice["code"]): int(notice["count"]) for notice in read_json(notices)}
    return line


def _strangers(lines: Sequence[Line]) -> list[str]:
    """Versions of the workspace that were made from another parent than the one that lies beside them."""
    here = [line for line in lines if isinstance(line.states[0], Workspace)]
    ids = {line.card.version for line in here}
    return [
        f"data/{line.name} was made from version {line.card.parent}, which is not in data/ now: `dvc repro` or `dvc checkout` "
        "makes them agree"
        for line in here
        if line.card.parent and line.card.parent not in ids
    ]


def _table(lines: Sequence[Line]) -> Table:
    names = {line.card.version: line.name for line in lines}
    table = Table(title="Versions of data", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for head in ("version", "in", "made by"):
        table.add_column(head, overflow="fold")
    for head in ("rows", *SPLITS):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("taken out", overflow="fold")
    for line in lines:
        parent = line.card.parent
        origin = f" of {names.get(parent, 'a version that is not here')}\n{parent}" if parent else ""
        table.add_row(
            f"{line.name}\n{line.card.version}", _places(line.states), f"{plain(line.card.operation)}{origin}", f"{line.rows:,}",
            *(f"{count:,}" for count in line.splits.values()), _taken_out(line),
        )  # fmt: skip
    return table


def _places(states: Sequence[State]) -> str:
    told = [state.name for state in states if not isinstance(state, Committed)]
    commits = [state.commit for state in states if isinstance(state, Committed)]
    told += [
        f"{plain(commit.name)} {commit.day} {plain(commit.subject, SUBJECT_LETTERS)}"
        for commit in commits[:NAMED_COMMITS]
    ]
    more = len(commits) - NAMED_COMMITS
    return "\n".join([*told, *([f"and {more:,} more revision{'s' * (more > 1)}"] if more > 0 else [])])


def _taken_out(line: Line) -> str:
    """Rows kept and quarantined with their reasons, or what ingest has to tell."""
    if line.quarantined is not None:
        kept = f"kept {line.rows:,} of {line.rows + line.quarantined:,}, quarantined {line.quarantined:,}"
        reasons = ", ".join(f"{count:,} {plain(reason)}" for reason, count in line.card.dropped.items())
        return f"{kept}: {reasons}" if reasons else kept
    told = ", ".join(f"{plain(code)} {count:,}" for code, count in line.notices.items())
    return f"notices of ingest: {told}" if told else ""

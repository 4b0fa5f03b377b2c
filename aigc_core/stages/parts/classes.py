"""Which classes a stage takes, and what a stage leaves that needs two of them where there are none to tell apart."""

from __future__ import annotations

from pathlib import Path

from aigc_core.errors import ConfigError
from aigc_core.files import read_json, write_json
from aigc_core.records import NOT_RUN_FILE, StageResult


def chosen_classes(wanted: list[str] | str, known: list[str], section: str, *, first: bool) -> list[str]:
    """`auto` is the first or second half of the known classes. Raises ConfigError for a name that is not known."""
    if isinstance(wanted, str):
        half = len(known) // 2
        return known[:half] if first else known[half:]
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"params.yaml: {section}.classes names {name!r}, the data has {', '.join(known) or 'no labels'}"
            )
    return [name for name in known if name in wanted]


def needs_classes(classes: list[str], what: str) -> str | None:
    """Why `what` cannot be done with these classes, in a sentence; none where it can."""
    if len(classes) > 1:
        return None
    return f"not run: {what} needs at least two classes, and this data has {'one' if classes else 'no labels'}"


def why_not_run(folder: Path) -> str | None:
    """What an earlier stage said when it did nothing; none where it did."""
    place = folder / NOT_RUN_FILE
    return str(read_json(place)["why"]) if place.exists() else None


def leave_out(folder: Path, why: str) -> StageResult:
    """The out of a stage that could do nothing, into an existing folder: a file that says so, for the stages after it."""
    write_json(folder / NOT_RUN_FILE, {"why": why})
    return StageResult(why)

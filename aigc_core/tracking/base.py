"""What a stage may say of its run, and one sentence on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def say(sentence: str) -> None:
    """One sentence on standard error, at once."""
    print(f"aigc: {sentence}", file=sys.stderr, flush=True)


def short(error: BaseException) -> str:
    """The first line of an error, at most 200 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


@dataclass(frozen=True)
class Child:
    """A finished run below another: one cell of a study."""

    name: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]  # `digest` tells it from its sisters
    failed: bool = False


class Tracker:
    """What a stage may say of its run. This one keeps nothing: it is for runs without MLflow, and others override it.

    Nothing here raises for a fault of MLflow's.
    """

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Note values at a step; they are sent in batches."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file, or a folder with all that is in it, as it is now."""

    def image(self, path: Path, key: str, step: int = 0) -> None:
        """Store a picture under a key that runs share: MLflow shows those of several runs side by side, and has a slider of steps."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""

    def table(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Store lines with equal keys as a table artifact, for example `ledger.json`; it replaces that of a predecessor."""

    def children(self, runs: Sequence[Child]) -> None:
        """Store ended runs below this one; those that it has already are left as they are, and end as they did then."""

    def flush(self) -> None:
        """Send what was noted."""

"""Training rows that an earlier version of the data did not have: what has been added since a git revision.

That version's own table of rows says so. `dvc get` brings it, from the cache or from a remote, so that what a commit names is
what is read, wherever it is stored. It is kept under .work by its commit, because a commit never changes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.errors import ConfigError
from aigc_core.files import atomic_folder, read_json
from aigc_core.paths import Paths

#: git takes no fewer digits for a commit.
_HEX = re.compile(r"[0-9a-f]{4,40}")


@dataclass(frozen=True)
class Added:
    """What training rows have become since a revision."""

    revision: str  # as params.yaml has it
    commit: str  # 40 hex digits
    version: str  # of the rows read then
    ids: frozenset[str]  # rows whose name and whose picture that version does not have
    moved: int  # rows of another name whose picture it has: they are no addition
    replaced: int  # rows of the same name whose picture it does not have: they are no addition either

    def facts(self) -> dict[str, Any]:
        """As plan.json holds it."""
        return {**asdict(self), "ids": len(self.ids)}


def added_since(revision: str, paths: Paths, hashes: Mapping[str, str]) -> Added:
    """Compare training rows (id to content hash) with all rows of the version that `revision` (a tag or a commit) read.

    Raises ConfigError where there is no such revision, it is one that moves on, or its rows are not to be had.
    """
    commit = commit_of(revision, paths.root)
    version, then = _read(_rows_at(commit, paths), revision)
    pictures = set(then.values())
    fresh = {one for one, content in hashes.items() if one not in then}
    moved = {one for one in fresh if hashes[one] in pictures}
    replaced = sum(hashes[one] != then[one] and hashes[one] not in pictures for one in hashes.keys() & then.keys())
    return Added(revision, commit, version, frozenset(fresh - moved), len(moved), replaced)


def commit_of(revision: str, root: Path) -> str:
    """The commit (40 hex digits) of a tag or of a commit's own digits.

    Raises ConfigError for any other name: a branch stands for another commit tomorrow, and a study that DVC calls up to date
    would answer another question.
    """
    found = _verified(root, f"{revision}^{{commit}}")
    if not found:
        raise ConfigError(
            f"since = {revision!r} is no revision of this git repository: `git tag` and `git log` list what there is, and "
            "`git fetch --tags` brings what others have"
        )
    by_digits = _HEX.fullmatch(revision.lower()) and found.startswith(revision.lower())
    if not by_digits and not _verified(root, f"refs/tags/{revision}"):
        raise ConfigError(
            f"since = {revision!r} may stand for another commit tomorrow, and DVC would not notice: name a tag, or the commit "
            f"itself ({found[:12]} today)"
        )
    return found


def in_words(facts: Mapping[str, Any]) -> str:
    """What has been added since a revision, and what looks as if it had been."""
    others = [
        f"{facts[name]:,} {what}"
        for name, what in (
            ("moved", "that have another name, and a picture that was there"),
            ("replaced", "that have the same name, and another picture"),
        )
        if facts[name]
    ]
    beside = f"; not counted as added: {' and '.join(others)}" if others else ""
    return f"{facts['ids']:,} training rows since {facts['revision']} (commit {facts['commit'][:12]}){beside}"


def _verified(root: Path, name: str) -> str:
    """The object (40 hex digits) that git knows by this name; nothing where it knows none. Raises ConfigError where it cannot look."""
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigError("`since` needs git, which is not installed: name the rows in a CSV file (`ids`)") from None
    if done.returncode and done.stderr.strip():
        why = " ".join(done.stderr.split()).removeprefix("fatal: ")
        raise ConfigError(
            f"`since` needs the history of this folder, and git cannot read it ({why}): mend that, or use `ids`"
        )
    return done.stdout.strip() if done.returncode == 0 else ""


def _rows_at(commit: str, paths: Paths) -> Path:
    """The folder of a commit's dataset version, brought here where it is not kept yet."""
    kept, place = paths.work / "history" / commit, paths.ingested.relative_to(paths.root)
    if not (kept / place.name).is_dir():
        with atomic_folder(kept) as scratch:
            _get(place, commit, paths.root, scratch / place.name)
    return kept / place.name


def _get(place: Path, commit: str, root: Path, target: Path) -> None:
    """Copy a folder of a commit to `target`. Raises ConfigError where the commit, or all storage, lacks it."""
    command = [
        sys.executable,
        "-m",
        "dvc",
        "get",
        "--quiet",
        ".",
        place.as_posix(),
        "--rev",
        commit,
        "--out",
        str(target),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        told = next((line for line in done.stderr.splitlines() if line.startswith("ERROR: ")), done.stderr)
        raise ConfigError(
            f"since: {place.as_posix()} of the commit {commit[:12]} is to be had neither from DVC's cache nor from a remote "
            f"({' '.join(told.removeprefix('ERROR: ').split())}): name a remote that has it (`dvc remote add -d`), or a commit whose "
            "data is still here"
        )


def _read(folder: Path, revision: str) -> tuple[str, dict[str, str | None]]:
    """The version and, by id, the content hashes of its rows; those without a picture have none."""
    try:
        version = str(read_json(folder / "card.json")["version"])
        rows = pq.read_table(folder / "rows.parquet", columns=["id", "content_hash"])
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise ConfigError(
            f"since = {revision!r}: the rows of that version are not written as this version of aigc writes them ({error}): name "
            "a later commit"
        ) from None
    if pc.count(rows["id"]).as_py() != rows.num_rows:
        raise ConfigError(f"since = {revision!r}: the rows of that version have no ids: name a later commit")
    return version, dict(zip(rows["id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))

"""What git and the DVC cache hold of earlier states: commits, the outs that their dvc.lock names, and the files of an out.

Nothing is checked out and nothing is fetched: dvc.lock is read with `git show`, and an out's files lie in the cache by their md5.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from aigc_core.errors import DataError
from aigc_core.modalities.containers import plain

#: Refs that hold work in progress and no commit of a person.
UNFINISHED = ("refs/stash", "refs/exps/stash", "refs/exps/*/stash", "refs/exps/exec/*")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
# The same text in far less time, where PyYAML was built with libyaml.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Commit:
    """One commit: 40 hex digits, the day of its making, the first line of its message, and what people call it."""

    commit: str
    day: str
    subject: str
    name: str


@dataclass(frozen=True)
class Out:
    """An out of dvc.lock: its md5 (with `.dir` for a folder), and whether the cache keeps it in the place of DVC 1 and 2."""

    md5: str
    legacy: bool


def find_commit(root: Path, name: str) -> Commit:
    """The commit that a git revision, or an experiment of DVC, means. Raises DataError where there is none."""
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode:
        asked = _git(root, "for-each-ref", "--format=%(refname)", "refs/exps")
        named = [ref for ref in asked.stdout.split() if ref.startswith("refs/exps/") and ref.endswith(f"/{name}")]
        if asked.returncode or len(named) != 1:
            raise DataError(_unknown(root, name))
        return find_commit(root, named[0])
    return _commits(root, name, "show", "--no-patch", found.stdout.strip())[0]


def commits_with_lock(root: Path) -> list[Commit]:
    """All commits of all branches, tags and experiments that change dvc.lock, newest first. Raises DataError without git."""
    inside = _git(root, "rev-parse", "--is-inside-work-tree")
    if inside.returncode:
        raise DataError(f"{root} is in no git repository ({_first_line(inside.stderr)}): leave --all-commits out")
    left_out = [f"--exclude={ref}" for ref in UNFINISHED]
    return _commits(root, "", "log", *left_out, "--all", "--date-order", text_after=("--", "dvc.lock"))


def is_shallow(root: Path) -> bool:
    """Whether the clone was made without its earlier commits."""
    return _git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def locked_outs(root: Path, commit: Commit) -> dict[str, Out]:
    """Path to out, over all stages of a commit's dvc.lock. Raises DataError where it has none, or one that cannot be read."""
    shown = _git(root, "show", f"{commit.commit}:./dvc.lock")
    if shown.returncode:
        raise DataError(f"{commit.name} has no dvc.lock, so nothing is known of its data")
    try:
        stages = yaml.load(shown.stdout, Loader=_Loader)["stages"]  # noqa: S506  (a safe loader, whichever it is)
        outs = [out for stage in stages.values() for out in stage.get("outs") or ()]
        named = {str(out["path"]): Out(str(out["md5"]), "hash" not in out) for out in outs if out.get("md5")}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        reason = plain(" ".join(str(error).split()))
        raise DataError(f"dvc.lock of {commit.name} cannot be read ({reason}): name another revision") from None
    return {path: out for path, out in named.items() if _MD5.fullmatch(out.md5)}


@dataclass(frozen=True)
class Cache:
    """The DVC cache of a checkout."""

    folder: Path

    @classmethod
    def of(cls, root: Path) -> Cache:
        """Where `dvc cache dir` says. Raises DataError where DVC cannot be asked."""
        command = [sys.executable, "-m", "dvc", "cache", "dir"]
        variables = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        asked = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
        if asked.returncode or not asked.stdout.strip():
            raise DataError(f"`dvc cache dir` failed in {root} ({_last_line(asked.stderr)}): mend that first")
        return cls(root / asked.stdout.strip().splitlines()[-1])

    def file(self, md5: str, *, legacy: bool = False) -> Path:
        """The place of a file or of a folder's list, whether or not it is there."""
        base = self.folder if legacy else self.folder / "files" / "md5"
        return base / md5[:2] / md5[2:]

    def listing(self, out: Out) -> Mapping[str, Path] | None:
        """Path below an out that is a folder, to its place in the cache; None where the cache lacks the list."""
        try:
            entries = json.loads(self.file(out.md5, legacy=out.legacy).read_text(encoding="utf-8"))
            named = {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return {path: self.file(md5, legacy=out.legacy) for path, md5 in named.items() if _MD5.fullmatch(md5)}


def _commits(root: Path, name: str, *command: str, text_after: tuple[str, ...] = ()) -> list[Commit]:
    shown = _git(root, *command, "--format=%H%x09%h%x09%cs%x09%s", *text_after)
    if shown.returncode:
        raise DataError(f"git could not read the history of {root} ({_first_line(shown.stderr)})")
    lines = [line.split("\t", 3) for line in shown.stdout.splitlines() if line.count("\t") > 2]
    return [Commit(commit, day, plain(subject), name or short) for commit, short, day, subject in lines]


def _unknown(root: Path, name: str) -> str:
    inside = _git(root, "rev-parse", "--is-inside-work-tree")
    if inside.returncode:
        return (
            f"{plain(name)!r} is no version in data/, and {root} is in no git repository ({_first_line(inside.stderr)})"
        )
    more = (
        "; name single revisions, not a range"
        if ".." in name
        else "; `git log --all -- dvc.lock` lists those with data"
    )
    return f"{plain(name)!r} is no git revision{more}"


def _git(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *command], cwd=root, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError:
        raise DataError("git is not installed: without it only the versions in data/ can be told") from None


def _first_line(text: str) -> str:
    return plain((text.strip().splitlines() or ["it did not say why"])[0])


def _last_line(text: str) -> str:
    return plain((text.strip().splitlines() or ["it did not say why"])[-1])

"""DVC as Dagster sees it: the stages of a repository, what dvc.lock says of them, and one stage reproduced.

Knows nothing of any one project, and nothing of assets: dvc_assets.py and sensors.py build on it.
"""

import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

# Keys of a dvc.lock entry that do not say which bytes are meant.
_NOT_A_DIGEST = {"path", "hash", "size", "nfiles", "isexec", "files", "cloud"}
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What DVC itself says around a stage's own words.
_DVC_NOISE = re.compile(
    r"^(Running stage '|> |ERROR: failed to reproduce|Stage '.*' (didn't|is cached)|WARNING: '.*' is empty\.$)"
)
_BUSY = "is being blocked by"


@dataclass(frozen=True)
class DvcStage:
    """One resolved stage of dvc.yaml: `foreach` and `matrix` are expanded, `${...}` is filled in.

    `deps` and `outs` are absolute; `sources` are the deps that no stage makes, by the name that dvc.lock gives them;
    `code` is what decides whether the stage must run again, apart from what other stages make.
    """

    address: str
    command: str
    description: str
    meta: Mapping[str, Any]
    folder: Path
    name: str
    deps: tuple[Path, ...]
    outs: tuple[Path, ...]
    metrics: tuple[Path, ...]
    sources: tuple[str, ...]
    code: Mapping[str, Any]
    upstream: tuple[str, ...] = ()

    @property
    def options(self) -> Mapping[str, Any]:
        """What the stage says to Dagster, under `meta: {dagster: ...}`."""
        value = self.meta.get("dagster") or {}
        if not isinstance(value, Mapping):
            raise ValueError(f"stage {self.address}: meta.dagster must be a mapping, not {value!r}")
        return value


@dataclass(frozen=True)
class Locked:
    """What dvc.lock records of one stage that has run."""

    outs: Mapping[str, str]
    deps: Mapping[str, str]
    sizes: Mapping[str, int]
    data_version: str
    code_version: str


@dataclass(frozen=True)
class Outcome:
    """How reproducing a stage ended: `ran` is False where DVC took the outs from its cache."""

    success: bool
    ran: bool
    seconds: float
    output: list[str] = field(default_factory=list)

    def error_text(self, lines: int = 20) -> str:
        """The last lines of the stage's own output, or DVC's words where the stage said nothing."""
        said = [line for line in self.output if line.strip()]
        own = [line for line in said if not _DVC_NOISE.match(line)]
        return "\n".join((own or said)[-lines:]) or "the stage failed without a word"


def digest(value: Any) -> str:
    """Sixteen hex digits over a JSON-like value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_stages(repo_dir: Path) -> list[DvcStage]:
    """All stages with a command, in DVC's order, with the stages that they depend on."""
    with _open_repo(repo_dir) as repo:
        loaded = {_address(stage, repo_dir): stage for stage in repo.index.stages if stage.cmd}
        made = {address: tuple(Path(out.fs_path) for out in stage.outs) for address, stage in loaded.items()}
        return [_describe(address, stage, made) for address, stage in loaded.items()]


def read_lock(stage: DvcStage) -> Locked | None:
    """What dvc.lock says of `stage`; None where it has never run."""
    path = stage.folder / "dvc.lock"
    entry = ((yaml.safe_load(path.read_text()) or {}).get("stages") or {}).get(stage.name) if path.exists() else None
    if entry is None:
        return None
    outs = {item["path"]: _item_digest(item) for item in entry.get("outs", [])}
    deps = {item["path"]: _item_digest(item) for item in entry.get("deps", [])}
    return Locked(
        outs=outs,
        deps=deps,
        sizes={item["path"]: int(item.get("size", 0)) for item in entry.get("outs", [])},
        data_version=digest(outs),
        code_version=code_version(entry["cmd"], entry.get("params", {}), {p: deps.get(p, "") for p in stage.sources}),
    )


def code_version(command: Any, params: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """One value over the command, the parameters' values and the digests of the files that no stage makes."""
    return digest({"cmd": command, "params": params, "deps": sources})


class DvcCli(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Runs stages of the DVC repository at `repo_dir` with the DVC of this Python."""

    repo_dir: str

    @property
    def root(self) -> Path:
        """The repository's folder."""
        return Path(self.repo_dir)

    def is_unchanged(self, stage: DvcStage) -> bool:
        """Whether `dvc repro` would skip the stage. Asked in this process, because starting DVC takes a second."""
        from dvc.exceptions import DvcException

        try:
            with _open_repo(self.root) as repo, repo.lock:
                return not repo.stage.load_one(str(stage.folder / "dvc.yaml"), stage.name).changed()
        except DvcException:
            # Most likely a lock that somebody holds: the process can wait for it, and says what else is wrong.
            return False

    def reproduce(self, stage: DvcStage, *, run_id: str, say: Callable[[str], None]) -> Outcome:
        """Run `dvc repro` for this stage alone; `say` receives its output while it comes.

        The whole process group ends with this call, however it ends: an interrupted run leaves no training behind.
        """
        while True:
            outcome = self._reproduce_once(stage, run_id, say)
            if outcome.success or not any(_BUSY in line for line in outcome.output):
                return outcome
            # --wait-for-lock waits for the repository, not for a stage that is at work on the same paths.
            say(f"another process is at work on the paths of {stage.address}; trying again in 2 s")
            time.sleep(2)

    def _reproduce_once(self, stage: DvcStage, run_id: str, say: Callable[[str], None]) -> Outcome:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage.address]
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=_environment(run_id),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output: list[str] = []
        try:
            for lines in _batches(process):
                output += lines
                say("\n".join(lines))
            status = process.wait()
        finally:
            end_group(process)
            if process.stdout:
                process.stdout.close()
        ran = any(line.startswith("Running stage '") for line in output)
        return Outcome(status == 0, ran, time.monotonic() - began, output)


def end_group(process: subprocess.Popen[bytes], patience_s: float = 10.0) -> None:
    """End a process that leads its own group, with everything it started: asked first, then killed."""
    for sign, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, patience_s)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        except PermissionError:
            break  # what macOS says of a group that holds only ended processes
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and _group_alive(process):
            time.sleep(0.05)
    process.wait()


def _group_alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # an ended leader that nobody waited for would count as alive
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _environment(run_id: str) -> dict[str, str]:
    """The stage finds the tools of this Python, knows the Dagster run, and does not paint for a terminal."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    plain = {"NO_COLOR": "1", "TERM": "dumb", "PYTHONUNBUFFERED": "1", "COLUMNS": "120", "DVC_NO_ANALYTICS": "1"}
    return {**os.environ, **plain, "PATH": path, "DAGSTER_RUN_ID": run_id}


def _batches(process: subprocess.Popen[bytes], interval_s: float = 1.0) -> Iterator[list[str]]:
    """Yield the output as lists of whole lines, at most one list per interval: each becomes a row in an event log."""
    assert process.stdout is not None  # noqa: S101 - opened with PIPE
    descriptor, rest, ready, last = process.stdout.fileno(), b"", [], 0.0
    while True:
        if select.select([descriptor], [], [], interval_s)[0]:
            chunk = os.read(descriptor, 65536)
            *whole, rest = (rest + chunk).split(b"\n")
            ready += whole
            if not chunk:
                break
        if ready and time.monotonic() - last >= interval_s:
            yield [_clean(line) for line in ready]
            ready, last = [], time.monotonic()
    ready += [rest] if rest else []
    if ready:
        yield [_clean(line) for line in ready]


def _clean(line: bytes) -> str:
    """One line as a person would have seen it: without colours, after the last redraw of a progress bar."""
    text = _ANSI.sub("", line.decode(errors="replace")).rstrip("\r")
    return text.rsplit("\r", 1)[-1].rstrip()


@contextmanager
def _open_repo(repo_dir: Path) -> Iterator[Any]:
    from dvc.repo import Repo

    repo = Repo(str(repo_dir))
    try:
        yield repo
    finally:
        repo.close()


def _address(stage: Any, repo_dir: Path) -> str:
    """The stage's name as DVC takes it in the repository's folder; DVC's own attribute depends on the present one."""
    file = Path(os.path.relpath(stage.path, repo_dir)).as_posix()
    return str(stage.name) if file == "dvc.yaml" else f"{file}:{stage.name}"


def _describe(address: str, stage: Any, made: Mapping[str, tuple[Path, ...]]) -> DvcStage:
    params = [dep for dep in stage.deps if hasattr(dep, "read_params")]
    files = [dep for dep in stage.deps if not hasattr(dep, "read_params")]
    makers = {dep: _makers(Path(dep.fs_path), address, made) for dep in files}
    sources = {dep.def_path: _source_digest(dep) for dep in files if not makers[dep]}
    command = stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd)
    return DvcStage(
        address=address,
        command=command if isinstance(command, str) else "\n".join(command),
        description=stage.desc or "",
        meta=stage.meta or {},
        folder=Path(stage.path).parent,
        name=stage.name,
        deps=tuple(Path(dep.fs_path) for dep in files),
        outs=made[address],
        metrics=tuple(Path(out.fs_path) for out in stage.outs if out.metric),
        sources=tuple(sources),
        code={"cmd": command, "params": {dep.def_path: dep.read_params() for dep in params}, "deps": sources},
        upstream=tuple(dict.fromkeys(name for names in makers.values() for name in names)),
    )


def _makers(path: Path, own: str, made: Mapping[str, tuple[Path, ...]]) -> list[str]:
    """Addresses of the stages that make `path`, a part of it, or a folder that holds it."""
    return [
        address
        for address, outs in made.items()
        if address != own and any(out == path or out in path.parents or path in out.parents for out in outs)
    ]


def _source_digest(dep: Any) -> str:
    """The digest that DVC would record now; empty where the file is missing (DVC remembers digests by time and size)."""
    return str(dep.get_hash().value) if dep.exists else ""


def _item_digest(item: Mapping[str, Any]) -> str:
    return "/".join(str(value) for key, value in sorted(item.items()) if key not in _NOT_A_DIGEST)

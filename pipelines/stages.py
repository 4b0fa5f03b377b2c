"""A DVC repository as data: its resolved stages, what dvc.lock records of them, and what `dvc status` says of them now.

Knows nothing of any one project, and nothing of Dagster. No lock is taken here: reading may disturb no `dvc` at work.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

# Keys of a dvc.lock entry that do not say which bytes are meant.
_NOT_A_DIGEST = {"path", "hash", "size", "nfiles", "isexec", "files", "cloud"}
# The parser in C, where PyYAML has it, takes a tenth of the time for a long dvc.lock.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Stamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class DvcStage:
    """One resolved stage of dvc.yaml: `foreach` and `matrix` are expanded, `${...}` is filled in.

    `deps`, `outs`, `metrics` and `params` are absolute paths; `sources` are the deps that no stage makes, by the name
    that dvc.lock gives them; `upstream` holds the addresses of the stages that make the other ones.
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
    sources: tuple[str, ...] = ()
    params: tuple[Path, ...] = ()
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
    sizes: Mapping[str, int]
    data_version: str
    code_version: str


@dataclass(frozen=True)
class Status:
    """What DVC says of one stage now.

    `changes` are the reasons for which `dvc repro` would run it, none where it is up to date; `astray` are those of
    its outs that are not here, or not as dvc.lock records them: what it made is not what lies here.
    """

    changes: tuple[str, ...]
    astray: tuple[str, ...]


class DvcWorkspace:
    """The repository at `root`, opened once, and again as soon as a file that defines its stages has changed."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()
        self._repo: Any = None
        self._loaded: dict[str, Any] = {}
        self._stages: dict[str, DvcStage] = {}
        self._stamps: set[Stamp] = set()

    def stages(self) -> list[DvcStage]:
        """All stages with a command, in DVC's order. Raises DvcException where DVC cannot read them."""
        self._open()
        return list(self._stages.values())

    def status(self, address: str) -> Status:
        """What DVC says of this stage now; a stage that dvc.yaml no longer has is a reason in itself."""
        self._open()
        stage = self._loaded.get(address)
        if stage is None:
            return Status((f"dvc.yaml has no stage {address}: reload the definitions",), ())
        astray = (text for out in stage.outs for text in _differences(out, out.workspace_status))
        return Status(tuple(_changes(stage)), tuple(astray))

    def close(self) -> None:
        """Close the repository; the next question opens it again."""
        if self._repo is not None:
            self._repo.close()
        self._repo, self._stamps = None, set()

    def _open(self) -> None:
        from dvc.repo import Repo

        if self._repo is not None and self._stamps == stamps(self._definition_files()):
            return
        self.close()
        self._repo = Repo(str(self.root))
        self._loaded = {_address(stage, self.root): stage for stage in self._repo.index.stages if stage.cmd}
        made = {address: tuple(Path(out.fs_path) for out in stage.outs) for address, stage in self._loaded.items()}
        self._stages = {address: _describe(address, stage, made) for address, stage in self._loaded.items()}
        self._stamps = stamps(self._definition_files())

    def _definition_files(self) -> set[Path]:
        return definition_files(self._stages.values()) | {self.root / "dvc.yaml"}


def read_stages(repo_dir: Path) -> list[DvcStage]:
    """All stages with a command, in DVC's order, with the stages that they depend on."""
    workspace = DvcWorkspace(repo_dir)
    try:
        return workspace.stages()
    finally:
        workspace.close()


def read_lock(stage: DvcStage) -> Locked | None:
    """What dvc.lock says of `stage`; None where it has never run."""
    stamp = _stamp(str(stage.folder / "dvc.lock"))
    entry = _lock_entries(stamp).get(stage.name) if stamp else None
    if entry is None:
        return None
    outs = {item["path"]: _item_digest(item) for item in entry.get("outs", [])}
    deps = {item["path"]: _item_digest(item) for item in entry.get("deps", [])}
    sources = {path: deps.get(path, "") for path in stage.sources}
    return Locked(
        outs=outs,
        sizes={item["path"]: int(item.get("size", 0)) for item in entry.get("outs", [])},
        data_version=digest(outs),
        code_version=digest({"cmd": entry["cmd"], "params": entry.get("params", {}), "deps": sources}),
    )


def digest(value: Any) -> str:
    """Sixteen hex digits over a JSON-like value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def overlap(one: Path, other: Path) -> bool:
    """Whether the two are the same place, or one of them lies in the other."""
    return one == other or one in other.parents or other in one.parents


def definition_files(stages: Iterable[DvcStage]) -> set[Path]:
    """The files that decide what the stages are: dvc.yaml, dvc.lock, the parameters and the files of variables."""
    stages, found = list(stages), set[Path]()
    for folder in {stage.folder for stage in stages}:
        found |= {folder / name for name in ("dvc.yaml", "dvc.lock", "params.yaml")}
        found |= {folder / name for name in _variable_files(folder / "dvc.yaml")}
    return found | {path for stage in stages for path in stage.params}


def stamps(paths: set[Path]) -> set[Stamp]:
    """Path, inode, time and size of every file below `paths`: equal as long as nobody has touched any of them."""
    found: set[Stamp] = set()
    for path in paths:
        if path.is_dir():
            for folder, _, names in os.walk(path):
                found |= {stamp for name in names if (stamp := _stamp(os.path.join(folder, name)))}  # noqa: PTH118 - speed
        elif stamp := _stamp(str(path)):
            found.add(stamp)
    return found


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of a hundred thousand files costs more than the stat
    except OSError:
        return None
    return path, status.st_ino, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _lock_entries(stamp: Stamp) -> Mapping[str, Any]:
    """The stages of a dvc.lock; the whole stamp is the key, so that a file that was written again is read again."""
    content = yaml.load(Path(stamp[0]).read_text(), _LOADER)  # noqa: S506 - a safe loader, in C or in Python
    return (content or {}).get("stages") or {}


def _variable_files(path: Path) -> Iterator[str]:
    """The names of files under `vars`, of the whole file and of single stages, without what is chosen from each."""
    try:
        content = yaml.load(path.read_text(), _LOADER) or {}  # noqa: S506 - as above
        owners = [content, *(content.get("stages") or {}).values()]
    except (OSError, yaml.YAMLError, AttributeError):
        return  # DVC says what is wrong with the file
    for owner in owners:
        for item in (owner.get("vars") or []) if isinstance(owner, Mapping) else []:
            if isinstance(item, str):
                yield item.split(":")[0]


def _address(stage: Any, repo_dir: Path) -> str:
    """The stage's name as DVC takes it in the repository's folder; DVC's own attribute depends on the present one."""
    file = Path(os.path.relpath(stage.path, repo_dir)).as_posix()
    return str(stage.name) if file == "dvc.yaml" else f"{file}:{stage.name}"


def _describe(address: str, stage: Any, made: Mapping[str, tuple[Path, ...]]) -> DvcStage:
    files = [dep for dep in stage.deps if not hasattr(dep, "read_params")]
    makers = {dep: _makers(Path(dep.fs_path), address, made) for dep in files}
    return DvcStage(
        address=address,
        command=stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd),
        description=stage.desc or "",
        meta=stage.meta or {},
        folder=Path(stage.path).parent,
        name=stage.name,
        deps=tuple(Path(dep.fs_path) for dep in files),
        outs=made[address],
        metrics=tuple(Path(out.fs_path) for out in stage.outs if out.metric),
        sources=tuple(dep.def_path for dep in files if not makers[dep]),
        params=tuple(Path(dep.fs_path) for dep in stage.deps if hasattr(dep, "read_params")),
        upstream=tuple(dict.fromkeys(name for names in makers.values() for name in names)),
    )


def _makers(path: Path, own: str, made: Mapping[str, tuple[Path, ...]]) -> list[str]:
    """Addresses of the stages that make `path`, a part of it, or a folder that holds it."""
    return [address for address, outs in made.items() if address != own and any(overlap(path, out) for out in outs)]


def _changes(stage: Any) -> Iterator[str]:
    """The reasons of `dvc status`, in words. Asked of the parts of the stage, because the whole takes DVC's locks."""
    if stage.changed_stage():
        yield "the command or the list of deps and outs changed"
    if stage.is_callback or stage.always_changed:
        yield "always changed"
    for dep in [] if stage.frozen else stage.deps:
        yield from _differences(dep, dep.status)
    for out in stage.outs:
        yield from _differences(out, out.status)


def _differences(part: Any, ask: Any) -> Iterator[str]:
    """`make.py modified`, or for parameters `n of params.yaml modified`; what DVC cannot read is a reason as well."""
    from dvc.exceptions import DvcException

    try:
        answers = ask().values()
    except DvcException as error:
        yield f"{part.def_path} cannot be read: {error}"
        return
    for answer in answers:
        if isinstance(answer, Mapping):
            yield from (f"{name} of {part.def_path} {word}" for name, word in answer.items())
        else:
            yield f"{part.def_path} {answer}"


def _item_digest(item: Mapping[str, Any]) -> str:
    return "/".join(str(value) for key, value in sorted(item.items()) if key not in _NOT_A_DIGEST)

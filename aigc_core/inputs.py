"""What dvc.lock will say that a stage read, held still from the stage's start to its end.

DVC writes down values of parameters and digests of files after the command has ended. What is edited in between would stand there
as the input of a result that it never made, and DVC would hand that result out again. So a stage that finds its inputs
changed at its end fails, and DVC then writes nothing down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aigc_core.errors import ChangedInputsError, ConfigError
from aigc_core.files import sha256_file
from aigc_core.paths import Paths

PACKAGE = Path(__file__).parent
#: What DVC leaves out as well (.dvcignore).
IGNORED = ("__pycache__",)
#: Folders for files that parameters name, which the stages that read them depend on.
FOLDERS = ("data/ids", "data/weights")
#: Inputs that a sentence names; the rest is counted.
NAMED = 3
_REFERENCE = re.compile(r"\$\{([^}]+)\}")
_MISSING = "not there"

#: Of a file of the package its digest, of any other its size in bytes and the time of its last change in ns.
State = str | tuple[int, int]


@dataclass(frozen=True)
class Inputs:
    """A stage's parameters (dotted name to value) and files (path below the checkout to state) at one moment."""

    parameters: Mapping[str, Any]
    files: Mapping[str, State]


@contextmanager
def unchanged(paths: Paths, stage: str, family: str | None = None) -> Iterator[None]:
    """Raise ChangedInputsError at the end of the block where an input of `stage` is no longer what it was at its beginning."""
    before = read(paths, stage, family)
    yield
    address = f"{stage}@{family}" if family else stage
    changes = differences(before, read(paths, stage, family))
    if changes:
        more = f" and {len(changes) - NAMED:,} more" if len(changes) > NAMED else ""
        raise ChangedInputsError(
            f"what {address} reads was changed while it ran: {'; '.join(changes[:NAMED])}{more}. Its result is of the earlier "
            f"state, and DVC would record it for the present one: run `dvc repro {address}` again, or put the earlier state "
            f"back and run `dvc commit {address}` to keep the result"
        )


def read(paths: Paths, stage: str, family: str | None = None) -> Inputs:
    """The inputs that dvc.yaml names for a stage, as they are now; without a dvc.yaml every parameter, and no file."""
    values, declared = _load(paths.root / "params.yaml"), _declared(paths, stage)
    if declared is None:
        return Inputs(values, {})
    names = [_filled(name, values, family) for name in declared.get("params", []) if isinstance(name, str)]
    files = _states(paths.root, _deps(declared, values, family))
    return Inputs({name: _value(values, name) for name in names}, dict(files))


def refuse_unlisted(paths: Paths, stage: str, family: str | None, named: Mapping[str, str]) -> None:
    """Raise ConfigError where one of the files that parameters name (parameter to path) is no dep of the stage.

    DVC would not notice that such a file has changed. Without a dvc.yaml there is nothing to notice.
    """
    declared = _declared(paths, stage)
    if declared is None:
        return
    deps = [paths.root / dep for dep in _deps(declared, _load(paths.root / "params.yaml"), family)]
    for parameter, name in named.items():
        place = Path(os.path.normpath(paths.root / name))
        if not any(place.is_relative_to(dep) for dep in deps):
            folders = " or ".join(dep for dep in FOLDERS if paths.root / dep in deps)
            raise ConfigError(
                f"params.yaml: {parameter} = {name!r} is not among what {stage} depends on, so DVC would not notice a change of it: "
                f"put the file below {folders}, or name its path under `deps` of {stage} in dvc.yaml"
            )


def differences(before: Inputs, after: Inputs) -> list[str]:
    """One clause per input that differs."""
    told = [
        f"{name} in params.yaml was {was!r} and is {now!r} now"
        for name, was, now in _pairs(before.parameters, after.parameters)
    ]
    for name, was, now in _pairs(before.files, after.files):
        told.append(f"{name} was {'added' if was == _MISSING else 'removed' if now == _MISSING else 'changed'}")
    return told


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The innermost names whose values differ, with both values."""
    for name in sorted({*before, *after}):
        was, now = before.get(name, _MISSING), after.get(name, _MISSING)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from ((f"{name}.{inner}", *values) for inner, *values in _pairs(was, now))
        elif was != now:
            yield name, was, now


def _load(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name} cannot be read ({' '.join(str(error).split())}): mend it") from None
    return values if isinstance(values, dict) else {}


def _declared(paths: Paths, stage: str) -> dict[str, Any] | None:
    """The stage's entry of dvc.yaml, if there is one."""
    graph = paths.root / "dvc.yaml"
    return (_load(graph).get("stages") or {}).get(stage) if graph.exists() else None


def _deps(declared: Mapping[str, Any], values: Mapping[str, Any], family: str | None) -> list[str]:
    return [_filled(dep, values, family) for dep in declared.get("deps", []) if isinstance(dep, str)]


def _filled(text: str, values: Mapping[str, Any], family: str | None) -> str:
    """`text` with each `${a.b}` as the value of that name, as DVC fills it in."""
    known = {**values, "item": {"model": family}}
    return _REFERENCE.sub(lambda match: str(_value(known, match[1])), text)


def _value(values: Mapping[str, Any], name: str) -> Any:
    found: Any = values
    for part in name.split("."):
        found = found.get(part, _MISSING) if isinstance(found, Mapping) else _MISSING
    return found


def _states(root: Path, deps: list[str]) -> Iterator[tuple[str, State]]:
    for dep in deps:
        place = root / dep
        if place.is_dir():
            for folder, inner, names in os.walk(place):
                inner[:] = [name for name in inner if name not in IGNORED]
                yield from ((str(path), _state(root / path)) for path in _below(root, folder, names))
        else:
            yield dep, _state(place)


def _below(root: Path, folder: str, names: list[str]) -> Iterator[Path]:
    own = Path(os.path.relpath(folder, root))
    return (own / name for name in names)


def _state(path: Path) -> State:
    try:
        if path.is_relative_to(PACKAGE):
            return sha256_file(path)
        found = path.stat()
    except OSError:
        return _MISSING
    return found.st_size, found.st_mtime_ns

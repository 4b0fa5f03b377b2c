"""What stages really read (tests/recorder), held against what dvc.yaml says that they depend on."""

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from aigc_core.config import Config
from aigc_core.files import UNFINISHED

#: Code that decides no byte of any out, and why.
NO_BYTES = {
    "aigc_core/cli.py": "starts a stage and prints what it says",
    "aigc_core/errors.py": "classes of errors; a stage that raises one writes nothing",
    "aigc_core/inputs.py": "lets a stage fail, and changes nothing that it writes",
    "aigc_core/orphans.py": "ends a stage whose DVC has ended, and changes nothing that it writes",
    "aigc_core/paths.py": "where outs lie; dvc.yaml names the same places",
    "aigc_core/registry.py": "finds a class by the name that it was registered with",
    "aigc_core/threads.py": "how threads wait; how many there are is the machine's or the user's",
    "aigc_core/config/refusals.py": "words of refusals; a stage that is refused writes nothing",
    "aigc_core/config/__init__.py": "puts the sections together; a value and its default come from its section's file",
    "aigc_core/tracking": "tells MLflow, and nothing comes back",
}
#: Files of the checkout that are read and decide no byte of any out, and why.
NO_INPUT = {
    "params.yaml": "depended on by parameter",
    "dvc.yaml": "says what a stage depends on",
    "dvc.lock": "digests of inputs, for MLflow",
}
#: Fields of the configuration that decide no byte of any out.
NO_PARAMETER = {
    ("Train", "checkpoint_every"),
    ("Train", "keep_checkpoints"),
    ("Train", "max_loss"),
    ("Train", "compile"),
}

#: Per stage, fields whose values come with another input.
ELSEWHERE = {"final": {"Train.vae", "Train.gan", "Vae", "Gan"}}  # how the released model was trained: data/release.json

Lines = dict[str, set[str]]


def recorded(folder: Path) -> Lines:
    """Address of each stage to the lines that its processes wrote."""
    lines: Lines = {}
    for file in folder.iterdir():
        lines.setdefault(file.name.rpartition(".")[0], set()).update(file.read_text().splitlines())
    return lines


def unlisted(lines: Lines, checkout: Path, locked: Mapping[str, Any]) -> dict[str, set[str]]:
    """Per stage what it read and does not depend on: code, files, and fields of the configuration. `locked` is of dvc.lock."""
    found: dict[str, set[str]] = {}
    for address, read in lines.items():
        deps = [Path(dep["path"]) for dep in locked[address]["deps"]]
        own = [Path(out["path"]) for out in locked[address]["outs"]]
        places = {*_code(checkout, _of("module", read)), *_files(checkout, _of("file", read))}
        # Checkpoints, and what the stage has made itself.
        made = [place for place in places if place.parts[0] == ".work" or any(_beside(place, out) for out in own)]
        rest = {
            str(place)
            for place in places
            if place not in made and not any(place.is_relative_to(one) for one in [*deps, *own, *NO_BYTES, *NO_INPUT])
        }
        fields = set(_fields(_of("field", read), deps, locked[address].get("params", {})))
        found[address] = rest | {
            field for field in fields if not {field, field.split(".")[0]} & ELSEWHERE.get(address, set())
        }
    return {address: names for address, names in found.items() if names}


def _of(kind: str, lines: set[str]) -> Iterator[str]:
    return (line.removeprefix(f"{kind} ") for line in lines if line.startswith(f"{kind} "))


def _beside(place: Path, out: Path) -> bool:
    """Whether a file is of the out, or of the folder that becomes it."""
    if not place.is_relative_to(out.parent):
        return False
    first = place.relative_to(out.parent).parts[0]
    unfinished = first.startswith((f".{out.name}-", f".{UNFINISHED}-")) and out.name in first
    return first == out.name or unfinished


def _code(checkout: Path, modules: Iterator[str]) -> Iterator[Path]:
    """Files of modules; a package whose file says no more than what it is decides nothing, and neither do other sections."""
    for module in modules:
        place = checkout / module.replace(".", "/")
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.exists() and not _says_only(file) and file.parent.name != "config":
                yield file.relative_to(checkout)


def _says_only(file: Path) -> bool:
    body = ast.parse(file.read_text()).body
    return file.name == "__init__.py" and all(isinstance(one, ast.Expr) for one in body)


def _files(checkout: Path, names: Iterator[str]) -> Iterator[Path]:
    for name in names:
        path = Path(os.path.normpath(name))  # a version names its content as ../content
        if path.is_relative_to(checkout) and "__pycache__" not in path.parts and path.suffix != ".py":
            yield path.relative_to(checkout)


def _fields(asked: Iterator[str], deps: Sequence[Path], params: Mapping[str, Any]) -> Iterator[str]:
    """Fields that no parameter of the stage holds, and files of sections that it asks and does not depend on."""
    known = set(_declared(params.get("params.yaml", {})))
    for line in asked:
        module, section, name = line.split()
        if section in ("Tracking", "Config") and name in ("tracking", *_fields_of("Tracking")):
            continue
        if (section, name) not in known | NO_PARAMETER:
            yield f"{section}.{name}"
        file = Path(module.replace(".", "/") + ".py")
        if section != "Config" and not any(file.is_relative_to(dep) for dep in deps):
            yield str(file)


def _fields_of(section: str) -> tuple[str, ...]:
    return tuple(getattr(__import__("aigc_core.config", fromlist=[section]), section).model_fields)


def _declared(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(section, field) of every field on the way to a parameter, and below it."""
    for dotted in params:
        sections: list[type[BaseModel]] = [Config]
        for part in dotted.split("."):
            yield from ((section.__name__, part) for section in sections)
            sections = [inner for section in sections for inner in _inner(section.model_fields[part].annotation)]
        yield from (pair for section in sections for pair in _below(section))


def _below(section: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        yield section.__name__, name
        for inner in _inner(field.annotation):
            yield from _below(inner)


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)


def locked_stages(checkout: Path) -> dict[str, Any]:
    """dvc.lock's entries by address."""
    stages: dict[str, Any] = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]
    return stages

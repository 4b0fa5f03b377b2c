"""The rules that keep the tree readable: imports run one way, dvc.yaml and the code name the same things."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

from aigc_core import cli
from aigc_core.config import Config
from aigc_core.models.zoo import families
from aigc_core.paths import FAMILIES, Paths
from aigc_core.training.steps import trainers

ROOT = Path(__file__).parents[1]
CORE = ROOT / "aigc_core"

#: Lower layers may not import higher ones; members of one layer may not import each other.
LAYERS = [
    {"errors"},
    {"records", "config", "registry", "paths", "files", "threads", "orphans"},
    {"inputs"},
    {"models", "modalities", "tracking"},
    {"data", "quality", "augment", "evaluation", "report"},
    {"training"},
    {"ablation"},
    {"stages"},
    {"commands"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

#: Packages that exactly one file, or one folder, may import.
ONE_HOME = {
    "mlflow": "tracking/",
    "great_expectations": "quality/expectations.py",
    "albumentations": "augment/offline.py",
}


def imported_modules(path: Path) -> set[str]:
    """Every module name that a file imports, inside functions too, but for type checking alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "aigc_core" and len(parts) > 1 else None


def core_files() -> list[Path]:
    return sorted(path for path in CORE.rglob("*.py") if path != CORE / "__init__.py")


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(CORE)))
def test_imports_run_down_only(path):
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no place in the order of imports"
    for module in imported_modules(path):
        room = room_of(module)
        if room in LEVEL and room != own:
            assert LEVEL[room] < LEVEL[own], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(CORE)))
def test_platforms_have_one_home(path):
    relative = str(path.relative_to(CORE))
    roots = {module.split(".")[0] for module in imported_modules(path)}
    assert not roots & {"dagster", "dvc", "pipelines"}, "the library knows no orchestrator"
    for package, home in ONE_HOME.items():
        if package in roots:
            assert relative == home or (home.endswith("/") and relative.startswith(home)), (
                f"only {home} may import {package}"
            )


def test_pipelines_do_not_import_the_library():
    for path in (ROOT / "pipelines").glob("*.py"):
        assert not any(module.startswith("aigc_core") for module in imported_modules(path)), path.name


def test_mlflow_folder_shadows_nothing():
    assert not (ROOT / "mlflow/__init__.py").exists()
    assert importlib.import_module("mlflow").MlflowClient


def graph() -> dict:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_every_stage_has_a_function_a_file_and_a_command():
    commands = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    for name, stage in graph().items():
        assert stage["cmd"].split()[:2] == ["aigc", name]
        assert name in commands
        assert callable(getattr(importlib.import_module(f"aigc_core.stages.{name}"), name))
        assert f"aigc_core/stages/{name}.py" in stage["deps"]


def test_dvc_yaml_names_existing_code_and_parameters():
    parameters = Config().model_dump()
    for name, stage in graph().items():
        for dep in stage["deps"]:
            if dep.startswith(("aigc_core", "pipelines")):
                assert (ROOT / dep).exists(), f"{name} depends on {dep}, which does not exist"
        for parameter in stage.get("params", []):
            value = parameters
            chosen = parameter.replace("${item.model}", "gan").replace("${ablation.model}", Config().ablation.model)
            for part in chosen.split("."):
                value = value[part]


def test_a_stage_depends_on_every_part_that_it_imports():
    """Parts are code of stages: one that is missing from the deps changes an out without a rerun."""
    for name, stage in graph().items():
        for module in imported_modules(CORE / f"stages/{name}.py"):
            place = ROOT / (module.replace(".", "/") + ".py")
            if module.startswith("aigc_core.stages.") and place.exists():
                assert str(place.relative_to(ROOT)) in stage["deps"], f"{name} imports {module}"


def reached(path: Path) -> set[Path]:
    """The file, and all of the package that it imports, by whatever way."""
    seen, left = set(), [path]
    while left:
        seen.add(one := left.pop())
        for module in imported_modules(one):
            place = ROOT / module.replace(".", "/")
            left += [
                file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists() and file not in seen
            ]
    return seen


@pytest.mark.parametrize("name", sorted(graph().keys() - {"report"}))  # which words results and measures nothing
def test_a_stage_depends_on_the_code_that_measures_for_it(name):
    deps = graph()[name]["deps"]
    for path in sorted(reached(CORE / f"stages/{name}.py")):
        own = path.relative_to(ROOT)
        if own.is_relative_to("aigc_core/evaluation") and own.name != "__init__.py":
            assert any(own.is_relative_to(dep) for dep in deps), f"{name} computes with {own}"


def test_dvc_yaml_and_paths_agree():
    paths = Paths(ROOT)
    outs = {out for stage in graph().values() for out in [*stage.get("outs", []), *stage.get("metrics", [])]}
    outs = {out.replace("${item.model}", family) for out in outs for family in FAMILIES}
    plain = [paths.content, paths.ingested, paths.extractor, paths.measures, paths.verdicts, paths.quarantine,
             paths.curated, paths.validation, paths.gate, paths.augmented, paths.ablation, paths.release, paths.final, paths.report.parent]  # fmt: skip
    known = {str(path.relative_to(ROOT)) for path in plain}
    for family in FAMILIES:
        for place in (paths.model, paths.pretrained, paths.finetuned):
            known.add(str(place(family).relative_to(ROOT)))
        for place in (paths.evaluation, paths.evaluation_finetune):
            known |= {
                f"{place(family).relative_to(ROOT)}/{part}" for part in ("headline.json", "metrics.json", "details")
            }
    assert outs == known


def test_the_graph_trains_families_that_the_command_line_knows():
    assert set(cli.Family) == set(families) == set(trainers) > set(FAMILIES)
    assert graph()["train"]["matrix"]["model"] == list(FAMILIES)


def test_params_yaml_shows_every_default():
    assert Config.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text())) == Config()
    shown = yaml.safe_load((ROOT / "params.yaml").read_text())

    def keys(value, prefix=""):
        return {
            name
            for key, item in value.items()
            for name in ({f"{prefix}{key}"} | (keys(item, f"{prefix}{key}.") if isinstance(item, dict) else set()))
        }

    assert keys(shown) == keys(Config().model_dump())


def test_no_machine_path_or_address_is_written_into_the_tree():
    foreign = re.compile(r"/root/|/home/|/tmp/[a-z]")
    for path in [*CORE.rglob("*.py"), *(ROOT / "pipelines").glob("*.py"), ROOT / "dvc.yaml", ROOT / "params.yaml"]:
        assert not foreign.search(path.read_text()), path

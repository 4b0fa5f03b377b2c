"""The component on projects that are not this one: whatever dvc.yaml may say becomes a graph, from Python and from YAML."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing.utils import create_defs_folder_sandbox
from dvc_toys import Page, changed_for_dvc, dvc, make_repository

from pipelines import DvcProjectComponent
from pipelines.dvc_assets import load_assets_from_dvc

COPY = "import pathlib, sys\nout = pathlib.Path(sys.argv[-1])\nout.parent.mkdir(parents=True, exist_ok=True)\nout.write_text(' '.join(sys.argv))\n"

#: dvc.yaml files by what is particular in them: the files, and for each asset the assets that it depends on.
PROJECTS: dict[str, tuple[dict[str, str], dict[str, set[str]]]] = {
    "foreach over a list and over a mapping": (
        {
            "dvc.yaml": """
stages:
  clean:
    foreach: [de, fr]
    do: {cmd: "python w.py out/${item}", outs: ["out/${item}"]}
  fit:
    foreach: {small: {lang: de, n: 1}, large: {lang: fr, n: 2}}
    do: {cmd: "python w.py ${item.n} fit/${key}", deps: ["out/${item.lang}"], outs: ["fit/${key}"]}
"""
        },
        {"clean_de": set(), "clean_fr": set(), "fit_small": {"clean_de"}, "fit_large": {"clean_fr"}},
    ),
    "matrix of two": (
        {
            "dvc.yaml": """
stages:
  fit:
    matrix: {model: [a, b], size: [1, 2]}
    cmd: python w.py out/${item.model}-${item.size}
    outs: ["out/${item.model}-${item.size}"]
  all:
    cmd: python w.py all.txt
    deps: [out]
    outs: [all.txt]
"""
        },
        {
            "fit_a_1": set(),
            "fit_a_2": set(),
            "fit_b_1": set(),
            "fit_b_2": set(),
            "all": {"fit_a_1", "fit_a_2", "fit_b_1", "fit_b_2"},
        },
    ),
    "nested templating, vars of a file, of the stage and inline": (
        {
            "params.yaml": "model: {kind: tree}\n",
            "more.yaml": "folder: {name: deep}\n",
            "dvc.yaml": """
vars: [more.yaml, {suffix: txt}]
stages:
  fit:
    vars: [{depth: 3}]
    cmd: python w.py ${model.kind} ${depth} ${folder.name}/fit.${suffix}
    params: [model]
    outs: ["${folder.name}/fit.${suffix}"]
  use:
    cmd: python w.py use.txt
    deps: ["deep/fit.txt"]
    outs: [use.txt]
""",
        },
        {"fit": set(), "use": {"fit"}},
    ),
    "several files": (
        {
            "dvc.yaml": "stages:\n  make: {cmd: python w.py made.txt, outs: [made.txt]}\n",
            "sub/params.yaml": "n: 1\n",
            "sub/dvc.yaml": "stages:\n  use: {cmd: 'python ../w.py used.txt', params: [n], deps: [../made.txt], outs: [used.txt]}\n",
        },
        {"make": set(), "sub_dvc_yaml_use": {"make"}},
    ),
    "working folder": (
        {
            "work/here.txt": "",
            "dvc.yaml": """
stages:
  make: {wdir: work, cmd: python ../w.py made.txt, outs: [made.txt]}
  use: {cmd: python w.py used.txt, deps: [work/made.txt], outs: [used.txt]}
""",
        },
        {"make": set(), "use": {"make"}},
    ),
    "no outs": (
        {
            "in.txt": "in",
            "dvc.yaml": "stages:\n  check: {cmd: python w.py .checked, deps: [in.txt]}\n",
        },
        {"check": set()},
    ),
    "several commands and outs that DVC does not keep": (
        {
            "dvc.yaml": """
stages:
  make:
    cmd: [python w.py a.txt, python w.py b.txt]
    deps: [w.py]
    outs: [a.txt: {cache: false}, b.txt: {persist: true}]
    metrics: []
""",
        },
        {"make": set()},
    ),
    "names with dots and dashes": (
        {
            "dvc.yaml": """
stages:
  fit-1: {cmd: python w.py a.txt, outs: [a.txt]}
  use_it: {cmd: python w.py b.txt, deps: [a.txt], outs: [b.txt]}
"""
        },
        {"fit_1": set(), "use_it": {"fit_1"}},
    ),
}

#: The others are run by one `dvc repro`, which takes a third of the time.
RUN_BY_DAGSTER = {"several files", "working folder", "no outs", "names with dots and dashes"}


def project(tmp_path: Path, files: dict[str, str]) -> Path:
    return make_repository(tmp_path / "project", {"w.py": COPY, **files})


def dependencies(definitions: dg.Definitions) -> dict[str, set[str]]:
    graph = definitions.resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys} - {"dvc_status"}
        for key in graph.materializable_asset_keys
    }


@pytest.mark.parametrize("name", PROJECTS)
def test_a_project_of_others_is_shown_run_and_found_unchanged(tmp_path: Path, name: str) -> None:
    files, expected = PROJECTS[name]
    root = project(tmp_path, files)
    definitions = dg.build_defs_for_component(DvcProjectComponent(repo_dir=root))
    assert dependencies(definitions) == expected
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert page.changed() == set(expected)
        if name in RUN_BY_DAGSTER:
            assert page.materialize().success
        else:
            dvc(root, "repro", "--all-pipelines")
        page.tick()
        assert page.changed() == set()
        assert changed_for_dvc(root) == set()


def test_a_change_of_a_file_of_variables_is_seen_without_a_reload(tmp_path: Path) -> None:
    root = project(tmp_path, PROJECTS["nested templating, vars of a file, of the stage and inline"][0])
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert page.materialize().success
        (root / "params.yaml").write_text("model: {kind: forest}\n")
        page.tick()
        assert page.changed() == {"fit"}
        (root / "params.yaml").write_text("model: {kind: tree}\n")
        (root / "dvc.yaml").write_text((root / "dvc.yaml").read_text().replace("depth: 3", "depth: 4"))
        page.tick()
        assert page.changed() == {"fit"}


def test_a_stage_that_always_changes_runs_each_time_and_a_frozen_one_never(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "in.txt": "1",
            "dvc.yaml": """
stages:
  ask: {cmd: "python w.py asked.txt && echo ran >> ran.log", always_changed: true, outs: [asked.txt]}
  kept: {cmd: "python w.py kept.txt && echo kept >> ran.log", deps: [in.txt], outs: [kept.txt]}
""",
        },
    )
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert page.materialize().success
        (root / "dvc.yaml").write_text(
            (root / "dvc.yaml").read_text().replace('{cmd: "python w.py kept', '{frozen: true, cmd: "python w.py kept')
        )
        (root / "in.txt").write_text("2")
        page.tick()
        assert page.changed() == changed_for_dvc(root) == {"ask"}
        assert page.materialize().success
        assert (root / "ran.log").read_text().split().count("kept") == 1
        assert (root / "ran.log").read_text().split().count("ran") == 2


def test_data_that_dvc_add_keeps_is_no_stage(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "data.txt": "1",
            "dvc.yaml": "stages:\n  use: {cmd: python w.py used.txt, deps: [data.txt], outs: [used.txt]}\n",
        },
    )
    dvc(root, "add", "data.txt")
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert set(page.statuses()) == {"use"}
        assert page.materialize().success
        (root / "data.txt").unlink()
        (root / "data.txt").write_text("2")
        page.tick()
        assert page.changed() == {"use"}


# Both are Dagster's own, while it reads the YAML.
@pytest.mark.filterwarnings("ignore:.parse_obj_as. is deprecated", "ignore:.* is currently in beta")
def test_the_yaml_form_finds_the_project_from_its_own_folder() -> None:
    with create_defs_folder_sandbox() as sandbox:
        make_repository(
            sandbox.project_root / "project",
            {"w.py": COPY, "dvc.yaml": "stages:\n  make: {cmd: python w.py a.txt, outs: [a.txt]}\n"},
        )
        folder = sandbox.defs_folder_path / "dvc"
        folder.mkdir()
        (folder / "defs.yaml").write_text(
            "type: pipelines.DvcProjectComponent\nattributes: {repo_dir: ../../../../project, interval_s: 30}\n"
        )
        with sandbox.load_component_and_build_defs(defs_path=folder) as (component, definitions):
            assert isinstance(component, DvcProjectComponent)
            assert dependencies(definitions) == {"make": set()}
            sensors = {sensor.name: sensor for sensor in definitions.sensors or []}
            assert sensors["dvc_status"].minimum_interval_seconds == 30
            assert "raw_files" not in sensors  # no stage names files to watch


def test_a_wrong_attribute_and_a_wrong_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no DVC project"):
        dg.build_defs_for_component(DvcProjectComponent(repo_dir=tmp_path))
    with pytest.raises(ValueError, match="interval_s"):
        DvcProjectComponent(repo_dir=tmp_path, interval_s=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("wrong", "meta.dagster must be a mapping"),
        ("{checks: {report: r.json}}", "meta.dagster.checks needs"),
        ("{checks: {report: r.json, names: [{name: a, severity: loud}]}}", "severity 'loud'"),
        ("{fresh_hours: 0}", "fresh_hours must be a number above 0"),
        ("{fresh_hours: soon}", "fresh_hours must be a number above 0"),
    ],
)
def test_options_that_mean_nothing_name_the_stage(tmp_path: Path, options: str, said: str) -> None:
    text = f"stages:\n  make: {{cmd: python w.py a.txt, outs: [a.txt], meta: {{dagster: {options}}}}}\n"
    with pytest.raises(ValueError, match=f"stage make.*{said}"):
        load_assets_from_dvc(project(tmp_path, {"dvc.yaml": text}))

"""Small DVC repositories that several files of tests run, and what they ask of DVC and of Dagster."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dvc.repo import Repo

from pipelines.dvc_assets import DvcTranslator, build_assets
from pipelines.resources import DvcCli
from pipelines.sensors import build_dvc_sensor
from pipelines.stages import read_stages


def make_repository(root: Path, files: dict[str, str]) -> Path:
    """A DVC repository without git, with these files."""
    for name, text in {".dvc/config": "[core]\n    no_scm = true\n    analytics = false\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def dvc(root: Path, *arguments: str, fails: bool = False) -> str:
    """What `dvc` prints in a terminal."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dvc", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + (done.stderr if fails else "")


def changed_for_dvc(root: Path) -> set[str]:
    """The stages that `dvc status` names, by their assets' names. Asked in this process, which saves a second."""
    with Repo(str(root)) as repo, contextlib.chdir(root):
        return {name.replace("@", "_") for name in repo.status()}


class Page:
    """Definitions as Dagster loads them once, and an instance that a sensor tells what DVC says."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, translator: DvcTranslator | None = None) -> None:
        translator = translator or DvcTranslator()
        self.root, self.instance, self.cursor = root, instance, ""
        stages = read_stages(root)
        self.assets = build_assets(stages, translator)
        self.sensor = build_dvc_sensor(root, translator, stages=stages)
        self.definitions = dg.Definitions(assets=self.assets, resources={"dvc": DvcCli(repo_dir=str(root))})
        self.graph = self.definitions.resolve_asset_graph()
        self.words = ""

    def tick(self) -> list[str]:
        """Evaluate the sensor as the daemon does; the assets that it reports as materialized."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor or None, definitions=self.definitions
        )
        result = self.sensor(context)
        if isinstance(result, dg.SkipReason):
            self.words = str(result.skip_message)
            return []
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.words, self.cursor = str(result.skip_reason.skip_message), result.cursor
        return [e.asset_key.to_user_string() for e in result.asset_events if isinstance(e, dg.AssetMaterialization)]

    def materialize(self, *only: str) -> dg.ExecuteInProcessResult:
        """Run assets as Dagster does, all of them or those that are named."""
        return dg.materialize(
            self.assets,
            instance=self.instance,
            selection=list(only) or None,
            resources={"dvc": DvcCli(repo_dir=str(self.root))},
            raise_on_error=False,
        )

    def statuses(self) -> dict[str, str]:
        """MISSING, STALE or FRESH for the asset of each stage."""
        resolver = CachingStaleStatusResolver(
            self.instance, self.graph, loading_context=LoadingContextForTest(self.instance)
        )
        keys = self.graph.materializable_asset_keys
        return {key.to_user_string(): resolver.get_status(key).value for key in keys}

    def changed(self) -> set[str]:
        """The assets that Dagster does not call fresh."""
        return {name for name, status in self.statuses().items() if status != StaleStatus.FRESH.value}

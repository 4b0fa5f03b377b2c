"""What Dagster shows of this project: the stages of dvc.yaml as assets, and a sensor for what DVC says of them.

The graph is read when Dagster loads this file: after a change of dvc.yaml, "Reload definitions" in the UI. What a
change of parameters, code or data makes stale is seen without that.
"""

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.automation import build_alert_sensor
from pipelines.component import DvcProjectComponent
from pipelines.dvc_assets import DvcTranslator
from pipelines.stages import DvcStage

ROOT = Path(__file__).resolve().parents[1]


class Translator(DvcTranslator):
    """Adds the link to the MLflow run that a stage left in .work/."""

    def metadata(self, stage: DvcStage) -> Mapping[str, Any]:
        """The page of the stage's MLflow run, where it has one."""
        path = stage.folder / ".work" / "runs" / f"{stage.address}.json"
        if not path.exists():
            return {}
        run = json.loads(path.read_text())
        address = os.environ.get("AIGC_MLFLOW_UI", "http://127.0.0.1:5000").rstrip("/")
        return {
            "mlflow run": dg.MetadataValue.url(f"{address}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}")
        }


class Project(DvcProjectComponent):
    """This project, with its translator."""

    def translator(self) -> DvcTranslator:
        """The one that links to MLflow."""
        return Translator()


def build_definitions(root: Path) -> dg.Definitions:
    """The definitions of the checkout at `root`."""
    alerts = build_alert_sensor(root / ".work" / "alerts.log", shlex.split(os.environ.get("AIGC_ALERT_COMMAND", "")))
    # A step in a process of its own costs three seconds, and a stage is a process anyway.
    own = dg.Definitions(sensors=[alerts], executor=dg.in_process_executor)
    return dg.Definitions.merge(dg.build_defs_for_component(Project(repo_dir=root, pool="gpu")), own)


defs = build_definitions(ROOT)

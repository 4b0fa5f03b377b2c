"""A DVC project as a component of Dagster, for projects that list theirs in YAML:

    type: pipelines.DvcProjectComponent
    attributes:
      repo_dir: ../../my_dvc_project      # from the folder of this file

In Python the same is `dg.build_defs_for_component(DvcProjectComponent(repo_dir=...))`. One project per code location:
its assets share the resource `dvc` and the asset `dvc_status`.
"""

from pathlib import Path
from typing import Annotated

import dagster as dg
from pydantic import Field

from pipelines.automation import ALL, build_schedule, build_source_sensor, watched_paths
from pipelines.dvc_assets import DvcTranslator, build_assets
from pipelines.experiments import build_experiment_job
from pipelines.resources import DvcCli
from pipelines.sensors import build_dvc_sensor
from pipelines.stages import read_stages


def _from_the_yaml_file(context: dg.ResolutionContext, value: str) -> Path:
    return context.resolve_source_relative_path(context.resolve_value(value, as_type=str))


class DvcProjectComponent(dg.Component, dg.Model, dg.Resolvable):
    """The stages of a DVC project as assets, with a sensor for what a terminal runs, a job, a schedule and experiments."""

    repo_dir: Annotated[Path, dg.Resolver(_from_the_yaml_file, model_field_type=str)] = Field(
        description="The folder of the DVC project, from the folder of the YAML file."
    )
    interval_s: int = Field(default=15, ge=1, description="Seconds between two looks at what a terminal has run.")
    cron: str = Field(default="0 3 * * *", description="When the schedule runs all stages, once it is switched on.")
    pool: str | None = Field(default=None, description="The concurrency pool in which experiments take their turn.")

    def translator(self) -> DvcTranslator:
        """Decides names, groups and metadata: a subclass returns its own."""
        return DvcTranslator()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """All definitions of the project. Raises ValueError where `repo_dir` holds no DVC project."""
        del context
        root = self.repo_dir.resolve()
        if not (root / ".dvc").is_dir():
            raise ValueError(
                f"repo_dir {self.repo_dir} is no DVC project: it holds no folder .dvc; run `dvc init` there"
            )
        translator, stages = self.translator(), read_stages(root)
        sensors = [build_dvc_sensor(root, translator, self.interval_s, stages)]
        return dg.Definitions(
            assets=build_assets(stages, translator),
            jobs=[dg.define_asset_job(ALL, selection="*"), build_experiment_job(stages, self.pool)],
            schedules=[build_schedule(self.cron)],
            sensors=[*sensors, build_source_sensor(stages)] if watched_paths(stages) else sensors,
            resources={"dvc": DvcCli(repo_dir=str(root))},
        )

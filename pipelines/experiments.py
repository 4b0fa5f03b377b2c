"""Parameters from Dagster's Launchpad: a job that runs stages with other parameters as an experiment of DVC.

    ops:
      dvc_exp_run:
        config:
          params: {train.gan.steps: 100}
          stages: [evaluate@gan]

The experiment runs in a temporary copy of what git tracks. The workspace keeps its params.yaml and its outs, no asset is
materialized, and `dvc exp show`, `dvc exp apply NAME` and `dvc exp branch` find the result.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of an op's arguments.
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from pipelines.resources import DvcCli
from pipelines.stages import DvcStage

_RAN = re.compile(r"^Ran experiment\(s\): (.+)$")


class ExperimentConfig(dg.Config):
    """What differs from params.yaml, and which stages to run."""

    params: dict[str, Any] = Field(description="Other values, by the name that params.yaml gives them: train.gan.steps")
    stages: list[str] = Field(default=[], description="What to run, with what it needs; everything where it is empty")
    name: str = Field(default="", description="A name of the experiment; DVC makes one up where it is empty")


def build_experiment_job(stages: Sequence[DvcStage], pool: str | None = None) -> dg.JobDefinition:
    """The job `experiment`; it needs the resource `dvc`, and takes its turn in `pool`."""

    @dg.op(name="dvc_exp_run", pool=pool, description=__doc__)
    def dvc_exp_run(context: dg.OpExecutionContext, config: ExperimentConfig, dvc: DvcCli) -> None:
        if not config.params:
            raise dg.Failure(description="params is empty: name at least one parameter and its value")
        command = ["exp", "run", "--temp", *_copied(dvc.root, stages)]
        command += ["--name", config.name] if config.name else []
        for name, value in config.params.items():
            command += ["--set-param", f"{name}={_value(value)}"]
        outcome = dvc.call([*command, *config.stages], run_id=context.run.run_id, say=context.log.info)
        if not outcome.success:
            raise dg.Failure(description=f"the experiment failed:\n\n{outcome.error_text()}", allow_retries=False)
        names = [found[1] for line in outcome.output if (found := _RAN.match(line.strip()))]
        context.add_output_metadata({"experiment": ", ".join(names), "params": dg.MetadataValue.json(config.params)})

    @dg.job(name="experiment", description=__doc__)
    def experiment() -> None:
        dvc_exp_run()

    return experiment


def _value(value: Any) -> str:
    """A value as the override of a parameter is written: JSON is understood there, but for the keys of a mapping."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_value, value)) + "]"
    return json.dumps(value)


def _copied(root: Path, stages: Sequence[DvcStage]) -> list[str]:
    """Options that copy what stages read and neither git nor DVC keeps: raw files that lie in the repository."""
    names = {path.relative_to(root).as_posix() for path in _sources(root, stages)}
    untracked = {name for name in names if not _git(root, "ls-files", "--error-unmatch", "--", name)}
    kept = {name for name in untracked if (root / f"{name}.dvc").exists()}
    ignored = {name for name in names - untracked if _ignored_below(root, name)}
    return [option for name in sorted((untracked - kept) | ignored) for option in ("--copy-paths", name)]


def _sources(root: Path, stages: Sequence[DvcStage]) -> set[Path]:
    made = {out for stage in stages for out in stage.outs}
    deps = {dep for stage in stages for dep in stage.deps if dep.is_relative_to(root) and dep.exists()}
    return {dep for dep in deps if dep not in made and not any(out in dep.parents for out in made)}


def _ignored_below(root: Path, name: str) -> bool:
    """Whether a folder that git tracks holds files that git leaves out, compiled Python aside."""
    command = ["git", "ls-files", "--others", "--", name, ":(exclude)*.pyc"]
    return (root / name).is_dir() and bool(
        subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip()
    )


def _git(root: Path, *arguments: str) -> bool:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False).returncode == 0

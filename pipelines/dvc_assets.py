"""Dagster assets from dvc.yaml: one asset per resolved stage, materialized by DVC.

    assets = load_assets_from_dvc(repo_dir)
    defs = dg.Definitions(assets=assets, resources={"dvc": DvcCli(repo_dir=str(repo_dir))})

A stage may say more under `meta`:

    meta:
      dagster:
        group: quality
        kinds: [python]
        pool: gpu
        fresh_hours: 24
        watch: [raw]
        headline: [accuracy, loss]
        checks: {report: out/report.json, suite: suite.json}

`pool` is the concurrency pool of the asset. `fresh_hours` is the age from which its page warns. `watch` names what the
sensor `raw_files` looks at. `headline` names the metrics that its page shows first; the others become
one table. `report` is written by the stage:
{"checks": [{"name", "passed", "description", "severity", "observed", "expected"}]}.
The names must be known before the stage has run: `suite` is a JSON list of {"name", "description", "severity"}
(or an object that holds the list under "expectations" or "checks"); `names` may hold the list itself instead. A check
of severity "error" (the default) blocks what lies downstream, one of severity "warning" does not.

Knows nothing of any one project: names, groups and further metadata are the translator's.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of an asset's context and refuses a string.
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.automation import dvc_automation_condition
from pipelines.checks import check_results, declared_checks, failed_first, identifier, refusals, report_of, report_stamp
from pipelines.observed import CODE_VERSION, observe, provenance, status_asset, status_dep
from pipelines.resources import DvcCli, Outcome
from pipelines.shown import materialization_metadata
from pipelines.stages import DvcStage, overlap, read_lock, read_stages

RETRIES = dg.RetryPolicy(max_retries=3, delay=5, jitter=dg.Jitter.PLUS_MINUS)


class DvcTranslator:
    """Decides what a stage is called and shown as. Subclass it and pass the instance to `load_assets_from_dvc`."""

    def asset_key(self, stage: DvcStage) -> dg.AssetKey:
        """`train@gan` becomes `train_gan`: one part, because the graph shows only the last."""
        return dg.AssetKey(identifier(stage.address))

    def group(self, stage: DvcStage) -> str:
        """The group, from `meta.dagster.group`."""
        return str(stage.options.get("group", "default"))

    def kinds(self, stage: DvcStage) -> set[str]:
        """The badges on the asset's node, from `meta.dagster.kinds`."""
        # Dagster takes three at most.
        return set([*stage.options.get("kinds", []), "dvc"][:3])

    def description(self, stage: DvcStage) -> str:
        """What the stage does, and the command that does it."""
        return f"{stage.description}\n\n```\n{stage.command}\n```".strip()

    def metadata(self, stage: DvcStage) -> Mapping[str, Any]:
        """More metadata for one materialization of `stage`, read after it ran. None by default."""
        del stage
        return {}


def load_assets_from_dvc(repo_dir: Path, translator: DvcTranslator | None = None) -> list[dg.AssetsDefinition]:
    """One asset per stage of the repository at `repo_dir`, and the asset `dvc_status`; they need the resource `dvc`.

    Raises ValueError where two stages would share a key, or where `meta.dagster` cannot be read.
    """
    return build_assets(read_stages(Path(repo_dir)), translator or DvcTranslator())


def build_assets(stages: Sequence[DvcStage], translator: DvcTranslator) -> list[dg.AssetsDefinition]:
    """The assets of stages that were read before."""
    keys = asset_keys(stages, translator)
    known = {stage.address: stage for stage in stages}
    return [status_asset(keys), *(_build_asset(stage, keys, known, translator) for stage in stages)]


def asset_keys(stages: Sequence[DvcStage], translator: DvcTranslator) -> dict[str, dg.AssetKey]:
    """The asset key of every stage's address."""
    keys = {stage.address: translator.asset_key(stage) for stage in stages}
    owners: dict[dg.AssetKey, str] = {}
    for address, key in keys.items():
        if key in owners:
            raise ValueError(
                f"stages {owners[key]} and {address} both make the asset {key.to_user_string()}: rename one of them"
            )
        owners[key] = address
    return keys


def _build_asset(
    stage: DvcStage, keys: Mapping[str, dg.AssetKey], known: Mapping[str, DvcStage], translator: DvcTranslator
) -> dg.AssetsDefinition:
    key = keys[stage.address]
    checks = declared_checks(stage)

    @dg.asset(
        key=key,
        deps=[*(keys[address] for address in stage.upstream), status_dep(key)],
        group_name=translator.group(stage),
        kinds=translator.kinds(stage),
        description=translator.description(stage),
        pool=stage.options.get("pool"),
        retry_policy=RETRIES,
        freshness_policy=_freshness(stage),
        automation_condition=dvc_automation_condition(),
        check_specs=[
            dg.AssetCheckSpec(check.name, asset=key, description=check.description, blocking=check.blocking)
            for check in checks
        ],
    )
    def materialize(
        context: dg.AssetExecutionContext, dvc: DvcCli
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        before = report_stamp(stage)
        cached = not dvc.status(stage.address).changes
        if cached:
            context.log.info(f"{stage.address} has not changed: nothing to run")
        else:
            _refuse_without_inputs(stage, known)
            outcome = dvc.reproduce(stage, run_id=context.run.run_id, say=context.log.info)
            if not outcome.success:
                observe(context.instance, key, dvc.status(stage.address))
                yield from failed_first(check_results(stage, key, stale=report_stamp(stage) == before))
                raise _failure(stage, outcome)
            cached = not outcome.ran
        yield _result(context.instance, stage, key, translator, cached)
        observe(context.instance, key, dvc.status(stage.address))

    return materialize


def _freshness(stage: DvcStage) -> dg.FreshnessPolicy | None:
    """The page warns of an asset that nobody has materialized for `meta.dagster.fresh_hours`."""
    hours = stage.options.get("fresh_hours")
    if hours is None:
        return None
    if not isinstance(hours, int | float) or isinstance(hours, bool) or hours <= 0:
        raise ValueError(f"stage {stage.address}: meta.dagster.fresh_hours must be a number above 0, not {hours!r}")
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours))


def _result(
    instance: dg.DagsterInstance, stage: DvcStage, key: dg.AssetKey, translator: DvcTranslator, cached: bool
) -> dg.MaterializeResult[Any]:
    locked = read_lock(stage)
    if locked is None:
        raise dg.Failure(description=f"{stage.address} ran, and dvc.lock does not know it", allow_retries=False)
    answers = failed_first(check_results(stage, key))
    shown = materialization_metadata(stage, locked, translator.metadata(stage), answers)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(locked.data_version),
        metadata={**shown, "cached": cached},
        check_results=answers,
        tags={CODE_VERSION: locked.code_version, **provenance(instance, key)},
    )


def _failure(stage: DvcStage, outcome: Outcome) -> dg.Failure:
    # Another try may find the files free. It would not find another parameter, or another verdict of a gate.
    return dg.Failure(description=f"{stage.address} failed:\n\n{outcome.error_text()}", allow_retries=outcome.busy)


def _refuse_without_inputs(stage: DvcStage, known: Mapping[str, DvcStage]) -> None:
    """Fail before anything starts where a gate has refused, or where what another stage makes is not here."""
    for maker in [known[address] for address in stage.upstream]:
        refused = refusals(maker)
        lacking = [path for path in stage.deps if not path.exists() and any(overlap(path, out) for out in maker.outs)]
        if refused:
            problem = f"the gate {maker.address} refused this data: {', '.join(refused)}; see {report_of(maker)}"
        elif lacking:
            shown = os.path.relpath(lacking[0], stage.folder)
            problem = f"it needs {shown}, which {maker.address} makes and which is not here; materialize {maker.address} first"
        else:
            continue
        raise dg.Failure(description=f"{stage.address} has not run: {problem}", allow_retries=False)

"""What `dvc status` says, as Dagster's data versions: one asset with a partition for each stage.

A definition is read once, when Dagster loads it, so a code version on it is as old as that. Here the definitions carry
none. Each stage depends on its own partition of the asset `dvc_status` instead: its data version is UNCHANGED while
`dvc repro` would have nothing to do for the stage, and something else as soon as it would. Whoever reports a
materialization names the observation UNCHANGED that it goes with. Dagster then calls the stage stale exactly while the
newest observation says something else, whatever has changed: a parameter, a line of code, a raw file, an out.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of an asset's arguments.
import warnings
from collections.abc import Mapping

import dagster as dg

from pipelines.resources import DvcCli
from pipelines.stages import DvcStage, Status, digest

STATUS_KEY = dg.AssetKey("dvc_status")
UNCHANGED = "unchanged"
DATA_VERSION, CODE_VERSION = "dagster/data_version", "dagster/code_version"
_INPUT, _POINTER = "dagster/input_data_version", "dagster/input_event_pointer"


def status_asset(keys: Mapping[str, dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset that all stages of a repository share. Observing it asks DVC at once, without the sensor."""

    spec = dg.AssetSpec(
        STATUS_KEY,
        description="What `dvc status` says of each stage: code, parameters, raw files and outs against dvc.lock.",
        group_name="dvc",
        kinds={"dvc"},
        skippable=True,  # what is observed is reported for each partition, and nothing is left to return
        partitions_def=dg.StaticPartitionsDefinition([partition(key) for key in keys.values()]),
    )

    def dvc_status(context: dg.AssetExecutionContext, dvc: DvcCli) -> None:
        for address, key in keys.items():
            observe(context.instance, key, dvc.status(address))

    with warnings.catch_warnings():
        # Dagster marks the decorator as beta; without it an automation condition sees no observation.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        made: dg.AssetsDefinition = dg.multi_observable_source_asset(specs=[spec], name="dvc_status")(dvc_status)
    return made


def status_dep(key: dg.AssetKey) -> dg.AssetDep:
    """The dependency of one stage's asset on its own partition."""
    return dg.AssetDep(STATUS_KEY, partition_mapping=dg.SpecificPartitionsPartitionMapping([partition(key)]))


def partition(key: dg.AssetKey) -> str:
    """The partition of `dvc_status` that belongs to the asset `key`."""
    return key.to_user_string()


def observation(key: dg.AssetKey, status: Status) -> dg.AssetObservation:
    """What DVC says of one stage now."""
    version = f"changed-{digest(status.changes)}" if status.changes else UNCHANGED
    return dg.AssetObservation(
        STATUS_KEY,
        partition=partition(key),
        description="; ".join(status.changes) or "dvc repro has nothing to do",
        metadata={"changed": list(status.changes), "outs that are not here as dvc.lock has them": list(status.astray)},
        tags={DATA_VERSION: version},
    )


def last_observation(instance: dg.DagsterInstance, key: dg.AssetKey) -> tuple[str | None, int]:
    """The data version and the storage id of the newest observation of one stage; None and 0 where there is none."""
    wanted = dg.AssetRecordsFilter(STATUS_KEY, asset_partitions=[partition(key)])
    for record in instance.fetch_observations(wanted, limit=1).records:
        seen = record.asset_observation
        return (seen.tags or {}).get(DATA_VERSION) if seen else None, record.storage_id
    return None, 0


def observe(instance: dg.DagsterInstance, key: dg.AssetKey, status: Status) -> bool:
    """Record what DVC says of a stage, unless the newest observation says the same. Returns whether it is news."""
    event = observation(key, status)
    news = last_observation(instance, key)[0] != (event.tags or {})[DATA_VERSION]
    if news:
        instance.report_runless_asset_event(event)
    return news


def provenance(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Tags for a materialization of `key`: it goes with the newest observation UNCHANGED, made here where need be."""
    observe(instance, key, Status((), ()))
    name = STATUS_KEY.to_user_string()
    return {f"{_INPUT}/{name}": UNCHANGED, f"{_POINTER}/{name}": str(last_observation(instance, key)[1])}


def input_tags(stage: DvcStage, keys: Mapping[str, dg.AssetKey], versions: Mapping[dg.AssetKey, str]) -> dict[str, str]:
    """Tags that say which versions of its upstream assets a materialization has read: `versions` by their keys.

    An input that was never materialized has the version that Dagster gives it in that case.
    """
    tags: dict[str, str] = {}
    for upstream in [keys[address] for address in stage.upstream]:
        tags[f"{_INPUT}/{upstream.to_user_string()}"] = versions.get(upstream, "INITIAL")
        tags[f"{_POINTER}/{upstream.to_user_string()}"] = "NULL"
    return tags


def same_inputs(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two sets of tags name the same upstream assets with the same versions, `dvc_status` aside."""
    own = f"{_INPUT}/{STATUS_KEY.to_user_string()}"

    def named(tags: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in tags.items() if name.startswith(f"{_INPUT}/") and name != own}

    return named(one) == named(other)

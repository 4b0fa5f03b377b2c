"""train --dry-run: what a training would cost, without writing anything."""

from __future__ import annotations

from aigc_core.ablation.estimate import clock
from aigc_core.config import Config
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.stages.train import training_job
from aigc_core.training.loop import choose_device, refuse_few_rows
from aigc_core.training.outlook import Outlook, look_ahead
from aigc_core.training.session import spec_of
from aigc_core.training.steps import build


def dry_run(config: Config, paths: Paths, family: str) -> StageResult:
    """Say parameters, shapes, memory and time of `aigc train <family>`. Raises what that would raise before its first step."""
    job = training_job(config, paths, family)
    batch = config.train.batch_size
    refuse_few_rows(len(job.data), batch)
    spec = spec_of(config, family, job.image, job.data.classes)
    device = choose_device(config.train.device)
    found = look_ahead(build(spec, config.train, device, config.seed), job.data, batch, config.seed)
    size = f"{spec.size} x {spec.size} px, {spec.channels} channels"
    preset = f"; preset {config.train.preset}" if config.train.preset else ""
    head = (
        f"{family} on {len(job.data):,} rows {job.data.of_classes}, {size}: {job.steps:,} steps of {batch} on "
        f"{device.type}, {job.steps * batch / len(job.data):.1f} passes over the rows{preset}"
    )
    facts = {"parameters": found.trained, "step_seconds": found.step_seconds, **found.memory}
    return StageResult("\n".join([head, *_table(found), *_costs(found, job.steps, batch)]), facts)


def _table(found: Outlook) -> list[str]:
    lines = [("layer", "kind", "parameters", "output")]
    lines += [(layer.name, layer.kind, f"{layer.parameters:,}", str(list(layer.output))) for layer in found.layers]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return [
        f"  {line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}  {line[2]:>{widths[2]}}  {line[3]}".rstrip()
        for line in lines
    ]


def _costs(found: Outlook, steps: int, batch: int) -> list[str]:
    memory = "; ".join(f"{name} {_size(value)}" for name, value in found.memory.items())
    seconds = found.step_seconds * steps
    return [
        f"parameters: {found.trained:,} are trained, {found.kept:,} are saved",
        f"memory: about {_size(sum(found.memory.values()))} beside what Python and torch take ({memory})",
        f"disk: about {_size(found.checkpoint)} per checkpoint",
        f"time: about {clock(seconds)} ({1000 * found.step_seconds:.1f} ms a step, {batch / found.step_seconds:,.0f} images/s, "
        "measured now on this machine); nothing was written",
    ]


def _size(count: float) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"

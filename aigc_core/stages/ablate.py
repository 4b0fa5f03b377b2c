"""ablate: what did each data decision buy? Plans the study, freezes the plan, runs what is missing, writes the ledger."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from rich.console import Console

from aigc_core import ablation
from aigc_core.ablation import asked, cuts, estimate, live, runner, stopping, verdicts
from aigc_core.ablation.cells import CELL_SCHEMA, MEMORY, METRICS, to_table
from aigc_core.ablation.confirm import expected_cells
from aigc_core.ablation.lines import known_cells
from aigc_core.ablation.plan import Layout, Plan, check_unchanged, resolve
from aigc_core.ablation.study import Study
from aigc_core.ablation.verdicts import QUESTIONS
from aigc_core.config import Config, parse
from aigc_core.data.store import Version
from aigc_core.errors import ConfigError, DataError, NoStudyError
from aigc_core.evaluation.compare import Yardstick
from aigc_core.files import atomic_folder, digest, read_json, write_json, write_table
from aigc_core.paths import Paths
from aigc_core.records import Check, StageResult
from aigc_core.report import ablation as page
from aigc_core.stages.parts.classes import needs_classes
from aigc_core.tracking import Child, Tracker, open_tracker

#: Columns of the ledger that Dagster's narrow table shows.
SHORT = (
    "decision",
    "metric",
    "verdict",
    "effect",
    "low",
    "high",
    "p_holm",
    "smallest_visible",
    "rows_touched",
    "sentence",
)
FEW = 4  # failed cells that are named one by one
NOT_RUN = "not run: ablation.enabled is false in params.yaml; set it to true and run `dvc repro ablate`"


def ablate(
    config: Config,
    paths: Paths,
    *,
    plan_only: bool = False,
    seeds: int | None = None,
    sizes: list[float] | None = None,
    budget: str | None = None,
    plan: Path | None = None,
) -> StageResult:
    """Write data/ablation. `plan` is a frozen plan to run as it is; the others override params.yaml for this call.

    Where the data gives a study nothing to measure, the outs say so. Raises ConfigError or DataError where a stage is missing, a frozen plan no longer fits, or is asked to change.
    """
    if plan and (seeds or sizes or budget):
        raise ConfigError(
            f"{plan.name} is frozen and runs as it is: leave out --seeds, --sizes and --budget, or --plan"
        )
    if not config.ablation.enabled and not (plan_only or seeds or sizes or budget or plan):
        return _not_run(paths, NOT_RUN)
    changes = {"seeds": seeds, "sizes": sizes}
    config = _with(config, {name: value for name, value in changes.items() if value is not None})
    if paths.curated.exists():  # before what else is missing: no stage that could be run would help
        why = needs_classes(Version.open(paths.curated).card.classes, "the study, which also judges labels,")
        if why is not None:
            return _not_run(paths, why)
    _ready(paths)
    try:
        layout = check_unchanged(Plan.load(plan), paths) if plan else resolve(config, paths)
    except NoStudyError as error:  # clean data is no fault: the report says it and is made all the same
        why = f"not run: {error}"
        return StageResult(why) if plan_only else _not_run(paths, why)
    if not plan_only:
        runner.warm_up(runner.workers(config, len(runner.missing_cells(layout.plan, paths))))
    layout, yardstick = _prepared(layout, config, paths, budget)
    frozen = paths.work / "ablation" / "plan.json"
    layout.plan.save(frozen)
    if plan_only:
        return StageResult(
            f"planned {layout.plan.digest[:12]}: run it with `aigc ablate --plan {frozen.relative_to(paths.root)}`"
        )
    resolved = {**layout.plan.settings, "plan": layout.plan.digest}
    inputs = [paths.content, paths.ingested, paths.measures, paths.verdicts, paths.curated, paths.extractor]
    inputs += [paths.pretrained(layout.plan.model)] if layout.plan.start else []
    asked.record(layout.plan, paths)
    with open_tracker(config.tracking, paths, "ablate", resolved, inputs) as tracker:
        with live.watching(layout.plan, runner.workers(config, len(layout.plan.cells)), Console()) as watch:
            study = ablation.run(layout.plan, paths, config, watch, yardstick)
        write(study, layout.plan, paths)
        track(study, paths, tracker)
    return StageResult(summary(study), {"cells": len(study.cells), "void": float(bool(study.void))})


def _ready(paths: Paths) -> None:
    """Raise DataError where a stage has not run whose outs a plan is made of, naming all of them at once."""
    stages = {
        "ingest": paths.ingested,
        "extractor": paths.extractor,
        "measure": paths.measures,
        "curate": paths.curated,
    }
    missing = [stage for stage, place in stages.items() if not place.exists()]
    if missing:
        raise DataError(
            "a study is planned from rows that were read and judged, and from the extractor that measures their models; "
            f"missing: {', '.join(f'data/{stages[stage].name}' for stage in missing)}; run `dvc repro {' '.join(missing)}` "
            "(nothing is trained by it but the extractor), then plan again"
        )


def _with(config: Config, changes: dict[str, Any]) -> Config:
    """The configuration with other values in `ablation`. Raises ConfigError as params.yaml does."""
    if not changes:
        return config
    return parse({**config.model_dump(), "ablation": {**config.ablation.model_dump(), **changes}})


def _prepared(layout: Layout, config: Config, paths: Paths, budget: str | None) -> tuple[Layout, Yardstick | None]:
    """Print the plan with its cost; with a budget, the plan that fits it, and what that costs in power.

    Returns the yardstick too, where a timed run made one.
    """
    console, wanted, yardstick = Console(), layout.plan, None
    fitting = _remembered(wanted, paths, budget) if budget is not None else None
    if fitting:
        layout = resolve(_with(config, fitting), paths)
    cost = estimate.past_cost(layout.plan, paths)
    if cost is None:
        told = "no cell of this study has run here yet: measuring what real images get, then timing a short training"
        console.print(told, highlight=False, soft_wrap=True)
        yardstick = runner.make_yardstick(layout, paths, config)
        with live.busy(console, f"timing {estimate.PILOT_STEPS} steps of training and two evaluations"):
            cost = estimate.pilot(layout, paths, runner.make_bench(layout, paths, config, yardstick))
    processes = runner.workers(config, max(1, len(runner.missing_cells(layout.plan, paths))))
    if budget is not None:
        if fitting is None:
            known = known_cells(wanted, paths)
            seeds, steps = estimate.fit_budget(
                wanted, expected_cells(wanted, known), known.keys(), cost, processes, estimate.seconds_of(budget)
            )
            looks = [look for look in config.ablation.looks if look < seeds]
            fitting = {"seeds": seeds, "steps": steps, "looks": looks}
            layout = resolve(_with(config, fitting), paths)
            _remember(wanted, paths, budget, fitting)
        before = estimate.look_ahead(wanted, paths, config.ablation, cost, processes)
        console.print(_price(wanted, layout.plan, before), highlight=False, soft_wrap=True)
    outlook = estimate.look_ahead(layout.plan, paths, config.ablation, cost, processes)
    live.show_plan(layout.plan, outlook, console)
    for text in asked.in_words(layout.plan, paths):
        console.print(text, highlight=False, markup=False, style="yellow", soft_wrap=True)
    return layout, yardstick


def _budget_file(paths: Paths) -> Path:
    return paths.work / "ablation" / "budget.json"


def _asked(wanted: Plan, budget: str) -> dict[str, Any]:
    # Not the plan's own digest: it holds the reason for which a family is studied, which an evaluation changes in words alone.
    cells = [line["cell"] for line in wanted.cells]
    return {"study": digest([cells, wanted.settings["ablation"]["looks"]]), "seconds": estimate.seconds_of(budget)}


def _remembered(wanted: Plan, paths: Paths, budget: str) -> dict[str, Any] | None:
    """The seeds and steps that this budget led to before: another timed run would choose others, and run all cells anew."""
    asked = _asked(wanted, budget)
    try:
        known = read_json(_budget_file(paths))
        return dict(known["chosen"]) if known["asked"] == asked else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _remember(wanted: Plan, paths: Paths, budget: str, chosen: dict[str, Any]) -> None:
    write_json(_budget_file(paths), {"asked": _asked(wanted, budget), "chosen": chosen})


def _price(wanted: Plan, fitting: Plan, before: estimate.Outlook) -> str:
    """What a budget changed, and what that costs."""
    lines = []
    if len(fitting.seeds) < len(wanted.seeds):
        now = estimate.visible(before.spread, len(fitting.seeds), fitting)
        lines.append(
            f"{len(fitting.seeds)} seeds instead of {len(wanted.seeds)}: the smallest change of the distance that can be seen grows from "
            f"{100 * before.visible:.0f} to {100 * now:.0f} %"
        )
    if fitting.steps < wanted.steps:
        lines.append(
            f"{fitting.steps:,} steps instead of {wanted.steps:,}: the verdicts are about a training that is cut shorter"
        )
    dropped = [look for look in wanted.settings["ablation"]["looks"] if look >= len(fitting.seeds)]
    if dropped:
        lines.append(f"no look after {', '.join(map(str, dropped))} seeds")
    if not lines:
        return "budget: the whole study fits"
    return f"budget: {'; '.join(lines)}; a study that is looked at and then made larger is two looks: {asked.chance(2)}"


def _not_run(paths: Paths, why: str) -> StageResult:
    """The outs of a stage that is switched off or cannot be run, saying so."""
    checks = [Check(name, question, "warning", False, None, why) for name, question in QUESTIONS.items()]
    with atomic_folder(paths.ablation) as folder:
        write_json(folder / "plan.json", {"ran": False, "why": why})
        write_json(folder / "ledger.json", {"ran": False, "why": why})
        write_json(folder / "checks.json", {"checks": [asdict(check) for check in checks]})
        write_json(folder / "headline.json", {})
        write_table(folder / "cells.parquet", pa.Table.from_pylist([], CELL_SCHEMA))
    return StageResult(why)


def write(study: Study, plan: Plan, paths: Paths) -> None:
    """The outs: no time and no address among them, so that equal cells make equal bytes."""
    facts = study.to_dict()
    ran = set(study.cells["arm"])  # cells of other arms may be known from another study
    pictures = {arm: pixels for arm, pixels in runner.samples(plan, paths).items() if arm in ran}
    with atomic_folder(paths.ablation) as folder:
        plan.save(folder / "plan.json")
        write_table(folder / "cells.parquet", to_table(study.cells))
        write_json(folder / "ledger.json", {"ran": True, **facts})
        write_json(folder / "checks.json", {"checks": facts["checks"]})
        write_json(folder / "headline.json", headline(facts["ledger"]))
        study.ledger[[name for name in SHORT if name in study.ledger]].round(4).to_csv(
            folder / "ledger.csv", index=False, lineterminator="\n"
        )
        page.write(facts, pictures, folder)
    # Seconds and earlier studies are no part of an out; this page beside it has them.
    timed = {**study.to_dict(timing=True), "looks": asked.in_words(plan, paths)}
    page.write_timed(timed, paths.ablation, paths.work / "ablation" / "ledger.html")


def headline(ledger: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What DVC compares between versions: per decision how many times nearer to real images, the 95 % interval, and the conclusion."""
    kept = {
        "effect": "times_nearer",
        "low": "low",
        "high": "high",
        "full_effect": "at_full_budget",
        "verdict": "conclusion",
    }
    lines = [line for line in ledger if line["metric"] == verdicts.PRIMARY]
    return {
        line["decision"]: {name: line[key] for key, name in kept.items() if line.get(key) is not None} for line in lines
    }


def track(study: Study, paths: Paths, tracker: Tracker) -> None:
    """The ledger as a table, the page, and a child run for every cell."""
    tracker.tags(
        {"plan": str(study.plan["digest"]), "void": str(bool(study.void)), "headline": study.headline.sentence[:500]}
    )
    facts = study.to_dict(timing=True)
    if facts["look"] is not None:
        tracker.tags({"look": f"{facts['look']['number']} of {facts['look']['of']}"})
    tracker.table("ledger.json", facts["ledger"])
    tracker.table("sweep.json", cuts.table(facts["sweeps"]))
    tracker.children([_child(line, study) for line in study.cells.to_dict("records")])
    tracker.artifact(paths.ablation, "study")


def _child(line: dict[Any, Any], study: Study) -> Child:
    names = [name for name in (*METRICS, *MEMORY, "seconds") if not pd.isna(line.get(name))]
    tags = {"arm": line["arm"], "kind": line["kind"], "seed": str(line["seed"]), "digest": line["cell"], "stage": "ablate-cell",
            "plan": str(study.plan["digest"])}  # fmt: skip
    failed = not pd.isna(line["error"])
    if failed:
        tags["error"] = str(line["error"])
    metrics = {name: float(line[name]) for name in names} | {"rows": float(line["rows"])}
    return Child(f"{line['arm']}/{line['seed']}", metrics, tags, failed)


def summary(study: Study) -> str:
    """The headline, at which look it ended, a sentence per decision on the primary metric and per sweep, which cells failed."""
    primary = study.ledger[study.ledger["metric"] == study.plan["primary"]] if len(study.ledger) else study.ledger
    failed = study.cells[study.cells["error"].notna()]
    look = stopping.in_words(study)
    told = [*([look["sentence"]] if look else []), *primary.get("sentence", [])]
    told += [one.sentence for one in study.sweeps]
    for error, own in failed.groupby("error"):
        arms = ", ".join(f"{arm}/{seed}" for arm, seed in zip(own["arm"], own["seed"], strict=True))
        told.append(f"Failed ({arms if len(own) <= FEW else f'{len(own)} cells'}): {error}.")
    return "\n".join([study.headline.sentence, *(f"  {text}" for text in told)])

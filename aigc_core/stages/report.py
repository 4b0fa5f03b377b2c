"""report: everything on one page, once without addresses (an out) and once with links to this machine's runs."""

from __future__ import annotations

import os
from typing import Any

import pyarrow.parquet as pq

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.evaluation.comparability import refuse_families
from aigc_core.evaluation.opinions import opposite_order
from aigc_core.files import atomic_file, read_json
from aigc_core.paths import FAMILIES, Paths
from aigc_core.quality.decisions import BY_HAND
from aigc_core.quality.reasons import REASONS
from aigc_core.records import StageResult
from aigc_core.report import ablation, facts, groups, instrument, measures, page, verdict
from aigc_core.stages.parts.tiles import Tiles

#: Where `make ui` shows the runs, unless it had to take another port and says so in AIGC_MLFLOW_UI.
MLFLOW_PAGE = "http://127.0.0.1:5000"


def report(config: Config, paths: Paths) -> StageResult:  # noqa: ARG001  (no parameter changes the page)
    """Write data/report/report.html and .work/report/report.html. Raises DataError where a stage has not run yet."""
    found = gather(paths)
    for target, links in ((paths.report, {}), (paths.linked_report, run_links(paths))):
        text = page.render({**found, "links": links})
        with atomic_file(target) as scratch:
            scratch.write_text(text)
    return StageResult(
        f"{found['verdict'].headline} Page: {paths.linked_report.relative_to(paths.root)}",
        {"bytes": paths.report.stat().st_size},
    )


def gather(paths: Paths) -> dict[str, Any]:
    """All that the page shows, but the links."""
    data = facts.data_facts(paths, {**REASONS, **BY_HAND})
    gate = facts.gate_summary(data["gate"])
    evaluations, finetunings = facts.evaluations(paths), facts.finetunings(paths)
    refuse_families(evaluations)
    models, versions = facts.models(paths), facts.versions(paths)
    card = read_json(facts.require(paths.extractor / "extractor.json", "extractor"))
    families = [_family(family, models, evaluations, finetunings) for family in FAMILIES]
    metrics = {family: found["metrics"] for family, found in evaluations.items()}
    return {
        "verdict": verdict.judge(
            metrics,
            {family: found["facts"] for family, found in evaluations.items()},
            {family: found["memorization"]["reasons"] for family, found in evaluations.items()},
        ),
        "release_sentence": verdict.release_words(
            {family: found["memorization"]["passed"] for family, found in evaluations.items()}
        ),
        "data_sentence": verdict.judge_data(
            data["read"], data["kept"], data["quarantined"], gate["warning"], data["gate"]["success"]
        ),
        "data": data,
        "gate_counts": gate,
        "quarantine": page.quarantine_tiles(paths.quarantine / "part-0.parquet", _details(paths)),
        **_pictures(paths),
        "drift": facts.drift_lines(data["gate"]),
        "sheet": page.picture(facts.require(paths.augmented / "sheet.png", "augment")),
        "families": families,
        "unlabelled": any("need_labels" in family["facts"] for family in families),
        "final": _final(facts.final(paths)),
        "measures": measures.rows(families),
        "alarms": alarms(evaluations),
        "versions": versions,
        "ablation": ablation.from_folder(paths.data / "ablation"),
        "extractor": card,
        "instrument": instrument.page_facts(card),
        "runs": _runs(models, facts.final(paths)),
    }


def alarms(evaluations: dict[str, Any]) -> list[str]:
    """Where the second opinions contradict the domain extractor: of one model, and in the order of models."""
    named = {verdict.name_of(family): found["opinions"] for family, found in evaluations.items()}
    own = [f"{verdict.name_of(family)}: {text}" for family, found in evaluations.items() for text in found["alarms"]]
    return own + opposite_order(named)


def run_links(paths: Paths) -> dict[str, dict[str, str]]:
    """Run name (`train@gan`) to the name and address of its MLflow run on this machine; empty without tracking."""
    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    shown = store if store.startswith("http") else os.environ.get("AIGC_MLFLOW_UI", MLFLOW_PAGE)
    base = shown.rstrip("/")
    links = {}
    for path in sorted((paths.work / "runs").glob("*.json")):
        run = read_json(path)
        address = f"{base}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"
        links[path.stem] = {"name": run["name"], "address": address}
    return links


def _pictures(paths: Paths) -> dict[str, Any]:
    """Groups of copies and warned rows, with pictures from the content store."""
    verdicts = pq.read_table(paths.verdicts / "part-0.parquet")
    shown, total = groups.groups(verdicts)
    warned = groups.warned(verdicts, REASONS)
    tiles = Tiles.read(paths, Version.open(paths.ingested), verdicts, groups.wanted(shown, warned))
    pictured, sheets = groups.drawn(shown, warned, tiles.tile, tiles.beside)
    return {"groups": pictured, "groups_total": total, "warned": sheets}


def _details(paths: Paths) -> dict[str, str]:
    """Row id to the text that came with the verdict that it cannot be decoded."""
    table = pq.read_table(paths.verdicts / "part-0.parquet", columns=["id", "measure", "detail"])
    return {row["id"]: row["detail"] for row in table.to_pylist() if row["measure"] == "error" and row["detail"]}


def _family(
    family: str, models: dict[str, Any], evaluations: dict[str, Any], finetunings: dict[str, Any]
) -> dict[str, Any]:
    """What the page shows of one family."""
    trained, evaluated = models[f"train@{family}"], evaluations[family]
    return {
        "id": family,
        "name": verdict.name_of(family),
        "model": trained,
        "charts": page.charts({verdict.name_of(family): trained["curve"]}),
        "samples": page.picture(trained["samples"]),
        "metrics": evaluated["metrics"],
        "distance": verdict.distance_words(evaluated["metrics"]),
        "pool": verdict.pool_words(evaluated["metrics"], evaluated["facts"]["train_rows"]),
        "facts": evaluated["facts"],
        "copy_ratio": verdict.copy_ratio(evaluated["facts"]),
        "per_class": evaluated["per_class"],
        **{name: page.picture(evaluated[name]) for name in ("nearest", "classes", "closest", "likeness_sheet")},
        **{name: evaluated[name] for name in ("opinions", "memorization", "likeness", "latents")},
        "latent_pictures": {name: page.picture(place) for name, place in evaluated["latent_pictures"].items()},
        "bound": measures.bound_words(evaluated["metrics"]),
        "memorization_rows": measures.memorization_rows(evaluated["memorization"]),
        "memorization_left_out": measures.left_out_words(evaluated["memorization"]),
        "worst": measures.worst_words(evaluated["metrics"], evaluated["facts"].get("worst_class", {})),
        **_finetuned(family, models, finetunings[family]),
    }


def _finetuned(family: str, models: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of one family on the small target, or why there is nothing to show."""
    if "why" in tuned:
        return {"finetune_not_run": tuned["why"]}
    arms = {arm: models[f"finetune@{family}-{arm}"] for arm in ("tuned", "scratch")}
    return {
        "finetune_not_run": "",
        "arms": [
            (name, tuned[arm]) for name, arm in (("pre-trained, then tuned", "tuned"), ("from scratch", "scratch"))
        ],
        "pretrained": models[f"pretrain@{family}"],
        "tuned_model": arms["tuned"],
        "target": tuned["target"],
        "finetune_sentence": verdict.judge_finetune(family, tuned["tuned"], tuned["scratch"]),
        "finetune_charts": page.charts({arm: model["curve"] for arm, model in arms.items()}),
        "finetune_classes": page.picture(tuned["classes"]),
    }


def _final(found: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of the final model."""
    if not found["made"]:
        return found
    copies = found["report"]
    return {
        **found,
        "name": verdict.name_of(found["family"]),
        "distance": verdict.distance_words(found["evaluated"]),
        "samples": page.picture(found["samples"]),
        "closest": page.picture(found["closest"]) if found["closest"] else None,
        "memorization_rows": measures.memorization_rows(copies) if copies else [],
        "memorization_left_out": measures.left_out_words(copies) if copies else "",
    }


def _runs(models: dict[str, Any], final: dict[str, Any]) -> list[dict[str, str]]:
    """Every tracked run with what identifies it without an address."""
    lines = [
        {"name": name, "kind": "configuration", "identity": model["card"]["config_digest"]}
        for name, model in models.items()
    ]
    for family in FAMILIES:
        weights = models[f"train@{family}"]["card"]["weights_sha256"][:16]
        lines.append({"name": f"evaluate@{family}", "kind": "weights", "identity": weights})
        if f"finetune@{family}-tuned" in models:
            tuned = models[f"finetune@{family}-tuned"]["card"]["weights_sha256"][:16]
            lines.append({"name": f"evaluate_finetune@{family}", "kind": "tuned weights", "identity": tuned})
    if final["made"]:
        lines.append({"name": "final", "kind": "configuration", "identity": final["card"]["config_digest"]})
    return lines

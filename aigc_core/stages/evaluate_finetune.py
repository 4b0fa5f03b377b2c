"""evaluate_finetune: hold the fine-tuned model and the one from scratch to the same yardstick of the target."""

from __future__ import annotations

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.evaluation.classifier import pick_device
from aigc_core.evaluation.comparability import identity_digest
from aigc_core.evaluation.headline import headline
from aigc_core.files import atomic_folder, read_json, write_json
from aigc_core.models.zoo import load_model
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.stages.evaluate import (
    comparison_facts,
    draw_classes,
    in_words,
    make_yardstick,
    write_lines,
    write_memorization,
)
from aigc_core.stages.parts.classes import leave_out, why_not_run
from aigc_core.tracking import open_tracker

VARIANTS = ("tuned", "scratch")


def evaluate_finetune(config: Config, paths: Paths, family: str) -> StageResult:
    """Write data/evaluation_finetune/{family}: metrics.json and headline.json with `tuned` and `scratch`, and details.

    The real values use every curated training row of the target's classes, more than the small target that the
    models saw; memorization is judged by what they saw. Raises DataError where there are too few images, or fine-tuning has not run.
    """
    source, place = paths.finetuned(family), paths.evaluation_finetune(family)
    why = why_not_run(source)
    if why is not None:
        with atomic_folder(place / "details") as folder:
            leave_out(folder, why)
        write_json(place / "metrics.json", {})
        write_json(place / "headline.json", {})
        return StageResult(why)
    if not (source / "target.json").exists():
        raise DataError(f"{family} is not fine-tuned yet: run `aigc finetune {family}` first")
    target = read_json(source / "target.json")
    device = str(pick_device(config.train.device))
    models = {name: load_model(source / name, device=device) for name in VARIANTS}
    version = Version.open(paths.curated)
    yardstick = make_yardstick(config, paths, version, list(target["classes"]), device, set(target["ids"]))
    judged = {name: yardstick.judge(model.sample) for name, model in models.items()}
    facts = comparison_facts(yardstick, version) | {
        "model_sha256": {name: model.card["weights_sha256"] for name, model in models.items()},
        "target_rows": len(target["ids"]),
        "worst_class": {name: judgement.worst for name, judgement in judged.items()},
    }
    metrics = {name: judgement.metrics for name, judgement in judged.items()}
    inputs = [paths.content, paths.curated, paths.verdicts, paths.extractor, source]
    settings = {"seed": config.seed, "family": family, "evaluate": config.evaluate.model_dump()}
    with open_tracker(config.tracking, paths, f"evaluate_finetune@{family}", settings, inputs) as tracker:
        with atomic_folder(place / "details") as folder:
            draw_classes(folder / "classes.png", yardstick, [(name, judged[name]) for name in VARIANTS])
            for name in VARIANTS:
                write_lines(folder / f"per_class_{name}.csv", judged[name].per_class)
                write_memorization(folder, yardstick, judged[name], f"_{name}")
            write_json(folder / "facts.json", facts)
        write_json(place / "metrics.json", metrics)
        write_json(place / "headline.json", {name: headline(values, facts) for name, values in metrics.items()})
        tracker.tags({"comparable": identity_digest(facts)})
        # The tuned model carries the plain names, so that runs of all stages line up in one table.
        tracker.metrics({**metrics["tuned"], **{f"scratch_{k}": v for k, v in metrics["scratch"].items()}}, 0)
        tracker.image(place / "details" / "classes.png", "classes")
    flat = {f"{name}_{key}": value for name, values in metrics.items() for key, value in values.items()}
    summary = "; ".join(f"{family} {name}: {in_words(metrics[name])}" for name in VARIANTS)
    return StageResult(summary, flat, facts)

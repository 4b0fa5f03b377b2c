"""Whether a model may be released: the memorization gate's answer, bound to the weights that it was given for.

Not a stage: `evaluate` writes the answer, `generate` asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from aigc_core.errors import DataError, GateError
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.records import Check

Memorization = Literal["passed", "failed", "unknown"]


def memorization_of(paths: Paths, family: str, weights: str) -> tuple[Memorization, list[str]]:
    """The gate's answer for these weights, with its reasons; unknown where they have not been evaluated."""
    details = paths.evaluation(family) / "details"
    report, facts = details / "memorization.json", details / "facts.json"
    if not report.is_file() or not facts.is_file():
        return "unknown", [f"the {family} model has not been through the memorization gate"]
    if read_json(facts).get("model_sha256") != weights:
        return "unknown", [f"the {family} model was trained again since it went through the memorization gate"]
    answer = read_json(report)
    return ("passed" if answer["passed"] else "failed"), [str(reason) for reason in answer["reasons"]]


def require_release(paths: Paths, family: str, weights: str, *, allowed: bool) -> Memorization:
    """The answer that goes into the mark. Raises GateError where it is not `passed` and that is not `allowed`."""
    answer, reasons = memorization_of(paths, family, weights)
    if answer == "passed" or allowed:
        return answer
    said = "; ".join(reason.rstrip(".") for reason in reasons)
    if answer == "unknown":
        raise GateError(
            f"{said}: run `aigc evaluate {family}` first, or pass --allow-memorized to generate without its answer, "
            "which the files then say"
        )
    raise GateError(
        f"the {family} model failed the memorization gate ({said}): train it on more or more varied data, or for fewer "
        "steps, or pass --allow-memorized to generate all the same, which the files then say"
    )


def require_final(paths: Paths, *, allowed: bool) -> Memorization:
    """As `require_release`, of the model that `aigc final` made; its own check decides.

    Raises GateError also where there is none, DataError where the stage has not run.
    """
    place = paths.final / "final.json"
    if not place.is_file():
        raise DataError("there is no final model yet: run `aigc final`, or `dvc repro`")
    facts = read_json(place)
    if not facts["made"]:
        raise GateError(f"there is no final model to generate with: {facts['why']}")
    answer: Memorization = facts["memorization"]
    if answer == "passed" or allowed:
        return answer
    said = "; ".join(str(reason).rstrip(".") for reason in facts["reasons"])
    raise GateError(
        f"the final model did not pass its memorization check ({said}): generate with `--model {facts['family']}`, which did, "
        "or pass --allow-memorized to generate all the same, which the files then say"
    )


def evaluation_checks(memorization: Mapping[str, Any], alarms: list[str]) -> dict[str, Any]:
    """The report that Dagster's asset checks of `evaluate` read: is it released, and do the extractors agree."""
    reasons = [str(reason) for reason in memorization["reasons"]]
    checks = [
        Check(
            "memorization",
            "No more samples are close to training images than chance and images never seen explain: the condition of release.",
            "warning",
            bool(memorization["passed"]),
            "; ".join(reasons) or "nothing found",
            "copy rate, closest and preference inside evaluate.memorization",
        ),
        Check(
            "extractors_agree",
            "The second opinions (random convolutions, pixels) say roughly what the domain extractor says.",
            "warning",
            not alarms,
            " ".join(alarms) or "they agree",
            "distance over floor within evaluate.alarm_ratio of the domain extractor's",
        ),
    ]
    return {"checks": [asdict(check) for check in checks]}

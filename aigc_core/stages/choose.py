"""choose: which family is released, and how it was trained.

A stage of its own, so that another result of a family that is not released trains nothing again: this out stays the same.
"""

from __future__ import annotations

from typing import Any

from aigc_core.config import Config
from aigc_core.errors import DataError
from aigc_core.files import read_json, write_json
from aigc_core.paths import FAMILIES, Paths
from aigc_core.records import StageResult
from aigc_core.stages.parts.release import memorization_of


def choose(config: Config, paths: Paths) -> StageResult:  # noqa: ARG001  (no parameter decides it)
    """Write data/release.json: of the families that passed the memorization gate the one nearest to real images, or why none is.

    Raises DataError where one has not been trained or evaluated.
    """
    passed, withheld = _verdicts(paths)
    family = min(passed, key=lambda name: passed[name]["fd_over_floor"], default=None)
    if family is None:
        why = "; ".join(f"the {name} is withheld ({said})" for name, said in withheld.items())
        write_json(paths.release, {"family": None, "why": why})
        return StageResult(f"no family is released: {why}")
    card = read_json(paths.model(family) / "model.json")
    facts = {name: card[name] for name in ("step", "weights_sha256", "settings")}
    write_json(paths.release, {"family": family, "evaluated": passed[family], **facts})
    return StageResult(f"the {family} is released: {passed[family]['fd_over_floor']:.2f} times what real images get")


def _verdicts(paths: Paths) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The metrics of the families that the gate passed, and why the others were withheld."""
    passed, withheld = {}, {}
    for family in FAMILIES:
        place = paths.model(family) / "model.json"
        if not place.exists():
            raise DataError(f"there is no trained {family} yet: run `aigc train {family}` first, or `dvc repro`")
        answer, reasons = memorization_of(paths, family, read_json(place)["weights_sha256"])
        if answer == "unknown":
            raise DataError(f"{'; '.join(reasons)}: run `aigc evaluate {family}` first, or `dvc repro`")
        if answer == "passed":
            passed[family] = read_json(paths.evaluation(family) / "metrics.json")
        else:
            withheld[family] = "; ".join(reason.rstrip(".") for reason in reasons)
    return passed, withheld

"""The ledger of a study, line by line: one decision on one metric, in numbers and in a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aigc_core.ablation import verdicts
from aigc_core.ablation.verdicts import PRIMARY, Effect

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study

FULL = "full"
#: Numbers that a line of the ledger has even where nothing is known.
_NUMBERS = (
    "effect", "low", "high", "p", "p_holm", "p_better", "p_better_low", "p_better_high", "smallest_visible", "spread_paired",
    "spread_unpaired", "control_effect", "control_low", "control_high", "worth_images", "worth_low", "worth_high",
)  # fmt: skip
_NOTHING: dict[str, Any] = {
    "pairs": 0,
    "lost": 0,
    "worth": "",
    "words": "not measured",
    **dict.fromkeys(_NUMBERS, math.nan),
}


def line(study: Study, decision: str, metric: str) -> dict[str, Any]:
    """What the ledger says of one decision on one metric: numbers, verdict, sentence, cost."""
    arm, effect = study.treatment(decision), study.effects.get((decision, metric))
    own = study.cells[study.cells["arm"] == arm]
    one: dict[str, Any] = {"decision": decision, "metric": metric, "verdict": verdicts.NO_VERDICT}
    one |= {"rows_touched": int(own["rows_touched"].max()), "seconds": _seconds(study, arm)}
    if effect is None:
        errors = own["error"].dropna()
        why = str(errors.iloc[0]) if len(errors) else f"no cell has {metric}"
        one["sentence"] = f"{verdicts.title(decision)}: no verdict, no pair of cells was finished ({why})."
        return {**_NOTHING, **one, "lost": len(own)}
    gain = effect.gain
    one |= {
        "effect": gain.mean, "low": gain.low, "high": gain.high, "pairs": gain.n, "lost": effect.lost,
        "p": gain.p, "p_holm": effect.adjusted, "p_better": effect.chance.value,
        "p_better_low": effect.chance.low, "p_better_high": effect.chance.high,
        "spread_paired": gain.spread, "spread_unpaired": effect.unpaired, "smallest_visible": effect.visible,
    }  # fmt: skip
    one["verdict"] = verdicts.VOID if study.void else effect.verdict
    one["sentence"] = _sentence(study, decision, effect, one["rows_touched"])
    one["words"] = verdicts.brief(gain, metric)
    return {**_NOTHING, **one, **(_primary_columns(study, decision) if metric == PRIMARY else {})}


def _sentence(study: Study, decision: str, effect: Effect, touched: int) -> str:
    primary = effect.metric == PRIMARY
    text = verdicts.sentence(decision, effect, study.smallest, study.memory[decision] if primary else ())
    if primary:
        text = f"{text} {verdicts.against_random(decision, study.controls.get(decision), study.brings_rows(decision))}".strip()
        if touched == 0 and effect.gain.mean == 0 and effect.gain.spread == 0:
            text = f"{verdicts.title(decision)} changes no row of this data, so that there is nothing to measure."
    if study.void:
        text = f"Void, the study cannot be believed. What it would have said: {text}"
    return upper(text)


def _primary_columns(study: Study, decision: str) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    control, worth = study.controls.get(decision), study.worth(decision)
    if control:
        columns |= {"control_effect": control.mean, "control_low": control.low, "control_high": control.high}
    if worth:
        columns |= {"worth_images": worth.images, "worth_low": worth.low, "worth_high": worth.high}
        columns["worth"] = worth.sentence
    return columns


def _seconds(study: Study, arm: str) -> float:
    """Compute of a full cell beyond one without the decision; NaN where the cells do not have their time."""
    if "seconds" not in study.cells.columns:
        return math.nan
    means = study.finished.groupby("arm")["seconds"].mean()
    return float(means.get(FULL, math.nan) - means.get(arm, math.nan))


def upper(text: str) -> str:
    """The text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]

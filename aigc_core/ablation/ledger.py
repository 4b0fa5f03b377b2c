"""The ledger of a study, line by line: one decision on one metric, in numbers and in a sentence.

On fd `effect`, `low`, `high`, the control's and `smallest_visible` are ratios of distances, without over with the
decision: above 1 is better with it. On the other metrics they are differences of shares.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aigc_core.ablation import verdicts, words
from aigc_core.ablation.cells import FULL
from aigc_core.ablation.statistics import Estimate
from aigc_core.ablation.verdicts import PRIMARY, Effect

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study

#: Numbers that a line of the ledger has even where nothing is known.
_NUMBERS = (
    "effect", "low", "high", "p", "p_holm", "p_better", "p_better_low", "p_better_high", "smallest_visible", "spread_paired",
    "spread_own", "spread_unpaired", "floors", "control_effect", "control_low", "control_high", "kind_low", "kind_high",
    "full_effect", "full_low", "full_high", "worth_images", "worth_low", "worth_high",
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
    arm, effect = study.pairs.treatment(decision), study.effects.get((decision, metric))
    own = study.cells[study.cells["arm"] == arm]
    one: dict[str, Any] = {"decision": decision, "metric": metric}
    one |= {"rows_touched": int(own["rows_touched"].max()), "seconds": _seconds(study, arm)}
    if effect is None:
        return {**_NOTHING, **one, **_without_pairs(study, decision, metric), "lost": len(own)}
    gain = effect.gain
    one |= {
        **_ends("", gain, metric), "pairs": gain.n, "lost": effect.lost,
        "p": gain.p, "p_holm": effect.adjusted, "p_better": effect.chance.value,
        "p_better_low": effect.chance.low, "p_better_high": effect.chance.high, "spread_paired": gain.spread,
        "spread_own": effect.own_spread, "spread_unpaired": effect.unpaired, "smallest_visible": _shown(effect.visible, metric),
    }  # fmt: skip
    one["verdict"] = verdicts.VOID if study.void else effect.verdict
    one["sentence"] = _sentence(study, decision, effect, one["rows_touched"])
    one["words"] = words.brief(gain, metric)
    return {**_NOTHING, **one, **(_primary_columns(study, decision) if metric == PRIMARY else {})}


def _shown(value: float, metric: str) -> float:
    return math.exp(value) if metric == PRIMARY else value


def _ends(name: str, found: Estimate, metric: str = PRIMARY) -> dict[str, float]:
    """The three columns of an estimate; `name` is a prefix."""
    values = zip(("effect", "low", "high"), (found.mean, found.low, found.high), strict=True)
    return {f"{name}{column}": _shown(value, metric) for column, value in values}


def _without_pairs(study: Study, decision: str, metric: str) -> dict[str, Any]:
    """Verdict and sentence where no seed finished both arms."""
    failures = study.failures(decision)
    if metric == PRIMARY and failures.verdict:
        text = words.upper(words.failing(decision, failures))
        return {"verdict": verdicts.VOID if study.void else failures.verdict, "sentence": text}
    errors = study.cells.loc[study.cells["arm"] == study.pairs.treatment(decision), "error"].dropna()
    why = str(errors.iloc[0]) if len(errors) else f"no cell has {metric}"
    text = f"{words.title(decision)}: no verdict, no pair of cells was finished ({why})."
    return {"verdict": verdicts.NO_VERDICT, "sentence": text}


def _sentence(study: Study, decision: str, effect: Effect, touched: int) -> str:
    if effect.metric != PRIMARY:
        text = words.sentence(decision, effect, study.scale)
    elif touched == 0 and effect.gain.mean == 0 and effect.own_spread == 0:
        text = f"{words.title(decision)} changes no row of this data, so that there is nothing to measure."
    else:
        text = words.sentence(
            decision, effect, study.scale, study.memory[decision], study.failures(decision), study.blind
        )
        control = study.controls.get(decision)
        if control:
            text = f"{text} {words.against_random(decision, *control, study.pairs.brings_rows(decision))}"
    if study.void:
        text = f"Void, the study cannot be believed. What it would have said: {text}"
    return words.upper(text)


def _primary_columns(study: Study, decision: str) -> dict[str, Any]:
    columns: dict[str, Any] = {"floors": study.pairs.floors(decision)}
    control, worth = study.controls.get(decision), study.worth(decision)
    kind, full = study.rows_like_these(decision), study.confirmations.get(decision)
    if control:
        columns |= _ends("control_", control[0])
    if kind:
        columns |= {"kind_low": _shown(kind.low, PRIMARY), "kind_high": _shown(kind.high, PRIMARY)}
    if full:
        columns |= _ends("full_", full.full)
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

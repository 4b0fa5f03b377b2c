"""The one sentence at the top: collect, clean, augment or stop, and when the data cannot tell, that.

All gains are in floors: a distance (fd) over that of real images against real images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aigc_core.ablation.scaling import Band, Fit
from aigc_core.ablation.verdicts import COPYING, HURTS, PAYS, Effect, title

COLLECT, CLEAN, AUGMENT, PRETRAIN, KEEP, STOP = "collect", "clean", "augment", "pre-train", "keep", "stop"
DROP, CANNOT_TELL, VOID = "drop", "cannot tell", "void"

#: What a paying decision asks for; a decision of the user's own is kept by its name.
ACTIONS = {"curate": CLEAN, "deduplicate": CLEAN, "fix_labels": CLEAN, "augment": AUGMENT, "pretrain": PRETRAIN}
#: This one speaks of the amount of data, and is evidence for collecting only.
AMOUNT = "half_the_data"


@dataclass(frozen=True)
class Headline:
    """What to do, said in one sentence, with the evidence beside it."""

    action: str
    sentence: str
    evidence: list[str]


@dataclass(frozen=True)
class Finding:
    """A decision with its verdict on the primary metric."""

    decision: str
    effect: Effect

    def words(self) -> str:
        """`curation (+0.80 floors)`."""
        how = ", by copying" if self.effect.verdict == COPYING else ""
        return f"{title(self.decision)} ({self.effect.gain.mean:+.2f} floors{how})"


def headline(
    void: Sequence[str], findings: Sequence[Finding], fit: Fit, distance: Band, smallest: float, notes: Sequence[str] = ()
) -> Headline:  # fmt: skip
    """The headline from what is void, the decisions, the curve (in floors) and the distance of the full recipe (in floors).

    `smallest` is the smallest gain that matters; `notes` are further sentences of evidence.
    """
    evidence = [_distance_words(distance), _data_words(fit, smallest), *notes]
    if void:
        return Headline(VOID, f"This study is void and says nothing about the data: {'; '.join(void)}.", evidence)
    paying = sorted(
        (one for one in findings if one.effect.verdict == PAYS and one.effect.gain.mean >= smallest),
        key=lambda one: (-one.effect.gain.mean, one.decision),
    )
    hurting = [one for one in findings if one.decision != AMOUNT and _costs(one.effect, smallest)]
    asked = [one for one in paying if one.decision != AMOUNT]
    more = _more_data(fit, smallest)
    none = "no decision {}" if findings else "no decision was measured"
    action, sentence = _choose(asked, hurting, more, fit, distance, smallest, none)
    amount = [one for one in paying if one.decision == AMOUNT]
    if amount and more == "unknown":
        sentence += f" The second half of the data bought {amount[0].effect.gain.mean:+.2f} floors"
        sentence += "; a forecast of the next doubling takes five sizes." if fit.too_few else "."
    if hurting and action != DROP:
        sentence += f" Drop {', '.join(one.words() for one in hurting)}."
    return Headline(action, sentence, evidence)


def _costs(effect: Effect, smallest: float) -> bool:
    """Whether a decision is better dropped: it costs as much as matters, or pays by copying."""
    return effect.verdict == COPYING or (effect.verdict == HURTS and effect.gain.mean <= -smallest)


def _choose(
    asked: Sequence[Finding],
    hurting: Sequence[Finding],
    more: str,
    fit: Fit,
    distance: Band,
    smallest: float,
    none: str,
) -> tuple[str, str]:
    """Action and sentence; the largest gain comes first. `none` begins what is said where no decision pays."""
    best = asked[0].effect.gain.mean if asked else 0.0
    if more == "yes" and fit.gain(2).value > best:
        also = f" {_names(asked)} {'pays' if len(asked) == 1 else 'pay'} too." if asked else ""
        return COLLECT, f"Collect, this data is a gold mine: {_gain_words(fit)}.{also}"
    if asked:
        first = asked[0]
        action = ACTIONS.get(first.decision, KEEP)
        call = {CLEAN: "Clean", AUGMENT: "Augment", PRETRAIN: "Pre-train", KEEP: f"Keep {first.decision}"}[action]
        return (
            action,
            f"{call}: {_names(asked)} {'pays' if len(asked) == 1 else 'pay'}; {_about_more(more, fit, smallest)}.",
        )
    if distance.high <= 1 + smallest:
        return (
            STOP,
            f"Stop: the samples are as near to real images as this instrument can tell, and {none.format('improves them')}.",
        )
    if hurting:
        return (
            DROP,
            f"Drop {', '.join(one.words() for one in hurting)}: nothing here pays; {_about_more(more, fit, smallest)}.",
        )
    if more == "no":
        return (
            STOP,
            f"Stop, more of this data is a bubble: {_gain_words(fit)}, less than the {smallest:g} that matter, and {none.format('pays')}.",
        )
    return (
        CANNOT_TELL,
        f"This study cannot tell: {none.format('shows an effect that matters')}, and {_about_more(more, fit, smallest)}.",
    )


def _names(findings: Sequence[Finding]) -> str:
    words = [one.words() for one in findings]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _more_data(fit: Fit, smallest: float) -> str:
    """Whether twice the data buys what matters: yes, no, unsure, or unknown where no curve was fitted."""
    if fit.curves is None:
        return "unknown"
    gain = fit.gain(2)
    if gain.low >= smallest and gain.low > 0:
        return "yes"
    return "no" if gain.high < smallest else "unsure"


def _gain_words(fit: Fit) -> str:
    gain = fit.gain(2)
    return f"twice the data is forecast to buy {gain.value:.2f} floors ({gain.low:.2f} to {gain.high:.2f})"


def _about_more(more: str, fit: Fit, smallest: float) -> str:
    if more == "unknown":
        return f"what more data would buy {'was not measured' if fit.too_few else 'is open: no curve fits the sizes'}"
    words = _gain_words(fit)
    return {
        "yes": f"{words}, so that collecting pays too",
        "no": f"{words}, less than the {smallest:g} that matter: collecting more of the same is a bubble",
        "unsure": f"{words}, which leaves open whether collecting pays",
    }[more]


def _distance_words(distance: Band) -> str:
    if distance.low != distance.low:
        return f"The full recipe stands at {distance.value:.2f} times what real images get (one seed)."
    return f"The full recipe stands at {distance.value:.2f} times what real images get ({distance.low:.2f} to {distance.high:.2f})."


def _data_words(fit: Fit, smallest: float) -> str:
    if fit.curves is None:
        return f"No scaling curve: {fit.refusal}."
    twice, four, limit = fit.forecast(2), fit.forecast(4), fit.limit()
    return (
        f"Forecast: {twice.value:.2f} floors at twice the data ({twice.low:.2f} to {twice.high:.2f}), {four.value:.2f} at four times "
        f"({four.low:.2f} to {four.high:.2f}); with any amount of it not below {limit.value:.2f} ({limit.low:.2f} to {limit.high:.2f}). "
        f"A gain of {smallest:g} was called the smallest that matters."
    )

"""The one sentence at the top: collect, clean, augment or stop, and when the data cannot tell, that.

Gains are logarithms of ratios of distances (fd), above zero where the decision is better; levels are in floors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aigc_core.ablation.budgets import Confirmation
from aigc_core.ablation.failures import LESS_WITH
from aigc_core.ablation.scaling import MULTIPLE, Band, Fit
from aigc_core.ablation.statistics import ALPHA
from aigc_core.ablation.variations import DEPENDS as TURNED
from aigc_core.ablation.variations import FAILED, KEEPS, OPEN, ROBUST, TURNS, UNSURE, Robustness, Varied
from aigc_core.ablation.verdicts import COPYING, HURTS, PAYS, PRIMARY, Effect
from aigc_core.ablation.words import Scale, brief, nearer, reach, times, title

COLLECT, CLEAN, AUGMENT, PRETRAIN, KEEP, STOP = "collect", "clean", "augment", "pre-train", "keep", "stop"
DROP, CANNOT_TELL, VOID = "drop", "cannot tell", "void"
DEPENDS, ON_RECIPE = "depends on the budget", "depends on the training recipe"

#: What a paying decision asks for; a decision of the user's own is kept by its name.
ACTIONS = {"curate": CLEAN, "deduplicate": CLEAN, "fix_labels": CLEAN, "augment": AUGMENT, "pretrain": PRETRAIN}
CALLS = {CLEAN: "Clean", AUGMENT: "Augment", PRETRAIN: "Pre-train"}
#: This one speaks of the amount of data, and is evidence for collecting only.
AMOUNT = "half_the_data"
#: A full recipe that is farther from real images than this, in floors, is warned of.
FAR = 20.0


@dataclass(frozen=True)
class Headline:
    """What to do, said in one sentence, with the evidence beside it."""

    action: str
    sentence: str
    evidence: list[str]


@dataclass(frozen=True)
class Finding:
    """A decision with its verdict on the primary metric, and what the full budget says of it."""

    decision: str
    effect: Effect
    confirmation: Confirmation | None = None
    robustness: Robustness | None = None

    @property
    def told(self) -> bool:
        """Whether its effect is told from nothing, corrected for the decisions that were asked."""
        return self.effect.adjusted < ALPHA

    def words(self) -> str:
        """`curation (1.36 times nearer)`."""
        if self.effect.verdict == LESS_WITH:
            return f"{title(self.decision)} (trainings fail more often with it)"
        gain = self.effect.gain.mean
        how = ", by copying" if self.effect.verdict == COPYING else ""
        return f"{title(self.decision)} ({times(gain)} times {'farther' if gain < 0 else 'nearer'}{how})"

    def costs(self, scale: Scale) -> bool:
        """Whether it is better dropped: it costs as much as matters, pays by copying, or makes trainings fail."""
        verdict = self.effect.verdict
        return verdict in (COPYING, LESS_WITH) or (verdict == HURTS and self.effect.gain.mean <= -scale.log)


def leader(findings: Sequence[Finding], scale: Scale) -> Finding | None:
    """The decision that the headline leads with; where none pays, the one with the largest effect, told from nothing if any is.

    How much data there is leads only where nothing else was asked.
    """
    asked = [one for one in findings if one.decision != AMOUNT] or list(findings)
    told = [one for one in asked if one.told] or asked
    return next(iter(_paying(asked, scale)), None) or max(told, key=lambda one: abs(one.effect.gain.mean), default=None)


def _paying(findings: Sequence[Finding], scale: Scale) -> list[Finding]:
    """Decisions that gain at least what matters, the largest gain first."""
    found = [one for one in findings if one.effect.verdict == PAYS and one.effect.gain.mean >= scale.log]
    return sorted(found, key=lambda one: (-one.effect.gain.mean, one.decision))


def headline(
    void: Sequence[str],
    findings: Sequence[Finding],
    needed: Sequence[str],
    fit: Fit,
    distance: Band,
    scale: Scale,
    notes: Sequence[str] = (),
) -> Headline:
    """The headline from what is void, the decisions, the curve (in floors) and the distance of the full recipe (in floors).

    `needed` are the decisions without which trainings fail; they need no finding. `notes` are further sentences of evidence.
    """
    evidence = [_distance_words(distance), *_data_words(fit, scale), *_confirmed(findings), *_varied(findings), *notes]
    if void:
        return Headline(VOID, f"This study is void and says nothing about the data: {'; '.join(void)}.", evidence)
    paying = _paying(findings, scale)
    hurting = [one for one in findings if one.decision != AMOUNT and one.costs(scale)]
    asked = [one for one in paying if one.decision != AMOUNT]
    action, sentence = _choose(asked, hurting, needed, fit, distance, scale, bool(findings or needed))
    if needed and action != KEEP:
        sentence += f" Keep {_plain(needed)}: trainings fail without."
    amount = [one for one in paying if one.decision == AMOUNT]
    if amount and fit.curves is None:
        sentence += f" The second half of the data brings it {nearer(amount[0].effect.gain.mean)}"
        sentence += "; a forecast of the next doubling takes five sizes." if fit.too_few else "."
    for one in findings:
        if one.confirmation and one.confirmation.differs and one not in asked[:1]:
            told = f"{nearer(one.effect.gain.mean)} at {one.confirmation.proxy_steps:,} steps, {_at_full(one.confirmation)}"
            sentence += f" What {title(one.decision)} does depends on the budget: {told}."
    for one in findings:
        if one.robustness and one.robustness.conclusion == TURNED and one not in asked[:1]:
            turned = ", ".join(_under(varied) for varied in one.robustness.of(TURNS))
            sentence += f" What {title(one.decision)} does depends on the training recipe: {turned}."
    if hurting and action != DROP:
        sentence += f" Drop {', '.join(one.words() for one in hurting)}."
    return Headline(action, sentence, evidence)


def _choose(
    asked: Sequence[Finding],
    hurting: Sequence[Finding],
    needed: Sequence[str],
    fit: Fit,
    distance: Band,
    scale: Scale,
    measured: bool,
) -> tuple[str, str]:
    """Action and sentence; the largest gain comes first."""
    more = _more_data(fit, scale)
    none = "no decision {}" if measured else "no decision was measured"
    best = asked[0].effect.gain.mean if asked else 0.0
    if more == "yes" and fit.gain(MULTIPLE).value > best:
        also = f" {_names(asked)} {'pays' if len(asked) == 1 else 'pay'} too." if asked else ""
        return COLLECT, f"Collect, this data is a gold mine: {_gain_words(fit)}.{also}"
    if asked:
        return _lead(asked, f"{_about_more(more, fit, scale)}")
    if needed:
        return KEEP, f"Keep {_plain(needed)}: trainings fail without; {_about_more(more, fit, scale)}."
    if distance.high <= 1 + scale.smallest:
        near = "the samples are as near to real images as this instrument can tell"
        return STOP, f"Stop: {near}, and {none.format('improves them')}."
    if hurting:
        names = ", ".join(one.words() for one in hurting)
        return DROP, f"Drop {names}: nothing here pays; {_about_more(more, fit, scale)}."
    if more == "no":
        small = f"less than the {scale.percent} that matter"
        return STOP, f"Stop, more of this data is a bubble: {_gain_words(fit)}, {small}, and {none.format('pays')}."
    nothing = none.format("shows an effect that matters")
    return CANNOT_TELL, f"This study cannot tell: {nothing}, and {_about_more(more, fit, scale)}."


def _lead(asked: Sequence[Finding], more: str) -> tuple[str, str]:
    """The decision with the largest gain, as the full budget leaves it."""
    first, pay = asked[0], f"{_names(asked)} {'pays' if len(asked) == 1 else 'pay'}"
    action = ACTIONS.get(first.decision, KEEP)
    call = CALLS.get(action, f"Keep {first.decision}")
    told, other = first.confirmation, first.robustness
    if other and other.conclusion == TURNED:
        whether = f"Whether {title(first.decision)} pays depends on the training recipe"
        turned = ", ".join(_under(one) for one in other.of(TURNS))
        return ON_RECIPE, f"{whether}: {nearer(first.effect.gain.mean)} in this study, {turned}; {more}."
    if told is None or not told.differs:
        where = [f"at the full {told.full_steps:,} steps"] if told and told.full.low > 0 else []
        where += ["under other training recipes"] if other and other.conclusion == ROBUST else []
        it = "it does" if len(asked) == 1 else f"does {title(first.decision)}"
        same = f", and so {it} {' and '.join(where)}" if where else ""
        return action, f"{call}: {pay}{same}; {more}."
    if told.keeps_sign and told.full.low > 0:
        which = "" if len(asked) == 1 else f" {title(first.decision)} pays"
        much = f"how much{which} depends on the budget, {times(told.proxy.mean)} times at {told.proxy_steps:,} steps and {_at_full(told)}"
        return action, f"{call}: {pay}; {much}; {more}."
    whether = f"Whether {title(first.decision)} pays depends on the budget"
    return DEPENDS, f"{whether}: {nearer(told.proxy.mean)} at {told.proxy_steps:,} steps, {_at_full(told)}; {more}."


def _at_full(told: Confirmation) -> str:
    ends = f" ({reach(told.full.low, told.full.high, PRIMARY)})" if told.full.low == told.full.low else ""
    return f"{nearer(told.full.mean)}{ends} at the full {told.full_steps:,}"


def _confirmed(findings: Sequence[Finding]) -> list[str]:
    """Both budgets side by side, for every decision that was confirmed."""
    found = []
    for one in findings:
        told = one.confirmation
        if told is not None:
            agree = "differ by more than their intervals" if told.differs else "do not contradict each other"
            found.append(
                f"Ratios for {title(one.decision)}: {brief(told.proxy, PRIMARY)} at {told.proxy_steps:,} steps ({told.proxy.n} pairs), "
                f"{brief(told.full, PRIMARY)} at the full {told.full_steps:,} ({told.full.n} pairs); the two {agree}."
            )
    return found


def _varied(findings: Sequence[Finding]) -> list[str]:
    """What other training recipes say, for every decision that was tried under them."""
    found = []
    for one in findings:
        other = one.robustness
        if other is not None:
            told = "; ".join(_under(varied, whole=True) for varied in other.varied)
            found.append(f"Under other training recipes {title(one.decision)} {CONCLUSIONS[other.conclusion]}: {told}.")
    return found


#: What one variation says of the sign of a gain.
STATES = {KEEPS: "the same sign", TURNS: "another sign", OPEN: "not told at 99 %", FAILED: "not finished"}
#: What a decision does under other training recipes, as a predicate.
CONCLUSIONS = {
    ROBUST: "keeps its sign",
    TURNED: "does not keep its sign",
    UNSURE: "may keep its sign, which so few trainings do not tell",
}


def _under(varied: Varied, whole: bool = False) -> str:
    """The gain under one variation: `1.40 times nearer to real images at 1/3 of the learning rate`."""
    where, gain = varied.variation.words, varied.gain
    if gain is None:
        return f"no pair of trainings was finished {where}"
    if not whole:
        return f"{nearer(gain.mean)} {where}"
    return f"a ratio of {brief(gain, PRIMARY)} {where} ({gain.n} pairs, {STATES[varied.state]})"


def _plain(decisions: Sequence[str]) -> str:
    return " and ".join(title(decision) for decision in decisions)


def _names(findings: Sequence[Finding]) -> str:
    words = [one.words() for one in findings]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _more_data(fit: Fit, scale: Scale) -> str:
    """Whether twice the data buys what matters: yes, no, unsure, or unknown where no curve was fitted."""
    if fit.curves is None:
        return "unknown"
    gain = fit.gain(MULTIPLE)
    if gain.low >= scale.log and gain.low > 0:
        return "yes"
    return "no" if gain.high < scale.log else "unsure"


def _gain_words(fit: Fit) -> str:
    gain = fit.gain(MULTIPLE)
    ends = f"{times(gain.low)} to {times(gain.high)}"
    return f"if the same law holds, twice the data brings it {times(gain.value)} times nearer ({ends})"


def _about_more(more: str, fit: Fit, scale: Scale) -> str:
    if more == "unknown":
        return f"what more data would buy {'was not measured' if fit.too_few else 'is open: no curve fits the sizes'}"
    words = _gain_words(fit)
    return {
        "yes": f"{words}, so that collecting pays too",
        "no": f"{words}, less than the {scale.percent} that matter: collecting more of the same is a bubble",
        "unsure": f"{words}, which leaves open whether collecting pays",
    }[more]


def _distance_words(distance: Band) -> str:
    ends = "one seed" if distance.low != distance.low else f"{distance.low:.2f} to {distance.high:.2f}"
    far = " What data does to a model that is this far away says little of a good one: train for more steps (ablation.steps), or take another family (ablation.model)."
    return f"The full recipe stands at {distance.value:.2f} times what real images get ({ends}).{far if distance.value > FAR else ''}"


def _data_words(fit: Fit, scale: Scale) -> list[str]:
    if fit.curves is None:
        return [f"No scaling curve: {fit.refusal}."]
    twice = fit.forecast(MULTIPLE)
    return [
        f"Forecast, if the same law holds: {twice.value:.2f} floors at twice the data ({twice.low:.2f} to {twice.high:.2f}), with the "
        f"same number of training steps for every size. A change of {scale.percent} was called the smallest that matters."
    ]

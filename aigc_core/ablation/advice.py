"""Why a decision has nothing to measure on this data, and what to change so that it has.

Said from the rows and verdicts alone: a frozen plan holds these sentences and has to find the same ones again.
"""

from __future__ import annotations

from collections.abc import Collection

from aigc_core.ablation.arms import AUGMENT, REASONS, Chooser
from aigc_core.ablation.since import in_words
from aigc_core.config import OwnDecision

#: Reasons that are named before the rest is counted.
SHOWN = 3


def nothing_to_measure(decision: str, chooser: Chooser) -> str:
    """One sentence for a decision whose arm has the very rows of the full recipe."""
    own = next(
        (one for one in chooser.settings.decisions if isinstance(one, OwnDecision) and one.name == decision), None
    )
    return f"{decision} changes no training row of this data, so there is nothing to measure: {_way_out(decision, own, chooser)}"


def _way_out(decision: str, own: OwnDecision | None, chooser: Chooser) -> str:
    if own is not None and own.augment is not None:
        return f"the section `augment` has {' and '.join(own.augment)} at 0, or makes no copies"
    if own is not None and own.ids is not None:
        return f"none of the rows that {own.ids} names is in the full recipe"
    if own is not None and own.since is not None:
        return f"none of its rows in the full recipe came after {own.since} ({in_words(chooser.pool.added[decision].facts())})"
    if decision == AUGMENT:
        return "augment.copies is 0"
    return _warned(chooser.pool.warned, own.reasons or [] if own else REASONS.get(decision))


def _warned(warned: dict[str, int], reasons: Collection[str] | None) -> str:
    """What a decision by reasons (None: by all of them) could act on."""
    told = {reason: rows for reason, rows in warned.items() if rows and (reasons is None or reason in reasons)}
    if not told:
        names = " or ".join(sorted(reasons or ["any reason"]))
        return f"no training row has {names} against it"
    most = sorted(told, key=lambda reason: (-told[reason], reason))
    named = ", ".join(f"{reason} of {told[reason]:,}" for reason in most[:SHOWN])
    more = f" and {len(most) - SHOWN} more reasons" if len(most) > SHOWN else ""
    return (
        f"curation only warns ({named}{more} training rows); to take them out, set quality.{most[0]}.action to quarantine in "
        "params.yaml and run `aigc curate`"
    )

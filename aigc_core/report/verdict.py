"""From numbers to sentences: what one run allows to be said, and no more. Pure functions, no files.

A distance (`fd`) is read against its floor: what real training images get in the samples' place, over several
draws. `fd_floor_std` is by how much other real images would differ from it. How much another training seed would
change a model is no part of it: two trainings are ranked by the spread between seeds (`seeds.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aigc_core.records import labels_told
from aigc_core.report.seeds import SPREADS, Metrics, seed_range, seed_spread, told_apart

#: With fewer training images than this many times n, the floor is known less well than the samples' distance.
LEAST_POOL = 2
#: Fewer samples than this are refused where there are as many feature dimensions as usual.
LEAST_SAMPLES = 80
#: Bounds of the three words of `grade`: distance over floor, share of the real coverage, accuracy lost.
CLOSE = (1.5, 0.93, 0.03)
RELATED = (3.0, 0.75, 0.10)
#: Samples whose median distance to training images is below this share of the held-out images' are copies, or smooth.
COPY_RATIO = 0.8

NAMES = {"gan": "GAN", "vae": "VAE"}


@dataclass(frozen=True)
class Verdict:
    """The sentence at the top, and what has to be said beside it."""

    headline: str
    sentences: list[str]


def name_of(family: str) -> str:
    """How a family is written in a sentence."""
    return NAMES.get(family, family)


def withheld(metrics: Metrics) -> bool:
    """Whether the memorization gate withholds the model; such a model never leads the page."""
    return not metrics.get("memorization_passed", 1.0)


def at_floor(metrics: Metrics) -> bool:
    """Whether other real images could have this distance: then it does not tell these samples from real data."""
    return metrics["fd"] - metrics["fd_floor"] <= SPREADS * metrics["fd_floor_std"]


def below_floor(metrics: Metrics) -> bool:
    """Whether the distance is smaller than what real images get, by more than other real images would differ."""
    return metrics["fd_floor"] - metrics["fd"] > SPREADS * metrics["fd_floor_std"]


def share_covered(metrics: Metrics) -> float:
    """Coverage as a share of what real images cover."""
    return metrics["coverage"] / metrics["coverage_real"] if metrics["coverage_real"] > 0 else 0.0


def accuracy_lost(metrics: Metrics) -> float:
    """How much accuracy a classifier loses when it learns from samples alone; negative where it gains."""
    return metrics["cas_real"] - metrics["cas"]


def labels_learnable(metrics: Metrics) -> bool:
    """Whether labels can be told by looks well enough for an accuracy to say anything; False where there is none."""
    return "cas" in metrics and labels_told(metrics["cas_real"], metrics.get("cas_chance", 0.0))


def accuracy_told_apart(metrics: Metrics) -> bool:
    """Whether n test images are enough to tell the two accuracies apart (two binomial standard errors)."""
    spread = sum(metrics[key] * (1 - metrics[key]) for key in ("cas", "cas_real")) / max(metrics["n"], 1)
    return abs(accuracy_lost(metrics)) > SPREADS * math.sqrt(spread)


def grade(metrics: Metrics) -> str:
    """close, related or far: the worst of distance, coverage and, where labels can be learnt, accuracy: each is blind to something."""
    lost = accuracy_lost(metrics) if labels_learnable(metrics) else 0.0
    values = (metrics["fd_over_floor"], -share_covered(metrics), lost)
    for word, (distance, coverage, accuracy) in (("close", CLOSE), ("related", RELATED)):
        if all(value <= bound for value, bound in zip(values, (distance, -coverage, accuracy), strict=True)):
            return word
    return "far"


OPENING = {
    "close": "The {name}'s samples come close to real images",
    "related": "The {name}'s samples resemble real images, but are clearly different as a set",
    "far": "The {name}'s samples are far from real images",
}


def judge(
    evaluations: Mapping[str, Metrics],
    details: Mapping[str, Mapping[str, float]] | None = None,
    reasons: Mapping[str, Sequence[str]] | None = None,
) -> Verdict:
    """The verdict on trained families (family to metrics.json; `details` are their facts, where there are any, and `reasons`
    why the memorization gate withholds one).

    Raises ValueError when there is nothing to judge.
    """
    if not evaluations:
        raise ValueError("a verdict needs at least one evaluated family")
    order = sorted(evaluations, key=lambda family: (withheld(evaluations[family]), evaluations[family]["fd"], family))
    best = order[0]
    found = evaluations[best]
    headline = (
        f"{OPENING[grade(found)].format(name=name_of(best))}: {distance_words(found)} ({seed_words(best, found)})."
    )
    sentences = [f"{coverage_words(found).capitalize()}, and {accuracy_words(found)}."]
    sentences += [compare(best, other, evaluations) for other in order[1:]]
    if any(below_floor(found) for found in evaluations.values()):
        sentences.append(
            "A distance below the floor arises when samples are more typical, or mixed more like the test images, than a random "
            "draw of real images is. It says that this measure is at its limit, not that the samples are better."
        )
    for family in order:
        ratio = copy_ratio((details or {}).get(family, {}))
        sentences += copy_words(family, evaluations[family], ratio, (reasons or {}).get(family, ()))
    spreads = ", ".join(f"{name_of(family)} {seed_spread(family):.0%}" for family in order)
    sentences.append(
        f"Each family was trained once. What another training seed would change is taken from digits (standard "
        f"deviation of the distance between seeds: {spreads}; docs/metrics.md), not measured on these images."
    )
    return Verdict(headline, sentences)


def distance_words(metrics: Metrics) -> str:
    """How far from the floor."""
    ratio = f"{metrics['fd_over_floor']:.2f} times what real images get"
    if below_floor(metrics):
        return f"their distance is {ratio}, which does not make them better than real ones"
    if at_floor(metrics):
        return f"their distance is {ratio}, so close that one run cannot tell them apart by it"
    return f"their distance is {ratio}"


def seed_words(family: str, metrics: Metrics) -> str:
    """Where other training seeds would lie."""
    low, high = seed_range(family, metrics)
    return f"another training seed would give {low:.2f} to {high:.2f} times"


def pool_words(metrics: Metrics, train_rows: int) -> str:
    """What is to be said where the floor comes from too few training images; empty where they are enough."""
    n = int(metrics["n"])
    if train_rows >= LEAST_POOL * n:
        return ""
    fewer = train_rows // LEAST_POOL
    other = (
        f", and so does evaluate.max_samples: {fewer}, at the price of a higher floor" if fewer >= LEAST_SAMPLES else ""
    )
    return (
        f"The {train_rows:,} training images are too few to tell closely what {n:,} real images get, fewer than twice as many: "
        f"distances within {SPREADS * metrics['fd_floor_std'] / metrics['fd_floor']:.0%} of the floor are not told from it. More training "
        f"images narrow that{other}."
    )


def coverage_words(metrics: Metrics) -> str:
    """How much of the variety of real images is there."""
    return f"they cover {metrics['coverage']:.0%} of the test images (real ones {metrics['coverage_real']:.0%})"


def accuracy_words(metrics: Metrics) -> str:
    """What a classifier learns from samples alone."""
    if "cas" not in metrics:
        return "without labels of at least two classes there is no accuracy to learn from them"
    if not labels_learnable(metrics):
        return (
            f"a classifier taught by real images names only {metrics['cas_real']:.1%} of test images right (always naming the commonest "
            f"class: {metrics['cas_chance']:.1%}), so that accuracy says nothing here"
        )
    lost = accuracy_lost(metrics)
    scores = f"{metrics['cas']:.1%} of test images right (taught by real ones {metrics['cas_real']:.1%})"
    if accuracy_told_apart(metrics):
        return f"a classifier taught by them alone names {scores}"
    sign = "less" if lost >= 0 else "more"
    return (
        f"a classifier taught by them alone names {scores}: {abs(lost) * 100:.1f} points {sign}, "
        f"within what {metrics['n']:.0f} test images can tell"
    )


def compare(best: str, other: str, evaluations: Mapping[str, Metrics]) -> str:
    """One sentence on a family that came out behind the best by distance."""
    first, second = evaluations[best], evaluations[other]
    factor = f"{second['fd_over_floor']:.2f} times the floor"
    if not told_apart(first, second, (best, other)):
        return f"The {name_of(other)} ({factor}) and the {name_of(best)} are too close for one run to rank."
    return f"The {name_of(other)} is behind in this run: {factor}, and {coverage_words(second)}."


def copy_words(family: str, metrics: Metrics, ratio: float | None, reasons: Sequence[str] = ()) -> list[str]:
    """What the top of the page says of nearness to training images; nothing where there is none.

    `ratio` is `copy_ratio`, `reasons` are the gate's own. Only the memorization gate tells copies from samples that are merely smooth.
    """
    name = name_of(family)
    if withheld(metrics):
        said = "; ".join(reasons)
        return [
            f"Caution: the memorization gate withholds the {name}{': ' if said else ''}{said}. Part of its good numbers may come from "
            "copying."
        ]
    if ratio is not None and ratio < COPY_RATIO:
        return [
            f"The {name}'s samples lie nearer to training images than real held-out images do ({ratio:.2f} times as far), but "
            "the memorization gate found no copies: they are smoother or more typical than real images."
        ]
    return []


def copy_ratio(facts: Mapping[str, float]) -> float | None:
    """Median distance of samples to their nearest training image, over that of held-out images; None if not known."""
    generated, held_out = facts.get("nearest_rms_generated"), facts.get("nearest_rms_held_out")
    return generated / held_out if generated is not None and held_out else None


def release_words(passed: Mapping[str, bool]) -> str:
    """Which families (name to the memorization gate's answer) are released, in one sentence."""
    out = [name_of(family) for family, good in passed.items() if not good]
    good = [name_of(family) for family, good in passed.items() if good]
    if not out:
        return f"Released: {' and '.join(good)}; the memorization gate found no copies of training images among their samples."
    rest = f" {' and '.join(good)} passed." if good else ""
    return (
        f"Not released: {' and '.join(out)}. The memorization gate found samples that are closer to training images than to real images "
        f"never seen; the reasons are under Copies or not.{rest}"
    )


def judge_finetune(family: str, tuned: Metrics, scratch: Metrics) -> str:
    """What pre-training bought on the small target, as far as one run can tell."""
    gain = scratch["fd"] - tuned["fd"]
    both = (
        f"{tuned['fd_over_floor']:.2f} times the floor after pre-training, {scratch['fd_over_floor']:.2f} from scratch"
    )
    if not told_apart(tuned, scratch, (family, family)):
        return f"{name_of(family)}: no difference that one training each could tell ({both})."
    won = "pre-training helped" if gain > 0 else "pre-training hurt"
    mixed = labels_learnable(tuned) and (gain > 0) != (tuned["cas"] >= scratch["cas"])
    other = " by distance, though the accuracy points the other way" if mixed else ""
    return f"{name_of(family)}: in this run {won}{other} ({both})."


def judge_data(read: int, kept: int, quarantined: int, failed_warnings: int, success: bool) -> str:
    """One sentence on the data and the gate."""
    gate = "the gate let them through" if success else "the gate refused them"
    if success and failed_warnings:
        gate += f" with {failed_warnings} warning{'s' if failed_warnings > 1 else ''}"
    share = quarantined / read if read else 0.0
    return f"Of {read:,} images read, {kept:,} were kept and {quarantined:,} ({share:.1%}) put into quarantine; {gate}."

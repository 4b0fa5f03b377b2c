"""Suspect labels: how probable is a wrong label, beside a hard image?

With p the out-of-fold probability of the given label by the image alone, K classes and a share r of labels that were
replaced by another at random, Bayes' rule gives the probability that this label was replaced:

    w = (1 - p) r / (K - 1)  /  (p (1 - r) + (1 - p) r / (K - 1))

r is the fixed point of r = mean(w), the expectation-maximisation estimate of a mixture's weight (Dempster, Laird and
Rubin 1977) on the rows that are judged, so a clean set has a small r and few suspects.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.config import LabelSuspect
from aigc_core.quality import reasons
from aigc_core.records import Verdict

Values = npt.NDArray[np.float64]
START = 0.05
ROUNDS = 200
#: Share of replaced labels of which some must be found, or nothing can be told of labels.
LEAST_TOLD = 0.05


def wrong_probability(given: Values, rate: float, classes: int) -> Values:
    """Probability (N,) that a label was replaced; `given` (N,) is the probability of the given label by the image."""
    wrong = (1 - given) * rate / max(classes - 1, 1)
    right = given * (1 - rate)
    return wrong / np.maximum(wrong + right, 1e-300)


def noise_rate(given: Values, classes: int) -> float:
    """Share of replaced labels, in [0, 1)."""
    rate = START
    for _ in range(ROUNDS):
        new = float(wrong_probability(given, rate, classes).mean())
        if abs(new - rate) < 1e-9:
            break
        rate = new
    return rate


def find(rows: pa.Table, rule: LabelSuspect) -> tuple[list[tuple[str, Verdict]], float | None]:
    """Training and reference rows with a suspect label, and the estimated share of wrong labels among training rows.

    `rows` carry `id`, `label`, `split` and LEARNED_SCHEMA's label columns; without those nothing is said. The score is
    the probability that the label is right.
    """
    if rule.action == "off" or "label_probability" not in rows.column_names:
        return [], None
    known = rows.filter(pc.and_(rows["label_probability"].is_valid(), rows["label"].is_valid()))
    training = pc.equal(known["split"], "train").to_numpy(zero_copy_only=False)
    if not training.any():
        return [], None
    given = known["label_probability"].to_numpy().astype(np.float64)
    classes = len(pc.unique(known["label"]))
    rate = noise_rate(given[training], classes)
    wrong = wrong_probability(given, rate, classes)
    lines = known.select(["id", "label_predicted"]).take(np.flatnonzero(wrong > rule.min_probability)).to_pylist()
    flagged = wrong[wrong > rule.min_probability].tolist()
    found = [
        (
            line["id"],
            Verdict(
                False, reasons.LABEL_SUSPECT, "label_probability", value, bound,
                f"looks like {line['label_predicted']}", score=1 - share,
            ),
        )
        for line, share, value, bound in zip(
            lines, flagged, given[wrong > rule.min_probability].tolist(),
            [_bound(rule.min_probability, rate, classes)] * len(lines), strict=True,
        )
    ]  # fmt: skip
    return found, rate


def can_tell(rows: pa.Table, rule: LabelSuspect, rate: float) -> bool:
    """Whether at least LEAST_TOLD of the labels would be flagged if another took their place, at a share `rate` of wrong ones.

    The probability that was not given to the predicted class, in equal parts, stands for that of the other label.
    """
    known = rows.filter(pc.and_(rows["label_predicted_probability"].is_valid(), rows["label"].is_valid()))
    classes = len(pc.unique(known["label"]))
    if classes < 2:
        return True
    other = (1 - known["label_predicted_probability"].to_numpy().astype(np.float64)) / max(classes - 1, 1)
    bound = _bound(rule.min_probability, max(rate, 1 / len(other)), classes)  # with the one that took another's place
    return bool((other < bound).mean() >= LEAST_TOLD)


def unchecked(rows: pa.Table, rule: LabelSuspect) -> dict[str, int]:
    """Classes whose labels nothing is said of, because too few of their rows could be learnt from, with how many those are."""
    if rule.action == "off":
        return {}
    pool = rows.filter(
        pc.and_(pc.and_(pc.not_equal(rows["split"], "test"), rows["content_hash"].is_valid()), rows["label"].is_valid())
    )
    counts = Counter(pool["label"].to_pylist())
    if "label_probability" in rows.column_names:
        told = set(pc.unique(pool.filter(pool["label_probability"].is_valid())["label"]).to_pylist())
        return {label: count for label, count in sorted(counts.items()) if label not in told}
    return dict(sorted(counts.items()))


def _bound(probability: float, rate: float, classes: int) -> float:
    """The probability of the given label below which the label is wrong with at least `probability`."""
    share = rate / max(classes - 1, 1)
    odds = (1 - probability) / max(probability, 1e-12)
    return share * odds / ((1 - rate) + share * odds)

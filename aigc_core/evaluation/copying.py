"""From the memorization gate's figures to its verdict: limits, reasons and remarks as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

QUESTIONS = 3
#: So many times as many samples have to be close to training images as to images never seen, for as many of those. Where many
#: samples are close to both, because they are smooth, chance does not reach that.
OVER = 2.0
#: Below this C_T samples are nearer to real images than other real images are.
SMOOTH = -3.0


@dataclass(frozen=True)
class Limits:
    """See config.Memorization."""

    alpha: float
    max_copy_rate: float
    max_closest: float
    max_preference: float
    cells: int


def in_words(figures: Mapping[str, float], limits: Limits) -> list[str]:
    """Sentences on each figure that is outside its limit by more than chance; empty where the model passed."""
    level = limits.alpha / QUESTIONS
    reasons = []
    if _raised(figures, "copy_rate", limits.max_copy_rate, level) and figures["copy_over_unseen"] > OVER:
        reasons.append(
            f"{figures['copy_rate']:.1%} of the samples are as close to a training image as the closest "
            f"{figures['copy_rate_real']:.1%} of held-out real images (limit {limits.max_copy_rate:.1%}), while "
            f"{figures['copy_rate_unseen']:.1%} are as close to a real image that the model never saw"
        )
    if _raised(figures, "closest", limits.max_closest, level) and figures["closest_over_unseen"] > OVER:
        reasons.append(
            f"{figures['closest']:.1%} of the samples are closer to a training image than any held-out real image is "
            f"(limit {limits.max_closest:.1%}), while {figures['closest_unseen']:.1%} are that close to a real image that the model never saw"
        )
    if _raised(figures, "preference", limits.max_preference, level):
        reasons.append(
            f"a training image is {figures['preference']:.1f} times as often the nearest real image of a sample as one that the "
            f"model never saw (limit {limits.max_preference:g})"
        )
    return reasons


def _raised(figures: Mapping[str, float], name: str, limit: float, level: float) -> bool:
    """Whether a figure is above its limit by more than chance."""
    return figures[name] > limit and figures[f"{name}_p"] < level


def remarks(figures: Mapping[str, float], reasons: list[str], limits: Limits) -> list[str]:
    """What is said beside a model that passed: which figure is above its limit all the same, and whether its samples are merely smooth."""
    if reasons:
        return []
    return [*_excused(figures, limits), *_smooth(figures)]


def _excused(figures: Mapping[str, float], limits: Limits) -> list[str]:
    """A sentence on each figure of a model that passed which is above its limit, saying why it withholds nothing."""
    level = limits.alpha / QUESTIONS
    told = []
    for name, what, limit, shown in (
        ("copy_rate", "copy rate", limits.max_copy_rate, ".1%"),
        ("closest", "share of closest samples", limits.max_closest, ".1%"),
        ("preference", "preference", limits.max_preference, ".2f"),
    ):
        if figures[name] > limit:
            why = (
                f"chance explains it (p {figures[f'{name}_p']:.2g})"
                if figures[f"{name}_p"] >= level
                else "samples are about as often that close to images that the model never saw"
            )
            told.append(f"The {what} of {figures[name]:{shown}} is above its limit of {limit:{shown}}, but {why}.")
    return told


def _smooth(figures: Mapping[str, float]) -> list[str]:
    """Where samples are smooth, that this is poor and no copying."""
    if figures["c_t"] >= SMOOTH:
        return []
    return [
        f"The samples lie nearer to training images than held-out real images do (C_T {figures['c_t']:.1f}), and so they do to real images "
        f"that the model never saw (C_T {figures['c_t_unseen']:.1f}): they are smoother or more typical than real images. That makes "
        "them poor samples, and not copies."
        if figures["c_t_unseen"] < SMOOTH / 2
        else f"The samples lie nearer to training images than held-out real images do (C_T {figures['c_t']:.1f}; with images never seen "
        f"{figures['c_t_unseen']:.1f}), but no more of them are close to one than chance explains: smooth samples do that, and "
        "a model that leans on its training images without copying them."
    ]

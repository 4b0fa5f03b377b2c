"""The table of measures: which there are, how they are written, and what each says. Pure functions, no files.

The keys are those of metrics.json; a measure that a metrics.json lacks is left out of the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """A row of the table. `meaning` is what a person may read from it, and what it does not see."""

    key: str
    name: str
    better: str
    meaning: str
    digits: int = 3


#: In the order of reading: the headline, what belongs to it, then one kind of failure each.
MEASURES = (
    Measure(
        "fd", "distance (fd)", "lower",
        "How differently generated and real images are spread, as seen by the measuring instrument, which knows the reference images "
        "alone. Two sets of real images are not at zero either: what they get is the floor.",
    ),
    Measure("fd_inf", "distance, extrapolated (fd_inf)", "lower", "The same, extrapolated to endlessly many images."),
    Measure("mmd", "kernel distance (mmd)", "lower", "A second distance that assumes no shape of the spread; near 0 for real images.", 4),
    Measure("kid", "kernel distance, cubic (kid)", "lower", "The same with the kernel that published KID numbers use.", 4),
    Measure(
        "precision", "precision", "near real",
        "The share of generated images that lie where real ones do. It does not see what is missing.",
    ),
    Measure("recall", "recall", "higher", "The share of test images that lie where generated ones do."),
    Measure(
        "density", "density", "near real",
        "How closely generated images sit where real ones are common. Above the real value it can mean that typical images are "
        "repeated too often.",
    ),
    Measure(
        "coverage", "coverage", "higher",
        "The share of test images that have a generated image near them. It falls when kinds of images are left out.",
    ),
    Measure(
        "clipped_density", "share like real ones (clipped density)", "near real",
        "The share of good images that would give what is seen: generated images that lie nowhere near real ones lower it in "
        "proportion, and strangers among the test images do not raise it. Real images have 1; more means that typical images are "
        "repeated too often.",
    ),
    Measure(
        "clipped_coverage", "share of the variety (clipped coverage)", "higher",
        "The share of good images that would reach as much of the test images as is reached. Coverage is content with one "
        "image in five; this one falls in proportion. Real images have 1.",
    ),
    Measure("diversity", "diversity", "near real", "How many different images there are within a class, by the spectrum of their likeness."),
    Measure("agreement", "label agreement", "higher", "How often the measuring network, or a classifier where it knows no classes, sees the class that was asked for."),
    Measure(
        "cas", "classifier accuracy (cas)", "higher",
        "A classifier learns from generated images only and is tested on real ones. It falls when labels are wrong or classes "
        "blur into each other.",
    ),
)  # fmt: skip


def rows(families: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per measure that all families have: a cell (value and interval) per family, and what real images get.

    What needs labels of two classes has a row that says so, where the facts name it.
    """
    first = families[0]["metrics"]
    found = []
    for measure in MEASURES:
        if any(measure.key in family.get("facts", {}).get("need_labels", ()) for family in families):
            cells = [{"value": "needs labels", "interval": ""} for _ in families]
            found.append({"measure": measure, "cells": cells, "real": ""})
            continue
        if any(measure.key not in family["metrics"] for family in families):
            continue
        cells = [_cell(measure, family["metrics"]) for family in families]
        found.append({"measure": measure, "cells": cells, "real": _real(measure, first)})
        if measure.key == "fd":
            over = [{"value": f"{family['metrics']['fd_over_floor']:.2f}\u00d7", "interval": ""} for family in families]
            found.append({"measure": OVER_FLOOR, "cells": over, "real": "1\u00d7"})
    return found


OVER_FLOOR = Measure(
    "fd_over_floor", "distance over floor", "lower", "The distance as a multiple of its floor: the number to compare."
)


def _cell(measure: Measure, metrics: Metrics) -> dict[str, str]:
    low, high = metrics.get(f"{measure.key}_low"), metrics.get(f"{measure.key}_high")
    interval = "" if low is None or high is None else f"{low:.{measure.digits}f} to {high:.{measure.digits}f}"
    return {"value": f"{metrics[measure.key]:.{measure.digits}f}", "interval": interval}


def _real(measure: Measure, metrics: Metrics) -> str:
    value = metrics.get(f"{measure.key}_real")
    if value is None:
        return ""
    spread = metrics.get(f"{measure.key}_floor_std")
    beside = "" if spread is None else f" \u00b1 {spread:.{measure.digits}f}"
    return f"{value:.{measure.digits}f}{beside}"


def worst_words(metrics: Metrics, worst: Mapping[str, str]) -> str:
    """Which class is served worse than chance explains, by coverage, accuracy and agreement; empty where that is not known."""
    named = {"coverage": "coverage", "cas": "accuracy", "agreement": "agreement"}
    gaps = {key: (metrics[f"{key}_gap_worst"], metrics[f"{key}_gap_worst_limit"]) for key in named if key in worst}
    parts = [
        f"{worst[key]} by {named[key]} ({100 * gap:.0f} points below real images of it; "
        f"by chance the worst class of real images reaches {100 * most:.0f})"
        for key, (gap, most) in gaps.items()
        if gap > most
    ]
    if parts:
        return f"Served worst: class {', class '.join(parts)}."
    listed = "; ".join(f"{named[key]} {100 * gap:.0f} of {100 * most:.0f} points" for key, (gap, most) in gaps.items())
    return (
        "No class stands out: the largest distance of a class from real images of it is not above what the worst "
        f"class of real images reaches by chance in one case of twenty ({listed})."
        if gaps
        else ""
    )


#: The importance-weighted bound of a likelihood with k draws: iw_bound_bernoulli_k500.
BOUND = re.compile(r"iw_bound_(?P<likelihood>[a-z]+)_k(?P<samples>\d+)")


def bound_words(metrics: Metrics) -> str:
    """How likely a VAE finds held-out images, as a clause; empty where that was not asked."""
    found = next((match for match in map(BOUND.fullmatch, metrics) if match), None)
    if found is None:
        return ""
    name, likelihood = found.group(), found["likelihood"]
    binary = ", images drawn black and white" if likelihood == "bernoulli" else ""
    return (
        f"importance-weighted bound {metrics[name]:.2f} nats per held-out image ({metrics[f'{name}_low']:.2f} to "
        f"{metrics[f'{name}_high']:.2f}; k {found['samples']}, {likelihood}{binary})"
    )


#: Figures of memorization.json: key, name, keys of what held-out images get in the samples' place and of what samples get with
#: images never seen in the training images' place, and the limit that it has to stay below, by its name in `limits`.
FIGURES = (
    ("copy_rate", "copy rate", "copy_rate_real", "copy_rate_unseen", "max_copy_rate"),
    ("closest", "closer than any held-out image", None, "closest_unseen", "max_closest"),
    ("preference", "preference for training images", None, None, "max_preference"),
    ("c_t", "C_T", None, "c_t_unseen", None),
    ("auth_pct", "authentic (AuthPct)", "auth_pct_real", None, None),
)


def memorization_rows(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """The gate's figures as lines: name, observed, what held-out images get, with images never seen, the limit."""
    figures, limits = report["figures"], report["limits"]
    return [
        {
            "name": name,
            "observed": f"{figures[key]:.3f}",
            "real": f"{figures[real]:.3f}" if real in figures else "",
            "unseen": f"{figures[unseen]:.3f}" if unseen in figures else "",
            "limit": f"at most {limits[limit]:g}" if limit in limits else "none",
        }
        for key, name, real, unseen, limit in FIGURES
        if key in figures
    ]


def left_out_words(report: Mapping[str, Any]) -> str:
    """How many images the gate left out, being copies of training images, of each other, or of one colour; empty where there are none."""
    names = ("held_out_copies", "held_out_repeated", "held_out_plain", "train_plain")
    copies, repeated, *plain = (int(report["figures"].get(name, 0)) for name in names)
    sentences = [_copies_left_out(copies)] if copies else []
    if repeated:
        said = "image is" if repeated == 1 else "images are"
        sentences.append(f"{repeated:,} held-out {said} equal to another held-out image, and counted once with it.")
    for count, which in zip(plain, ("held-out", "training"), strict=True):
        if count:
            said = "image is" if count == 1 else "images are"
            sentences.append(
                f"{count:,} {which} {said} of one colour, or nearly: nothing could be copied from it, so that it was left out here."
            )
    return " ".join(sentences)


def _copies_left_out(copies: int) -> str:
    said = "image is the same as a training image" if copies == 1 else "images are the same as training images"
    return (
        f"{copies:,} held-out {said}, at the best shift, mirror and gain. Such an image is as close as any copy and would "
        "hide all, so that it was left out here."
    )

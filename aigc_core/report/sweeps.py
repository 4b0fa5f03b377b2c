"""The picture of a sweep: what leaving out the worst rows buys, by their share, beside as many random rows. From plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aigc_core.report.forest import LINE, PAGE, WIDTH_INCHES, drawn_for_page, quiet_axes, ratio_ticks

Facts = dict[str, Any]
#: Random rows stand this much of a place beside the cut that they belong to.
BESIDE = 0.14
HEIGHT_INCHES = 3.0


def sweep(facts: Facts, smallest: float) -> str:
    """Ratios of distances over shares of rows left out, with their intervals, as an <svg> for the page.

    `facts` is one of the lines of ablation/cuts.py, `smallest` the smallest relative change that matters.
    """
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=72)
    axes = figure.subplots(gridspec_kw={"left": 0.1, "right": 0.97, "top": 0.93, "bottom": 0.19})
    quiet_axes(axes)
    band = math.log1p(smallest)
    ends = [
        -1.2 * band,
        1.2 * band,
        *(value for cut in facts["cuts"] for name in ("gain", "random") for value in _ends(cut[name])),
    ]
    low, high = min(ends), max(ends)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.set_yticks(*ratio_ticks(low, high))
    axes.axhspan(-band, band, color=PAGE.faint, alpha=0.6, linewidth=0)
    axes.axhline(0, color=PAGE.ink, linewidth=1)
    cuts = facts["cuts"]
    for name, beside, marker in (("gain", -BESIDE, "D"), ("random", BESIDE, "o")):
        colours = [_colour(cut, name) for cut in cuts]
        _column(axes, [cut[name] for cut in cuts], beside, marker, colours)
    axes.set_xticks(range(len(cuts)), [f"{100 * cut['share']:g} %\n{cut['rows']:,} rows" for cut in cuts])
    axes.set_xlim(-0.5, len(cuts) - 0.5)
    axes.grid(False, axis="x")
    axes.set_ylabel("times nearer to real images", color=PAGE.ink)
    return drawn_for_page(figure, f"Leaving out the worst rows by {facts['reason']}")


def _colour(cut: Facts, name: str) -> str:
    if name == "random":
        return PAGE.second
    if not cut["told"]:
        return PAGE.first
    return PAGE.good if cut["over"]["mean"] > 0 else PAGE.bad


def _ends(found: Facts | None) -> list[float]:
    return (
        [] if found is None else [value for value in (found["mean"], found["low"], found["high"]) if value is not None]
    )


def _column(axes: Axes, found: Sequence[Facts | None], beside: float, marker: str, colours: Sequence[str]) -> None:
    for place, (one, colour) in enumerate(zip(found, colours, strict=True)):
        if one is None:
            continue
        if one["low"] is not None:
            axes.plot([place + beside] * 2, [one["low"], one["high"]], color=colour, linewidth=LINE)
        axes.scatter([place + beside], [one["mean"]], s=36, marker=marker, color=colour, linewidths=0, zorder=3)

"""The pictures of a data-value study: effects with intervals, cells as dots, the scaling curve. From plain numbers.

Gains are logarithms of ratios of distances, above zero where the decision is better, and are drawn as ratios; levels are
in floors, the distance that real images have from each other. A picture is drawn once for the page (colours are CSS variables) or with fixed colours for a file of its own.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from aigc_core.files import atomic_file
from aigc_core.report.curves import BAD, FAINT, GOOD, INK, SERIES, for_page
from aigc_core.report.ratios import ratio as written

WIDTH_INCHES, ROW_INCHES, MARGIN_INCHES = 7.2, 0.3, 0.75
LEFT_INCHES = 2.25


@dataclass(frozen=True)
class Paint:
    """The colours of a drawing: markers that become the page's variables, or fixed ones."""

    ink: str = INK
    faint: str = FAINT
    good: str = GOOD
    bad: str = BAD
    first: str = SERIES[0]
    second: str = SERIES[1]


PAGE = Paint()
#: Of a file of its own, on white.
LIGHT = Paint("#5f5a53", "#e2ded7", "#1d6b3a", "#a8201a", "#0b6fa8", "#b4500a")
DOT, LINE = 10, 2.2
#: Single seeds stand this much of a row above their interval, which would hide them.
ABOVE = 0.24
#: Arms from the top of a list.
ORDER = (
    "baseline", "treatment", "random_control", "size", "uncut", "cut", "random_cut", "placebo", "positive_control",
    "confirmation", "variation",
)  # fmt: skip

#: Rows of the forest plot from the top, below each decision and at the end.
KINDS = ("decision", "full", "variation", "control", "placebo", "planted")
#: The colour of each verdict, as the name of a field of Paint.
TONES = {
    "pays": "good", "cannot be trained without it": "good", "trains less reliably without it": "good", "hurts": "bad",
    "copying": "bad", "copying without it": "good", "trains less reliably with it": "bad",
}  # fmt: skip
#: Ratios that an axis may name, those that are preferred, and about how many are shown.
ABOVE_ONE = (1.05, 1.1, 1.2, 1.5, 2, 3, 4, 5, 7, 10, 20, 50, 100, 200, 500, 1000)
RATIOS = (*(float(f"{1 / one:.2g}") for one in reversed(ABOVE_ONE)), 1.0, *map(float, ABOVE_ONE))
ROUND = {0.1, 0.5, 0.67, 1.0, 1.5, 2.0, 5.0, 10.0, 100.0}
TICKS = 11
#: Planted damage is inside the panel up to this many times the largest of the other gains.
ROOM = 2.5

Facts = dict[str, Any]


def forest(study: Facts) -> str:
    """Gains on fd with their intervals, one row per comparison, as an <svg> for the page."""
    return drawn_for_page(_forest(study, PAGE), "Effect of each decision on the distance")


def save_forest(study: Facts, path: Path) -> None:
    """The same as a file on white, .svg or .png by its name; equal studies make equal bytes."""
    figure = _forest(study, LIGHT)
    FigureCanvasAgg(figure)
    with mpl.rc_context({"svg.hashsalt": "forest", "svg.fonttype": "none"}), atomic_file(path) as scratch:
        facts: Any = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(scratch, metadata=facts, dpi=144 if path.suffix == ".png" else 72, facecolor="white")


def spread(study: Facts) -> str:
    """Every finished cell's distance as a dot, one row per arm, on a log scale, as an <svg> for the page."""
    return drawn_for_page(_spread(study), "Distance of every cell, by arm")


def curve(study: Facts) -> str:
    """Distance over training rows with the fitted curve and its forecast, or dots only, as an <svg> for the page."""
    return drawn_for_page(_curve(study["scaling"]), "Distance by number of training images")


def in_order(arms: Sequence[Facts]) -> list[Facts]:
    """Arms as a reader wants them: the full recipe first, planted damage last."""
    return sorted(arms, key=lambda arm: (ORDER.index(arm["kind"]), arm["share"], arm["arm"]))


def arm_title(arm: Facts, titles: dict[str, str]) -> str:
    """An arm in words."""
    kind, decision = arm["kind"], titles.get(arm["decision"] or "", arm["decision"] or "")
    if arm["decision"] == "half_the_data":
        return "half of the rows"
    if arm["brings"]:
        return f"others gone, not {decision}"
    if kind in ("cut", "random_cut"):
        share = arm["arm"].rpartition("_")[2]
        what = "at random, not" if kind == "random_cut" else "worst by"
        return f"{100 * float(share):g} % {what} {arm['decision']}"
    return {
        "uncut": f"with all by {decision}", "baseline": "full recipe", "treatment": f"without {decision}", "random_control": f"random, not {decision}",
        "placebo": "a random few rows less", "size": f"{100 * arm['share']:.3g} % of the rows",
        "positive_control": f"{arm['arm'].removeprefix('blanks_')} % blanks planted",
        "confirmation": f"full budget, without {decision}" if decision else "full budget, full recipe",
        "variation": f"{arm['where']}, {f'without {decision}' if decision else 'full recipe'}",
    }[kind]  # fmt: skip


def _forest(study: Facts, paint: Paint) -> Figure:
    rows = _forest_rows(study, paint)
    figure, axes = _panel(len(rows), "times nearer to real images: right of 1 is better with the decision", paint)
    smallest = math.log1p(study["smallest_effect"])
    bounds = [-1.5 * smallest, 1.5 * smallest]
    bounds += [value for row in rows if row["kind"] != "planted" for value in _reach(row)]
    # Planted damage that would leave no room for the rest becomes an arrow.
    planted = [row["mean"] for row in rows if row["kind"] == "planted"]
    bounds += [value for value in planted if abs(value) <= ROOM * max(map(abs, bounds))]
    low, high = min(bounds), max(bounds)
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin
    axes.set_xlim(low, high)
    axes.set_xticks(*ratio_ticks(low, high))
    axes.axvspan(-smallest, smallest, color=paint.faint, alpha=0.6, linewidth=0)
    axes.axvline(0, color=paint.ink, linewidth=1)
    for row in rows:
        if row["kind"] == "planted" and study["planted"] and low < row["mean"] < high:
            axes.axvline(row["mean"], color=paint.second, linewidth=1, linestyle=(0, (4, 2)))
    for place, row in enumerate(rows):
        _effect(axes, place, row, low, high)
    _name_rows(axes, [row["label"] for row in rows])
    return figure


def ratio_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Round ratios below and above 1 as the ticks of a logarithmic axis from `low` to `high`, few enough to be read: places, names."""
    inside = [ratio for ratio in RATIOS if low <= math.log(ratio) <= high]
    room = (high - low) / TICKS
    shown: list[float] = []
    for ratio in sorted(inside, key=lambda one: (one != 1, -(one in ROUND), abs(math.log(one)))):
        if all(abs(math.log(ratio / other)) >= room for other in shown):
            shown.append(ratio)
    return [math.log(ratio) for ratio in shown], [f"{ratio:g}" for ratio in shown]


def _forest_rows(study: Facts, paint: Paint) -> list[Facts]:
    """Decisions in the ledger's order, each with its full budget and its random control below; then placebo and damage."""
    names, void = study["titles"], bool(study["void"])
    verdicts = {line["decision"]: line["verdict"] for line in study["ledger"] if line["metric"] == "fd"}
    order = {name: index for index, name in enumerate(names)}
    planted = next((arm_title(arm, names) for arm in study["arms"] if arm["kind"] == "positive_control"), "")

    def key(row: Facts) -> tuple[int, int]:
        return (order.get(row["name"], len(order)), KINDS.index(row["kind"]))

    rows = []
    for row in sorted(study["gains"], key=key):
        kind, verdict = row["kind"], verdicts.get(row["name"], "")
        control = "against as many other rows" if row["brings"] else "against random removal"
        title = {"decision": names.get(row["name"], row["name"]), "full": "at the full budget", "variation": row.get("where", ""), "control": control,
                 "placebo": "placebo: a few rows less", "planted": planted}[kind]  # fmt: skip
        colour = paint.second if kind == "planted" else paint.ink
        if kind == "decision" and not void:
            colour = getattr(paint, TONES.get(verdict, "ink"))
        rows.append({**row, "label": title, "colour": colour})
    return rows


def _reach(row: Facts) -> list[float]:
    return [value for value in (row["low"], row["high"], row["mean"], *row["dots"]) if value is not None]


def _effect(axes: Axes, place: int, row: Facts, left: float, right: float) -> None:
    """One comparison: dots of the seeds, the mean, the interval; what lies outside the panel becomes an arrow with its value."""
    colour, mean = row["colour"], row["mean"]
    if not left <= mean <= right:
        edge, side = (right, "right") if mean > right else (left, "left")
        text = f"{written(math.exp(mean))} times {'→' if side == 'right' else '←'}"
        axes.text(edge, place, text, color=colour, ha=side, va="center", fontsize=9)
        return
    inside = [value for value in row["dots"] if left <= value <= right]
    axes.scatter(inside, [place - ABOVE] * len(inside), s=DOT, color=colour, alpha=0.45, linewidths=0, zorder=3)
    if row["low"] is not None:
        width = LINE if row["kind"] == "decision" else 1.2
        axes.plot([max(row["low"], left), min(row["high"], right)], [place, place], color=colour, linewidth=width, zorder=2)  # fmt: skip
    axes.scatter(
        [mean], [place], s=42 if row["kind"] == "decision" else 22, color=colour, marker="D", zorder=4, linewidths=0
    )


def _spread(study: Facts) -> Figure:
    arms = in_order([arm for arm in study["arms"] if arm["dots"]])
    figure, axes = _panel(len(arms), "distance in floors (log scale): 1 is what real images get")
    values = [dot[1] for arm in arms for dot in arm["dots"]]
    _log_axis(axes, "x", min(0.9, *values), max(1.2, *values))
    axes.axvline(1, color=PAGE.ink, linewidth=1, linestyle=(0, (4, 2)))
    for place, arm in enumerate(arms):
        dots = [dot[1] for dot in arm["dots"]]
        axes.scatter(dots, [place] * len(dots), s=2 * DOT, color=PAGE.first, alpha=0.6, linewidths=0, zorder=3)
        mean = arm["fd"]["mean"]
        axes.plot([mean, mean], [place - 0.3, place + 0.3], color=PAGE.second, linewidth=LINE, zorder=4)
    _name_rows(axes, [arm_title(arm, study["titles"]) for arm in arms])
    return figure


def _curve(scaling: Facts) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 3.6), dpi=72)
    axes = figure.subplots(gridspec_kw={"left": 0.1, "right": 0.97, "top": 0.95, "bottom": 0.17})
    quiet_axes(axes)
    rows, values = [dot[0] for dot in scaling["dots"]], [dot[2] for dot in scaling["dots"]]
    ends = [1.0, *values]
    if not scaling["refusal"]:
        grid, line, low, high = zip(*scaling["band"], strict=True)
        axes.fill_between(grid, low, high, color=PAGE.first, alpha=0.16, linewidth=0)
        inside = [index for index, row in enumerate(grid) if row <= scaling["largest"]]
        axes.plot([grid[i] for i in inside], [line[i] for i in inside], color=PAGE.first, linewidth=1.8)
        beyond = range(inside[-1], len(grid))
        axes.plot([grid[i] for i in beyond], [line[i] for i in beyond], color=PAGE.first, linewidth=1.8, linestyle=(0, (4, 2)))  # fmt: skip
        _forecast(axes, scaling["forecast"], scaling["largest"])
        ends += [min(line), max(line)]
    axes.scatter(rows, values, s=2 * DOT, color=PAGE.second, alpha=0.7, linewidths=0, zorder=3)
    axes.axhline(1, color=PAGE.ink, linewidth=1, linestyle=(0, (1, 1.5)))
    axes.annotate(
        "real images", (0.005, 1), xycoords=("axes fraction", "data"), color=PAGE.ink, fontsize=9, va="bottom"
    )
    _log_axis(axes, "x", min(rows), max(rows) * (1 if scaling["refusal"] else scaling["forecast"]["multiple"]))
    axes.set_ylim(bottom=max(0.0, min(ends) - 0.1 * (max(ends) - min(ends)) - 0.1), top=max(ends) * 1.06)
    axes.set_xlabel("training images (log scale)", color=PAGE.ink)
    axes.set_ylabel("distance in floors", color=PAGE.ink)
    return figure


def _forecast(axes: Axes, forecast: Facts, largest: float) -> None:
    rows, value = forecast["multiple"] * largest, forecast["value"]
    axes.plot([rows, rows], [forecast["low"], forecast["high"]], color=PAGE.first, linewidth=1.4)
    axes.scatter([rows], [value], s=30, marker="D", color=PAGE.first, linewidths=0, zorder=4)
    axes.annotate(f"{forecast['multiple']} times", (rows, forecast["high"]), textcoords="offset points", xytext=(0, 4),
                  ha="center", color=PAGE.ink, fontsize=9)  # fmt: skip


def _panel(rows: int, label: str, paint: Paint = PAGE) -> tuple[Figure, Axes]:
    """A panel with room for names on the left; its height grows with the rows."""
    height = ROW_INCHES * max(rows, 1) + MARGIN_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=72)
    axes = figure.subplots(
        gridspec_kw={"left": LEFT_INCHES / WIDTH_INCHES, "right": 0.97, "top": 1 - 0.1 / height, "bottom": 0.6 / height}
    )
    quiet_axes(axes, paint)
    axes.set_xlabel(label, color=paint.ink)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.set_ylim(max(rows, 1) - 0.5, -0.5)
    return figure, axes


def quiet_axes(axes: Axes, paint: Paint = PAGE) -> None:
    """A faint grid and no frame."""
    axes.tick_params(colors=paint.ink, length=0, labelsize=9)
    axes.grid(color=paint.faint, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [name if len(name) <= 30 else f"{name[:29]}…" for name in names])
    axes.grid(False, axis="y")


def _log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """A log axis with few round ticks written as plain numbers."""
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set_xlim(low * 0.92, high * 1.08)
    steps = [one * 10.0**power for power in range(-2, 9) for one in (1, 2, 5)]
    axis.set_ticks([step for step in steps if low * 0.92 <= step <= high * 1.08])
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_tick_params(which="minor", length=0)


def drawn_for_page(figure: Figure, title: str) -> str:
    """A figure as an <svg> for the page: equal figures make equal text."""
    settings: Any = {"svg.hashsalt": title, "svg.fonttype": "none", "text.parse_math": False}
    with mpl.rc_context(settings):
        FigureCanvasSVG(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return for_page(buffer.getvalue(), title).replace('class="chart"', 'class="chart wide"', 1)

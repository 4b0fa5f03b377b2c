"""Small line charts as SVG text to be set into a page: the same bytes for the same numbers.

Lines and text are drawn in marker colours and then renamed to the page's own CSS variables, so that one drawing is
readable on a light and on a dark ground.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Marker colour in the drawing, and the CSS variable that takes its place.
INK, FAINT = "#010203", "#010204"
SERIES = ("#010205", "#010206", "#010207")
GOOD, BAD = "#010208", "#010209"
VARIABLES = {
    INK: "--muted", FAINT: "--line", SERIES[0]: "--series-1", SERIES[1]: "--series-2", SERIES[2]: "--series-3",
    GOOD: "--good", BAD: "--bad",
}  # fmt: skip
STYLES = ("solid", (0, (4, 2)), (0, (1, 1.5)))
SIZE_INCHES = (4.2, 2.5)

Points = Sequence[tuple[float, float]]


def read_curve(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Loss name to (step, value) points, of a curve.csv whose first column is `step`."""
    with path.open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    names = [name for name in (lines[0] if lines else {}) if name != "step"]
    return {name: [(float(line["step"]), float(line[name])) for line in lines] for name in names}


def line_chart(series: Mapping[str, Points], *, title: str, x_label: str = "step") -> str:
    """One panel with up to three series of (x, y) points, told apart by colour and by dash; returns an <svg> element."""
    if not 1 <= len(series) <= len(SERIES):
        raise ValueError(f"a panel shows 1 to {len(SERIES)} series, not {len(series)}")
    settings: Any = {"svg.hashsalt": title, "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
    with mpl.rc_context(settings):
        figure = Figure(figsize=SIZE_INCHES, dpi=72)
        FigureCanvasSVG(figure)
        # Fixed margins: a layout engine would take longer than all of the drawing.
        axes = figure.subplots(gridspec_kw={"left": 0.13, "right": 0.98, "top": 0.89, "bottom": 0.19})
        for (name, points), colour, style in zip(series.items(), SERIES, STYLES, strict=False):
            xs, ys = [point[0] for point in points], [point[1] for point in points]
            marker = "o" if len(points) == 1 else None
            axes.plot(xs, ys, color=colour, linestyle=style, linewidth=1.6, label=name, marker=marker)
        axes.set_title(title, color=INK, fontsize=10, loc="left")
        axes.set_xlabel(x_label, color=INK)
        axes.tick_params(colors=INK, length=0)
        axes.grid(color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for side in axes.spines.values():
            side.set_visible(False)
        if len(series) > 1:
            axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return for_page(buffer.getvalue(), title)


def for_page(svg: str, title: str) -> str:
    """Strip what only a stand-alone file needs, scale with the page, rename colours, give a name to read aloud."""
    # A style element and element names would reach beyond this drawing, into the page and its other charts.
    svg = re.sub(r"<(metadata|style)[ >].*?</\1>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = f'<svg class="chart" role="img" aria-label="{escape(title)}" {box.group() if box else ""}>'
    svg = opening + svg[svg.index(">") + 1 :]
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    # Text takes the page's font; matplotlib names its own, which the reader may not have.
    svg = re.sub(r"font-family: [^;\"]*;?\s*", "", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines())

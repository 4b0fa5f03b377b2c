"""The data-value report: a study's dictionary (see aigc_core/ablation/display.py) as a page of its own or as a section.

Nothing is decided here. `links` of the main page are not needed, so that the page is an out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from aigc_core.files import atomic_file, read_json
from aigc_core.report import figures, forest, page, sweeps
from aigc_core.report.figures import Pixels
from aigc_core.report.ratios import ratio

METRICS = ("fd", "coverage", "cas", "agreement")
#: The class of the style for each verdict: the colours of the forest plot, and of what has no row there.
STATES = {verdict: {"good": "passed", "bad": "failed"}[tone] for verdict, tone in forest.TONES.items()}
STATES |= {"void": "failed", "no verdict": "warning"}

Facts = dict[str, Any]


def write(study: Facts, samples: Mapping[str, Pixels], folder: Path) -> None:
    """Write ledger.html, forest.svg, forest.png and samples/ARM.png: equal studies and samples make equal bytes.

    `samples` are uint8 (N, C, S, S) by arm, of the same latent codes and labels in every arm; it may be empty.
    """
    strips = {}
    for arm, pixels in sorted(samples.items()):
        strips[arm] = folder / "samples" / f"{arm}.png"
        figures.save_png(figures.image_grid(pixels.transpose(0, 2, 3, 1), len(pixels)), strips[arm])
    for name in ("forest.svg", "forest.png"):
        forest.save_forest(study, folder / name)
    with atomic_file(folder / "ledger.html") as scratch:
        scratch.write_text(render(study, strips))


def write_timed(study: Facts, folder: Path, target: Path) -> None:
    """The page with the cost in seconds, which differs from run to run: for a place that is no out.

    `study` is to_dict(timing=True); the strips of samples are those that `write` left in `folder`.
    """
    with atomic_file(target) as scratch:
        scratch.write_text(render(study, _strips(folder)))


def from_folder(folder: Path) -> Facts | None:
    """The section from what stage `ablate` left; None where it has not run."""
    place = folder / "ledger.json"
    if not place.exists():
        return None
    return section(read_json(place), _strips(folder))


def headline(folder: Path) -> str:
    """What the study in `folder` says, in one sentence; why there is none where it was switched off."""
    study = read_json(folder / "ledger.json")
    return str(study["headline"]["sentence"] if study.get("ran", True) else study["why"])


def _strips(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((folder / "samples").glob("*.png"))}


def section(study: Facts, pictures: Mapping[str, Path] | None = None) -> Facts:
    """What the template ablation_section.html.j2 shows of a study; `pictures` are a PNG strip of samples by arm.

    A study that was switched off is `{"ran": False, "why": sentence}`.
    """
    if not study.get("ran", True):
        return {"not_run": study["why"]}
    lines = {(line["decision"], line["metric"]): line for line in study["ledger"]}
    decisions = list(dict.fromkeys(line["decision"] for line in study["ledger"]))
    scaling = study["scaling"]
    drawable = not scaling["refusal"] or len({dot[0] for dot in scaling["dots"]}) > 1
    charts = {
        "forest": forest.forest(study),
        "spread": forest.spread(study),
        "curve": forest.curve(study) if drawable else "",
    }
    arms = [{**arm, "title": forest.arm_title(arm, study["titles"])} for arm in forest.in_order(study["arms"])]
    shown = pictures or {}
    return {
        "not_run": "",
        "study": study,
        "headline": study["headline"],
        "decisions": [_decision(name, lines, study["titles"]) for name in decisions],
        "charts": {name: Markup(drawn) for name, drawn in charts.items()},  # noqa: S704  (drawn and escaped by us)
        "sweeps": [
            {**one, "chart": Markup(sweeps.sweep(one, study["smallest_effect"]))}  # noqa: S704
            for one in study.get("sweeps", ())
        ],
        "ends": ends,
        "arms": arms,
        "again": any(row["kind"] in ("full", "variation") for row in study["gains"]),
        "confirmed": any(line["full_effect"] is not None for line in study["ledger"]),
        "ratio": ratio,
        "timed": any("seconds" in line for line in study["ledger"]),
        "strips": [(arm["title"], page.picture(shown[arm["arm"]])) for arm in arms if arm["arm"] in shown],
        "memory": _memory(study),
    }


def ends(found: Facts | None) -> str:
    """The log ratio of an estimate with its interval, as ratios: `1.36 (1.03 to 1.81)`; empty where there is none."""
    if found is None:
        return ""
    mean = ratio(math.exp(found["mean"]))
    if found["low"] is None:
        return mean
    return f"{mean} ({ratio(math.exp(found['low']))} to {ratio(math.exp(found['high']))})"


def _decision(name: str, lines: Mapping[tuple[str, str], Facts], titles: Mapping[str, str]) -> Facts:
    """One row of the ledger: the primary line, and the cells of every metric."""
    cells = {}
    for metric in METRICS:
        line = lines[name, metric]
        cells[metric] = {**line, "state": STATES.get(line["verdict"], "")}
    return {"name": name, "title": titles.get(name, name), "primary": cells["fd"], "cells": cells}


def _memory(study: Facts) -> list[Facts]:
    """One line per decision and figure of memorization: its change, and whether it stands on the side of copying."""
    return [
        {
            "title": study["titles"].get(name, name),
            "metric": figure["metric"],
            "change": figure["change"]["mean"],
            "p": figure["adjusted"],
            "copying_side": figure["level"]["high"] is not None and figure["level"]["high"] < 0,
        }
        for name, figures in study["memory"].items()
        for figure in figures
    ]


def render(study: Facts, pictures: Mapping[str, Path] | None = None) -> str:
    """A self-contained page; equal studies and pictures make equal text."""
    return page.render({"ablation": section(study, pictures), "plan": study.get("plan", {})}, "ablation.html.j2")

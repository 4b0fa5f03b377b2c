"""A study as a plain dictionary: what the page, the pictures and the platforms show of it. Nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_core.ablation import cells as c
from aigc_core.ablation import cuts, scaling, stopping, words
from aigc_core.ablation import statistics as s
from aigc_core.ablation.cells import FULL, FULL_BUDGET
from aigc_core.ablation.gates import SEEN
from aigc_core.ablation.memory import MEMORY
from aigc_core.ablation.statistics import Array, Estimate
from aigc_core.ablation.variations import variation_of
from aigc_core.ablation.verdicts import METRICS, PRIMARY

if TYPE_CHECKING:
    from aigc_core.ablation.study import Study

#: Facts of the plan that are shown.
PLAN = (
    "digest", "model", "steps", "samples_seen", "seeds", "confirm_steps", "sizes", "skipped", "test_rows",
)  # fmt: skip
#: Kinds of arms that judge the study, and what their rows in the forest plot are called.
KIND_ROWS = {c.PLACEBO: "placebo", c.POSITIVE_CONTROL: "planted"}
#: Points of the drawn curve.
GRID = 60


def study_dict(study: Study, timing: bool) -> dict[str, Any]:
    """See Study.to_dict."""
    ledger = study.ledger if timing else study.ledger.drop(columns="seconds", errors="ignore")
    failed = len(study.cells) - len(study.finished)
    return dict(_clean({
        "plan": _plan(study), "smallest_effect": study.smallest, "planted": study.scale.planted if study.gates[1].state == SEEN else None,
        "floor": study.floor, "rows": study.rows, "void": study.void, "headline": asdict(study.headline),
        "checks": [asdict(check) for check in study.checks], "ledger": ledger.to_dict("records"),
        "titles": {name: words.title(name) for name in study.decisions}, "arms": _arms(study), "gains": _gains(study),
        "scaling": _scaling(study), "distance": asdict(study.distance), "cells": len(study.cells), "failed": failed,
        "sweeps": cuts.lines(study.sweeps), "look": stopping.in_words(study),
        "confirming": int((study.cells["kind"] == c.CONFIRMATION).sum()),
        "varied": int((study.cells["kind"] == c.VARIATION).sum()),
        "memory": {name: [asdict(one) for one in figures] for name, figures in study.memory.items()},
    }))  # fmt: skip


def _arms(study: Study) -> list[dict[str, Any]]:
    """One line per arm: its cells' fd in floors as dots, the other metrics' means, what failed, its rank."""
    places = _ranks(study)
    lines = []
    for name, own in study.cells.groupby("arm", sort=True):
        arm = str(name)
        done = study.finished[study.finished["arm"] == arm]
        values = study.pairs.values(arm)
        variation = variation_of(arm) if own["kind"].iloc[0] == c.VARIATION else None
        found = s.mean_interval(list(values.values())) if values else None
        means = {metric: float(done[metric].mean()) for metric in (*METRICS, *MEMORY) if done[metric].notna().any()}  # fmt: skip
        lines.append({
            "arm": arm, "kind": own["kind"].iloc[0], "decision": own["decision"].iloc[0],
            "brings": own["kind"].iloc[0] == c.RANDOM_CONTROL and study.pairs.brings_rows(str(own["decision"].iloc[0])), "rows": int(own["rows"].max()),
            "rows_touched": int(own["rows_touched"].max()), "share": float(own["share"].iloc[0]), "means": means,
            "where": variation.words if variation else "",
            "dots": [[seed, value] for seed, value in values.items()],
            "fd": asdict(found) if found else None, "rank": places.get(arm), "failed": len(own) - len(done),
            "errors": sorted({str(error) for error in own["error"].dropna()}),
        })  # fmt: skip
    return lines


def _plan(study: Study) -> dict[str, Any]:
    """What the page says of the plan; `subsample` is the share of its rows that a seed draws."""
    drawn = study.plan.get("settings", {}).get("ablation", {}).get("subsample", 1.0)
    used = {"seeds": study.plan["seeds"][: study.look.seeds]} if study.look.stages else {}
    return {name: study.plan[name] for name in PLAN if name in study.plan} | used | {"subsample": drawn}


def _ranks(study: Study) -> dict[str, dict[str, float]]:
    """Mean ranks by fd of the full recipe and its variants, over the seeds that all of them finished."""
    lines = study.finished[study.finished["kind"].isin([c.BASELINE, c.TREATMENT, c.RANDOM_CONTROL])]
    table = lines.pivot(index="seed", columns="arm", values=PRIMARY).dropna()
    if table.empty or table.shape[1] < 2:
        return {}
    found = s.ranks(-table.to_numpy(np.float64))
    return {str(arm): asdict(rank) for arm, rank in zip(table.columns, found, strict=True)}


def _gains(study: Study) -> list[dict[str, Any]]:
    """What the forest plot shows: gains on fd (log ratios), by seed, of decisions, random controls, placebo and damage.

    A decision has the gain at the full budget and under other training recipes beside it, where it was looked at again.
    """
    pairs = study.pairs
    drawn: list[dict[str, Any]] = []
    for name in study.decisions:
        effect = study.effects.get((name, PRIMARY))
        if effect is not None:
            drawn.append(_drawn(name, "decision", effect.gain, pairs.gains(pairs.treatment(name))))
        if name in study.confirmations:
            arm = str(pairs.arm_of(c.CONFIRMATION, name))
            drawn.append(_drawn(name, "full", study.confirmations[name].full, pairs.gains(arm, base=FULL_BUDGET)))
        for varied in study.robustness[name].varied if name in study.robustness else ():
            if varied.gain is not None:
                arm, base = varied.variation.without(name), varied.variation.base or FULL
                row = _drawn(name, "variation", varied.gain, pairs.gains(arm, base=base))
                drawn.append({**row, "where": varied.variation.words})
        if name in study.controls:
            row = _drawn(name, "control", study.controls[name][0], pairs.control_gains(name))
            drawn.append({**row, "brings": pairs.brings_rows(name)})
    for gate, kind in zip(study.gates, (c.PLACEBO, c.POSITIVE_CONTROL), strict=True):
        arm_name = pairs.arm_of(kind)
        if gate.gain is not None and arm_name is not None:
            drawn.append(_drawn(kind, KIND_ROWS[kind], gate.gain, pairs.gains(arm_name)))
    return drawn


def _drawn(name: str, kind: str, found: Estimate, dots: Array) -> dict[str, Any]:
    return {"name": name, "kind": kind, "brings": False, "dots": dots.tolist(), **asdict(found)}


def _scaling(study: Study) -> dict[str, Any]:
    """Dots, and where there is a fit its band on a log grid up to the forecast, with the forecast."""
    fit, points = study.fit, study.curve_points
    dots = points[["rows", "seed", "fd"]].to_numpy().tolist()
    if fit.curves is None:
        return {"dots": dots, "refusal": fit.refusal, "too_few": fit.too_few}
    grid = np.geomspace(min(fit.sizes), scaling.MULTIPLE * fit.curves.largest, GRID)
    forecast = {"multiple": scaling.MULTIPLE, **asdict(fit.forecast(scaling.MULTIPLE)), "gain": asdict(fit.gain(scaling.MULTIPLE))}  # fmt: skip
    return {
        "dots": dots, "refusal": "", "too_few": False, "curve": {name: float(getattr(fit.curves, name)[0]) for name in "abc"},
        "largest": fit.curves.largest, "band": np.stack([grid, *fit.band(grid)], axis=1).tolist(),
        "seeds": fit.seeds, "forecast": forecast,
    }  # fmt: skip


def _clean(value: Any) -> Any:
    """Plain Python types, and None in the place of what is no number."""
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

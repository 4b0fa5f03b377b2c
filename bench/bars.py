"""What is asked of the detectors, and the table that says whether it is met."""

from __future__ import annotations

import numpy as np
from planting import REASON

from aigc_core import config as configuration

Figures = dict[str, dict[str, float]]
#: Lowest precision, recall and average precision that are asked of each kind; null is not asked.
CERTAIN = (1.0, 1.0, None)
Bars = tuple[float | None, float | None, float | None]
BARS: dict[str, Bars] = {
    **dict.fromkeys(("copy", "blank", "corrupt", "wrong_type", "too_small", "odd_size"), CERTAIN),
    "near": (0.98, 0.95, None), "moved": (0.95, 0.60, None), "leak": (None, 0.99, None), "stranger": (None, None, 0.9),
}  # fmt: skip
OWN_BARS: dict[str, dict[str, Bars]] = {
    "mnist": {"flip": (0.90, 0.95, None)},
    "cifar10": dict.fromkeys(("blurry_1", "blurry_2", "noisy_10", "noisy_20", "dark"), (None, None, 0.9)),
}
#: Highest share of the pool that may get a reason that quarantines.
FALSE_POSITIVES = 0.005


def reason_of(kind: str) -> str:
    """The reason that a planted kind should get."""
    return REASON.get(kind, "duplicate_near" if kind in ("near", "moved") else kind)


def _mean(runs: list[Figures], kind: str) -> dict[str, float]:
    return {name: float(np.mean([run[kind][name] for run in runs])) for name in runs[0][kind]}


def _verdict(dataset: str, kind: str, mean: dict[str, float]) -> str:
    """Each bar that is asked of a kind, and whether it is met."""
    bars = OWN_BARS[dataset].get(kind) or BARS.get(kind, (None, None, None))
    asked = [(n, mean[key] >= bar, f"{n} {bar:g}") for (n, key), bar in zip(
        (("P", "precision"), ("R", "recall"), ("AP", "ap")), bars, strict=True) if bar is not None]  # fmt: skip
    if getattr(configuration.Quality(), reason_of(kind)).action == "quarantine":
        asked.append(("pool", mean["pool"] <= FALSE_POSITIVES, f"pool {FALSE_POSITIVES:g}"))
    return ", ".join(text if met else f"**{text} MISSED**" for _, met, text in asked)


def lines(dataset: str, ours: list[Figures], theirs: dict[str, list[Figures]]) -> list[str]:
    """A Markdown table: ours, those of other tools by their names, and the bars."""

    def cells(mean: dict[str, float]) -> str:
        ap = "" if mean["ap"] != mean["ap"] else f"{mean['ap']:.3f}"
        return f"{mean['precision']:.3f} | {mean['recall']:.3f} | {ap} | {mean['pool']:.4f}"

    heads = "".join(f" {name}: precision | recall | AP | pool |" for name in theirs)
    table = [f"| kind | planted | precision | recall | AP | pool |{heads} bars |",
             "| --- |" + " ---: |" * (5 + 4 * len(theirs)) + " --- |"]  # fmt: skip
    for kind in ours[0]:
        mean = _mean(ours, kind)
        parts = [cells(_mean(runs, kind)) if kind in runs[0] else " | | | " for runs in theirs.values()]
        columns = [kind, f"{mean['planted']:.0f}", cells(mean), *parts, _verdict(dataset, kind, mean)]
        table.append(f"| {' | '.join(columns)} |")
    return table

"""compare: two evaluations side by side, or a sentence why they may not be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from aigc_core.errors import DataError
from aigc_core.evaluation.comparability import Difference, compare, identity_digest, refuse_unlike
from aigc_core.files import read_json
from aigc_core.paths import FAMILIES, Paths
from aigc_core.records import StageResult
from aigc_core.report.seeds import told_apart

VARIANTS = ("tuned", "scratch")


@dataclass(frozen=True)
class Result:
    """One evaluation: flat metrics, and the facts that say what they compare with."""

    metrics: dict[str, float]
    facts: dict[str, Any]


def compare_results(paths: Paths, first: str, second: str) -> StageResult:
    """Print two evaluations beside what real images get, differences in multiples of that.

    A name is a family (`gan`), one of a family's two small-target models (`gan-tuned`, `gan-scratch`), or the path of a
    folder with metrics.json and details/facts.json. Raises DataError where there is no such result, or where the two
    were not measured alike, with the difference named.
    """
    one, two = read_result(paths, first), read_result(paths, second)
    refuse_unlike(
        {first: one.facts, second: two.facts},
        "evaluate both with the same data, extractor and parameters, then compare",
    )
    found = compare(one.metrics, two.metrics)
    Console(markup=False, emoji=False).print(_table(first, second, found), highlight=False)
    fd = next(line for line in found if line.name == "fd")
    summary = (
        f"{second} is {abs(fd.second - fd.first):.3f} {'farther from' if fd.second > fd.first else 'nearer to'} real images "
        f"than {first} by fd, {abs(fd.share or 0):.2f} times the floor ({first} {one.metrics['fd_over_floor']:.2f}, "
        f"{second} {two.metrics['fd_over_floor']:.2f}); comparable {identity_digest(one.facts)}, "
        f"n {one.facts['n']:,}. {_seed_words(first, one, second, two)}"
    )
    return StageResult(summary, {line.name: line.second - line.first for line in found})


def _seed_words(first: str, one: Result, second: str, two: Result) -> str:
    """What one training each can tell; a folder without a family in its name has the widest spread between seeds."""
    names = (first.partition("-")[0], second.partition("-")[0])
    if told_apart(one.metrics, two.metrics, names):
        return "The difference is larger than training seeds make in nineteen cases of twenty."
    return "Training seeds alone make such a difference: train both from several seeds to rank them."


def read_result(paths: Paths, name: str) -> Result:
    """The result that a name or a path means. Raises DataError where there is none."""
    family, _, variant = name.partition("-")
    if family in FAMILIES and variant in VARIANTS:
        folder, what = paths.evaluation_finetune(family), f"run `aigc evaluate_finetune {family}` first"
    elif name in FAMILIES:
        folder, what = paths.evaluation(name), f"run `aigc evaluate {name}` first"
    else:
        known = [*FAMILIES, *(f"{known}-{variant}" for known in FAMILIES for variant in VARIANTS)]
        folder, what = (
            Path(name),
            f"name one of {', '.join(known)}, or a folder with metrics.json and details/facts.json",
        )
    if not (folder / "metrics.json").is_file() or not (folder / "details" / "facts.json").is_file():
        raise DataError(f"there is no evaluation {name!r}: {what}")
    metrics = read_json(folder / "metrics.json")
    if variant in VARIANTS and family in FAMILIES:
        metrics = metrics[variant]
    if "fd" not in metrics:
        raise DataError(f"{name} holds the results of {', '.join(sorted(metrics))}: name one, for example gan-tuned")
    return Result(metrics, read_json(folder / "details" / "facts.json"))


def _table(first: str, second: str, found: list[Difference]) -> Table:
    table = Table(title="Two models, one yardstick", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("measure", no_wrap=True)
    for name in (first, second, "real images", "difference", "times real", "intervals"):
        table.add_column(name, justify="right", overflow="fold")
    for line in found:
        table.add_row(
            line.name, f"{line.first:.3g}", f"{line.second:.3g}", "" if line.real is None else f"{line.real:.3g}",
            f"{line.second - line.first:+.2g}", "" if line.share is None else f"{line.share:+.2f}",
            {None: "", True: "overlap", False: "apart"}[line.overlap],
        )  # fmt: skip
    return table

"""summary: what was found, what was trained, how good it is, and where to look, as a short table on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from aigc_core.config import Config
from aigc_core.data.sources.base import Notice
from aigc_core.data.sources.notices import shown
from aigc_core.evaluation.comparability import refuse_families
from aigc_core.paths import FAMILIES, Paths
from aigc_core.quality.decisions import BY_HAND
from aigc_core.quality.reasons import REASONS
from aigc_core.records import StageResult
from aigc_core.report import ablation, facts, verdict

DAGSTER_PAGE = "http://127.0.0.1:3000"
MLFLOW_PAGE = "http://127.0.0.1:5000"


def summary(config: Config, paths: Paths) -> StageResult:  # noqa: ARG001  (stages share one signature)
    """Print the closing table of a finished run. Raises DataError where a stage has not run yet."""
    data = facts.data_facts(paths, {**REASONS, **BY_HAND})
    models, evaluations, tunings = facts.models(paths), facts.evaluations(paths), facts.finetunings(paths)
    refuse_families(evaluations)
    page = facts.require(paths.linked_report if paths.linked_report.exists() else paths.report, "report")
    metrics = {family: evaluations[family]["metrics"] for family in FAMILIES}
    headline = verdict.judge(metrics).headline
    console = Console(markup=False, emoji=False)
    for title, lines in (
        ("Found", found_lines(data)),
        ("Trained", [*trained_lines(models), ("final", final_words(facts.final(paths)))]),
    ):
        console.print(_pairs(title, lines))
    if data["notices"]:
        told = shown([Notice(**notice) for notice in data["notices"]])
        console.print(_pairs("What was read", [("", line) for line in told]))
    console.print(quality_table(metrics, tunings))
    console.print(headline, highlight=False)
    value = ablation.headline(facts.require(paths.ablation / "ledger.json", "ablate").parent)
    console.print(_pairs("What the data bought", [("", value)]))
    console.print(
        _pairs(
            "Look at",
            [
                ("report", str(page.relative_to(paths.root))),
                ("Dagster", f"make ui, then {DAGSTER_PAGE}"),
                ("MLflow", f"make ui, then {MLFLOW_PAGE}"),
            ],
        )
    )
    flat = {f"{family}_{key}": value for family in FAMILIES for key, value in metrics[family].items()}
    return StageResult(headline, flat)


def found_lines(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Read, kept, quarantined by reason, the gate, and planted defects against found ones."""
    reasons, warned = (
        [f"{line['by_action'][action]} {line['reason']}" for line in data["reasons"] if action in line["by_action"]]
        for action in ("quarantine", "warn")
    )
    gate = facts.gate_summary(data["gate"])
    lines = [
        ("read", f"{data['read']:,} images ({data['source'].get('kind', 'unknown source')})"),
        ("kept", f"{data['kept']:,}"),
        ("quarantined", f"{data['quarantined']:,}" + (f" ({', '.join(reasons)})" if reasons else "")),
        ("gate", f"{gate['passed']} of {len(data['gate']['checks'])} checks passed"),
    ]
    if warned:
        lines.insert(3, ("warned of", ", ".join(warned)))
    if data["planted"]:
        found = ", ".join(f"{line['kind']} {line['found']}/{line['planted']}" for line in data["planted"])
        lines.append(("planted, found", found))
    return lines


def trained_lines(models: dict[str, Any]) -> list[tuple[str, str]]:
    """One line per family: steps, rows, stored numbers."""
    return [
        (
            verdict.name_of(family),
            f"{models[f'train@{family}']['card']['step']:,} steps on {models[f'train@{family}']['card']['rows']:,} images, "
            f"{models[f'train@{family}']['parameters']:,} parameters",
        )
        for family in FAMILIES
    ]


def final_words(final: dict[str, Any]) -> str:
    """The final model in one line, or why there is none."""
    if not final["made"]:
        return f"none: {final['why']}"
    copies = {"passed": "no copies found", "failed": "copies suspected", "unknown": "copies not judged"}
    return (
        f"the {verdict.name_of(final['family'])} again, on all {final['rows']:,} images but the reference; "
        f"{copies[final['memorization']]}"
    )


def quality_table(metrics: dict[str, Any], tunings: dict[str, Any]) -> Table:
    """Every model beside what real images get; fine-tuned and from scratch are the two of the small target."""
    table = Table(title="How good", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("model")
    for name in ("fd", "floor", "fd/floor", "coverage (real)", "cas (real)", "copies"):
        table.add_column(name, justify="right")
    rows = {verdict.name_of(family): metrics[family] for family in FAMILIES}
    for family in FAMILIES:
        if "why" not in tunings[family]:
            rows[f"{verdict.name_of(family)}, fine-tuned"] = tunings[family]["tuned"]
            rows[f"{verdict.name_of(family)}, from scratch"] = tunings[family]["scratch"]
    for name, m in rows.items():
        table.add_row(
            name, f"{m['fd']:.3f}", f"{m['fd_floor']:.3f}", f"{m['fd_over_floor']:.2f}",
            f"{m['coverage']:.3f} ({m['coverage_real']:.3f})", f"{m['cas']:.3f} ({m['cas_real']:.3f})" if "cas" in m else "needs labels",
            "suspected" if verdict.withheld(m) else "none seen",
        )  # fmt: skip
    return table


def _pairs(title: str, lines: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in lines:
        table.add_row(name, value)
    return table

"""A whole study of the GAN with six decisions, each at the proxy budget and at the full one, side by side.

    python bench/whole_study.py [--data digits mnist] [--path ../shared/data] [--rows 4000] [--seeds 4] [--write docs/verdicts.md]
    python bench/whole_study.py --data digits --small

Digits are the demo's with wrong labels planted besides; MNIST images have blanks, copies, tiny images and wrong labels planted into
their training rows and are seen at 14 px. Stages, plan, cells and verdicts are the product's own with the defaults of params.yaml; only
the full budget is asked of every decision, where `aigc ablate` asks it of the one that leads. With --folder a run goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from blindness import check, publish
from rich.console import Console
from verdict_cells import digits, mnist

from aigc_core.ablation import runner
from aigc_core.ablation.cells import CONFIRMATION, to_frame
from aigc_core.ablation.confirm import later_cells
from aigc_core.ablation.lines import first_cells
from aigc_core.ablation.live import watching
from aigc_core.ablation.plan import resolve
from aigc_core.ablation.study import Study
from aigc_core.ablation.verdicts import PRIMARY
from aigc_core.ablation.words import brief, title
from aigc_core.config import Config
from aigc_core.paths import Paths
from aigc_core.stages.curate import curate
from aigc_core.stages.extractor import extractor
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

DECISIONS = [
    "curate",
    "deduplicate",
    "fix_labels",
    {"name": "no_blanks", "reasons": ["blank"]},
    "augment",
    "half_the_data",
]
#: What is planted, as shares of the training rows.
DIRT = {
    "digits": {"corrupt": 0.01, "blank": 0.03, "duplicate_exact": 0.03, "duplicate_near": 0.02, "too_small": 0.01, "label_flip": 0.04},
    "mnist": {"blank": 0.03, "copy": 0.05, "too_small": 0.02, "flip": 0.04},
}  # fmt: skip
MNIST_SIDE = 14
SMALL_STEPS = (20, 40)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(DIRT), default=list(DIRT))
    parser.add_argument("--path", type=Path, default=Path("../shared/data"), help="the folder with mnist/*.gz")
    parser.add_argument("--rows", type=int, default=4000, help="images of MNIST that are used")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--parallel", type=int, help="processes; one per core without it")
    parser.add_argument("--folder", type=Path, help="keep data and cells there")
    parser.add_argument("--small", action="store_true", help="a few steps, to see that it works")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into docs/verdicts.md")
    chosen = parser.parse_args()
    check(chosen.write, "whole study")
    lines: list[str] = []
    for name in chosen.data:
        with nullcontext(chosen.folder) if chosen.folder else tempfile.TemporaryDirectory() as folder:
            lines += study(name, Path(folder) / name, chosen)
    publish(lines, "whole study", chosen.write)


def study(name: str, folder: Path, chosen: argparse.Namespace) -> list[str]:
    """One data set from files to the table, as Markdown."""
    source = digits if name == "digits" else mnist(chosen.path, chosen.rows)
    config, paths = _settings(source(folder, DIRT[name]), name, chosen), Paths(folder)
    if not paths.curated.exists():
        for stage in (ingest, extractor, measure, curate):
            print(stage(config, paths).summary)
    layout, began = resolve(config, paths), time.perf_counter()
    plan = layout.plan
    first, later = first_cells(plan), later_cells(plan, {CONFIRMATION: plan.decisions})
    with watching(plan, runner.workers(config, len(plan.cells)), Console(), first + later) as watch:
        crew = runner.Crew(layout, paths, config, watch, None)
        lines = crew.finish(first) + crew.finish(later)
    took = time.perf_counter() - began
    return table(name, Study(plan.to_dict(), to_frame(lines)), took)


def _settings(config: Config, name: str, chosen: argparse.Namespace) -> Config:
    values = config.model_dump()
    values["quality"]["label_suspect"]["action"] = "quarantine"
    values["ablation"] |= {"model": "gan", "seeds": chosen.seeds, "decisions": DECISIONS, "variations": 0}
    if chosen.parallel:
        values["ablation"]["parallel"] = chosen.parallel
    if name == "mnist":
        values["source"]["side"] = MNIST_SIDE
    if chosen.small:
        values["ablation"]["steps"], values["train"]["gan"]["steps"] = SMALL_STEPS
    return Config.model_validate(values)


def table(name: str, found: Study, took: float) -> list[str]:
    """Every decision at both budgets as Markdown."""
    plan = found.plan
    lines = [
        f"#### {name}",
        "",
        f"{found.rows:,} training rows, {found.test_rows:,} test rows, {len(found.cells)} trainings of the GAN ({took / 60:.0f} minutes). "
        f"{found.headline.sentence}",
        "",
        f"| decision | rows touched | verdict at {plan['steps']:,} steps | ratio, {len(plan['seeds'])} seeds | ratio at {plan['confirm_steps']:,} steps | the two differ |",
        "| --- | ---: | --- | ---: | ---: | --- |",
    ]
    touched = {arm["decision"]: arm["rows_touched"] for arm in plan["arms"] if arm["kind"] == "treatment"}
    for decision in found.decisions:
        effect, full = found.effects.get((decision, PRIMARY)), found.confirmations.get(decision)
        verdict, proxy = (effect.verdict, brief(effect.gain, PRIMARY)) if effect else ("no verdict", "")
        told = (
            (f"{brief(full.full, PRIMARY)}, {full.full.n} seeds", "yes" if full.differs else "no") if full else ("", "")
        )
        lines.append(f"| {title(decision)} | {touched[decision]:,} | {verdict} | {proxy} | {told[0]} | {told[1]} |")
    gates = [f"{gate.name}: {gate.observed}" for gate in found.gates]
    skipped = [f"{line['arm']}: {line['why']}" for line in plan["skipped"]]
    return [*lines, "", f"{'; '.join(gates)}.", *(f"Not run: {one}." for one in skipped), ""]


if __name__ == "__main__":
    main()

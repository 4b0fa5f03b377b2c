"""The command line `aigc`: one command per stage of dvc.yaml, and what is done with a finished model.

Thin: it finds the checkout, reads params.yaml, calls the stage's function and prints what it says. An AigcError
becomes its one sentence on standard error and the error's exit code.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from aigc_core import config as configuration
from aigc_core import inputs, orphans, threads, tracking
from aigc_core.errors import AigcError, ConfigError
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.tracking.processes import ending_in_order

threads.settle()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From raw files to a trained, measured and released generative model. Each stage of dvc.yaml is a command; "
    "`dvc repro` runs those that need it, in order.\n\n"
    "Examples:  aigc ingest   |   aigc train gan   |   aigc generate --model gan --label 7 -n 16 --out samples",
)

quality = typer.Typer(
    no_args_is_help=True,
    help="What people ask of the data and decide about it.\n\n"
    "Examples:  aigc quality why digits/0042   |   aigc quality review   |   aigc quality accept",
)
app.add_typer(quality, name="quality")


class Family(StrEnum):
    """The model families; dvc.yaml trains those of `FAMILIES`, which the report goes by."""

    vae = "vae"
    gan = "gan"
    flow = "flow"


class Model(StrEnum):
    """What images can be generated with: a trained family, or what `aigc final` made."""

    vae = "vae"
    gan = "gan"
    flow = "flow"
    final = "final"


FamilyArgument = Annotated[Family, typer.Argument(help="Which model family, for example `gan`.")]

track_app = typer.Typer(
    no_args_is_help=True,
    help="What is done with runs in MLflow.\n\nExamples:  aigc track sync   |   aigc track sync --help",
)
app.add_typer(track_app, name="track")

PLAIN_STAGES = {
    "ingest": "Read the source into data/content and assign each row to reference, train or test.",
    "extractor": "Train the frozen feature extractor on the reference rows.",
    "measure": "Measure every row without judging it.",
    "curate": "Judge every row; quarantine what is useless, with its reason.",
    "validate": "The gate: Great Expectations on measures and verdicts. Exit code 3 when it refuses.",
    "augment": "Apply the offline augmentation policy to the curated training rows.",
    "choose": "Say which family is released: of those that the memorization gate passed, the nearest to real images.",
    "final": "Train the released model once more, on every kept row but the reference.",
    "report": "Render everything as one page.",
}
FAMILY_STAGES = {
    "pretrain": "Train one family on other classes or another source.",
    "finetune": "Fine-tune the pre-trained model on a small target, beside training from scratch.",
    "evaluate": "Compare samples with held-out real images.",
    "evaluate_finetune": "Compare the fine-tuned model and the one from scratch with held-out real images.",
}


def _run_stage(name: str, family: str | None = None, **options: Any) -> StageResult:
    paths = Paths.here()
    orphans.end_with_dvc()
    # A plan alone is no out.
    with ending_in_order(), nullcontext() if options.get("plan_only") else inputs.unchanged(paths, name, family):
        config = configuration.load(paths.root / "params.yaml")
        inputs.refuse_unlisted(paths, name, family, config.files_of(name))
        stage = getattr(importlib.import_module(f"aigc_core.stages.{name}"), name)
        result: StageResult = stage(config, paths, *([family] if family else []), **options)
    return result


def _say(result: StageResult, *more: str) -> None:
    # A file may be called `[b].png`: what stages say is text and never markup.
    console = Console()
    for line in (result.summary, *(f"  {notice}" for notice in result.facts.get("notices", ())), *more):
        console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _say_stage(result: StageResult) -> None:
    """What the stage did, and last what MLflow does not have yet: nobody looks for that elsewhere."""
    _say(result, *tracking.outstanding(Paths.here()))


def _add_plain(name: str, text: str) -> None:
    @app.command(name, help=f"{text}\n\nExample:  aigc {name}")
    def command() -> None:
        _say_stage(_run_stage(name))


def _add_family(name: str, text: str) -> None:
    @app.command(name, help=f"{text}\n\nExample:  aigc {name} gan")
    def command(family: FamilyArgument) -> None:
        _say_stage(_run_stage(name, family.value))


for _name, _text in PLAIN_STAGES.items():
    _add_plain(_name, _text)
for _name, _text in FAMILY_STAGES.items():
    _add_family(_name, _text)


@app.command()
def train(
    family: FamilyArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say parameters, shapes, memory and time; write nothing.")
    ] = False,
) -> None:
    """Train one family on the curated training rows. A killed run continues when it is called again.

    Example:  aigc train gan   |   aigc train flow --dry-run
    """
    if dry_run:
        from aigc_core.commands.dry_run import dry_run as run

        _say(run(*_setting(), family.value))
    else:
        _say_stage(_run_stage("train", family.value))


@app.command()
def ablate(
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Time a few steps, print the plan with its price, freeze it, and end.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=3, max=configuration.MOST_SEEDS, help="Trainings per arm, instead of ablation.seeds."),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Shares of the training rows for a scaling curve, instead of ablation.sizes, e.g. `0.1,0.18,0.32,0.56,1`."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Take fewer seeds, then fewer steps, so that the study fits a time, e.g. `10m`.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Run this frozen plan, which --plan-only wrote, and no other.")
    ] = None,
) -> None:
    """Measure what each data decision bought; a study that was interrupted goes on where it was.

    Example:  aigc ablate --plan-only   |   aigc ablate --seeds 10 --sizes 0.1,0.18,0.32,0.56,1   |   aigc ablate --budget 10m
    """
    shares = _shares(sizes) if sizes is not None else None
    _say_stage(_run_stage("ablate", plan_only=plan_only, seeds=seeds, sizes=shares, budget=budget, plan=plan))


def _shares(text: str) -> list[float]:
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise ConfigError(f"--sizes {text!r}: write shares of the training rows, for example 0.1,0.32,1") from None


@app.command()
def summary() -> None:
    """Print what was found, what was trained, how good it is, and where to look.

    Example:  aigc summary
    """
    from aigc_core.commands.summary import summary as run

    run(*_setting())
    for sentence in tracking.outstanding(Paths.here()):
        print(sentence)


@app.command()
def generate(
    model: Annotated[Model, typer.Option(help="Which trained family, or `final`: the released one, on all rows.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the PNG files and the contact sheet; one that holds images of another model or seed is refused."
        ),
    ],
    label: Annotated[str | None, typer.Option(help="Class to generate; all classes in turn without it.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100_000, help="How many images.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same seed, same images.")] = 0,
    allow_memorized: Annotated[
        bool,
        typer.Option("--allow-memorized", help="Generate although the memorization gate has not passed the model."),
    ] = False,
) -> None:
    """Write generated images; each file says in its metadata that it is AI-generated, by what and from which data.

    Refused (exit code 3) for a model that the memorization gate of `aigc evaluate` has not passed.

    Example:  aigc generate --model gan --label 7 -n 16 --out samples   |   aigc generate --model final --out final-samples
    """
    from aigc_core.commands.generate import generate as run

    _say(run(Paths.here(), model.value, label, count, seed, out, allow_memorized=allow_memorized))


@app.command()
def verify(file: Annotated[Path, typer.Argument(help="A PNG file that `aigc generate` wrote.")]) -> None:
    """Read a generated file's provenance and say whether its pixels and its end are unchanged.

    Example:  aigc verify samples/gan-7-0000.png
    """
    from aigc_core.commands.generate import verify as run

    _say(run(file))


data_app = typer.Typer(no_args_is_help=True, help="What is done with a dataset version.")
app.add_typer(data_app, name="data")


class ExportedVersion(StrEnum):
    """The dataset versions that can be taken elsewhere."""

    curated = "curated"
    ingested = "ingested"
    augmented = "augmented"
    quarantine = "quarantine"


@data_app.command("export")
def data_export(
    version: Annotated[ExportedVersion, typer.Argument(help="Which dataset version.")],
    folder: Annotated[Path, typer.Argument(help="New or empty folder for the Parquet files.")],
) -> None:
    """Write a version as Parquet that `datasets.load_dataset("parquet")` reads, one set of files per split.

    Example:  aigc data export curated exported
    """
    from aigc_core.commands.export import export as run

    _say(run(Paths.here(), version.value, folder))


@data_app.command("log")
def data_log(
    revisions: Annotated[
        list[str] | None,
        typer.Argument(help="Git revisions or DVC experiments beside the workspace, for example `HEAD~1`."),
    ] = None,
    all_commits: Annotated[
        bool,
        typer.Option("--all-commits", help="Every commit of every branch, tag and experiment that changes dvc.lock."),
    ] = False,
) -> None:
    """List versions: rows, parent, operation, what was quarantined; of the workspace, and of git history where the DVC cache has them.

    Example:  aigc data log   |   aigc data log HEAD~1 v1   |   aigc data log --all-commits
    """
    from aigc_core.commands.data_log import log as run

    _say(run(Paths.here(), revisions or (), all_commits=all_commits))


_VERSION_HELP = "curated, ingested or augmented; a git revision (its curated version); or REVISION:ingested."


@data_app.command("diff")
def data_diff(
    first: Annotated[str, typer.Argument(help=f"The earlier version: {_VERSION_HELP}")],
    second: Annotated[str, typer.Argument(help="The later version, named the same way.")] = "curated",
) -> None:
    """Say which rows were added or removed or changed label, split, picture or verdict, and write a page with examples.

    Example:  aigc data diff ingested curated   |   aigc data diff HEAD~1 curated   |   aigc data diff v1:ingested v2:ingested
    """
    from aigc_core.commands.data_diff import diff as run

    _say(run(Paths.here(), first, second))


def _setting() -> tuple[configuration.Config, Paths]:
    paths = Paths.here()
    return configuration.load(paths.root / "params.yaml"), paths


@quality.command()
def why(
    name: Annotated[str, typer.Argument(help="A row's id, the beginning of it, or its place in the source.")],
) -> None:
    """Print everything known of one row: measures, verdicts with what decided, copies, decisions, origin.

    Example:  aigc quality why digits/0042
    """
    from aigc_core.commands.quality_why import why as run

    _say(run(*_setting(), name))


@quality.command()
def review(
    apply: Annotated[Path | None, typer.Option(help="Take the decisions of this CSV file over.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures per reason.")] = 60,
) -> None:
    """Write a contact sheet per reason, worst first; or take the decisions back that were made on one.

    Example:  aigc quality review   |   aigc quality review --apply ~/Downloads/decisions.csv
    """
    from aigc_core.commands import quality_review as stage

    config, paths = _setting()
    _say(stage.take(config, paths, apply) if apply else stage.review(config, paths, limit))


@quality.command()
def suite(
    margin: Annotated[float, typer.Option(min=0, max=0.9, help="Room on every number, as a share of it.")] = 0.1,
) -> None:
    """Draft the gate's numbers (`expectations` of params.yaml) from the present data, if you trust it.

    Example:  aigc quality suite --margin 0.2
    """
    from aigc_core.commands.quality_suite import suite as run

    print(run(*_setting(), margin).summary, end="")


@quality.command()
def accept() -> None:
    """Take the present version as normal: the gate tells how far later ones have moved from it.

    Example:  aigc quality accept
    """
    from aigc_core.commands.quality_accept import accept as run

    _say(run(*_setting()))


@track_app.command("sync")
def track_sync() -> None:
    """Deliver to MLflow what waits in .work/tracking, and end runs whose process is gone. Exit code 1 while something waits.

    Example:  aigc track sync   |   MLFLOW_TRACKING_URI=http://127.0.0.1:5000 aigc track sync
    """
    result, done = tracking.sync(Paths.here())
    _say(result)
    if not done:
        raise typer.Exit(1)


@app.command()
def explain(
    sample: Annotated[Path, typer.Argument(help="A single PNG file that `aigc generate` wrote.")],
    neighbours: Annotated[int, typer.Option("-k", "--neighbours", min=1, help="Training images per row.")] = 5,
) -> None:
    """Show the training images that a generated file is most like, in features and in pixels. Likeness, not cause.

    Example:  aigc explain samples/gan-7-0000.png
    """
    from aigc_core.commands.explain import explain as run

    _say(run(Paths.here(), sample, neighbours))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="gan, vae, gan-tuned, gan-scratch, or a folder of an evaluation.")],
    second: Annotated[str, typer.Argument(help="The same, for what it is compared with.")],
) -> None:
    """Put two evaluations side by side, or refuse and name what differs in how they were measured.

    Example:  aigc compare vae gan
    """
    from aigc_core.commands.compare import compare_results

    _say(compare_results(Paths.here(), first, second))


def main() -> None:
    """Run the command line; the only place that turns errors into exit codes."""
    try:
        app()
    except AigcError as error:
        print(f"aigc: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        if error.errno is None:
            raise
        # What libraries say themselves about a full disk differs, and seldom names the file.
        where = f" ({error.filename})" if error.filename else ""
        print(f"aigc: {os.strerror(error.errno)}{where}: nothing was replaced; make room or mend the permission and run it again",
              file=sys.stderr)  # fmt: skip
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

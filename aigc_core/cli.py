"""The command line `aigc`: one command per stage of dvc.yaml, and what is done with a finished model.

Thin: it finds the checkout, reads params.yaml, calls the stage's function and prints what it says. An AigcError
becomes its one sentence on standard error and the error's exit code.
"""

from __future__ import annotations

import importlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aigc_core import config as configuration
from aigc_core.errors import AigcError, ConfigError
from aigc_core.paths import Paths
from aigc_core.records import StageResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From raw files to a trained, measured and released generative model. Each stage of dvc.yaml is a command; "
    "`dvc repro` runs those that need it, in order.\n\n"
    "Examples:  aigc ingest   |   aigc train gan   |   aigc generate --model gan --label 7 -n 16 --out samples",
)


class Family(StrEnum):
    """The model families of dvc.yaml; `FAMILIES` is the list that everything else goes by."""

    vae = "vae"
    gan = "gan"


FamilyArgument = Annotated[Family, typer.Argument(help="Which model family, for example `gan`.")]

PLAIN_STAGES = {
    "ingest": "Read the source into data/content and assign each row to reference, train or test.",
    "extractor": "Train the frozen feature extractor on the reference rows.",
    "measure": "Measure every row without judging it.",
    "curate": "Judge every row; quarantine what is useless, with its reason.",
    "validate": "The gate: Great Expectations on measures and verdicts. Exit code 3 when it refuses.",
    "augment": "Apply the offline augmentation policy to the curated training rows.",
    "report": "Render everything as one page.",
}
FAMILY_STAGES = {
    "train": "Train one family on the curated training rows. A killed run continues when it is called again.",
    "pretrain": "Train one family on other classes or another source.",
    "finetune": "Fine-tune the pre-trained model on a small target, beside training from scratch.",
    "evaluate": "Compare samples with held-out real images.",
    "evaluate_finetune": "Compare the fine-tuned model and the one from scratch with held-out real images.",
}


def _root() -> Path:
    """The checkout: the nearest folder upwards that holds params.yaml."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").exists():
            return folder
    raise ConfigError(f"no params.yaml in {here} or above it: run aigc inside a checkout of the project")


def _run_stage(name: str, *arguments: str) -> StageResult:
    root = _root()
    config = configuration.load(root / "params.yaml")
    stage = getattr(importlib.import_module(f"aigc_core.stages.{name}"), name)
    result: StageResult = stage(config, Paths(root), *arguments)
    return result


def _say(result: StageResult) -> None:
    Console().print(result.summary, highlight=False, soft_wrap=True)


def _add_plain(name: str, text: str) -> None:
    @app.command(name, help=f"{text}\n\nExample:  aigc {name}")
    def command() -> None:
        _say(_run_stage(name))


def _add_family(name: str, text: str) -> None:
    @app.command(name, help=f"{text}\n\nExample:  aigc {name} gan")
    def command(family: FamilyArgument) -> None:
        _say(_run_stage(name, family.value))


for _name, _text in PLAIN_STAGES.items():
    _add_plain(_name, _text)
for _name, _text in FAMILY_STAGES.items():
    _add_family(_name, _text)


@app.command()
def ablate(
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print the plan, freeze it, run nothing.")] = False,
    seeds: Annotated[int | None, typer.Option(min=2, help="Seeds per arm, instead of params.yaml's.")] = None,
    sizes: Annotated[str | None, typer.Option(help="Shares for a scaling curve, e.g. `0.1,0.18,0.32,0.56,1`.")] = None,
    budget: Annotated[str | None, typer.Option(help="Choose seeds and steps to fit a time, e.g. `10m`.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Run this frozen plan and no other.")] = None,
) -> None:
    """Measure what each data decision bought; a study that was stopped goes on where it was.

    Example:  aigc ablate --plan-only   |   aigc ablate --seeds 10 --sizes 0.1,0.18,0.32,0.56,1   |   aigc ablate --budget 10m
    """
    from aigc_core.stages.ablate import ablate as run

    root = _root()
    shares = _shares(sizes) if sizes is not None else None
    config = configuration.load(root / "params.yaml")
    _say(run(config, Paths(root), plan_only=plan_only, seeds=seeds, sizes=shares, budget=budget, plan=plan))


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
    _run_stage("summary")


@app.command()
def generate(
    model: Annotated[Family, typer.Option(help="Which trained family.")],
    out: Annotated[Path, typer.Option(help="Folder for the PNG files and the contact sheet.")],
    label: Annotated[str | None, typer.Option(help="Class to generate; all classes in turn without it.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many images.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same images.")] = 0,
) -> None:
    """Write generated images; each file says in its metadata that it is AI-generated, by what and from which data.

    Example:  aigc generate --model gan --label 7 -n 16 --out samples
    """
    from aigc_core.stages.generate import generate as run

    _say(run(Paths(_root()), model.value, label, count, seed, out))


@app.command()
def verify(file: Annotated[Path, typer.Argument(help="A PNG file that `aigc generate` wrote.")]) -> None:
    """Read a generated file's provenance and say whether its pixels are unchanged.

    Example:  aigc verify samples/gan-7-0000.png
    """
    from aigc_core.stages.generate import verify as run

    _say(run(file))


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
        print(f"aigc: {error.strerror} ({error.filename or 'no file named'}): nothing was replaced; "
              "make room or mend the permission and run it again", file=sys.stderr)  # fmt: skip
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

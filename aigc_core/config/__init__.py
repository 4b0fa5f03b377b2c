"""params.yaml as typed models: every number of the product, its unit and its range.

Unknown keys are refused with the nearest known name. Nothing here has a default that params.yaml does not
show, except where a section may be left out by a notebook.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError

from aigc_core.config.base import Classes, ClassName, Count, Positive, Section, Share, meant
from aigc_core.config.evaluation import Evaluate, Extractor, Memorization, Weights
from aigc_core.config.gate import Drift, Expectations, Ranges
from aigc_core.config.quality import Alike, Blank, Generated, LabelSuspect, NearDuplicate, Quality, Rule, Tail, TooSmall
from aigc_core.config.source import Columns, Digits, Part, Plant, ReaderKind, Reading, Sheet, Source, SplitShares
from aigc_core.config.study import Ablation, NamedDecision, OwnDecision
from aigc_core.config.training import Augment, Final, Finetune, Flow, Gan, Network, Pretrain, SecondSource, Train, Vae
from aigc_core.errors import ConfigError

__all__ = [
    "Ablation",
    "Alike",
    "Augment",
    "Blank",
    "ClassName",
    "Classes",
    "Columns",
    "Config",
    "Count",
    "Digits",
    "Drift",
    "Evaluate",
    "Expectations",
    "Extractor",
    "Final",
    "Finetune",
    "Flow",
    "Gan",
    "Generated",
    "LabelSuspect",
    "Memorization",
    "NamedDecision",
    "NearDuplicate",
    "Network",
    "OwnDecision",
    "Part",
    "Plant",
    "Positive",
    "Pretrain",
    "Quality",
    "Ranges",
    "ReaderKind",
    "Reading",
    "Rule",
    "SecondSource",
    "Section",
    "Share",
    "Sheet",
    "Source",
    "SplitShares",
    "Tail",
    "TooSmall",
    "Tracking",
    "Train",
    "Vae",
    "Weights",
    "load",
    "parse",
]


class Tracking(Section):
    """MLflow. MLFLOW_TRACKING_URI wins over the store under mlflow/."""

    enabled: bool = True
    experiment: str = "aigc"
    system_metrics: bool = Field(False, description="load of processor, memory, disk and card in MLflow, every 10 s")


class Config(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    source: Source = Source()
    digits: Digits = Digits()
    split: SplitShares = SplitShares()
    extractor: Extractor = Extractor()
    quality: Quality = Quality()
    expectations: Expectations = Expectations()
    augment: Augment = Augment()
    train: Train = Train()
    pretrain: Pretrain = Pretrain()
    finetune: Finetune = Finetune()
    evaluate: Evaluate = Evaluate()
    final: Final = Final()
    ablation: Ablation = Ablation()
    tracking: Tracking = Tracking()


def load(path: Path) -> Config:
    """Read and check params.yaml.

    Raises ConfigError, in one sentence, for a missing file, broken YAML, an unknown key or a value out of range.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: run aigc in the folder that holds params.yaml") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML ({' '.join(str(error).split())}): mend that line") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold sections such as `source:`, but holds {type(raw).__name__}")
    return parse(raw)


def parse(raw: dict[str, Any]) -> Config:
    """Check a mapping as params.yaml would hold it. Raises ConfigError as `load` does."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(dict(item)) for item in error.errors())) from None


def _explain(item: dict[str, Any]) -> str:
    """One pydantic complaint as: which parameter, which value, what to do."""
    location = [str(part) for part in item["loc"]]
    name = ".".join(location)
    if item["type"] == "extra_forbidden":
        known = _known_names(location[:-1])
        near = meant(location[-1], known).rstrip() or f"known here: {', '.join(known)}"
        return f"params.yaml: unknown parameter {name!r}; {near}"
    if item["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", item["ctx"]["expected"])
        near = meant(str(item["input"]), allowed)
        return f"params.yaml: {name} = {item['input']!r} is refused: {near}it may be {', '.join(allowed)}"
    message = item["msg"].removeprefix("Value error, ")
    return f"params.yaml: {name} = {item['input']!r} is refused: {message}"


def _known_names(location: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        if part.isdigit():
            continue  # a place in a list: the list's own annotation said what its items are
        found = _model_in(model.model_fields[part].annotation) if part in model.model_fields else None
        if found is None:
            return []
        model = found
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation names, also as `Section | None` or `list[Section]`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

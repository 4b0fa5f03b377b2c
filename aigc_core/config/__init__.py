"""params.yaml as typed models: every number of the product, its unit and its range.

Unknown keys are refused with the nearest known name. Nothing here has a default that params.yaml does not
show, except where a section may be left out by a notebook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from aigc_core.config.base import Classes, ClassName, Count, Positive, Section, Share
from aigc_core.config.evaluation import Evaluate, Extractor, Memorization, Weights
from aigc_core.config.gate import Drift, Expectations, Ranges
from aigc_core.config.quality import Alike, Blank, Generated, LabelSuspect, NearDuplicate, Quality, Rule, Tail, TooSmall
from aigc_core.config.refusals import explain
from aigc_core.config.source import Columns, Digits, Part, Plant, ReaderKind, Reading, Sheet, Source, SplitShares
from aigc_core.config.study import MOST_SEEDS, Ablation, NamedDecision, OwnDecision
from aigc_core.config.training import Augment, Final, Finetune, Flow, Gan, Network, Pretrain, SecondSource, Train, Vae
from aigc_core.errors import ConfigError

__all__ = [
    "MOST_SEEDS",
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

    def files_of(self, stage: str) -> dict[str, str]:
        """The files that parameters of a stage name: parameter to path."""
        weights = {
            f"evaluate.weights.{name}": path for name, path in self.evaluate.weights.model_dump().items() if path
        }
        own = [one for one in self.ablation.decisions if isinstance(one, OwnDecision) and one.ids is not None]
        ids = {f"ablation.decisions ({one.name}).ids": str(one.ids) for one in own}
        return {"evaluate": weights, "evaluate_finetune": weights, "ablate": weights | ids}.get(stage, {})


class _Loader(yaml.SafeLoader):
    """YAML in which no name stands twice: of two, the loader would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in known:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
            known |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep)


def load(path: Path) -> Config:
    """Read and check params.yaml.

    Raises ConfigError, in one sentence, for a missing file, broken YAML, an unknown key or a value out of range.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  (a SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: run aigc in the folder that holds params.yaml") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML ({' '.join(str(error).split())}): mend that line") from None
    except (ValueError, RecursionError) as error:  # a date that no calendar has, a number of thousands of digits
        told = "lists within lists without an end" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(f"{path} holds a value that cannot be read ({told}): mend it") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold sections such as `source:`, but holds {type(raw).__name__}")
    return parse(raw)


def parse(raw: dict[str, Any]) -> Config:
    """Check a mapping as params.yaml would hold it. Raises ConfigError as `load` does."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(explain(error.errors(), raw, Config)) from None

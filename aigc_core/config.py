"""params.yaml as typed models: every number of the product, its unit and its range.

Unknown keys are refused with the nearest known name. Nothing here has a default that params.yaml does not
show, except where a section may be left out by a notebook.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from aigc_core.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
#: A class name; YAML reads 7 as a number, the tables hold "7".
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
#: A list of class names, or the half of the sorted classes that the stage takes by default.
Classes = Literal["auto"] | list[ClassName]


class Section(BaseModel):
    """A part of params.yaml. Frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Where the raw files lie."""

    kind: Literal["digits", "idx", "folder"] = Field("digits", description="which reader")
    path: str = Field("data/raw", description="file or folder, relative to params.yaml; `digits` does not read it")
    limit: Count | None = Field(None, description="seeded, class-stratified sample of this many rows; null reads all")


class Plant(Section):
    """Shares of the clean training rows that are added once more, damaged. `label_flip` alone changes rows in place."""

    corrupt: Share = Field(0.01, description="truncated or overwritten bytes")
    blank: Share = Field(0.03, description="one grey level all over")
    duplicate_exact: Share = Field(0.03, description="the same pixels again")
    duplicate_near: Share = Field(0.02, description="the same image, brightness changed slightly")
    too_small: Share = Field(0.01, description="shrunk to 3 px")
    label_flip: Share = Field(0.0, description="the label of another class")


class Digits(Section):
    """The embedded digits; because they are clean, documented defects are planted into their training rows."""

    plant: Plant = Plant()


class SplitShares(Section):
    """Shares of the three splits; `train/` and `test/` folders of a source win over them."""

    reference: Share = Field(0.2, description="rows that the extractor learns from, and nothing else")
    train: Share = Field(0.5, description="rows that models learn from")
    test: Share = Field(0.3, description="rows that generated samples are compared with")

    @model_validator(mode="after")
    def _sum_to_one(self) -> SplitShares:
        total = self.reference + self.train + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"split shares add up to {total:g}, they must add up to 1")
        return self


class Extractor(Section):
    """The frozen domain feature extractor."""

    dimensions: int = Field(32, ge=2, le=256, description="feature dimensions; n must be at least ten times this")
    steps: Count = 800
    batch_size: Count = 64
    learning_rate: Positive = 0.002


class Rule(Section):
    """What happens to a row with this reason."""

    action: Literal["quarantine", "warn", "inform", "off"]


class TooSmall(Rule):
    """Shorter side below `min_side`."""

    min_side: Count = Field(description="px")


class Blank(Rule):
    """Luma hardly varies."""

    max_std: Annotated[float, Field(ge=0, le=0.5)] = Field(description="standard deviation of the luma in [0, 1]")


class NearDuplicate(Rule):
    """Perceptual hashes closer than `max_distance`."""

    max_distance: Annotated[int, Field(ge=0, le=16)] = Field(description="differing bits out of 64")


class Quality(Section):
    """Reasons, their thresholds, and what each leads to."""

    max_quarantined_share: Share = Field(0.25, description="curate stops when more than this share is quarantined")
    corrupt: Rule = Rule(action="quarantine")
    too_small: TooSmall = TooSmall(action="quarantine", min_side=8)
    blank: Blank = Blank(action="quarantine", max_std=0.01)
    duplicate_exact: Rule = Rule(action="quarantine")
    duplicate_near: NearDuplicate = NearDuplicate(action="warn", max_distance=2)


class Expectations(Section):
    """The numbers of the Great Expectations suite (aigc_core/quality/suite.json names them)."""

    min_rows: Count = Field(500, description="rows kept (error)")
    min_rows_per_class: Count = Field(20, description="kept training rows of the smallest class (error)")
    min_class_share_ratio: Share = Field(0.5, description="smallest class / largest class among kept rows (warning)")
    max_share: dict[str, Share] = Field(
        default_factory=lambda: {
            "corrupt": 0.05,
            "too_small": 0.05,
            "blank": 0.10,
            "duplicate_exact": 0.10,
            "duplicate_near": 0.20,
        },
        description="largest share of read rows that may carry a reason (warning)",
    )
    max_aspect: Annotated[float, Field(ge=1)] = Field(3.0, description="longer / shorter side of kept rows (warning)")


class Augment(Section):
    """The offline policy. Training uses its version only where `train.dataset` says so."""

    copies: Count = Field(1, description="augmented rows per kept training row")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(10, description="largest angle, degrees")
    flip: Share = Field(0.0, description="probability of a horizontal flip; digits must not be flipped")
    crop: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="largest share cut from a side, then resized")
    brightness: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="largest relative change")


class Network(Section):
    """Sizes of the networks; image size and channels come from the data."""

    latent: Count = Field(64, description="dimensions of the noise")
    mlp_width: Count = Field(256, description="hidden units up to 16 px")
    conv_width: Count = Field(16, description="channels of the widest image stage from 17 px")


class Vae(Section):
    """Conditional VAE (Kingma & Welling 2014)."""

    steps: Count = 4000
    learning_rate: Positive = 0.001
    beta: Positive = Field(1.0, description="weight of the KL term")


class Gan(Section):
    """Conditional GAN, non-saturating loss (Goodfellow 2014) with R1 (Mescheder 2018) and EMA."""

    steps: Count = 2000
    learning_rate: Positive = 0.0005
    mlp_r1: Annotated[float, Field(ge=0)] = Field(
        20.0, description="weight gamma of the gradient penalty on real images, up to 16 px"
    )
    conv_r1: Annotated[float, Field(ge=0)] = Field(1.0, description="the same weight from 17 px")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="decay per step of the generator's average")


class Train(Section):
    """Training, for every family."""

    dataset: Literal["curated", "augmented"] = Field(
        "curated", description="version to train on; what is augmented offline shows in what is generated"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: Count = 64
    log_every: Count = Field(50, description="steps between points of a loss curve")
    grid_every: Count = Field(1000, description="steps between fixed-latent grids")
    checkpoint_every: Count = Field(500, description="steps between checkpoints")
    network: Network = Network()
    vae: Vae = Vae()
    gan: Gan = Gan()


class SecondSource(Section):
    """Another source to pre-train on; `same` takes classes of the main one."""

    kind: Literal["same", "idx", "folder"] = "same"
    path: str = "data/raw"
    limit: Count | None = None


class Pretrain(Section):
    """Pre-training on many images of other classes or of another source."""

    source: SecondSource = SecondSource()
    classes: Classes = Field("auto", description="class names; auto is the first half of the sorted classes")
    steps: Count = 2000


class Finetune(Section):
    """Fine-tuning on a small target, beside training from scratch on the same target."""

    classes: Classes = Field("auto", description="class names; auto is the second half of the sorted classes")
    per_class: Count = Field(50, description="training images per class")
    steps: Count = 1000


class Memorization(Section):
    """Limits of the memorization gate. A figure outside counts only where chance does not explain it."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.01, description="how often honest samples may fail; each of the three questions gets a third of it"
    )
    max_copy_rate: Share = Field(
        0.03, description="share of samples as close to a training image as the closest 1 % of held-out images"
    )
    min_c_t: Annotated[float, Field(le=0)] = Field(
        -3.0, description="mean over cells of the z of distances to training images; below 0 is nearer than held-out"
    )
    min_auth_gap: Annotated[float, Field(ge=-1, le=0)] = Field(
        -0.1, description="share of authentic samples minus that of held-out images"
    )
    cells: Count = Field(10, description="regions of the training images, at most; each needs 40 held-out images")
    permutations: int = Field(2000, ge=300, description="relabellings behind the p-value of C_T")

    @model_validator(mode="after")
    def _fine_enough(self) -> Memorization:
        if self.permutations < 3 / self.alpha:
            raise ValueError(
                f"{self.permutations} permutations cannot show a chance below alpha / 3 = {self.alpha / 3:g}: take at "
                f"least {3 / self.alpha:.0f}"
            )
        return self


class Evaluate(Section):
    """How samples are compared with held-out real images."""

    max_samples: Count = Field(10000, description="samples drawn are as many as test rows, but at most this")
    neighbours: Count = Field(5, description="k of density and coverage")
    floor_draws: Count = Field(20, description="real-vs-real draws behind the floor")
    jackknife_groups: int = Field(20, ge=5, description="parts of the samples that are left out in turn, for intervals")
    memorization: Memorization = Memorization()


class OwnDecision(Section):
    """A decision of the user's own: rows that it brought in (`ids`), or rows that it keeps out (`reasons`)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="names the arms: without_<name>")]
    ids: str | None = Field(None, description="CSV file with a column `id` or `source`: training rows that it added")
    reasons: list[str] | None = Field(
        None, description="reason codes: the rows that are quarantined for no other reason"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> OwnDecision:
        if (self.ids is None) == (self.reasons is None):
            raise ValueError("give `ids` (a CSV file) or `reasons` (a list of reason codes), one of the two")
        return self


NamedDecision = Literal["curate", "deduplicate", "fix_labels", "augment", "pretrain", "half_the_data"]


class Ablation(Section):
    """The data-value study: what each decision on the data bought (aigc_core/ablation)."""

    enabled: bool = Field(True, description="false: the stage writes that nothing was run")
    model: Literal["vae", "gan"] = Field("vae", description="the same training for every arm")
    seeds: Annotated[int, Field(ge=2)] = Field(5, description="trainings per arm: 5 screen, 10 decide, 20 claim")
    steps: Count | None = Field(300, description="training steps of every cell; null takes train.<model>.steps")
    smallest_effect: Positive = Field(0.2, description="smallest effect that matters, in multiples of the floor of fd")
    decisions: list[NamedDecision | OwnDecision] = Field(
        ["curate"], description="each is switched off in an arm of its own"
    )
    sizes: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=list, description="shares of the training rows for the scaling curve; five or more are fitted"
    )
    blanks: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="blank rows planted into the positive control, as a share of its training rows"
    )
    planning_spread: Positive = Field(
        0.5,
        description="spread of paired differences in multiples of the floor that a plan assumes before any cell ran",
    )
    parallel: Literal["auto"] | Count = Field("auto", description="processes; auto is one per core")

    @model_validator(mode="after")
    def _distinct(self) -> Ablation:
        names = [item if isinstance(item, str) else item.name for item in self.decisions]
        listed = {"decisions": names, "sizes": [f"{share:g}" for share in self.sizes]}
        for known, values in listed.items():
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"{known} lists {twice[0]} twice")
        own = {item.name for item in self.decisions if not isinstance(item, str)}
        taken = sorted(own & {"full", "null", *get_args(NamedDecision)})
        if taken:
            raise ValueError(f"{taken[0]!r} means something of its own: give the decision another name")
        return self


class Tracking(Section):
    """MLflow. MLFLOW_TRACKING_URI wins over the store under mlflow/."""

    enabled: bool = True
    experiment: str = "aigc"


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
        close = difflib.get_close_matches(location[-1], _known_names(location[:-1]), n=1)
        known = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(_known_names(location[:-1]))}"
        return f"params.yaml: unknown parameter {name!r}; {known}"
    message = item["msg"].removeprefix("Value error, ")
    return f"params.yaml: {name} = {item['input']!r} is refused: {message}"


def _known_names(location: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)

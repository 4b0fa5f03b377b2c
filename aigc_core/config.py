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


#: Readers of aigc_core/data/sources/ that stand for themselves.
ReaderKind = Literal["digits", "idx", "folder", "parquet", "hf", "torchvision"]


class Sheet(Section):
    """A grid that is cut from every image of the source; each cell becomes a row."""

    width: Count = Field(description="px of one cell")
    height: Count = Field(description="px of one cell")


class Columns(Section):
    """Column names of a table, where they are not the usual ones; null finds the column by its type or name."""

    image: str | None = Field(None, description="encoded bytes, or a struct with `bytes`")
    label: str | None = Field(None, description="text, integer or ClassLabel")
    text: str | None = Field(None, description="caption")
    split: str | None = Field(None, description="reference, train, test or validation")


class Reading(Section):
    """What single readers want to know besides a path; each of them ignores what is not its own."""

    name: str | None = Field(
        None, description="hf: name on the Hub, streamed; torchvision: MNIST, FashionMNIST or CIFAR10"
    )
    config: str | None = Field(None, description="hf: configuration of the data set on the Hub")
    revision: str | None = Field(None, description="hf: commit of the data set on the Hub; null takes the newest")
    split: str | None = Field(None, description="hf: read this split alone; null reads all")
    download: bool = Field(False, description="torchvision: fetch the files into `path` where they are missing")
    columns: Columns | None = Field(None, description="parquet and hf: column names; null finds them")
    sheet: Sheet | None = Field(
        None, description="{width, height} cuts sprite sheets into cells; null takes whole images"
    )


class Part(Reading):
    """One of several sources."""

    kind: ReaderKind = Field(description="which reader")
    path: str = Field(description="file or folder below source.path, because DVC watches that one; `.` is itself")
    weight: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of its rows that is read: a seeded sample, stratified by split and class"
    )
    label: ClassName | None = Field(None, description="class of all its rows; null keeps their own labels")


class Source(Reading):
    """Where the raw files lie."""

    kind: ReaderKind | Literal["mix"] = Field("digits", description="which reader; `mix` reads the list `sources`")
    path: str = Field(
        "data/raw", description="file or folder, relative to params.yaml; `digits` and a name on the Hub do not read it"
    )
    limit: Count | None = Field(None, description="seeded, class-stratified sample of this many rows; null reads all")
    sources: list[Part] = Field([], description="mix: {kind, path, weight, label} of each source")

    @model_validator(mode="after")
    def _sources_belong_to_mix(self) -> Source:
        if (self.kind == "mix") != bool(self.sources):
            raise ValueError("`kind: mix` and the list `sources` need each other")
        return self


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


class Generated(Rule):
    """The bytes carry an AI-provenance label."""

    allow: bool = Field(False, description="whether generated images may be training data")


class TooSmall(Rule):
    """Shorter side below `min_side`."""

    min_side: Count = Field(description="px")


class Blank(Rule):
    """Luma hardly varies."""

    max_std: Annotated[float, Field(ge=0, le=0.5)] = Field(description="standard deviation of the luma in [0, 1]")


class Tail(Rule):
    """Further out than all but a small share of the reference rows (quality/calibration.py)."""

    false_positives: Annotated[float, Field(gt=0, le=0.05)] = Field(
        description="share of rows like the reference's that the rule may flag; the threshold follows from it"
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        description="least distance of the threshold from the reference's median: natural logarithm of a ratio for "
        "odd_size, odd_aspect, blurry, noisy and out_of_domain, bits for low_information, luma in [0, 1] for dark and bright"
    )


class Alike(Rule):
    """Pairs that look alike after alignment, and more alike than different reference rows are."""

    min_similarity: Annotated[float, Field(ge=0, le=1)] = Field(
        description="correlation after alignment, 1 is equal: the threshold where reference rows are less alike than this"
    )
    max_similarity: Annotated[float, Field(ge=0, le=1)] = Field(
        description="the threshold where reference rows are as alike as this, or where there are none"
    )
    false_positives: Annotated[float, Field(gt=0, le=0.05)] = Field(
        description="share of rows like the reference's that the rule may flag"
    )


class NearDuplicate(Alike):
    """Copies that were shifted, compressed, brightened or resized."""

    transforms: list[Literal["flip", "rotate", "crop"]] = Field(
        default_factory=list, description="changed copies that measure looks for too; each takes as long as the search"
    )


class LabelSuspect(Rule):
    """A wrong label is more probable than a hard image, by out-of-fold predictions on the training rows."""

    min_probability: Share = Field(0.5, description="probability that the label is wrong from which a row is flagged")
    folds: Annotated[int, Field(ge=2, le=20)] = Field(5, description="parts by row id; each is predicted by the others")
    max_rows: Count = Field(60000, description="rows that are learnt from, lowest hashes first; all are predicted")


class Quality(Section):
    """Reasons, their thresholds, and what each leads to. Fitted and learned rules only warn of reference and test rows."""

    max_quarantined_share: Share = Field(0.25, description="curate stops when more than this share is quarantined")
    corrupt: Rule = Rule(action="quarantine")
    wrong_type: Rule = Rule(action="warn")
    generated: Generated = Generated(action="quarantine", allow=False)
    too_small: TooSmall = TooSmall(action="quarantine", min_side=8)
    blank: Blank = Blank(action="quarantine", max_std=0.01)
    odd_size: Tail = Tail(action="warn", false_positives=0.001, margin=0.1)
    odd_aspect: Tail = Tail(action="warn", false_positives=0.001, margin=0.1)
    low_information: Tail = Tail(action="warn", false_positives=0.001, margin=0.5)
    dark: Tail = Tail(action="warn", false_positives=0.001, margin=0.2)
    bright: Tail = Tail(action="warn", false_positives=0.001, margin=0.2)
    blurry: Tail = Tail(action="warn", false_positives=0.001, margin=0.5)
    noisy: Tail = Tail(action="warn", false_positives=0.001, margin=0.5)
    out_of_domain: Tail = Tail(action="warn", false_positives=0.001, margin=0.2)
    duplicate_exact: Rule = Rule(action="quarantine")
    duplicate_near: NearDuplicate = NearDuplicate(
        action="warn", min_similarity=0.97, max_similarity=0.993, false_positives=0.001
    )
    leak: Alike = Alike(action="quarantine", min_similarity=0.97, max_similarity=0.993, false_positives=0.001)
    label_conflict: Rule = Rule(action="warn")
    label_suspect: LabelSuspect = LabelSuspect(action="warn")


class Ranges(Section):
    """What a training row's measures may be: the range of the reference rows, widened. One suite then fits any set."""

    quantile: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.001, description="share of the reference rows cut from each end"
    )
    margin: Annotated[float, Field(ge=0)] = Field(0.25, description="widening on each side, in widths of the range")
    max_outside_share: Share = Field(0.02, description="kept training rows outside of the range (warning)")
    min_reference_rows: Count = Field(50, description="with fewer reference rows no range is derived")


class Drift(Section):
    """Comparison with the version that `aigc quality accept` recorded in data/profile.json."""

    bins: Annotated[int, Field(ge=2, le=100)] = Field(10, description="histogram bins, at quantiles of reference rows")
    max_psi: Positive = Field(0.1, description="population stability index of a measure, above chance (warning)")
    refuse_psi: Positive | None = Field(1.0, description="the same of the measure that moved most (error); null: never")
    max_class_shift: Share = Field(0.05, description="half the summed change of the class shares (warning)")
    min_rows_ratio: Annotated[float, Field(ge=0)] = Field(0.5, description="rows kept now / then (warning)")


class Expectations(Section):
    """The numbers of the Great Expectations suite (aigc_core/quality/suite.json names them)."""

    min_rows: Count = Field(500, description="rows kept (error)")
    min_classes: Annotated[int, Field(ge=0)] = Field(1, description="classes among kept training rows (error)")
    min_rows_per_class: Count = Field(20, description="kept training rows of the smallest class (error)")
    min_class_share_ratio: Share = Field(0.5, description="smallest class / largest class among kept rows (warning)")
    min_split_share: Share = Field(0.05, description="smallest of the three splits among kept rows (warning)")
    min_channels_share: Share = Field(0.9, description="kept rows with the most common channel count (warning)")
    max_unlabelled_share: Share = Field(0.05, description="kept training rows without a label (warning)")
    max_leaks: Annotated[int, Field(ge=0)] = Field(0, description="kept pictures that lie in two splits (error)")
    max_aspect: Annotated[float, Field(ge=1)] = Field(3.0, description="longer / shorter side of kept rows (warning)")
    ranges: Ranges = Ranges()
    drift: Drift = Drift()
    max_share: dict[str, Share] = Field(
        default_factory=lambda: {
            "corrupt": 0.05,
            "wrong_type": 0.05,
            "too_small": 0.05,
            "odd_size": 0.05,
            "odd_aspect": 0.05,
            "blank": 0.10,
            "low_information": 0.10,
            "dark": 0.10,
            "bright": 0.10,
            "blurry": 0.10,
            "noisy": 0.10,
            "duplicate_exact": 0.10,
            "duplicate_near": 0.20,
            "leak": 0.05,
            "label_conflict": 0.02,
            "label_suspect": 0.10,
            "out_of_domain": 0.05,
            "generated": 0.05,
        },
        description="largest share of read rows that may carry a reason (warning)",
    )


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

    kind: Literal["same", "idx", "folder", "parquet"] = "same"
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


class Weights(Section):
    """Files with foreign weights, relative to params.yaml; they are read, never fetched."""

    inception: str | None = Field(None, description="torch-fidelity's pt_inception-2015-12-05-6726825d.pth")
    dinov2: str | None = Field(None, description="a DINOv2 state dict, .safetensors or .pth; small, base or large")


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
    extractors: list[Literal["random_conv", "pixel_pca", "inception", "dinov2"]] = Field(
        ["random_conv", "pixel_pca"],
        description="second opinions beside the domain extractor; the last two need a file in `weights`",
    )
    alarm_ratio: Annotated[float, Field(gt=1)] = Field(
        4.0,
        description="an alarm is raised where distance over floor differs from the domain's by more than this factor",
    )
    weights: Weights = Weights()
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

"""The section `ablation` of params.yaml: which data decisions are put to the test, and how."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from aigc_core.config.base import Count, Section, meant
from aigc_core.config.quality import REASONS

#: Reasons whose rule is a bound on a measure that every row has, so that rows can be ordered by it.
GRADED = (
    "too_small", "blank", "odd_size", "odd_aspect", "low_information", "dark", "bright", "blurry", "noisy", "out_of_domain",
    "label_suspect",
)  # fmt: skip

#: Seeds of a study: a difference that so many do not show is of no use to anybody.
MOST_SEEDS = 1000


class OwnDecision(Section):
    """A decision of the user's own: rows that it brought in (`ids`, or all that came `since` a revision), rows that it keeps
    out (`reasons`), or operations of the augmentation that it adds (`augment`)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="names the arms: without_<name>")]
    ids: str | None = Field(
        None, description="CSV file below data/ids with a column `id` or `source`: training rows that it added"
    )
    since: Annotated[str, Field(pattern=r"^[^\s\x00-\x1f]+$")] | None = Field(
        None, description="git tag or commit: the training rows that its data did not have"
    )
    reasons: list[str] | None = Field(
        None, min_length=1, description="reason codes: the rows that are quarantined for no other reason"
    )

    augment: list[Literal["rotate", "flip", "crop", "brightness"]] | None = Field(
        None,
        min_length=1,
        description="operations of the section `augment`: without the decision the copies are made without them",
    )

    @field_validator("reasons")
    @classmethod
    def _known(cls, reasons: list[str] | None) -> list[str] | None:
        unknown = next((reason for reason in reasons or () if reason not in REASONS), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is no reason: {meant(unknown, REASONS)}the reasons are {', '.join(REASONS)}")
        return reasons

    @model_validator(mode="after")
    def _one_of_four(self) -> OwnDecision:
        if sum(given is not None for given in (self.ids, self.since, self.reasons, self.augment)) != 1:
            raise ValueError(
                "give `ids` (a CSV file), `since` (a git tag or commit), `reasons` (a list of reason codes) or `augment` (a list of "
                "operations), one of the four"
            )
        return self


NamedDecision = Literal["curate", "deduplicate", "fix_labels", "augment", "pretrain", "half_the_data"]


class Ablation(Section):
    """The data-value study: what each decision on the data bought (aigc_core/ablation)."""

    enabled: bool = Field(True, description="false: the stage writes that nothing was run")
    model: Literal["auto", "vae", "gan"] = Field(
        "auto",
        description="the family whose trainings are compared; auto is the one that is released, and the GAN where none has "
        "been evaluated yet",
    )
    seeds: Annotated[int, Field(ge=3, le=MOST_SEEDS)] = Field(
        4, description="trainings per arm: 4 for a first impression, 10 for a decision, 20 for a claim to others"
    )
    looks: list[Annotated[int, Field(ge=3)]] = Field(
        default_factory=list,
        description="numbers of seeds, rising and below seeds, after which the study is judged, and ends where every decision and every sweep "
        "has its answer, each at a level of its own so that all together make 5 %; none: it is judged once",
    )
    subsample: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="share of an arm's training rows that a seed draws, the same rows in every arm: effects are then no matter of "
        "a few rows of these; 1 trains on all of them",
    )
    steps: Count | None = Field(
        800,
        description="training steps of every cell (the proxy budget); null takes train.<model>.steps (the full budget)",
    )
    confirm: Annotated[int, Field(ge=0, le=MOST_SEEDS)] = Field(
        3,
        description="trainings at train.<model>.steps, where these are more than steps, with and without the decision that leads the headline, "
        "at most as many as seeds; 0 confirms nothing",
    )
    variations: Annotated[int, Field(ge=0, le=MOST_SEEDS)] = Field(
        3,
        description="trainings under each of the other training recipes, with and without the decision that leads the headline, where its effect is "
        "told: at 1/3 of and at 3 times the learning rate and, where it changes the number of rows, with equal passes over them; at most as many as "
        "seeds; 0: none",
    )
    smallest_effect: Annotated[float, Field(ge=0.0001, le=100)] = Field(
        0.1, description="smallest relative change of the distance (fd) that matters: 0.1 is ten per cent"
    )
    decisions: list[NamedDecision | OwnDecision] = Field(
        ["curate"], description="each is switched off in an arm of its own"
    )
    combinations: bool = Field(
        False, description="also switches off every pair of the decisions together, in an arm of its own for each pair"
    )
    groups: Literal["label", "source", "folder"] | None = Field(
        None,
        description="also leaves out every group of training rows in turn: those of a folder, of a source of a mix (the first part "
        "of the path), or half of those of a class; at most 20 groups",
    )
    sweep: dict[str, list[float]] = Field(
        default_factory=dict,
        description="where a rule of quality should cut: reason to shares of the training rows, the worst of which by the reason's "
        "measure are left out, beside as many random rows",
    )
    sizes: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=list, description="shares of the training rows for the scaling curve; five or more are fitted"
    )
    blanks: Annotated[float, Field(gt=0, le=1)] = Field(
        0.02,
        description="blank images planted on purpose, as a share of the training rows: damage that a study should see",
    )
    placebo: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="share of the training rows that the placebo leaves out: rows that chance chose once, for all seeds",
    )
    planning_spread: Annotated[float, Field(ge=0.0001, le=10)] = Field(
        0.15,
        description="standard deviation over seeds of the difference of two arms in log fd that a plan assumes before any cell ran",
    )
    parallel: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto", description="processes; auto is one per core"
    )

    @field_validator("looks")
    @classmethod
    def _rising(cls, looks: list[int], info: ValidationInfo) -> list[int]:
        seeds = info.data.get("seeds")  # None where it was refused itself
        if any(later <= earlier for earlier, later in pairwise([*looks, *([] if seeds is None else [seeds])])):
            last = "" if seeds is None else f" and stay below seeds = {seeds}, which is the last look"
            raise ValueError(f"the numbers have to rise{last}")
        return looks

    @field_validator("sweep")
    @classmethod
    def _swept(cls, sweep: dict[str, list[float]]) -> dict[str, list[float]]:
        for reason, shares in sweep.items():
            if reason not in GRADED:
                known = reason in REASONS
                what = "has no measure that orders rows: " if known else f"is no reason: {meant(reason, GRADED)}"
                raise ValueError(f"{reason} {what}what can be swept is {', '.join(GRADED)}")
            wrong = next((share for share in shares if not 0 < share < 1), None)
            if wrong is not None:
                percent = f"; {wrong:g} % is {wrong / 100:g}" if 1 <= wrong < 100 else ""
                raise ValueError(f"{wrong:g} is no share of the training rows between 0 and 1{percent}")
            if not shares or len({f"{share:g}" for share in shares}) < len(shares):
                raise ValueError(f"{reason} needs at least one share, and each once")
        return sweep

    @model_validator(mode="after")
    def _distinct(self) -> Ablation:
        names = [item if isinstance(item, str) else item.name for item in self.decisions]
        listed = {"decisions": names, "sizes": [f"{share:g}" for share in self.sizes]}  # as the names of arms have them
        for known, values in listed.items():
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"{known} lists {twice} twice")
        own = {item.name for item in self.decisions if not isinstance(item, str)}
        taken = sorted(own & {"full", "placebo", *get_args(NamedDecision)})
        if taken:
            raise ValueError(f"{taken[0]!r} means something of its own: give the decision another name")
        return self

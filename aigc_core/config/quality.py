"""The section `quality` of params.yaml: a rule for each reason, its thresholds and what it leads to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aigc_core.config.base import Count, Section, Share


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

    false_positives: Annotated[float, Field(gt=0, lt=0.05)] = Field(
        description="share of rows like the reference's that the rule may flag; the threshold follows from it, and lies in "
        "the tail, which begins at 0.05"
    )
    margin: Annotated[float, Field(ge=0, le=100)] = Field(
        description="least distance of the threshold from the reference's median: natural logarithm of a ratio for "
        "odd_size, odd_aspect, blurry and noisy, bits for low_information, luma in [0, 1] for dark and bright, square root of "
        "a distance for out_of_domain"
    )


class Alike(Rule):
    """Pairs that look alike after alignment, and more alike than different reference rows are."""

    min_similarity: Annotated[float, Field(ge=0.9, le=1)] = Field(
        description="correlation of edges after alignment, 1 is equal: the threshold where reference rows are less alike than this; "
        "measure keeps no pair below 0.9"
    )
    max_similarity: Annotated[float, Field(ge=0.9, le=1)] = Field(
        description="the threshold where reference rows are as alike as this, or where there are none"
    )
    false_positives: Annotated[float, Field(gt=0, le=0.05)] = Field(
        description="share of rows like the reference's that the rule may flag"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Alike:
        if self.min_similarity > self.max_similarity:
            raise ValueError(
                f"min_similarity = {self.min_similarity} is above max_similarity = {self.max_similarity}: lower the first, or "
                "raise the second"
            )
        return self


class NearDuplicate(Alike):
    """Copies that were shifted, compressed, brightened or resized."""

    transforms: list[Literal["flip", "rotate", "crop"]] = Field(
        default_factory=list, description="changed copies that measure looks for too; each takes as long as the search"
    )


class LabelSuspect(Rule):
    """The label may well be wrong, by out-of-fold predictions on reference and training rows; test rows are not judged."""

    min_probability: Share = Field(0.6, description="probability that the label is wrong from which a row is flagged")
    folds: Annotated[int, Field(ge=2, le=20)] = Field(5, description="parts by pixels; each is predicted by the others")
    max_rows: Count = Field(
        60000, description="rows that are learnt from, lowest ids first; all reference and training rows are predicted"
    )


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
        action="warn", min_similarity=0.95, max_similarity=0.993, false_positives=0.001
    )
    leak: Alike = Alike(action="quarantine", min_similarity=0.95, max_similarity=0.993, false_positives=0.001)
    label_conflict: Rule = Rule(action="quarantine")
    label_suspect: LabelSuspect = LabelSuspect(action="warn")


#: All reasons: each has a rule of the section.
REASONS = tuple(name for name in Quality.model_fields if name != "max_quarantined_share")

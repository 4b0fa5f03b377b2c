"""The section `expectations` of params.yaml: the numbers of the gate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from aigc_core.config.base import LARGEST_NUMBER, Count, CountOrZero, NotNegative, Positive, Section, Share, meant
from aigc_core.config.quality import REASONS


class Ranges(Section):
    """What a training row's measures may be: the range of the reference rows, widened. One suite then fits any set."""

    quantile: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.001, description="share of the reference rows cut from each end"
    )
    margin: NotNegative = Field(0.25, description="widening on each side, in widths of the range")
    max_outside_share: Share = Field(0.02, description="kept training rows outside of the range (warning)")
    min_reference_rows: Count = Field(50, description="with fewer reference rows no range is derived")


class Drift(Section):
    """Comparison with the version that `aigc quality accept` recorded in data/profile.json."""

    bins: Annotated[int, Field(ge=2, le=100)] = Field(10, description="histogram bins, at quantiles of reference rows")
    max_psi: Positive = Field(0.1, description="population stability index of a measure, above chance (warning)")
    refuse_psi: Positive | None = Field(1.0, description="the same of the measure that moved most (error); null: never")
    max_class_shift: Share = Field(0.05, description="half the summed change of the class shares (warning)")
    min_rows_ratio: NotNegative = Field(0.5, description="rows kept now / then (warning)")


class Expectations(Section):
    """The numbers of the Great Expectations suite (aigc_core/quality/suite.json names them)."""

    min_rows: Count = Field(500, description="rows kept (error)")
    min_classes: CountOrZero = Field(1, description="classes among kept training rows (error)")
    min_rows_per_class: Count = Field(20, description="kept training rows of the smallest class (error)")
    min_compared: CountOrZero = Field(
        80,
        description="kept training rows, and test rows of their classes that are no copies of them: evaluate needs ten for each of eight "
        "dimensions, and refuses a trained model with fewer (error); 0: train all the same",
    )
    min_class_share_ratio: Share = Field(0.5, description="smallest class / largest class among kept rows (warning)")
    min_split_share: Share = Field(0.05, description="smallest of the three splits among kept rows (warning)")
    min_channels_share: Share = Field(0.9, description="kept rows that agree in having alpha or none (warning)")
    max_unlabelled_share: Share = Field(0.05, description="kept training rows without a label (warning)")
    max_leaks: CountOrZero = Field(0, description="kept pictures that lie in two splits (error)")
    max_aspect: Annotated[float, Field(ge=1, le=LARGEST_NUMBER)] = Field(
        3.0, description="longer / shorter side of kept rows (warning)"
    )
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

    @field_validator("max_share")
    @classmethod
    def _known(cls, shares: dict[str, float]) -> dict[str, float]:
        unknown = next((reason for reason in shares if reason not in REASONS), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is no reason: {meant(unknown, REASONS)}the reasons are {', '.join(REASONS)}")
        return shares

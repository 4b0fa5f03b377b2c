"""Sections of params.yaml about measuring: the extractor, and how samples are compared with real images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aigc_core.config.base import LARGEST_COUNT, LARGEST_NUMBER, Count, CountOrZero, Positive, Section, Share


class Extractor(Section):
    """The frozen domain feature extractor."""

    learn: Literal["auto", "labels", "views"] = Field(
        "auto",
        description="what its network learns: the labels, or views of the images; auto: of the labels (where the images show them), views "
        "and nothing learnt the first that passes the test of known damages",
    )
    dimensions: int = Field(32, ge=2, le=256, description="feature dimensions; n must be at least ten times this")
    steps: Count | None = Field(
        None, description="of training; null: 800 up to 16 px, where the network is an MLP, and 400 above"
    )
    batch_size: Count = 64
    learning_rate: Positive = 0.002
    perturb: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="adversarial training within this radius (largest change of a value on [-1, 1]); 0 is off"
    )
    perturb_steps: Count = Field(1, description="steps of the attack in training; 1 is the fast gradient sign method")


class Weights(Section):
    """Files with foreign weights, below data/weights so that DVC notices another file; they are read, never fetched."""

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
    max_closest: Share = Field(
        0.01, description="share of samples that are closer to a training image than any held-out image is"
    )
    max_preference: Annotated[float, Field(ge=1, le=LARGEST_NUMBER)] = Field(
        2.5,
        description="how many times as often a training image may be the nearest real image of a sample as one that the "
        "model never saw",
    )
    cells: Count = Field(
        10, description="regions of the training images behind C_T, at most; each needs 40 held-out images"
    )


class Evaluate(Section):
    """How samples are compared with held-out real images."""

    max_samples: Annotated[int, Field(ge=50, le=LARGEST_COUNT)] = Field(
        10000, description="samples drawn are as many as test rows, but at most this; memorization needs 50"
    )
    neighbours: Count = Field(5, description="k of density and coverage")
    floor_draws: Annotated[int, Field(ge=1, le=10_000)] = Field(20, description="real-vs-real draws behind the floor")
    extractors: list[Literal["random_conv", "pixel_pca", "inception", "dinov2"]] = Field(
        ["random_conv", "pixel_pca"],
        description="second opinions beside the domain extractor; the last two need a file in `weights`",
    )
    alarm_ratio: Annotated[float, Field(gt=1, le=LARGEST_NUMBER)] = Field(
        4.0,
        description="an alarm is raised where distance over floor differs from the domain's by more than this factor",
    )
    weights: Weights = Weights()
    jackknife_groups: int = Field(
        20, ge=5, le=1000, description="parts of the samples that are left out in turn, for intervals"
    )
    bound_samples: CountOrZero = Field(
        0,
        description="k of the importance-weighted bound of a VAE on the test rows (Burda 2016), which takes k passes of "
        "the decoder per row; 0 leaves it out",
    )
    memorization: Memorization = Memorization()

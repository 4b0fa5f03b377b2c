"""Sections of params.yaml about augmentation, networks and training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aigc_core.config.base import Classes, Count, Positive, Section, Share


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
    likelihood: Literal["gaussian", "logistic", "bernoulli"] = Field(
        "gaussian", description="of a pixel; logistic is discretised to grey levels, bernoulli draws black and white"
    )
    free_bits: Annotated[float, Field(ge=0)] = Field(
        0.0, description="nats per latent dimension below which the KL term does not press"
    )


class Gan(Section):
    """Conditional GAN with a projection discriminator, R1 (Mescheder 2018) and EMA."""

    steps: Count = 2000
    learning_rate: Positive = 0.0005
    loss: Literal["nonsaturating", "minimax", "hinge", "wgan-gp", "lsgan"] = Field(
        "nonsaturating", description="formulas and sources are in training/adversarial.py"
    )
    gradient_penalty: Annotated[float, Field(ge=0)] = Field(10.0, description="wgan-gp: weight lambda of its penalty")
    spectral_norm: bool = Field(False, description="limits every layer of the discriminator (Miyato 2018)")
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
    steps: Count = 1000


class Finetune(Section):
    """Fine-tuning on a small target, beside training from scratch on the same target."""

    classes: Classes = Field("auto", description="class names; auto is the second half of the sorted classes")
    per_class: Count = Field(50, description="training images per class")
    steps: Count = 600

"""Sections of params.yaml about augmentation, networks and training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from aigc_core.config.base import Classes, Count, CountOrZero, NotNegative, Positive, Section, Share, Width
from aigc_core.config.presets import PRESETS, PresetName, filled


class Augment(Section):
    """The offline policy. Training uses its version only where `train.dataset` says so."""

    copies: Annotated[int, Field(ge=1, le=100)] = Field(1, description="augmented rows per kept training row")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(10, description="largest angle, degrees")
    flip: Share = Field(0.0, description="probability of a horizontal flip; digits must not be flipped")
    crop: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="largest share cut from a side, then resized")
    brightness: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="largest relative change")


#: Where a gradient is cut.
ClipNorm = Annotated[
    Positive | None, Field(description="largest norm of the gradient of each network; null does not clip")
]


class Network(Section):
    """Sizes of the networks; image size and channels come from the data."""

    latent: Width = Field(64, description="dimensions of the noise")
    mlp_width: Width = Field(256, description="hidden units of an MLP")
    conv_width: Width = Field(16, description="channels of the widest image stage of a convolutional network")
    largest_mlp_side: CountOrZero = Field(
        16, description="px; images up to this side go through an MLP, larger ones through convolutions"
    )
    architecture: Literal["auto", "mlp", "dcgan", "residual"] = Field(
        "auto", description="auto goes by largest_mlp_side; dcgan: Radford 2016; residual: Gulrajani 2017"
    )


class Vae(Section):
    """Conditional VAE (Kingma & Welling 2014)."""

    steps: Count = 4000
    learning_rate: Positive = 0.001
    clip_norm: ClipNorm = None
    beta: Positive = Field(1.0, description="weight of the KL term")
    likelihood: Literal["gaussian", "logistic", "bernoulli"] = Field(
        "gaussian", description="of a pixel; logistic is discretised to grey levels, bernoulli draws black and white"
    )
    free_bits: NotNegative = Field(0.0, description="nats per latent dimension below which the KL term does not press")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="decay per step of the weights' average, which is what is kept; 0 keeps the last weights"
    )


class Gan(Section):
    """Conditional GAN with a projection discriminator, R1 (Mescheder 2018) and EMA."""

    steps: Count = 2000
    learning_rate: Positive = 0.0005
    beta1: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Adam: decay of the mean gradient")
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(0.99, description="Adam: decay of the mean squared gradient")
    clip_norm: ClipNorm = None
    loss: Literal["nonsaturating", "minimax", "hinge", "wgan-gp", "lsgan"] = Field(
        "nonsaturating", description="formulas and sources are in training/adversarial.py"
    )
    gradient_penalty: NotNegative = Field(10.0, description="wgan-gp: weight lambda of its penalty")
    spectral_norm: bool = Field(False, description="limits every layer of the discriminator (Miyato 2018)")
    mlp_r1: NotNegative = Field(
        20.0, description="weight gamma of the gradient penalty on real images, where the networks are MLPs"
    )
    conv_r1: NotNegative = Field(1.0, description="the same weight where they are convolutional")
    r1_every: Count = Field(
        1,
        description="steps from one R1 to the next, which weighs so much more (lazy, Karras 2020); the curve has 0 between",
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="decay per step of the generator's average")
    augment: Literal["none", "diffaugment", "ada"] = Field(
        "none", description="what the discriminator sees is augmented, real and generated alike: for few images"
    )
    diffaugment: list[Literal["color", "translation", "cutout"]] = Field(
        ["color", "translation", "cutout"], description="operations, all on every image (Zhao 2020)"
    )
    ada_target: Share = Field(0.6, description="ada: mean sign of the discriminator on real images that is aimed at")
    ada_images: Count = Field(500_000, description="ada: images in which its probability may rise from 0 to 1")
    perturb: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="what the discriminator learns from is changed against it, within this radius on [-1, 1]; 0 is off",
    )

    @model_validator(mode="after")
    def _readable_sign(self) -> Gan:
        if self.augment == "ada" and self.loss in ("wgan-gp", "lsgan"):
            raise ValueError(
                f"ada reads the sign of the discriminator, which says nothing with loss {self.loss}: take diffaugment"
            )
        return self


class Flow(Section):
    """Class-conditional rectified flow (Liu 2022; Lipman 2022) with classifier-free guidance (Ho & Salimans 2022)."""

    steps: Count = 4000
    learning_rate: Positive = 0.001
    clip_norm: ClipNorm = None
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="decay per step of the network's average")
    label_dropout: Share = Field(0.1, description="rows that train the unlabelled velocity, which guidance needs")
    guidance: NotNegative = Field(
        1.0, description="1 follows the labels; more makes samples more typical, and sampling twice as long"
    )
    sampler: Literal["euler", "heun"] = Field("heun", description="heun asks the network twice a step")
    sample_steps: Count = Field(20, description="from noise to image")


class Train(Section):
    """Training, for every family."""

    preset: PresetName | None = Field(
        None, description="a known recipe: values that stand at their default here become its own (config/presets.py)"
    )
    dataset: Literal["curated", "augmented"] = Field(
        "curated", description="version to train on; what is augmented offline shows in what is generated"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: Count = 64
    log_every: Count = Field(50, description="steps between points of a loss curve")
    grid_every: Count = Field(1000, description="steps between fixed-latent grids")
    checkpoint_every: Count = Field(500, description="steps between checkpoints")
    keep_checkpoints: Count = Field(1, description="the last so many stay while training runs")
    max_loss: Positive = Field(1e8, description="a loss beyond it, in either direction, stops training")
    validate_every: CountOrZero = Field(
        0,
        description="steps between validations on training rows that are put aside; 0 learns from all and takes the last state",
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="share of the training rows put aside"
    )
    patience: Count | None = Field(
        None, description="validations without a better one after which training stops; null never does"
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        "float32", description="of products: tf32 on NVIDIA cards alone, bf16 by autocast"
    )
    compile: Literal["auto", "off"] = Field(
        "auto",
        description="auto: on a card a few steps are timed with compiled networks and without; never on a processor",
    )
    network: Network = Network()
    vae: Vae = Vae()
    gan: Gan = Gan()
    flow: Flow = Flow()

    def of(self, family: str) -> dict[str, Any]:
        """What a training of one family goes by: all but the sections of the others."""
        return self.model_dump(exclude={"vae", "gan", "flow"} - {family})

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("preset") not in list(PRESETS):
            return given  # what it is instead is the fields' business
        return filled(given, PRESETS[given["preset"]], DEFAULTS)


#: All of the section as params.yaml shows it.
DEFAULTS = Train().model_dump()


class SecondSource(Section):
    """Another source to pre-train on; `same` takes classes of the main one."""

    kind: Literal["same", "digits", "idx", "folder", "parquet"] = "same"
    path: str = "data/raw"
    limit: Count | None = None


class Pretrain(Section):
    """Pre-training on many images of other classes or of another source."""

    source: SecondSource = SecondSource()
    classes: Classes = Field("auto", description="class names; auto is the first half of the sorted classes")
    steps: Count = 1000


#: What of a pre-trained model may change; training/transfer.py says how.
FinetuneMode = Literal["full", "freeze_discriminator", "scale_shift"]


class Finetune(Section):
    """Fine-tuning on a small target, beside training from scratch on the same target."""

    classes: Classes = Field("auto", description="class names; auto is the second half of the sorted classes")
    per_class: Count = Field(50, description="training images per class")
    steps: Count = 600
    mode: FinetuneMode | dict[Literal["vae", "gan", "flow"], FinetuneMode] = Field(
        "full",
        description="what of the pre-trained model is trained; or {family: mode}, where families not named have full",
    )
    frozen_layers: Count = Field(
        2, description="freeze_discriminator: layers of the discriminator that are held, from the image upwards"
    )
    scale_shift_rate: Positive = Field(
        30.0,
        description="scale_shift: learning rate of what is trained of the generator, as a multiple of the family's",
    )

    def mode_of(self, family: str) -> str:
        """The mode of one family."""
        if isinstance(self.mode, str):
            return self.mode
        return {str(name): mode for name, mode in self.mode.items()}.get(family, "full")


class Final(Section):
    """The released model once more, on every kept row but the reference."""

    enabled: bool = Field(True, description="false leaves it out: one training less, and test rows stay unseen")

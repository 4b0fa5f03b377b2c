"""What a network is made for: enough to build it again without its training."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from aigc_core.errors import DataError

#: Largest side in px that is treated as one vector unless the configuration says otherwise.
LARGEST_MLP_SIDE = 16
#: Sides in px that models take.
SMALLEST_SIDE, LARGEST_SIDE = 8, 128
ARCHITECTURES = ("auto", "mlp", "dcgan", "residual")
#: The smallest map of convolutions: plain ones halve twice and then down to PLAIN_BASE, the others down to LEAST_BASE.
PLAIN_HALVINGS, PLAIN_BASE, LEAST_BASE = 2, 8, 4
#: Channels double at every halving, up to so many times `conv_width`.
MOST_WIDTHS = 8


@dataclass(frozen=True)
class ModelSpec:
    """Family, data shape and widths of a model. Raises DataError for an image shape that no network takes."""

    family: str
    size: int  # side in px, 8 to 128; a multiple of 4 for convolutions
    channels: int  # 1 grey, 3 colour, 4 colour with alpha
    classes: tuple[str, ...]  # names; a label is an index into them
    latent: int  # dimensions of the noise; a flow needs one per value of an image instead
    mlp_width: int  # hidden units of an MLP
    conv_width: int  # channels of the first stage of convolutions; twice as many at every halving, up to 8 times
    # What follows is named by model.json only where it is not the default; most belongs to one family.
    largest_mlp_side: int = LARGEST_MLP_SIDE  # px; larger images go through convolutions where architecture is auto
    architecture: str = "auto"  # or mlp, dcgan, residual; a flow has a U-Net for the last two
    spectral_norm: bool = False  # gan: on every layer of the discriminator
    likelihood: str = "gaussian"  # vae: a name of models/likelihoods.py
    sampler: str = "heun"  # flow: or euler
    sample_steps: int = 20  # flow: from noise to image
    guidance: float = 1.0  # flow: 1 follows the labels as they are

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise DataError(f"unknown architecture {self.architecture!r}: choose one of {', '.join(ARCHITECTURES)}")
        if not SMALLEST_SIDE <= self.size <= LARGEST_SIDE:
            raise DataError(f"images of {self.size} px: models take sides of {SMALLEST_SIDE} to {LARGEST_SIDE} px")
        if self.convolutional and self.size % 4:
            raise DataError(
                f"images of {self.size} px: for convolutions (train.network: above {self.largest_mlp_side} px, or by "
                "its architecture) the side must be a multiple of 4"
            )
        if self.channels not in (1, 3, 4):
            raise DataError(f"images with {self.channels} channels: models take 1, 3 or 4")

    @property
    def convolutional(self) -> bool:
        """Whether the images go through convolutions: by their size, or because the architecture says so."""
        if self.architecture == "auto":
            return self.size > self.largest_mlp_side
        return self.architecture != "mlp"

    @property
    def halvings(self) -> int:
        """How often convolutions halve the side: at 28, 32, 64, 128 px plain ones 2, 2, 3, 4 times, others 2, 3, 4, 5."""
        plain = self.architecture in ("auto", "mlp")
        count, side = (PLAIN_HALVINGS, self.size >> PLAIN_HALVINGS) if plain else (0, self.size)
        least = PLAIN_BASE if plain else LEAST_BASE
        while side % 2 == 0 and side // 2 >= least:
            count, side = count + 1, side // 2
        return count

    @property
    def base(self) -> int:
        """Side in px of the smallest map."""
        return self.size >> self.halvings

    def width(self, stage: int) -> int:
        """Channels of a stage of convolutions; 0 is the first one."""
        return int(self.conv_width * min(2**stage, MOST_WIDTHS))

    @property
    def values(self) -> int:
        """Numbers per image: channels x size x size."""
        return self.channels * self.size * self.size

    def to_json(self) -> dict[str, Any]:
        """Plain values for model.json."""
        usual = {field.name for field in fields(self) if getattr(self, field.name) == field.default}
        return {
            **{name: value for name, value in asdict(self).items() if name not in usual},
            "classes": list(self.classes),
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> ModelSpec:
        """The inverse of `to_json`; further keys are left alone."""
        known = {
            field.name: facts[field.name] for field in fields(cls) if field.default is MISSING or field.name in facts
        }
        return cls(**{**known, "classes": tuple(known["classes"])})

"""What a network is made for: enough to build it again without its training."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from aigc_core.errors import DataError

#: Largest side in px that is treated as one vector unless the configuration says otherwise.
LARGEST_MLP_SIDE = 16


@dataclass(frozen=True)
class ModelSpec:
    """Family, data shape and widths of a model. Raises DataError for an image shape that no network takes."""

    family: str
    size: int  # side in px, 8 to 32; above 16 a multiple of 4
    channels: int  # 1 grey, 3 colour, 4 colour with alpha
    classes: tuple[str, ...]  # names; a label is an index into them
    latent: int  # dimensions of the noise; a flow needs one per value of an image instead
    mlp_width: int  # hidden units of an MLP
    conv_width: int  # channels of the full-size stage of convolutions; twice as many at every halving
    # What follows is named by model.json only where it is not the default; most belongs to one family.
    largest_mlp_side: int = LARGEST_MLP_SIDE  # px; larger images go through convolutions
    spectral_norm: bool = False  # gan: on every layer of the discriminator
    likelihood: str = "gaussian"  # vae: a name of models/likelihoods.py
    sampler: str = "heun"  # flow: or euler
    sample_steps: int = 20  # flow: from noise to image
    guidance: float = 1.0  # flow: 1 follows the labels as they are

    def __post_init__(self) -> None:
        if self.convolutional and self.size % 4:
            raise DataError(
                f"images of {self.size} px: above {self.largest_mlp_side} px the side must be a multiple of 4"
            )
        if self.channels not in (1, 3, 4):
            raise DataError(f"images with {self.channels} channels: models take 1, 3 or 4")

    @property
    def convolutional(self) -> bool:
        """Whether the images are too large for plain MLP blocks."""
        return self.size > self.largest_mlp_side

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

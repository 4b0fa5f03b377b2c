"""The offline augmentation policy. This file is the only one that imports albumentations.

The draw of a row is keyed by (seed, row id, copy), never by its position: removing one row changes no other.
Pixels are uint8 (H, W, C) with 1, 3 or 4 channels; geometry moves alpha along, brightness leaves it alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_core.config import Augment

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Draw:
    """What chance decided for one augmented row."""

    flip: bool
    angle: float  # degrees
    zoom: float  # >= 1; the kept window is 1 / zoom of each side
    shift: tuple[float, float]  # of the enlarged image, x and y, in shares of the sides; the window stays inside
    light: float  # factor on the colour channels


def draw(settings: Augment, seed: int, identity: str, copy: int) -> Draw:
    """The draw of one row and copy: equal keys give equal draws, whatever other rows there are."""
    key = hashlib.sha256(f"{seed}:{identity}:{copy}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(key[:16], "big"))
    # Always the same number of draws in the same order, so that one setting changes no other setting's draw.
    flip, turn, cut, x, y, light = rng.random(6).tolist()
    zoom = 1 / (1 - settings.crop * cut)
    slack = (zoom - 1) / 2
    return Draw(
        flip=flip < settings.flip,
        angle=settings.rotate * (2 * turn - 1),
        zoom=zoom,
        shift=(slack * (2 * x - 1), slack * (2 * y - 1)),
        light=1 + settings.brightness * (2 * light - 1),
    )


def policy(settings: Augment, seed: int) -> Callable[[Pixels, str, int], Pixels]:
    """A function of (pixels, row id, copy number) to augmented pixels of the same shape."""
    # Albumentations asks for its newest version on import unless told not to.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations
    import cv2

    cv2.setNumThreads(0)  # images are small, and one thread gives the same bytes everywhere

    def augment(pixels: Pixels, identity: str, copy: int) -> Pixels:
        chance = draw(settings, seed, identity, copy)
        steps: list[Any] = [albumentations.HorizontalFlip(p=1.0)] if chance.flip else []
        # Rotation, crop and resize in one interpolation: whole-pixel crops do nothing to 8 px, three blurs do too much.
        steps.append(
            albumentations.Affine(
                rotate=chance.angle,
                scale=chance.zoom,
                translate_percent=dict(zip("xy", chance.shift, strict=True)),
                border_mode=cv2.BORDER_REPLICATE,  # black corners would be a defect of our own making
                p=1.0,
            )
        )
        moved = _apply(steps, pixels)
        colour = min(pixels.shape[2], 3)
        # A factor, not an offset: black ground stays black.
        lit = _apply(
            [albumentations.MultiplicativeNoise(multiplier=(chance.light, chance.light), p=1.0)], moved[..., :colour]
        )
        return np.concatenate([lit, moved[..., colour:]], axis=2)

    return augment


def _apply(steps: list[Any], pixels: Pixels) -> Pixels:
    for step in steps:
        # OpenCV drops the axis of a single channel.
        pixels = step(image=np.ascontiguousarray(pixels))["image"].reshape(pixels.shape)
    return pixels


def describe(settings: Augment, copy: int) -> str:
    """The `op` of an augmented row: what was done, with which numbers."""
    numbers = settings.model_dump(exclude={"copies"})
    return f"augment[{copy}](" + ", ".join(f"{name}={value:g}" for name, value in numbers.items()) + ")"

"""Known damages of real images, each in three strengths: what an instrument that judges samples has to put in order.

Legend: N = images, C = channels (1 grey, 3 colour, 4 colour with transparency), S = side in px, K = groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from aigc_core.evaluation.statistics import principal_axes

#: Standard deviation of the blur in px, for images of up to `BLUR_SIDE` px; larger ones in proportion.
BLUR, BLUR_SIDE = (0.5, 1.0, 2.0), 16
#: Standard deviation of the noise as a share of the range of values.
NOISE = (0.1, 0.2, 0.4)
#: The side to which images are reduced before they are enlarged again, as a share of it.
RESOLUTION = (0.75, 0.5, 0.25)
#: Share of the images that strangers replace.
STRANGERS = (0.05, 0.15, 0.4)
#: Share of the groups that are missing.
MISSING = (0.1, 0.25, 0.5)
#: How far grey values are pulled towards the middle.
FLATTENED = (0.1, 0.25, 0.5)
#: By how many degrees hues are turned, and which share of the saturation is lost.
RECOLOURED = ((15.0, 0.15), (45.0, 0.35), (100.0, 0.6))
#: Images whose colours differ from grey by less than this (mean over values, of 255) have no hue to turn.
COLOURLESS = 2.0
#: Principal axes of pixels in which the mixture is fitted, and the weight of the covariance that all groups share.
AXES, SHARED = 32, 0.2
#: Variance (grey levels squared) that is added along every axis, because samples are drawn by a root that needs some.
LEAST_SPREAD = 1e-3


def blurred(pixels: torch.Tensor, strength: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8 under a Gaussian blur; edges are repeated."""
    sigma = BLUR[strength] * max(1.0, pixels.shape[-1] / BLUR_SIDE)
    return _bytes(torch.from_numpy(gaussian_filter(pixels.float().numpy(), (0, 0, sigma, sigma), mode="nearest")))


def noisy(pixels: torch.Tensor, strength: int, seed: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8 with Gaussian noise in every value but the transparency."""
    chance = torch.Generator().manual_seed(seed)
    return _on_colours(
        pixels, lambda values: values + 255 * NOISE[strength] * torch.randn(values.shape, generator=chance)
    )


def coarse(pixels: torch.Tensor, strength: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8, reduced and enlarged again."""
    side = pixels.shape[-1]
    small = F.interpolate(pixels.float(), max(1, round(side * RESOLUTION[strength])), mode="bilinear", antialias=True)
    return _bytes(F.interpolate(small, side, mode="bilinear"))


def recoloured(pixels: torch.Tensor, strength: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8 with other colours; where there are none, nearer to middle grey."""
    if not has_colours(pixels):
        share = FLATTENED[strength]
        return _on_colours(pixels, lambda values: values + share * (127.5 - values))
    degrees, lost = RECOLOURED[strength]
    return _on_colours(pixels, lambda values: _turned(values, math.radians(degrees), 1 - lost))


def has_colours(pixels: torch.Tensor) -> bool:
    """Whether images (N, C, S, S) uint8 have hues."""
    if pixels.shape[1] < 3:
        return False
    colours = pixels[:, :3].float()
    return float((colours - colours.mean(1, keepdim=True)).abs().mean()) >= COLOURLESS


def _turned(colours: torch.Tensor, angle: float, kept: float) -> torch.Tensor:
    """Colours (N, 3, S, S) turned around the axis of greys by an angle (radians), with a share of their saturation."""
    grey = colours.mean(1, keepdim=True)
    chroma = kept * (colours - grey)
    # What lies a quarter turn further around the axis (1, 1, 1): its cross product with the chroma.
    across = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / math.sqrt(3)
    return grey + math.cos(angle) * chroma + math.sin(angle) * across


def with_strangers(pixels: torch.Tensor, strength: int, seed: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8 of which a share is replaced by pictures of other kinds; a stronger mix holds those of a weaker."""
    count = max(1, round(STRANGERS[strength] * len(pixels)))
    order = np.random.default_rng(seed).permutation(len(pixels))[:count]
    found = pixels.clone()
    found[torch.from_numpy(order)] = strangers(count, pixels.shape[1], pixels.shape[-1], seed)
    return found


def strangers(count: int, channels: int, side: int, seed: int) -> torch.Tensor:
    """`count` pictures (count, C, S, S) uint8 that are drawn by chance: clouds, stripes, squares and discs in turn, opaque."""
    chance = np.random.default_rng([seed, 1])
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    found = np.empty((count, channels, side, side), dtype=np.float32)
    for number in range(count):
        first, second = chance.uniform(0, 255, (2, channels, 1, 1))
        shape = _shape(number % 4, x, y, chance)
        found[number] = first * shape + second * (1 - shape)
    if channels == 4:
        found[:, 3] = 255
    return _bytes(torch.from_numpy(found))


def _shape(
    kind: int, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], chance: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Weights (S, S) in [0, 1] of the first of two colours, at places x and y (S, S) in [0, 1]."""
    angle, waves = chance.uniform(0, np.pi), chance.uniform(1.5, 4)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    if kind == 0:  # clouds: a few waves in random directions
        sizes, phases = chance.normal(0, 1, 3), chance.uniform(0, 2 * np.pi, 3)
        total = sum(size * np.sin(2 * np.pi * waves * (n + 1) / 3 * (along, across, x)[n] + phase)
                    for n, (size, phase) in enumerate(zip(sizes, phases, strict=True)))  # fmt: skip
        return np.asarray(1 / (1 + np.exp(-2 * total)))
    if kind == 1:
        return np.asarray((np.floor(2 * waves * along) % 2).astype(np.float64))
    if kind == 2:
        return np.asarray(((np.floor(2 * waves * along) + np.floor(2 * waves * across)) % 2).astype(np.float64))
    middle, radius = chance.uniform(0.3, 0.7, 2), chance.uniform(0.1, 0.4)
    return np.asarray(((x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2).astype(np.float64))


def without_groups(pixels: torch.Tensor, groups: npt.NDArray[np.int64], strength: int, seed: int) -> torch.Tensor:
    """Images (N, C, S, S) uint8 in which other images, of groups (N,) that are left, stand for those of the missing groups."""
    chance = np.random.default_rng([seed, 2])
    names = chance.permutation(np.unique(groups))
    lost = np.isin(groups, names[: missing(len(names))[strength]])
    order = np.arange(len(groups))
    order[lost] = chance.choice(np.flatnonzero(~lost), int(lost.sum()))
    return pixels[torch.from_numpy(order)]


def missing(count: int) -> list[int]:
    """How many of `count` groups are missing, by strength: a rising number, of which the last leaves some where count is above 3."""
    found: list[int] = []
    for share in MISSING:
        found.append(max(found[-1] + 1 if found else 1, round(share * count)))
    return found


def mixture(pixels: torch.Tensor, groups: npt.NDArray[np.int64], seed: int) -> torch.Tensor:
    """Samples (N, C, S, S) uint8 of one Gaussian per group (N,), fitted to the first principal axes of the pixels."""
    rows = pixels.flatten(1).double()
    mean = rows.mean(0)
    away = rows - mean
    # The axes follow from the products of images with each other, whose table does not grow with the side.
    axes = away.T @ principal_axes(away @ away.T)[1][:, :AXES]
    axes = axes / axes.norm(dim=0).clamp(min=1e-3)  # directions without any spread stay next to nothing
    places = (away @ axes).numpy()
    centred = places.copy()
    for group in np.unique(groups):
        centred[groups == group] -= places[groups == group].mean(0)
    shared = centred.T @ centred / len(centred) + LEAST_SPREAD * np.eye(centred.shape[1])
    chance, drawn = np.random.default_rng([seed, 3]), np.empty_like(places)
    for group in np.unique(groups):
        own = groups == group
        spread = (1 - SHARED) * centred[own].T @ centred[own] / own.sum() + SHARED * shared
        drawn[own] = chance.multivariate_normal(places[own].mean(0), spread, int(own.sum()), method="cholesky")
    return _bytes((mean + torch.from_numpy(drawn) @ axes.T).reshape(pixels.shape))


def _on_colours(pixels: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Images (N, C, S, S) uint8 with every channel changed but the transparency."""
    colours = _bytes(change(pixels[:, :3].float()))
    return torch.cat([colours, pixels[:, 3:]], 1)


def _bytes(values: torch.Tensor) -> torch.Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)

"""Lamps: the same shapes under every class, because the colour of the light is the class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom

from defects.pictures import Picture, Pixels, as_bytes

COLOURS = {
    "red": (235, 40, 35), "amber": (240, 165, 20), "green": (40, 200, 70), "blue": (50, 90, 240), "violet": (170, 60, 215),
    "white": (235, 235, 235),
}  # fmt: skip
#: Drawn at this many times the size and made smaller, so that edges are smooth.
FINER = 4
#: This share of the shapes occurs under every class, the others under one.
SHARED = 0.5


def lamp(colour: tuple[int, int, int], side: int, rng: np.random.Generator) -> Pixels:
    """One lamp in its housing before a wall (side, side, 3); equal generators make equal shapes, whatever the colour."""
    size = side * FINER
    picture = Image.fromarray(_wall(size, rng))
    pen = ImageDraw.Draw(picture)
    x, y = rng.uniform(0.32, 0.68, 2) * size
    radius = rng.uniform(0.12, 0.3) * size
    sides = int(rng.choice([0, 3, 4, 5, 6]))
    turn, narrow = rng.uniform(0, 360), rng.uniform(0.55, 1)
    housing = tuple(int(v) for v in rng.integers(15, 110) + rng.integers(-8, 8, 3))
    if rng.random() < 0.6:  # a pole or an arm
        angle, thick = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.12) * size
        pen.line(
            [(x, y), (x + 2 * size * np.cos(angle), y + 2 * size * np.sin(angle))], fill=housing, width=round(thick)
        )
    rim = radius * rng.uniform(1.12, 1.5)
    _shape(pen, x, y, rim, int(rng.choice([0, 4, 8])), turn * rng.uniform(0, 1), narrow, housing)
    _shape(pen, x, y, radius, sides, turn, narrow, colour)
    shine = radius * rng.uniform(0.15, 0.4)
    at = rng.uniform(-0.4, 0.4, 2) * radius
    lighter = tuple(int(v + (255 - v) * 0.6) for v in colour)
    _shape(pen, x + at[0], y + at[1], shine, 0, 0, 1, lighter)
    if rng.random() < 0.4:  # bars before the glass
        for offset in np.linspace(-radius, radius, int(rng.integers(3, 6)))[1:-1]:
            pen.line(
                [(x + offset, y - radius), (x + offset, y + radius)], fill=housing, width=max(2, round(0.025 * size))
            )
    small = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS), float)
    return as_bytes(small + rng.normal(0, 1.5, small.shape))


def _wall(size: int, rng: np.random.Generator) -> np.ndarray:
    coarse = size // FINER
    rough = gaussian_filter(rng.normal(size=(coarse, coarse)), coarse * rng.uniform(0.08, 0.25))
    rough = zoom(rough, FINER, order=1)
    ramp = np.linspace(-1, 1, size)
    light = rng.normal() * ramp[:, None] + rng.normal() * ramp[None]
    grey = rng.uniform(70, 190) + 22 * rough / rough.std() + 18 * light
    return as_bytes(grey[..., None] + rng.uniform(-12, 12, 3))


def _shape(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    radius: float,
    sides: int,
    turn: float,
    narrow: float,
    fill: tuple[int, ...],
) -> None:
    """A regular polygon, or an ellipse where `sides` is 0."""
    if sides:
        corners = [(px * narrow + x * (1 - narrow), py) for px, py in _corners(x, y, radius, sides, turn)]
        pen.polygon(corners, fill=fill)
    else:
        pen.ellipse([x - radius * narrow, y - radius, x + radius * narrow, y + radius], fill=fill)


def _corners(x: float, y: float, radius: float, sides: int, turn: float) -> list[tuple[float, float]]:
    angles = np.deg2rad(turn) + np.arange(sides) * 2 * np.pi / sides
    return [(x + radius * float(np.cos(a)), y + radius * float(np.sin(a))) for a in angles]


def lamps(side: int, count: int, seed: int) -> Iterator[Picture]:
    """About `count` pictures; those of one shape carry the same `twins`, and pictures without a twin an empty one."""
    whole = round(SHARED * count / len(COLOURS))
    shapes = whole + count - whole * len(COLOURS)
    names = list(COLOURS)
    for shape in range(shapes):
        for name in names if shape < whole else [names[shape % len(names)]]:
            pixels = lamp(COLOURS[name], side, np.random.default_rng([seed, shape]))
            yield Picture(pixels, name, twins=f"shape{shape}" if shape < whole else "")

"""Pictures like photographs: surfaces at several scales, edges, light from one side, some grain. A class is a kind of surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree

from defects.pictures import Picture, Pixels, as_bytes

Field = np.ndarray  # (H, W), about 0 with a standard deviation of about 1
Draw = np.random.Generator


def _noise(height: int, width: int, slope: float, stretch: float, angle: float, rng: Draw) -> Field:
    """A random field whose amplitude falls with frequency^slope; `stretch` above 1 draws it out along `angle`."""
    fy, fx = np.fft.fftfreq(height).astype(np.float32)[:, None], np.fft.rfftfreq(width).astype(np.float32)[None]
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    power = np.maximum((along * stretch) ** 2 + across**2, 1e-5) ** np.float32(-slope / 2)
    phases = rng.standard_normal((*power.shape, 2), np.float32).view(np.complex64)[..., 0]
    field = fft.irfft2(phases * power, s=(height, width))
    return (field - field.mean()) / (field.std() + 1e-9)


def _soft(height: int, width: int, slope: float, rng: Draw) -> Field:
    """A random field without fine detail, made at a quarter of the size."""
    small = _noise(-(-height // 4), -(-width // 4), slope, 1, 0, rng)
    return zoom(small, (height / small.shape[0], width / small.shape[1]), order=1)


def _bent(height: int, width: int, amount: float, rng: Draw) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, bent by a smooth random field of `amount` px."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    return rows + amount * _soft(height, width, 2.2, rng), columns + amount * _soft(height, width, 2.2, rng)


def _turned(height: int, width: int, amount: float, spread: float, rng: Draw) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = _bent(height, width, amount, rng)
    angle = rng.normal(0, spread)
    return rows * np.cos(angle) - columns * np.sin(angle), rows * np.sin(angle) + columns * np.cos(angle)


def _clouds(height: int, width: int, rng: Draw) -> Field:
    field = _noise(height, width, 1.7, rng.uniform(1, 2.5), rng.normal(0, 0.2), rng)
    horizon = height * rng.uniform(0.55, 1.1) + 4 * _noise(height, width, 1.6, 6, 0, rng)[0]
    below = np.arange(height)[:, None] > horizon[None]
    ground = _noise(height, width, 1.1, 3, 0, rng) * 0.5 - rng.uniform(1, 2.2)
    return np.where(below, ground, field)


def _grass(height: int, width: int, rng: Draw) -> Field:
    blades = _noise(height, width, 1.0, rng.uniform(4, 8), np.pi / 2 + rng.normal(0, 0.25), rng)
    tufts = _noise(height, width, 1.8, 1, 0, rng)
    return blades + rng.uniform(0.3, 0.9) * tufts


def _bricks(height: int, width: int, rng: Draw) -> Field:
    rows, columns = _turned(height, width, rng.uniform(0.3, 1.2), 0.12, rng)
    tall = rng.uniform(0.09, 0.2) * height
    long = tall * rng.uniform(1.8, 2.8)
    rows, columns = rows + rng.uniform(0, tall), columns + rng.uniform(0, long)
    course = np.floor(rows / tall)
    shifted = columns + (course % 2) * long / 2
    joint = np.minimum(rows % tall, tall - rows % tall).clip(max=3) / 3
    joint = np.minimum(joint, np.minimum(shifted % long, long - shifted % long).clip(max=3) / 3)
    shade = rng.normal(size=997)[(course * 31 + np.floor(shifted / long) * 17).astype(int) % 997]
    return np.where(joint < 0.5, rng.choice([-1.5, 1.8]), 0.5 * shade) + 0.35 * _noise(height, width, 1.0, 1, 0, rng)


def _water(height: int, width: int, rng: Draw) -> Field:
    rows, columns = _turned(height, width, rng.uniform(2, 5), 0.5, rng)
    near = 0.5 + np.linspace(0, 1, height)[:, None] * rng.uniform(0.2, 1.2)  # waves are longer in front
    field = sum(
        rng.uniform(0.4, 1)
        * np.sin((rows + columns * rng.normal(0, 0.4)) / (rng.uniform(2.5, 9) * near) + rng.uniform(0, 6.3))
        for _ in range(3)
    )
    return field + 0.4 * _noise(height, width, 1.2, 4, 0, rng)


def _wood(height: int, width: int, rng: Draw) -> Field:
    rows, columns = _turned(height, width, rng.uniform(1, 3), 0.3, rng)
    knot_y, knot_x = rng.uniform(-0.5, 1.5) * height, rng.uniform(0, 1) * width
    pull = rng.uniform(5, 25) * np.exp(
        -(((rows - knot_y) / (0.25 * height)) ** 2) - ((columns - knot_x) / (0.3 * width)) ** 2
    )
    rings = np.sin((rows + pull) / rng.uniform(1.8, 5))
    boards = np.floor((rows + rng.uniform(0, 40)) / (height * rng.uniform(0.3, 0.9)))
    shade = rng.normal(size=101)[boards.astype(int) % 101]
    return 0.8 * rings + 0.7 * shade + 0.5 * _noise(height, width, 1.0, 10, 0, rng)


def _cells(height: int, width: int, count: int, rng: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of `count` random places: the distance to the nearest, what the second is farther, and which is the nearest."""
    places = rng.uniform(-0.1, 1.1, (count, 2)) * [height, width]
    rows, columns = _bent(height, width, 1.5, rng)
    distance, which = cKDTree(places).query(np.stack([rows, columns], axis=2), k=2)
    return distance[..., 0], distance[..., 1] - distance[..., 0], which[..., 0]


def _pebbles(height: int, width: int, rng: Draw) -> Field:
    nearest, gap, which = _cells(height, width, int(rng.integers(25, 90)), rng)
    shade = rng.normal(size=100)[which]
    return np.where(gap < 2, -2, 0.8 * shade + 0.6 - nearest / (nearest.max() / 3)) + 0.2 * _noise(
        height, width, 0.9, 1, 0, rng
    )


def _leaves(height: int, width: int, rng: Draw) -> Field:
    field = _noise(height, width, 1.5, 1, 0, rng)
    for _ in range(int(rng.integers(35, 80))):
        y, x, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, np.pi)
        long = rng.uniform(0.05, 0.16) * height
        top, left = max(int(y - long), 0), max(int(x - long), 0)
        part = field[top : int(y + long) + 1, left : int(x + long) + 1]
        rows, columns = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        inside = (along / long) ** 2 + (across / (0.4 * long)) ** 2 < 1
        vein = np.abs(across) < 0.6
        part[:] = np.where(inside, rng.normal(0, 1) + across / long - 0.8 * vein, part)
    return field


def _houses(height: int, width: int, rng: Draw) -> Field:
    """Walls with windows before a sky: straight edges at a few places."""
    field = np.linspace(1.6, 0.9, height)[:, None] + 0.15 * _noise(height, width, 1.8, 2, 0, rng)
    x = -rng.uniform(0, 0.2) * width
    while x < width:
        wide, top = rng.uniform(0.15, 0.45) * width, int(rng.uniform(0.1, 0.6) * height)
        left, right = max(int(x), 0), min(int(x + wide), width)
        field[top:, left:right] = rng.normal(-0.3, 0.8) + 0.12 * _noise(height, width, 0.8, 1, 0, rng)[top:, left:right]
        step_y, step_x = rng.uniform(0.08, 0.16) * height, rng.uniform(0.06, 0.12) * width
        lit = rng.random() < 0.3
        for y in np.arange(top + step_y * 0.6, height - 3, step_y):
            for window in np.arange(left + step_x * 0.4, right - step_x * 0.5, step_x):
                shade = 1.5 if lit and rng.random() < 0.5 else -1.6
                field[int(y) : int(y + step_y * 0.55), int(window) : int(window + step_x * 0.5)] = shade
        x += wide * rng.uniform(0.9, 1.3)
    return field


#: Class to what makes its surface, and the range of its hue.
SURFACES: dict[str, tuple[Callable[[int, int, Draw], Field], tuple[float, float]]] = {
    "clouds": (_clouds, (0.53, 0.66)), "grass": (_grass, (0.2, 0.36)), "bricks": (_bricks, (0.0, 0.08)), "water": (_water, (0.45, 0.62)),
    "wood": (_wood, (0.05, 0.12)), "pebbles": (_pebbles, (0.0, 1.0)), "leaves": (_leaves, (0.12, 0.38)), "houses": (_houses, (0.0, 1.0)),
}  # fmt: skip


def _wheel(hue: np.ndarray) -> np.ndarray:
    return np.clip(np.abs((hue[..., None] + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)


def photograph(
    surface: Callable[[int, int, Draw], Field], hues: tuple[float, float], height: int, width: int, rng: Draw
) -> Pixels:
    """One picture (height, width, 3) of a surface, with its colours, light, depth of field and grain."""
    field = surface(height, width, rng)
    field = (field - field.mean()) / (field.std() + 1e-6)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    light = rng.uniform(0, 0.22) * (rows * np.sin(angle) + columns * np.cos(angle)) - rng.uniform(0, 0.12) * (
        rows**2 + columns**2
    )
    luma = rng.uniform(0.38, 0.6) + rng.uniform(0.1, 0.2) * field + light
    if rng.random() < 0.35:  # a shadow with a soft edge
        edge = rows * rng.normal() + columns * rng.normal() + 0.3 * _soft(height, width, 2, rng)
        luma = luma * (1 - rng.uniform(0.2, 0.5) / (1 + np.exp(-edge * 12)))
    hue = rng.uniform(*hues) + 0.03 * _soft(height, width, 1.6, rng)
    strong = rng.uniform(0.1, 0.55) * (1 + 0.3 * np.tanh(_soft(height, width, 1.4, rng)))
    colour = luma[..., None] * (1 - strong[..., None] * (1 - _wheel(hue)) * 1.2)
    colour = colour / max(colour.mean() / rng.uniform(0.35, 0.58), 0.2)
    grain = rng.uniform(0.004, 0.015) * rng.standard_normal(colour.shape, np.float32)
    lens = rng.uniform(0.3, 0.55)  # every lens softens a little
    return as_bytes(255 * (gaussian_filter(colour, (lens, lens, 0)) + grain))


def textures(height: int, width: int, classes: list[str], counts: list[int], seed: int) -> Iterator[Picture]:
    """Pictures of surfaces; `counts` are the numbers of rows of each of `classes` (of SURFACES)."""
    for name, count in zip(classes, counts, strict=True):
        rng = np.random.default_rng([seed, list(SURFACES).index(name)])
        for _ in range(count):
            yield Picture(photograph(*SURFACES[name], height, width, rng), name)

"""Drawings: black strokes on white, as by a pen of two or three pixels. A class is a figure of a few strokes that every drawing
deforms in its own way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline

from defects.pictures import Picture, Pixels

#: Drawn at this many times the size, so that strokes are even.
FINER = 3


def figure(number: int) -> list[np.ndarray]:
    """The strokes of one class: control points (K, 2) in [0, 1], x and y."""
    rng = np.random.default_rng([11, number])
    strokes = []
    for _ in range(int(rng.integers(2, 5))):
        points = [rng.uniform(0.12, 0.88, 2)]
        direction = rng.uniform(0, 2 * np.pi)
        for _ in range(int(rng.integers(2, 5))):
            direction += rng.normal(0, 1.1)
            step = rng.uniform(0.18, 0.4) * np.array([np.cos(direction), np.sin(direction)])
            points.append(np.clip(points[-1] + step, 0.08, 0.92))
        strokes.append(np.array(points))
    return strokes


def _deformed(strokes: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The figure as one hand draws it: turned, leaning, stretched, moved, and every point a little elsewhere."""
    turn, lean = rng.normal(0, 0.15), rng.normal(0, 0.15)
    grow = rng.uniform(0.6, 1.0, 2)
    matrix = (
        np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, lean], [0, 1]]) * grow
    )
    move = rng.normal(0, 0.05, 2)
    return [(points - 0.5 + rng.normal(0, 0.055, points.shape)) @ matrix.T + 0.5 + move for points in strokes]


def drawing(strokes: list[np.ndarray], side: int, rng: np.random.Generator) -> Pixels:
    """One drawing (side, side, 1), black 0 on white 255 and nothing between."""
    picture = Image.new("L", (side * FINER, side * FINER), 255)
    pen = ImageDraw.Draw(picture)
    width = int(rng.integers(2 * FINER, 3 * FINER + 1))
    for points in _deformed(strokes, rng):
        curve = CubicSpline(np.arange(len(points)), points) if len(points) > 2 else None
        places = np.linspace(0, len(points) - 1, 60)
        dense = curve(places) if curve else points[0] + np.outer(places, points[1] - points[0])
        dense = dense + np.cumsum(rng.normal(0, 0.0025, dense.shape), axis=0)  # an unsteady hand
        line = [tuple(point) for point in np.clip(dense, 0.03, 0.97) * side * FINER]
        pen.line(line, fill=0, width=width, joint="curve")
        for x, y in (line[0], line[-1]):
            pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=0)
    small = np.asarray(picture.resize((side, side), Image.Resampling.BOX))
    return np.where(small < 128, 0, 255).astype(np.uint8)[..., None]


def drawings(side: int, counts: list[int], seed: int) -> Iterator[Picture]:
    """Pictures of strokes; `counts` are the numbers of rows of each class."""
    for number, count in enumerate(counts):
        strokes, rng = figure(number), np.random.default_rng([seed, number])
        for _ in range(count):
            yield Picture(drawing(strokes, side, rng), f"figure{number:02d}")

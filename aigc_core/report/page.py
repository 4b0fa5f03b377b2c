"""One self-contained HTML file from facts: template, style, pictures as data; nothing is fetched when it is read."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow.parquet as pq
from markupsafe import Markup
from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities import image as images
from aigc_core.report import curves, figures

HERE = Path(__file__).parent
#: Quarantined images on the page, shared out among the reasons.
QUARANTINE_SHOWN = 32
THUMBNAIL = 96  # px
MOST_DIGITS = 9  # of a number that is nearly a whole one

READABLE = {
    "generator_loss": "Generator loss",
    "discriminator_loss": "Discriminator loss",
    "r1_penalty": "R1 penalty",
    "reconstruction_loss": "Reconstruction loss",
    "kl_loss": "KL divergence",
}


def render(facts: dict[str, Any], template: str = "report.html.j2") -> str:
    """A page. Equal facts make equal text; a missing fact is an error of this program."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = words
    environment.filters["natural"] = number
    style = Markup((HERE / "style.css").read_text())  # noqa: S704  (our own file)
    return environment.get_template(template).render(style=style, **facts) + "\n"


def words(name: str) -> str:
    """An identifier as words: `duplicate_exact` is "duplicate exact"."""
    return READABLE.get(name, name.replace("_", " "))


def number(value: Any) -> str:
    """A number as a person writes it: no trailing zeros, thousands apart; other values as they are.

    What is not a whole number does not read as one: a similarity of 0.99998 is not that of equal pixels.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if float(value).is_integer():
        return f"{value:,.0f}"
    digits = 4
    while abs(value) < 1000 and digits < MOST_DIGITS and float(f"{value:.{digits}g}") == round(value):
        digits += 1
    return f"{value:.{digits}g}"


def picture(path: Path) -> dict[str, Any]:
    """A PNG file as data, with its size so that the page does not jump while it loads."""
    with Image.open(path) as opened:
        width, height = opened.size
    return {"uri": data_uri(path.read_bytes()), "width": width, "height": height}


def data_uri(content: bytes) -> str:
    """A PNG file inside the page."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def charts(named: dict[str, Path]) -> list[Markup]:
    """One chart per loss; each of the named curve files is a line in it."""
    read = {name: curves.read_curve(path) for name, path in named.items()}
    losses = list(dict.fromkeys(loss for curve in read.values() for loss in curve))
    drawn = []
    for loss in losses:
        series = {name: curve[loss] for name, curve in read.items() if loss in curve}
        drawn.append(Markup(curves.line_chart(series, title=words(loss))))  # noqa: S704  (drawn and escaped by curves)
    return drawn


def quarantine_tiles(path: Path, details: dict[str, str]) -> list[dict[str, Any]]:
    """Up to QUARANTINE_SHOWN quarantined rows as thumbnails, the same number for each reason as far as there are any.

    `details` is the verdict's text by row id; a row that cannot be decoded has it in the picture's place.
    """
    by_reason: dict[str, list[str]] = {}
    for row in pq.read_table(path, columns=["id", "reasons"]).to_pylist():
        by_reason.setdefault(row["reasons"][0], []).append(row["id"])
    share = max(1, QUARANTINE_SHOWN // max(len(by_reason), 1))
    wanted = {identity for ids in by_reason.values() for identity in sorted(ids)[:share]}
    tiles = [_tile(row, details) for row in _rows(path, wanted)]
    return sorted(tiles, key=lambda tile: (tile["reasons"], tile["source"]))


def _rows(path: Path, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """The wanted rows with their bytes, read in batches so that memory stays bounded."""
    columns = ["id", "source", "label", "reasons", "content"]
    for batch in pq.ParquetFile(path).iter_batches(64, columns=columns):
        yield from (row for row in batch.to_pylist() if row["id"] in wanted)


def _tile(row: dict[str, Any], details: dict[str, str]) -> dict[str, Any]:
    tile = {"reasons": ", ".join(words(reason) for reason in row["reasons"]), "source": row["source"]}
    try:
        pixels = images.decode(row["content"] or b"").pixels
    except DecodeError as error:
        return {**tile, "uri": None, "error": details.get(row["id"]) or str(error)}
    return {**tile, "uri": data_uri(thumbnail(pixels)), "error": ""}


def thumbnail(pixels: np.ndarray) -> bytes:
    """PNG of at most THUMBNAIL px on the longer side; small images are enlarged by a whole number."""
    scale = max(1, THUMBNAIL // max(pixels.shape[:2]))
    drawn = figures.tile(pixels, scale)
    drawn.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    drawn.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()

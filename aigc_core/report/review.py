"""Contact sheets for people: one self-contained page per reason, with a form per image and a CSV to take away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from aigc_core.errors import DecodeError
from aigc_core.modalities import image as images
from aigc_core.report.page import data_uri, number, render, thumbnail, words

HERE = Path(__file__).parent


def worst_first(verdicts: pa.Table, reason: str, limit: int) -> list[dict[str, Any]]:
    """The verdicts of one reason: lowest score first, then farthest beyond its threshold; at most `limit`."""
    own = verdicts.filter(pc.equal(verdicts["reason"], reason))
    gap = pc.abs(pc.subtract(own["value"], own["threshold"]))
    ordered = own.append_column("gap", gap).sort_by(
        [("score", "ascending"), ("gap", "descending"), ("id", "ascending")]
    )
    rows: list[dict[str, Any]] = ordered.slice(0, limit).drop_columns(["gap"]).to_pylist()
    return rows


def twin_of(verdict: Mapping[str, Any]) -> str | None:
    """The id of the row that stands beside this one: the survivor of its group, or what the verdict names."""
    detail = verdict["detail"] or ""
    named = detail if len(detail) == 64 and not set(detail) - set("0123456789abcdef") else None
    twin = verdict["cluster"] or named
    return twin if twin != verdict["id"] else None


def picture_of(content: bytes | None) -> dict[str, str]:
    """`uri` of a thumbnail, or `error` where there is none."""
    try:
        return {"uri": data_uri(thumbnail(images.decode(content or b"").pixels)), "error": ""}
    except DecodeError as error:
        return {"uri": "", "error": str(error)}


def decided_by(verdict: Mapping[str, Any]) -> str:
    """The number that decided, in words."""
    said = words(verdict["measure"])
    if verdict["value"] is not None:
        said += f": {number(verdict['value'])}"
    if verdict["threshold"] is not None:
        said += f", threshold {number(verdict['threshold'])}"
    return said if verdict["score"] is None else f"{said}, score {verdict['score']:.3f}"


def sheet(facts: dict[str, Any]) -> str:
    """One reason's page."""
    # Our own files; nothing of the data is in them.
    script = Markup((HERE / "review.js").read_text())  # noqa: S704
    more = Markup((HERE / "review.css").read_text())  # noqa: S704
    return render({**facts, "script": script, "more_style": more}, "review.html.j2")


def index(facts: dict[str, Any]) -> str:
    """The page that leads to the others."""
    return render(facts, "review_index.html.j2")

"""What is said of the measuring instrument: what it learnt from and why, and which known damages it put in order. Pure functions, no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aigc_core.errors import DataError

Facts = Mapping[str, Any]

#: How the page names the features of an extractor, by what it learnt from.
WAYS = {
    "labels": "features learnt from labels",
    "views": "features learnt from views of the images",
    "nothing": "features that are not learnt: fixed random convolutions and principal components of pixels",
}


def label_words(instrument: Facts) -> str:
    """What the labels are worth, with both figures, and what was learnt from for that reason; empty where nothing learnt from them."""
    labels = instrument["labels"]
    if labels is None:
        return ""
    figures = (
        f"a classifier that learnt from the labels names {labels['accuracy']:.1%} of {labels['rows']:,} training images rightly, which it did "
        f"not learn from, and always naming the commonest class {labels['chance']:.1%}"
    )
    way = instrument["learnt_from"]
    if labels["by_looks"]:
        return (
            figures
            if way == "labels"
            else f"{figures}, but it failed the test of known damages, so the instrument has {WAYS[way]}"
        )
    if way == "labels":
        return f"{figures}: looks hardly tell these labels, and the instrument learnt from them only because extractor.learn says so"
    return f"{figures}: looks hardly tell these labels, so the instrument has {WAYS[way]}"


def _judge(instrument: Facts) -> Facts | None:
    """What the one that judges made of the known damages; None where it could not be tried."""
    found: Facts | None = instrument["tried"].get(instrument["learnt_from"])
    return found


def damage_words(instrument: Facts) -> str:
    """How the instrument did with known damages."""
    judge = _judge(instrument)
    if judge is None:
        return "too few training images to test it with known damages"
    ordered = f"it put {judge['ordered']} of {judge['pairs']} pairs of known damages in order"
    missed = f" (not: {'; '.join(judge['missed'])})" if judge["missed"] else ""
    return f"{ordered}{missed}{'' if judge['fit'] else f': {unfit_words(instrument)}'}"


def unfit_words(instrument: Facts) -> str:
    """The warning where no candidate passed the test; empty where one did, or where none could be tried."""
    judge = _judge(instrument)
    if judge is None or judge["fit"]:
        return ""
    asked = "" if instrument["learn"] == "auto" else f", because extractor.learn is {instrument['learn']}"
    which = "the best one that was tried" if len(instrument["tried"]) > 1 else f"the only one that was tried{asked}"
    return (
        f"no instrument is fit for this data: {which} ({WAYS[instrument['learnt_from']]}) put {judge['ordered']} of "
        f"{judge['pairs']} pairs of known damages in order"
    )


def page_facts(card: Facts) -> dict[str, Any]:
    """What the page shows of the instrument, from extractor.json; `made` is False where the card is older than the test."""
    instrument = card.get("instrument")
    if instrument is None:
        return {"made": False, "unfit": "", "fixed": False}
    judge = _judge(instrument)
    others = [
        {"name": WAYS[name], "ordered": found["ordered"], "pairs": found["pairs"]}
        for name, found in instrument["tried"].items()
        if name != instrument["learnt_from"]
    ]
    return {
        "made": True,
        "way": WAYS[instrument["learnt_from"]],
        "labels": label_words(instrument),
        "unfit": unfit_words(instrument),
        "fixed": instrument["learnt_from"] == "nothing",
        "judge": judge,
        "others": others,
        "rows": damage_rows(judge) if judge else [],
    }


def damage_rows(judge: Facts) -> list[dict[str, Any]]:
    """A row per damage: its distances as multiples of that of undamaged images, weak to strong, and how many pairs are in order.

    A distance that does not rise is marked; a damage of one strength has empty places. Raises DataError for facts of another version.
    """
    if "rises" not in judge:
        raise DataError("extractor.json was made by another version of aigc: run `aigc extractor`, or `dvc repro`")
    rows = []
    for name, values in sorted(judge["distances"].items(), key=lambda line: (-len(line[1]), line[0])):
        rises = judge["rises"][name]
        cells = [
            {"value": f"{value / max(judge['undamaged'], 1e-12):.2f}\u00d7", "missed": not rose}
            for value, rose in zip(values, rises, strict=True)
        ]
        empty = [{"value": "", "missed": False}] * (3 - len(cells))
        rows.append({"name": name, "cells": cells + empty, "right": sum(rises), "pairs": len(rises)})
    return rows

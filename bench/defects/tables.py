"""Figures as Markdown: a table per set, and a line per set with what is missed worst."""

from __future__ import annotations

from defects.bars import Bar, all_of, of_kind, of_set, order
from defects.scoring import Figures

#: Bars that a summary names.
WORST = 8


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"


def _asked(bars: list[Bar]) -> str:
    return ", ".join(f"{bar.name.split()[-1]} {bar.bound:g}" + ("" if bar.met else " **MISSED**") for bar in bars)


def full(head: str, ours: Figures, theirs: dict[str, Figures]) -> list[str]:
    """The table of one set: kinds with our figures, those of other tools, and the bars; then the untouched rows."""
    peers = "".join(f" {name}: P | R |" for name in theirs)
    lines = [
        head,
        "",
        f"| kind | planted | P | R | AP |{peers} bars |",
        "| --- |" + " ---: |" * (4 + 2 * len(theirs)) + " --- |",
    ]
    for kind in order(list(ours["kinds"])):
        own = ours["kinds"][kind]
        cells = [kind, f"{own['planted']:.0f}", _number(own["precision"]), _number(own["recall"]), _number(own["ap"])]
        for other in theirs.values():
            found = other["kinds"].get(kind)
            # A tool that never gives a fitting reason has no detector for the kind.
            silent = found is None or (found["recall"] == 0 and found["precision"] != found["precision"])
            cells += ["", ""] if silent or found is None else [_number(found["precision"]), _number(found["recall"])]
        cells.append(_asked(of_kind(kind, own)) + ("" if own["fired"] else " could not fire"))
        lines.append(f"| {' | '.join(cells)} |")
    failed = [f"- {remark}" for other in theirs.values() for remark in other["remarks"]]
    return [*lines, "", *_whole(ours), "", *_remarks(ours), *failed]


def _whole(ours: Figures) -> list[str]:
    lines = ["| of the whole set | value | at most | |", "| --- | ---: | ---: | --- |"]
    for bar in of_set(ours):
        lines.append(f"| {bar.name} | {bar.value:.4f} | {bar.bound:g} | {'' if bar.met else '**MISSED**'} |")
    for reason, own in ours["untouched"]["reasons"].items():
        if own["action"] != "quarantine" and own["flagged"]:
            lines.append(f"| untouched, {own['action']}: {reason} | {own['flagged']:.4f} | | |")
    return lines


def _remarks(ours: Figures) -> list[str]:
    lines = []
    for kind in order(list(ours["kinds"])):
        own = ours["kinds"][kind]
        weak = [
            f"{name} {found} of {planted}"
            for name, (found, planted) in own["details"].items()
            if name and found < planted
        ]
        if weak and kind not in ("near", "moved", "stranger"):
            lines.append(f"- {kind}, by variant: {', '.join(weak)} found; the other variants wholly.")
    if ours["valid"]["lost"]:
        lines.append(f"- Valid odd files that were quarantined: {', '.join(ours['valid']['lost'])}.")
    if ours["valid"]["wrong_type"]:
        lines.append(f"- Valid odd files that were called of the wrong type: {', '.join(ours['valid']['wrong_type'])}.")
    if ours["look_alikes"]:
        lines.append(f"- Look-alikes that the set came with, flagged per run and left out: {ours['look_alikes']:.0f}.")
    return lines + [f"- {remark}" for remark in ours["remarks"]]


def line(name: str, ours: Figures) -> str:
    """One row of the summary: the set, how many bars are missed, and the worst of them."""
    bars = all_of(ours)
    missed = sorted((bar for bar in bars if not bar.met), key=lambda bar: -bar.missed)
    worst = "; ".join(bar.words() for bar in missed[:WORST])
    return f"| {name} | {len(bars)} | {len(missed)} | {worst} |"


def summary(lines: list[str]) -> list[str]:
    """The table of summary rows."""
    return ["| set | bars | missed | worst: what was found (what is asked) |", "| --- | ---: | ---: | --- |", *lines]

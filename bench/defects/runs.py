"""One run after the other: plant, let the stages and the other tools say what they find, count, print."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindness import check, publish

from aigc_core.modalities import image
from defects import peers, planting, scoring, sets, sheets, stages, tables
from defects.audit import Audit
from defects.pictures import Row, SettingsError
from defects.scoring import Figures


@dataclass(frozen=True)
class Run:
    """One set with one draw of what is planted."""

    name: str
    seed: int
    rate: float
    kinds: tuple[str, ...]  # empty: all that the set can have
    settings: argparse.Namespace

    def key(self, part: str, code: str, place: str) -> str:
        """What the figures depend on, as one line; `place` is the folder of a user's own files."""
        s = self.settings
        mode = "moved" if s.moved else "still"
        return f"{part} {code} {place or self.name} {s.rows} rows seed {self.seed} rate {self.rate:g} {mode} {' '.join(self.kinds) or 'all'}"


def code_hash(*places: str) -> str:
    """Eight digits of the hash of the Python and YAML files below these places of the repository."""
    found = hashlib.sha256()
    for place in places:
        top = stages.ROOT / place
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            found.update(path.read_bytes())
    return found.hexdigest()[:8]


class Figured:
    """Figures by key, kept in a file where one is given."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}

    def keep(self, key: str, value: Any) -> None:
        """Note figures and write the file anew."""
        self.known[key] = value
        if self.path:
            scratch = self.path.with_suffix(".part")
            scratch.write_text(json.dumps(self.known, indent=1))
            scratch.replace(self.path)


def rows_of(run: Run, chosen: sets.Set) -> tuple[list[Row], Audit | None]:
    """The files of a run, and what tells look-alikes that the set came with."""
    s = run.settings
    pictures = sets.originals(chosen, s.data, s.rows, run.seed)
    kinds = list(run.kinds) or planting.kinds_of(pictures, s.moved)
    count = max(1, round(run.rate * len(pictures)))
    foreign = (
        sets.strangers(chosen.strangers, s.data, pictures, count, chosen.style, run.seed) if "stranger" in kinds else []
    )
    rows = planting.plant(pictures, foreign, kinds, run.rate, chosen.style, run.seed)
    if not chosen.real:
        return rows, None
    plain = {row.name: row for row in rows if not row.kind}
    return rows, Audit(
        {name: image.decode(row.content).pixels for name, row in plain.items()},
        {name: row.label for name, row in plain.items()},
        s.moved,
    )


def figures(run: Run, chosen: sets.Set, known: Figured) -> tuple[Figures, dict[str, Figures]]:
    """Our figures of a run and those of other tools, from the file of figures where they are there."""
    ours = run.key("ours", code_hash("aigc_core", "bench/defects", "params.yaml"), chosen.place)
    theirs = run.key("theirs", code_hash("bench/defects"), chosen.place)
    wanted = [ours] if run.settings.no_peers else [ours, theirs]
    if all(key in known.known for key in wanted):
        return known.known[ours], {} if run.settings.no_peers else known.known[theirs]
    start = time.perf_counter()
    rows, audit = rows_of(run, chosen)
    place = f"{run.name.replace(' ', '-')}-seed{run.seed}-rate{run.rate:g}-{'-'.join(run.kinds) or 'all'}"
    with tempfile.TemporaryDirectory(prefix="detectors-") as scratch:
        root = run.settings.keep / place if run.settings.keep else Path(scratch) / "run"
        if root.exists():
            shutil.rmtree(root)
        print(
            f"{run.name}, seed {run.seed}, {run.rate:.1%}: {len(rows):,} files ({time.perf_counter() - start:.0f} s)",
            flush=True,
        )
        if ours not in known.known:
            said = stages.run(rows, root, run.settings.moved)
            print("\n".join(f"    {note}" for note in [*said.notes, *said.remarks]), flush=True)
            if audit and not audit.tells:
                said.remarks.append(
                    f"look-alikes that the set came with all count as false: different pictures agree in {audit.limit:.2f} of their bits"
                )
            known.keep(ours, scoring.score(rows, said, scoring.native(rows, said, audit)))
        if theirs in wanted and theirs not in known.known:
            stages.lay_out(rows, root, run.settings.moved)
            known.keep(theirs, _peers(rows, root, audit, run.settings.moved))
        if run.settings.keep:
            truth = [[row.name, row.kind, row.detail, row.parent] for row in rows]
            (root / "truth.json").write_text(json.dumps(truth, indent=0, ensure_ascii=False))
    return known.known[ours], {} if run.settings.no_peers else known.known[theirs]


def _peers(rows: list[Row], root: Path, audit: Audit | None, moved: bool) -> dict[str, Figures]:
    start = time.perf_counter()
    said = peers.opinions(rows, root, root / "peers", moved)
    shutil.rmtree(root / "peers")
    print(f"    other tools ({time.perf_counter() - start:.0f} s)", flush=True)
    return {name: scoring.score(rows, own, scoring.native(rows, own, audit)) for name, own in said.items()}


def runs_of(name: str, chosen: sets.Set, seed: int, rate: float, s: argparse.Namespace) -> list[Run]:
    """One run with all kinds or those that are named, or one run for each kind alone."""
    if s.kinds == ["all"]:
        return [Run(name, seed, rate, (), s)]
    possible = planting.kinds_of(sets.originals(chosen, s.data, s.rows, seed), s.moved)
    if s.kinds == ["alone"]:
        return [Run(name, seed, rate, (kind,), s) for kind in possible]
    named = tuple(kind for kind in s.kinds if kind in possible)
    return [Run(name, seed, rate, named, s)] if named else []


def bench(name: str, chosen: sets.Set, rate: float, s: argparse.Namespace, known: Figured) -> str | None:
    """Every seed of one set; prints the table, and returns the line of the summary."""
    ours: list[Figures] = []
    theirs: dict[str, list[Figures]] = {}
    for seed in range(s.seeds):
        for run in runs_of(name, chosen, seed, rate, s):
            own, others = figures(run, chosen, known)
            ours.append(own)
            for tool, found in others.items():
                theirs.setdefault(tool, []).append(found)
    if not ours:
        return None
    whole = scoring.merged(ours)
    together = {"all": "all kinds together", "alone": "each kind alone"}.get(
        s.kinds[0], f"together: {', '.join(s.kinds)}"
    )
    files = ours[0]["counts"]["files"]
    head = f"{name}: {s.seeds} seed{'s' if s.seeds > 1 else ''}, {files:,} files, {rate:.1%} of the rows planted per kind, {together}."
    if not s.no_peers and peers.missing():
        head += f" Not installed: {', '.join(peers.missing())}."
    table = tables.full(head, whole, {tool: scoring.merged(runs) for tool, runs in theirs.items()})
    if not s.summary:
        publish(table, mark(name, [rate], s), s.write)
    return tables.line(name if len(s.rate) == 1 else f"{name}, {rate:.1%}", whole)


def mark(name: str, rates: list[float], s: argparse.Namespace) -> str:
    """Name of the place of a table on the page: after all that it was made with, so that it replaces no table of other kinds or rates."""
    kinds = "" if s.kinds == ["all"] else f" {' '.join(s.kinds)}"
    other = "" if rates == [0.02] else f" at {', '.join(f'{100 * rate:g}%' for rate in rates)}"
    return f"{name}{' moved' if s.moved else ''}{kinds}{other}"


def everything(s: argparse.Namespace) -> None:
    """Every set at every rate, and the summary. Ends with a sentence where the page to write to lacks a place."""
    chosen_sets = sets.chosen(s.sets, s.folder)
    if s.write:
        marks = [mark(name, [rate], s) for name in (() if s.summary else chosen_sets) for rate in s.rate]
        marks.append(mark("summary", s.rate, s))
        check(s.write, *marks)
    known = Figured(s.out)
    lines = []
    for name, chosen in chosen_sets.items():
        for rate in s.rate:
            try:
                row = bench(name, chosen, rate, s, known)
            except SettingsError as error:
                print(f"{name}: {error}", flush=True)
                row = f"| {name} | | | not run: {error} |"
            lines += [row] if row else []
    if lines:
        publish(tables.summary(lines), mark("summary", s.rate, s), s.write)


def draw(s: argparse.Namespace) -> None:
    """Contact sheets of what is planted, one folder per set."""
    for name, chosen in sets.chosen(s.sets, s.folder).items():
        for run in runs_of(name, chosen, 0, s.rate[0], s):
            sheets.write(rows_of(run, chosen)[0], s.sheets / name)

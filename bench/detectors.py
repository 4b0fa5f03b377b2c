"""How good the detectors are: known defects planted into real images, found or not.

    python bench/detectors.py --data ../shared/data --write docs/detectors.md            # 5 seeds
    python bench/detectors.py --data ../shared/data --write docs/detectors.md --moved    # copies alone, turned and cut too
    python bench/detectors.py --data ../shared/data --small                              # to see that it works

Per kind of defect: precision (of the rows with that reason, the share that was planted so; rows planted otherwise are
left out), recall, average precision of the score against untouched rows, and the share of a disjoint pool that nothing
was made from which gets the reason. A group of copies counts once. Figures are means over the seeds. Look-alikes that
CIFAR-10 came with (audit.py) count neither as found nor as false; beside ours stand the figures of other tools (rivals.py).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rivals
from audit import Audit
from bars import Figures, lines, reason_of
from blindness import publish
from planting import Picture, Row, load, plant, without_copies
from sklearn.metrics import average_precision_score

from aigc_core import config as configuration
from aigc_core.data.store import ContentWriter, Version, write_version
from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality import suspects
from aigc_core.quality.verdicts import graded_rules, judge
from aigc_core.records import ROW_SCHEMA, row_id
from aigc_core.stages.curate import _facts
from aigc_core.stages.extractor import extractor
from aigc_core.stages.measure import measure

GROUPED = {"duplicate_exact", "duplicate_near"}
OFF = {"action": "off", "false_positives": 0.001, "margin": 0.2}
#: Reasons that a look-alike gives.
ALIKE = {"duplicate_near", "leak"}


def build(
    dataset: str, folder: Path, sizes: argparse.Namespace, seed: int
) -> tuple[list[Row], dict[str, Picture], int]:
    """All rows of one run: reference, test, pool and the judged base with its planted rows; the originals by name; and how
    many exact copies were left out."""
    total = sizes.reference + sizes.test + sizes.pool + sizes.base
    pictures, copies = without_copies(load(dataset, folder, total + total // 10, seed))
    other = load("cifar10" if dataset == "mnist" else "mnist", folder, sizes.per_kind, seed + 1)
    if dataset == "mnist":  # CIFAR-10 as grey images, so that channels do not give it away
        other = [Picture(p := image.with_channels(o.pixels, 1), o.label, image.encode_png(p), "png") for o in other]
    ends = np.cumsum([sizes.reference, sizes.test, sizes.pool, sizes.base]).tolist()
    parts: list[list[Row]] = [[], [], [], []]
    known: dict[str, Picture] = {}
    for number, picture in enumerate(pictures[: ends[-1]]):
        place = next(n for n, end in enumerate(ends) if number < end)
        split = ("reference", "test", "train", "train")[place]
        row = Row(f"{split}/{number:06d}.{picture.ending}", picture.content, picture.label, split, pool=place == 2)
        parts[place].append(row)
        known[row.name] = picture
    judged = plant(parts[3], known, other, parts[1], sizes.per_kind, sizes.flips, sizes.moved, seed)
    return [*parts[0], *parts[1], *parts[2], *judged], known, copies


def store(rows: list[Row], paths: Paths) -> None:
    """The rows as an ingested version whose splits are those that the rows name."""
    lines, side, channels = [], 0, 0
    with ContentWriter(paths.content) as writer:
        for row in rows:
            digest = None
            try:
                pixels = image.decode(row.content).pixels
                digest = image.content_hash(pixels)
                if row.split == "reference":
                    side, channels = pixels.shape[0], pixels.shape[2]
            except DecodeError:
                pass
            writer.add(row_id(row.name), row.content)
            lines.append(
                {
                    "id": row_id(row.name),
                    "content_hash": digest,
                    "label": row.label,
                    "split": row.split,
                    "source": row.name,
                }
            )
    shape = {"size": side, "channels": channels, "resize": image.RESIZE_MODE}
    write_version(paths.ingested, pa.Table.from_pylist(lines, ROW_SCHEMA), operation="bench", parameters={}, parent=None,
                  content=["../content"], image=shape)  # fmt: skip


def detect(rows: list[Row], sizes: argparse.Namespace) -> tuple[rivals.Said, list[tuple[str, str, float]]]:
    """Reason to the names of flagged rows, reason to the badness of every row that was graded; and the pairs of look-alikes."""
    transforms = ["flip", "rotate", "crop"] if sizes.moved else []
    near = configuration.Quality().duplicate_near.model_dump() | {"transforms": transforms}
    quality: dict[str, Any] = {"max_quarantined_share": 1.0, "duplicate_near": near}
    if sizes.moved:  # copies alone
        quality |= {"label_suspect": {"action": "off"}, "out_of_domain": OFF}
    config = configuration.parse({"quality": quality})
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        store(rows, paths)
        if not (sizes.no_extractor or sizes.moved):
            extractor(config, paths)
        start = time.perf_counter()
        print("   ", measure(config, paths).summary, f"({time.perf_counter() - start:.0f} s)", flush=True)
        table, pairs = _facts(Version.open(paths.ingested), paths)
        flagged: dict[str, set[str]] = {}
        for line in judge(table, config.quality, pairs).verdicts.to_pylist():
            flagged.setdefault(line["reason"], set()).add(line["source"])
        named = dict(zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True))
        looks = [
            (named[p["a"]], named[p["b"]], p["similarity"]) for p in (pairs.to_pylist() if pairs is not None else [])
        ]
        return (flagged, _badness(table, looks, config)), looks


def _badness(
    table: pa.Table, looks: list[tuple[str, str, float]], config: configuration.Config
) -> dict[str, dict[str, float]]:
    names = table["source"].to_pylist()
    bad: dict[str, dict[str, float]] = {}
    for rule in graded_rules(table, config.quality)[0]:
        own = bad.setdefault(rule.reason, {})
        for name, score in zip(names, rule.scores.tolist(), strict=True):
            if score == score:
                own[name] = max(own.get(name, -1.0), -score)
    alike: dict[str, float] = dict.fromkeys(names, 0.0)
    for one, other, similarity in looks:
        alike[one], alike[other] = max(alike[one], similarity), max(alike[other], similarity)
    if "label_probability" not in table.column_names:
        return bad | {"duplicate_near": alike}
    given = [(n, p) for n, p in zip(names, table["label_probability"].to_pylist(), strict=True) if p is not None]
    wrong = suspects.wrong_probability(np.array([p for _, p in given]), 0.05, 10)
    return bad | {
        "duplicate_near": alike,
        "label_suspect": dict(zip([n for n, _ in given], wrong.tolist(), strict=True)),
    }


def came_with(rows: list[Row], pairs: list[tuple[str, str, float]], audit: Audit | None) -> set[str]:
    """Untouched rows whose most similar untouched picture is the same photograph; none where nothing is audited."""
    untouched = {row.name for row in rows if row.kind in ("", "flip")}
    best: dict[str, tuple[float, tuple[str, str]]] = {}
    for one, other, similarity in pairs:
        if one in untouched and other in untouched:
            for name in (one, other):
                best[name] = max(best.get(name, (0.0, (one, other))), (similarity, (one, other)))
    if audit is None or not best:
        return set()
    same = audit.same(pair for _, pair in best.values())
    return {name for name, is_same in zip(best, same, strict=True) if is_same}


def score(rows: list[Row], said: rivals.Said, native: set[str]) -> Figures:
    """Kind to precision, recall, average precision (nan where nothing is graded) and false positives on the pool.

    `native` are rows with a look-alike that the set came with: they say nothing of the reasons in ALIKE.
    """
    flagged, bad = said
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    clean = {row.name for row in kinds.pop("") if row.split == "train"}
    pool = {row.name for row in rows if row.pool}
    parents = {row.parent for row in rows if row.parent}
    for whole in ("near", "moved"):
        members = [row for kind, own in kinds.items() if kind.startswith(f"{whole}_") for row in own]
        if members:
            kinds[whole] = members
    found = {}
    for kind, planted in sorted(kinds.items()):
        reason = reason_of(kind)
        if reason not in flagged and reason not in bad:
            continue
        hits, grouped = flagged.get(reason, set()), reason in GROUPED
        silent = (parents if grouped or reason == "label_conflict" else set()) | (native if reason in ALIKE else set())
        true = sum(bool({r.name, *([r.parent] if grouped else [])} & hits) for r in planted)
        false = len(hits & clean - silent)
        graded = bad.get(reason, {})
        names = [r.name for r in planted if r.name in graded]
        others = [name for name in clean - silent if name in graded]
        values = [graded[name] for name in names + others]
        ap = average_precision_score([1] * len(names) + [0] * len(others), values) if names and others else float("nan")
        found[kind] = {"planted": len(planted), "precision": true / max(true + false, 1), "recall": true / len(planted),
                       "ap": float(ap), "pool": len(hits & pool - (silent & native)) / max(len(pool), 1),
                       "pool_raw": len(hits & pool) / max(len(pool), 1)}  # fmt: skip
    return found


def run(dataset: str, sizes: argparse.Namespace, seed: int) -> tuple[Figures, dict[str, Figures], str]:
    """Our figures, those of other tools by their names, and a sentence on the audit (empty without one)."""
    rows, known, copies = build(dataset, sizes.data, sizes, seed)
    untouched = {row.name: known[row.name].pixels for row in rows if row.name in known}
    labels = {name: known[name].label for name in untouched}
    audit = Audit(untouched, labels, sizes.moved) if dataset == "cifar10" else None
    said, pairs = detect(rows, sizes)
    native = came_with(rows, pairs, audit)
    raised = native & (said[0].get("duplicate_near", set()) | said[0].get("leak", set()))
    note = (
        f"seed {seed}: {len(rows):,} rows, {copies} exact copies left out, agreement above {audit.limit:.3f} is one photograph, "
        f"{len(raised)} flagged look-alikes came with the set"
        if audit
        else ""
    )
    theirs = {
        name: score(rows, other, came_with(rows, [(*pair, 1.0) for pair in near], audit))
        for name, (other, near) in rivals.opinions(rows).items()
    }
    print(f"seed {seed} done. {note}", flush=True)
    return score(rows, said, native), theirs, note


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/*.gz and cifar10.zip")
    parser.add_argument("--datasets", nargs="+", default=["mnist", "cifar10"], choices=["mnist", "cifar10"])
    parser.add_argument("--seeds", type=int, default=5)
    for name, value in (("reference", 1500), ("test", 200), ("pool", 2500), ("base", 4000), ("per-kind", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--flips", type=float, default=0.05, help="share of the base rows that get a wrong label")
    parser.add_argument("--moved", action="store_true", help="plant copies alone, flipped, rotated and cropped too")
    parser.add_argument("--no-extractor", action="store_true", help="distance by pixels alone")
    parser.add_argument("--small", action="store_true", help="one seed, few rows")
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into docs/detectors.md")
    sizes = parser.parse_args()
    if sizes.small:
        sizes.seeds, sizes.reference, sizes.test, sizes.pool, sizes.base, sizes.per_kind = 1, 1000, 200, 1500, 2500, 40
    everything: dict[str, Any] = {}
    absent = [f"{name}: not installed." for name in rivals.missing()]
    for dataset in sizes.datasets:
        found = []
        for seed in range(sizes.seeds):  # the table so far after each: a run takes long
            found.append(run(dataset, sizes, seed))
            ours = [one for one, _, _ in found]
            theirs = {name: [other[name] for _, other, _ in found] for name in found[0][1]}
            head = (
                f"{dataset}: {len(found)} seeds, {sizes.reference:,} reference, {sizes.test:,} test, {sizes.base:,} judged and "
                f"{sizes.pool:,} pool rows, {sizes.per_kind} planted per kind. {' '.join(absent)}".rstrip()
            )
            table = [head, "", *lines(dataset, ours, theirs), "", *[f"- {note}" for _, _, note in found if note]]
            publish(table, f"{dataset}{' moved' if sizes.moved else ''}", sizes.write)
        everything[dataset] = {"ours": ours, "theirs": theirs}
    if sizes.out:
        sizes.out.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()

"""How good the detectors are: known defects planted into real images, found or not.

    python bench/detectors.py --data ../shared/data            # the full run, 5 seeds
    python bench/detectors.py --data ../shared/data --small    # a few minutes, to see that it works

Per kind of defect: precision (of the rows with that reason, the share that was planted so; rows planted otherwise are
left out), recall, average precision of the score against untouched rows, and the share of a disjoint pool that nothing
was made from which gets the reason. A group of copies counts once. Figures are means over the seeds.
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
from planting import REASON, Picture, Row, load, plant, without_copies
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
#: Kinds that rightly get these reasons as well: they say nothing of the reason's precision.
ALSO = {"conflict": {"duplicate_exact"}, "leak": {"duplicate_exact", "duplicate_near"}}
#: Lowest precision, recall and average precision; null is not asked.
CERTAIN = (1.0, 1.0, None)
BARS: dict[tuple[str, str], tuple[float | None, float | None, float | None]] = {
    **{(d, k): CERTAIN for d in ("mnist", "cifar10") for k in ("copy", "blank", "corrupt", "wrong_type", "too_small", "odd_size")},
    **{(d, "near"): (0.98, 0.95, None) for d in ("mnist", "cifar10")},
    **{(d, "moved"): (0.95, 0.60, None) for d in ("mnist", "cifar10")},
    **{(d, "leak"): (None, 0.99, None) for d in ("mnist", "cifar10")},
    **{(d, "stranger"): (None, None, 0.9) for d in ("mnist", "cifar10")},
    ("mnist", "flip"): (0.90, 0.95, None),
    **{("cifar10", k): (None, None, 0.9) for k in ("blurry_1", "blurry_2", "noisy_10", "noisy_20", "dark")},
}  # fmt: skip
FALSE_POSITIVES = 0.005


def build(dataset: str, folder: Path, sizes: argparse.Namespace, seed: int) -> tuple[list[Row], int]:
    """All rows of one run: reference, test, pool and the judged base with its planted rows; and the copies left out."""
    total = sizes.reference + sizes.test + sizes.pool + sizes.base
    pictures, copies = without_copies(load(dataset, folder, total + total // 10, seed))
    other = load("cifar10" if dataset == "mnist" else "mnist", folder, sizes.per_kind, seed + 1)
    if dataset == "mnist":  # CIFAR-10 as grey images, so that channels do not give it away
        other = [Picture(p := image.with_channels(o.pixels, 1), o.label, image.encode_png(p), "png") for o in other]
    else:
        pictures = [Picture(p := image.with_channels(o.pixels, 1), o.label, image.encode_png(p), "png")
                    for o in pictures] if sizes.grey else pictures  # fmt: skip
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
    return [*parts[0], *parts[1], *parts[2], *judged], copies


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


def detect(rows: list[Row], sizes: argparse.Namespace) -> tuple[dict[str, set[str]], dict[str, dict[str, float]]]:
    """Reason to the names of flagged rows, and reason to the badness of every row that was graded."""
    transforms = ["flip", "rotate", "crop"] if sizes.moved else []
    near = configuration.Quality().duplicate_near.model_dump() | {"transforms": transforms}
    quality = {"max_quarantined_share": 1.0, "duplicate_near": near}
    config = configuration.parse({"quality": quality})
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        store(rows, paths)
        if not sizes.no_extractor:
            extractor(config, paths)
        start = time.perf_counter()
        print("   ", measure(config, paths).summary, f"({time.perf_counter() - start:.0f} s)", flush=True)
        table, pairs = _facts(Version.open(paths.ingested), paths)
        flagged: dict[str, set[str]] = {}
        for line in judge(table, config.quality, pairs).verdicts.to_pylist():
            flagged.setdefault(line["reason"], set()).add(line["source"])
        return flagged, _badness(table, pairs, config)


def _badness(table: pa.Table, pairs: pa.Table | None, config: configuration.Config) -> dict[str, dict[str, float]]:
    names = table["source"].to_pylist()
    bad: dict[str, dict[str, float]] = {}
    for rule in graded_rules(table, config.quality)[0]:
        own = bad.setdefault(rule.reason, {})
        for name, score in zip(names, rule.scores.tolist(), strict=True):
            if score == score:
                own[name] = max(own.get(name, -1.0), -score)
    alike: dict[str, float] = dict.fromkeys(names, 0.0)
    by_id = dict(zip(table["id"].to_pylist(), names, strict=True))
    for line in pairs.to_pylist() if pairs is not None else []:
        for side in "ab":
            alike[by_id[line[side]]] = max(alike[by_id[line[side]]], line["similarity"])
    given = [(n, p) for n, p in zip(names, table["label_probability"].to_pylist(), strict=True) if p is not None]
    wrong = suspects.wrong_probability(np.array([p for _, p in given]), 0.05, 10)
    return bad | {
        "duplicate_near": alike,
        "label_suspect": dict(zip([n for n, _ in given], wrong.tolist(), strict=True)),
    }


def score(
    rows: list[Row], flagged: dict[str, set[str]], bad: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Kind to precision, recall, average precision (nan where nothing is graded) and false positives on the pool."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    clean = [row.name for row in kinds.pop("") if row.split == "train"]
    pool = {row.name for row in rows if row.pool}
    parents = {row.parent for row in rows if row.parent}
    for whole in ("near", "moved"):
        members = [row for kind, own in kinds.items() if kind.startswith(f"{whole}_") for row in own]
        if members:
            kinds[whole] = members
    found = {}
    for kind, planted in sorted(kinds.items()):
        reason = REASON.get(kind, "duplicate_near" if kind in ("near", "moved") else kind)
        hits, grouped = flagged.get(reason, set()), reason in GROUPED
        true = sum(bool({r.name, *([r.parent] if grouped else [])} & hits) for r in planted)
        false = len(hits & set(clean) - (parents if grouped or reason == "label_conflict" else set()))
        graded = bad.get(reason, {})
        names = [r.name for r in planted if r.name in graded]
        others = [name for name in clean if name in graded and not (grouped and name in parents)]
        values = [graded[name] for name in names + others]
        ap = average_precision_score([1] * len(names) + [0] * len(others), values) if names and others else float("nan")
        found[kind] = {"planted": len(planted), "precision": true / max(true + false, 1), "recall": true / len(planted),
                       "ap": float(ap), "pool": len(hits & pool) / max(len(pool), 1)}  # fmt: skip
    return found


def show(dataset: str, runs: list[dict[str, dict[str, Any]]]) -> None:
    print(f"\n| {dataset}: kind | planted | precision | recall | AP | false positives on the pool | bars |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in runs[0]:
        mean = {name: float(np.mean([run[kind][name] for run in runs])) for name in runs[0][kind]}
        bars = BARS.get((dataset, kind), (None, None, None))
        met = [mean[n] >= bar for n, bar in zip(("precision", "recall", "ap"), bars, strict=True) if bar is not None]
        met.append(mean["pool"] <= FALSE_POSITIVES)
        ap = "" if mean["ap"] != mean["ap"] else f"{mean['ap']:.3f}"
        print(f"| {kind} | {mean['planted']:.0f} | {mean['precision']:.3f} | {mean['recall']:.3f} | {ap} | "
              f"{mean['pool']:.4f} | {'met' if all(met) else 'MISSED'} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/*.gz and cifar10.zip")
    parser.add_argument("--datasets", nargs="+", default=["mnist", "cifar10"], choices=["mnist", "cifar10"])
    parser.add_argument("--seeds", type=int, default=5)
    for name, value in (("reference", 4000), ("test", 2000), ("pool", 10000), ("base", 20000), ("per-kind", 200)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--flips", type=float, default=0.05, help="share of the base rows that get a wrong label")
    parser.add_argument("--moved", action="store_true", help="plant and look for flipped, rotated and cropped copies")
    parser.add_argument("--grey", action="store_true", help="CIFAR-10 as grey images")
    parser.add_argument("--no-extractor", action="store_true", help="distance by pixels alone")
    parser.add_argument("--small", action="store_true", help="one seed, few rows")
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    sizes = parser.parse_args()
    if sizes.small:
        sizes.seeds, sizes.reference, sizes.test, sizes.pool, sizes.base, sizes.per_kind = 1, 1000, 200, 1500, 2500, 40
    everything = {}
    for dataset in sizes.datasets:
        runs = []
        for seed in range(sizes.seeds):
            rows, copies = build(dataset, sizes.data, sizes, seed)
            print(
                f"{dataset}, seed {seed}: {len(rows):,} rows; the originals held {copies} exact copies, left out",
                flush=True,
            )
            runs.append(score(rows, *detect(rows, sizes)))
        show(dataset, runs)
        everything[dataset] = runs
    if sizes.out:
        sizes.out.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()

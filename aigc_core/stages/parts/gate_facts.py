"""What the gate looks at, counted from the tables by column so that a million rows stay small."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.config import Expectations
from aigc_core.data.store import Version
from aigc_core.files import read_json
from aigc_core.paths import Paths
from aigc_core.quality import drift, expectations, ranges
from aigc_core.records import CALIBRATION_FILE
from aigc_core.report.facts import require
from aigc_core.training.independent import independent_test_rows

Facts = dict[str, Any]
SPLITS = ("reference", "train", "test")
#: What a row that could be decoded always has.
ALWAYS = ("width", "height", "aspect", "channels", "mean", "std", "entropy", "sharpness")


@dataclass(frozen=True)
class Kept:
    """The curated rows, column by column, in one order. Legend: N = rows."""

    version: str
    ids: pa.Array  # (N,)
    labels: Counter[str]  # rows by label; "" stands for no label
    counts: dict[str, dict[str, int]]  # split -> label -> rows
    split: npt.NDArray[np.int8]  # (N,) index into SPLITS
    picture: npt.NDArray[np.int32]  # (N,) equal for equal pixels, -1 without a hash
    label: npt.NDArray[np.int32]  # (N,) equal for equal labels, -1 without one
    measures: dict[str, npt.NDArray[np.float32]]  # graded measures, (N,) each, NaN where there is none
    channels: npt.NDArray[np.float32]  # (N,)
    readable: npt.NDArray[np.bool_]  # (N,)

    def rows_of(self, split: str) -> npt.NDArray[np.bool_]:
        """(N,) true for the rows of one split."""
        return np.asarray(self.split == SPLITS.index(split), dtype=np.bool_)


def read_kept(paths: Paths) -> Kept:
    """The curated rows with their measures. Raises DataError, naming the stage to run, where a table is missing."""
    card = read_json(require(paths.curated / "card.json", "curate"))
    for folder, stage in ((paths.measures, "measure"), (paths.verdicts, "curate"), (paths.quarantine, "curate")):
        require(folder / "part-0.parquet", stage)
    rows = pq.read_table(paths.curated / "rows.parquet", columns=["id", "content_hash", "label", "split"])
    ids = rows["id"].combine_chunks()
    place = paths.measures / "part-0.parquet"
    present = pq.read_schema(place).names
    where = pc.index_in(ids, value_set=pq.read_table(place, columns=["id"])["id"].combine_chunks())
    columns = {name: _column(paths, name, where) for name in ("channels", *ranges.POSSIBLE) if name in present}
    broken = pq.read_table(place, columns=["error"])["error"].is_valid().combine_chunks().take(where)
    labels: Counter[str] = Counter()
    for by_label in card["counts"].values():
        labels.update(by_label)
    return Kept(
        version=card["version"],
        ids=ids,
        labels=labels,
        counts=card["counts"],
        split=pc.index_in(rows["split"], value_set=pa.array(SPLITS)).to_numpy().astype(np.int8),
        picture=_codes(rows["content_hash"].combine_chunks()),
        label=_codes(rows["label"].combine_chunks()),
        channels=columns.pop("channels", np.full(len(ids), np.nan, np.float32)),
        measures=columns,
        readable=~pc.fill_null(broken, True).to_numpy(zero_copy_only=False),
    )


def _column(paths: Paths, name: str, where: pa.Array) -> npt.NDArray[np.float32]:
    """One measure in the order of the kept rows, a quarter of the file's width."""
    table = pq.read_table(paths.measures / "part-0.parquet", columns=[name])
    values = pc.cast(table[name].combine_chunks(), pa.float32(), safe=False).take(where)
    return np.asarray(pc.fill_null(values, float("nan")), dtype=np.float32)


def _codes(values: pa.Array) -> npt.NDArray[np.int32]:
    """A number for each distinct string, -1 for null."""
    return np.asarray(pc.fill_null(values.dictionary_encode().indices, -1), dtype=np.int32)


def tables(paths: Paths, kept: Kept, numbers: Expectations, accepted: drift.Profile) -> dict[str, Any]:
    """The three tables of the suite: `measures` (its columns only), `kept` (row by row), `facts` (one row)."""
    import pandas as pd

    compared = {"rows_to_compare": _to_compare(paths)}
    found = {
        **_accounts(paths, kept),
        **_classes(kept),
        **compared,
        **_content(kept),
        **_shares(paths),
        **_blind(paths),
    }
    outside = ranges.outside_shares(kept.measures, kept.rows_of("reference"), kept.rows_of("train"), numbers.ranges)
    found |= {f"outside_{name}": share for name, share in outside.items()}
    graded = {name: kept.measures.get(name, np.full(len(kept.ids), np.nan, np.float32)) for name in ranges.POSSIBLE}
    found |= drift.compare(accepted, graded, kept.labels)
    rows = pd.DataFrame(
        {
            "channels": kept.channels,
            "aspect": graded["aspect"],
            "error": np.where(kept.readable, np.float32(np.nan), np.float32(1)),
        }
    )
    columns = pq.read_schema(paths.measures / "part-0.parquet").empty_table().to_pandas()
    return {"measures": columns, "kept": rows, "facts": pd.DataFrame([found], dtype=object)}


def _accounts(paths: Paths, kept: Kept) -> Facts:
    """Is every row somewhere, once?"""
    read = pq.read_table(paths.ingested / "rows.parquet", columns=["id"])["id"].combine_chunks()
    measured = pq.read_table(paths.measures / "part-0.parquet", columns=["id"])["id"].combine_chunks()
    quarantined = pq.read_table(paths.quarantine / "part-0.parquet", columns=["id"])["id"].combine_chunks()
    verdicts = pq.read_table(paths.verdicts / "part-0.parquet", columns=["id", "reason", "action"])
    condemned = verdicts.filter(pc.equal(verdicts["action"], "quarantine"))["id"].combine_chunks()
    away = pa.concat_arrays([condemned, quarantined])
    missing = pc.sum(pc.invert(pc.is_in(read, value_set=measured))).as_py() or 0
    return {
        "rows_kept": len(kept.ids),
        "repeated_ids": len(measured) - pc.count_distinct(measured).as_py(),
        "unmeasured": missing + max(0, len(measured) - len(read)),
        "unaccounted": len(read) - len(quarantined) - len(kept.ids),
        "condemned_kept": pc.sum(pc.is_in(kept.ids, value_set=away)).as_py() or 0,
    }


def _classes(kept: Kept) -> Facts:
    train, test = kept.counts.get("train", {}), kept.counts.get("test", {})
    classes = {label: count for label, count in train.items() if label and count}
    sizes = list(classes.values()) or [train.get("", 0)]  # without any label all rows are of one kind
    splits = [int(kept.rows_of(split).sum()) for split in SPLITS]
    return {
        "classes": len(classes),
        "smallest_class": min(sizes),
        "class_share_ratio": min(sizes) / max(max(sizes), 1),
        "classes_without_test": sum(1 for label in classes if not test.get(label)),
        "classes_without_train": sum(1 for label, count in test.items() if label and count and not train.get(label)),
        "smallest_split_share": min(splits) / max(sum(splits), 1),
        "unlabelled_share": train.get("", 0) / max(sum(train.values()), 1),
    }


def _to_compare(paths: Paths) -> int:
    """Rows that evaluate can hold beside each other: training rows, or test rows of their classes that are no copies, if fewer."""
    version = Version.open(paths.curated)
    learnt, held = version.select("train"), version.select("test")
    known = held.filter(pc.is_in(held["label"], learnt["label"].combine_chunks()))  # null is in null
    unlike = independent_test_rows(version, paths.verdicts).intersection(known["id"].to_pylist())
    return min(int(learnt.num_rows), len(unlike))


def _content(kept: Kept) -> Facts:
    """Is what was kept whole, possible, and there once?"""
    known = kept.picture >= 0
    pictures = np.unique(kept.picture[known])
    placed = np.unique(kept.picture[known].astype(np.int64) * len(SPLITS) + kept.split[known])
    named = known & (kept.label >= 0)
    labels = np.unique(kept.picture[named].astype(np.int64) << 32 | kept.label[named])
    missing = np.isnan(kept.channels)
    for name in ALWAYS:
        if name != "channels":
            missing |= np.isnan(kept.measures[name]) if name in kept.measures else True
    channels = kept.channels[~np.isnan(kept.channels)]
    alpha = int((channels == 4).sum())  # grey among colour is no fault, and a grey picture has one channel
    return {
        "incomplete_kept": int(missing.sum()),
        "impossible_kept": int(ranges.impossible(kept.measures).sum()) if kept.measures else len(kept.ids),
        "repeated_pictures": int(known.sum()) - len(pictures),
        "leaks_kept": len(placed) - len(pictures),
        "conflicts_kept": len(labels) - len(np.unique(kept.picture[named])),
        "channels_share": max(alpha, len(channels) - alpha) / len(kept.ids) if len(channels) else 0.0,
    }


def _shares(paths: Paths) -> Facts:
    """Of the rows read, those that carry each reason of the suite; a row counts once for a reason."""
    read = max(pq.read_metadata(paths.ingested / "rows.parquet").num_rows, 1)
    verdicts = pq.read_table(paths.verdicts / "part-0.parquet", columns=["id", "reason"])
    counted = verdicts.group_by("reason").aggregate([("id", "count_distinct")])
    rows = dict(zip(counted["reason"].to_pylist(), counted["id_count_distinct"].to_pylist(), strict=True))
    return {f"share_{reason}": rows.get(reason, 0) / read for reason in expectations.bounded_reasons()}


def _blind(paths: Paths) -> Facts:
    """Detectors that can find nothing in this data, and classes whose labels nothing is said of."""
    calibration = read_json(require(paths.verdicts / CALIBRATION_FILE, "curate"))
    return {"silent_detectors": len(calibration["silent"]), "unchecked_classes": len(calibration["unchecked_classes"])}

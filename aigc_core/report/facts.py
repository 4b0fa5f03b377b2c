"""Everything that the page says of the data, read from the outs: counts, reasons, planted defects, gate, versions.

Nothing is computed here that another stage decided; this file counts and arranges.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aigc_core.errors import DataError
from aigc_core.files import read_json
from aigc_core.paths import FAMILIES, Paths
from aigc_core.records import CALIBRATION_FILE, NOT_RUN_FILE, NOTICES_FILE

Facts = dict[str, Any]

SPLITS = ("reference", "train", "test")
#: A defect that comes in pairs is found when either of the two was named.
PAIRED = ("duplicate_exact", "duplicate_near", "leak")
#: The reasons that a planted defect is found by, where they are not of the same name.
FOUND_BY = {"label_flip": ("label_suspect", "label_conflict")}


def require(path: Path, stage: str) -> Path:
    """The path, if it is there. Raises DataError that names the stage which makes it."""
    if not path.exists():
        raise DataError(
            f"{path.parent.name}/{path.name} is missing: run `aigc {stage}` first, or `dvc repro` for everything"
        )
    return path


def data_facts(paths: Paths, reasons: Mapping[str, str]) -> Facts:
    """Source, what was told of reading it, counts, classes, quarantine and gate. `reasons` explains each reason code in a sentence."""
    ingested = read_json(require(paths.ingested / "card.json", "ingest"))
    curated = read_json(require(paths.curated / "card.json", "curate"))
    verdicts = pq.read_table(require(paths.verdicts / "part-0.parquet", "curate"))
    quarantined = pq.read_metadata(require(paths.quarantine / "part-0.parquet", "curate")).num_rows
    read, kept = total(ingested), total(curated)
    notices = paths.ingested / NOTICES_FILE
    calibration = read_json(require(paths.verdicts / CALIBRATION_FILE, "curate"))
    return {
        "source": ingested["parameters"].get("source", {}),
        "notices": read_json(notices) if notices.exists() else [],
        "image": curated["image"],
        "read": read,
        "kept": kept,
        "quarantined": quarantined,
        "splits": [(split, sum(curated["counts"].get(split, {}).values())) for split in SPLITS],
        "classes": class_balance(curated["counts"], curated["classes"]),
        "reasons": reason_table(verdicts, reasons, read, curated["parameters"]),
        "silent": calibration["silent"],
        "unchecked": calibration["unchecked_classes"],
        "decisions": curated["parameters"].get("decisions", {}),
        "planted": planted(paths, verdicts),
        "gate": read_json(require(paths.validation, "validate")),
    }


def total(card: Facts) -> int:
    """Rows of a version, by its card."""
    return sum(sum(labels.values()) for labels in card["counts"].values())


def class_balance(counts: Mapping[str, Mapping[str, int]], classes: list[str]) -> list[Facts]:
    """One line per class: kept rows by split, their sum, and that sum as a share of the largest class's."""
    others = sorted({label for labels in counts.values() for label in labels} - set(classes))
    lines: list[Facts] = []
    for label in [*classes, *others]:
        by_split = {split: counts.get(split, {}).get(label, 0) for split in SPLITS}
        lines.append({"label": label or "(no label)", **by_split, "total": sum(by_split.values())})
    largest = max((line["total"] for line in lines), default=0)
    for line in lines:
        line["widths"] = {split: 100 * line[split] / max(largest, 1) for split in SPLITS}
    return lines


def reason_table(verdicts: pa.Table, reasons: Mapping[str, str], read: int, rules: Mapping[str, Any]) -> list[Facts]:
    """One line per known reason, in the order of checking: what it means, what is done, how many rows it has.

    `by_action` counts its rows by what was done: one reason may quarantine training rows and only warn of others, or
    be overruled by a person. `rules` are the parameters of curation, which say what would be done with a reason that
    no row has.
    """
    lines = []
    for reason, meaning in reasons.items():
        own = verdicts.filter(pc.equal(verdicts["reason"], reason))
        rule = rules.get(reason)
        if not len(own) and rule is None:
            continue  # nobody was asked
        limits = pc.min_max(own["threshold"]).as_py()
        counted = own.group_by("action").aggregate([("id", "count_distinct")]).sort_by("action")
        by_action = dict(zip(counted["action"].to_pylist(), counted["id_count_distinct"].to_pylist(), strict=True))
        lines.append(
            {
                "reason": reason,
                "meaning": meaning,
                "rows": pc.count_distinct(own["id"]).as_py(),
                "share": pc.count_distinct(own["id"]).as_py() / max(read, 1),
                "action": ", ".join(by_action) or (rule["action"] if isinstance(rule, dict) else ""),
                "by_action": by_action,
                "measure": own["measure"][0].as_py() if len(own) else "",
                "threshold": limits["min"],
                "threshold_to": limits["max"] if limits["max"] != limits["min"] else None,
            }
        )
    return lines


def planted(paths: Paths, verdicts: pa.Table) -> list[Facts]:
    """Per kind of planted defect: how many there are and how many were found; empty where nothing was planted.

    `beyond` counts rows with that reason which were not planted: real findings, or false alarms. `precision` is over all
    named rows and therefore a lower bound; None where no row was named.
    """
    place = paths.ingested / "truth.parquet"
    if not place.exists():
        return []
    truth: dict[str, list[Facts]] = {}
    for row in pq.read_table(place).to_pylist():
        truth.setdefault(row["kind"], []).append(row)
    lines = []
    for kind, rows in sorted(truth.items()):
        found_by = pa.array(FOUND_BY.get(kind, (kind,)), pa.string())
        flagged = set(verdicts.filter(pc.is_in(verdicts["reason"], value_set=found_by))["id"].to_pylist())
        matched, found = set[str](), 0
        for row in rows:
            own = {row["id"], *([row["parent"]] if kind in PAIRED and row["parent"] else [])}
            found += bool(own & flagged)
            matched |= own & flagged
        lines.append(
            {"kind": kind, "planted": len(rows), "found": found, "beyond": len(flagged - matched),
             "recall": found / len(rows), "precision": len(matched) / len(flagged) if flagged else None}
        )  # fmt: skip
    return lines


def gate_summary(gate: Facts) -> Counter[str]:
    """How many checks passed, and how many of each severity did not."""
    return Counter("passed" if check["passed"] else check["severity"] for check in gate["checks"])


def drift_lines(gate: Facts) -> list[Facts]:
    """The gate's comparisons with the accepted version; empty where nothing was accepted yet."""
    lines = [check for check in gate["checks"] if check["name"].startswith("drift_")]
    return lines if any(check["observed"] is not None for check in lines) else []


def versions(paths: Paths) -> list[Facts]:
    """The dataset versions, oldest first: name, version, parent, operation, rows."""
    lines = []
    for folder, stage in ((paths.ingested, "ingest"), (paths.curated, "curate"), (paths.augmented, "augment")):
        card = read_json(require(folder / "card.json", stage))
        lines.append(
            {
                "name": folder.name,
                "version": card["version"],
                "parent": card["parent"],
                "operation": card["operation"],
                "rows": total(card),
                "tool": card["tool"],
            }
        )
    return lines


def evaluations(paths: Paths) -> dict[str, Facts]:
    """Family to metrics, details and per-class lines; whether they may be compared is the caller's question."""
    found = {}
    for family in FAMILIES:
        folder = paths.evaluation(family)
        stage = f"evaluate {family}"
        details, table = folder / "details", folder / "details" / "per_class.csv"
        others = read_json(require(details / "extractors.json", stage))
        latents = read_json(require(details / "latents.json", stage))
        found[family] = {
            "metrics": read_json(require(folder / "metrics.json", stage)),
            "facts": read_json(require(details / "facts.json", stage)),
            "memorization": read_json(require(details / "memorization.json", stage)),
            "opinions": others["opinions"],
            "alarms": others["alarms"],
            "likeness": read_json(require(details / "likeness.json", stage)),
            "latents": latents,
            "latent_pictures": {name: require(details / f"{name}.png", stage) for name in latents["pictures"]},
            **{name: require(details / f"{name}.png", stage) for name in ("nearest", "classes", "closest")},
            "likeness_sheet": require(details / "likeness.png", stage),
            "per_class": _read_lines(table) if table.exists() else [],
        }
    return found


def finetunings(paths: Paths) -> dict[str, Facts]:
    """Family to the metrics of `tuned` and `scratch`, the target, and the picture of both; or to `why` there are none."""
    found: dict[str, Facts] = {}
    for family in FAMILIES:
        folder, stage = paths.evaluation_finetune(family), f"evaluate_finetune {family}"
        nothing = folder / "details" / NOT_RUN_FILE
        if nothing.exists():
            found[family] = read_json(nothing)
            continue
        found[family] = {
            **read_json(require(folder / "metrics.json", stage)),
            "target": read_json(require(paths.finetuned(family) / "target.json", f"finetune {family}")),
            "classes": require(folder / "details" / "classes.png", stage),
        }
    return found


def models(paths: Paths) -> dict[str, Facts]:
    """Run name (`train@gan`, `finetune@gan-tuned`) to card, number of parameters, and where its files lie.

    A training that could not be run is left out.
    """
    found = {}
    for family in FAMILIES:
        places = {
            f"train@{family}": (paths.model(family), f"train {family}"),
            f"pretrain@{family}": (paths.pretrained(family), f"pretrain {family}"),
            f"finetune@{family}-tuned": (paths.finetuned(family) / "tuned", f"finetune {family}"),
            f"finetune@{family}-scratch": (paths.finetuned(family) / "scratch", f"finetune {family}"),
        }
        for name, (folder, stage) in places.items():
            if any((place / NOT_RUN_FILE).exists() for place in (folder, folder.parent)):
                continue
            card = read_json(require(folder / "model.json", stage))
            found[name] = {
                "family": family,
                "card": card,
                "curve": require(folder / "curve.csv", stage),
                "samples": require(folder / "samples.png", stage),
                "parameters": parameter_count(require(folder / "model.safetensors", stage)),
            }
    return found


def final(paths: Paths) -> Facts:
    """What `aigc final` made, or why it made nothing: final.json, with card, samples and closest pairs where there are any."""
    folder = paths.final
    found: Facts = read_json(require(folder / "final.json", "final"))
    if not found["made"]:
        return found
    return found | {
        "card": read_json(require(folder / "model.json", "final")),
        "samples": require(folder / "samples.png", "final"),
        "closest": folder / "closest.png" if (folder / "closest.png").exists() else None,
        "report": read_json(folder / "memorization.json") if (folder / "memorization.json").exists() else None,
    }


def parameter_count(path: Path) -> int:
    """Numbers stored in a safetensors file, from its header alone: a length of 8 bytes, then JSON."""
    with path.open("rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _read_lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))

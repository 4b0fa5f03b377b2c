"""What an asset's page shows of a stage's outs: numbers, failed checks, pictures, digests and tables.

A page shows what is in Dagster's event log, so every part has a limit, and says what it leaves out.
"""

import base64
import csv
import heapq
import json
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from pipelines.stages import DvcStage, Locked

PICTURE_BYTES, PICTURES_BYTES = 600_000, 2_000_000  # of one and of all, which the page loads; base64 adds a third
PICTURES, TABLES = 24, 12
TABLE_ROWS = 100
NUMBERS = 12  # more than these without a headline become one table
CURVE_ROWS, STEPS = 10, ("step", "epoch", "iteration")  # a table whose first column is one of these may be thinned out


def materialization_metadata(
    stage: DvcStage, locked: Locked, extra: Mapping[str, Any], checks: Sequence[dg.AssetCheckResult] = ()
) -> dict[str, Any]:
    """What the asset's page shows of one materialization, in the order of what one looks for first.

    `extra` is the translator's, `checks` are the answers of this materialization.
    """
    rows = [
        dg.TableRecord({"out": path, "md5": md5, "bytes": locked.sizes.get(path, 0)})
        for path, md5 in locked.outs.items()
    ]
    # The page keeps the order.
    return {
        **_failed(checks),
        **_numbers(stage),
        **extra,
        **_pictures(stage),
        "outs": dg.MetadataValue.table(rows, schema=_schema("out", "md5", bytes="int")),
        **_tables(stage),
    }


def _failed(checks: Sequence[dg.AssetCheckResult]) -> dict[str, Any]:
    failed = [str(check.check_name) for check in checks if not check.passed]
    return {"failed checks": f"{len(failed)} of {len(checks)}: {', '.join(failed)}"} if failed else {}


def _numbers(stage: DvcStage) -> dict[str, Any]:
    """The numbers of the metrics files: those of `meta.dagster.headline` one by one, the others as one table."""
    found: dict[str, Any] = {}
    for path in stage.metrics:
        found |= _read_numbers(path)
    headline = [str(name) for name in stage.options.get("headline") or []]
    if not headline and len(found) <= NUMBERS:
        return found
    first = {name: found.pop(name, "not measured") for name in headline} if stage.metrics else {}
    rows = [dg.TableRecord({"metric": name, "value": value}) for name, value in found.items()]
    table = dg.MetadataValue.table(rows, schema=_schema("metric", value="float")) if rows else None
    return first | ({"other metrics": table} if table else {})


def _read_numbers(path: Path) -> dict[str, Any]:
    """Every number of a JSON, YAML or TOML file; what is nested is named with slashes."""

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                yield from walk(f"{prefix}/{name}" if prefix else str(name), inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            # Neither JSON nor the page knows a value for what is not finite.
            yield prefix, float(value) if math.isfinite(value) else str(value)

    readers: dict[str, Callable[[str], Any]] = {
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
        ".toml": tomllib.loads,
    }
    if path.suffix not in readers or not path.is_file():
        return {}
    try:
        return dict(walk("", readers[path.suffix](path.read_text())))
    except (ValueError, yaml.YAMLError) as error:
        return {path.name: f"cannot be read: {error}"}


def _schema(*texts: str, **typed: str) -> dg.TableSchema:
    columns = [dg.TableColumn(name) for name in texts] + [dg.TableColumn(name, kind) for name, kind in typed.items()]
    return dg.TableSchema(columns=columns)


def _files(stage: DvcStage, suffix: str, limit: int) -> tuple[dict[str, Path], int]:
    """The first `limit` files with `suffix` among the outs by name, and how many there are.

    A file is called by its name, and by its path from the stage's folder where two of them share a name.
    """
    count = 0

    def walk() -> Iterator[Path]:
        nonlocal count
        for out in stage.outs:
            for path in out.rglob(f"*{suffix}") if out.is_dir() else [out]:
                if path.suffix == suffix and path.is_file():
                    count += 1
                    yield path

    paths = heapq.nsmallest(limit, walk())
    # The page gives a key one narrow column: a whole path would run into the next.
    times = Counter(path.name for path in paths)
    names = {}
    for path in paths:
        inside = path.relative_to(stage.folder) if path.is_relative_to(stage.folder) else path
        names[path.name if times[path.name] == 1 else inside.as_posix()] = path
    return names, count


def _pictures(stage: DvcStage) -> dict[str, Any]:
    """PNG files among the outs, all behind one button of the page; one that is too large is named only."""
    files, count = _files(stage, ".png", PICTURES)
    shown: list[str] = []
    total = 0
    for name, path in files.items():
        size = path.stat().st_size
        if size > PICTURE_BYTES or total + size > PICTURES_BYTES:
            shown.append(f"**{name}** has {size:,} bytes, too many for this page: {path}")
            continue
        total += size
        data = base64.b64encode(path.read_bytes()).decode()
        shown.append(f"**{name}**\n\n![{name}](data:image/png;base64,{data})")
    if not shown:
        return {}
    if count > len(files):
        shown.append(f"These are the first {len(files)} of {count:,} pictures.")
    return {"pictures": dg.MetadataValue.md("\n\n".join(shown))}


def _tables(stage: DvcStage) -> dict[str, Any]:
    """CSV files among the outs: of a curve, lines at equal distances with the first and the last; else the first hundred."""
    files, count = _files(stage, ".csv", TABLES)
    found: dict[str, Any] = {}
    for name, path in files.items():
        try:
            rows, length = _read_rows(path)
        except (UnicodeDecodeError, csv.Error) as error:
            found[name] = f"cannot be read: {error}"
            continue
        title = name if length == len(rows) or _is_curve(rows) else f"{name} (first {len(rows)} of {length:,} lines)"
        columns = dict.fromkeys(column for row in rows for column in row)  # a line may have more fields than the first
        records = [dg.TableRecord({column: str(row.get(column) or "") for column in columns}) for row in rows]
        found |= {title: dg.MetadataValue.table(records)} if records else {}
    return found | ({"more tables": f"{count - len(files):,} more are among the outs"} if count > len(files) else {})


def _read_rows(path: Path) -> tuple[list[dict[str, str]], int]:
    """The lines to show, and how many there are; the file is read twice and never held."""
    with path.open(newline="") as handle:
        length = sum(1 for _ in csv.DictReader(handle))
    with path.open(newline="") as handle:
        reader = csv.DictReader(handle, restkey="without a name")
        curve = (reader.fieldnames or [""])[0] in STEPS and length > CURVE_ROWS
        wanted = {round(i * (length - 1) / (CURVE_ROWS - 1)) for i in range(CURVE_ROWS)} if curve else range(TABLE_ROWS)
        return [row for index, row in enumerate(reader) if index in wanted], length


def _is_curve(rows: Sequence[Mapping[str, str]]) -> bool:
    return bool(rows) and next(iter(rows[0])) in STEPS

"""`aigc quality why`: everything that is known of one row, table by table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aigc_core.config import Config
from aigc_core.errors import DataError
from aigc_core.paths import Paths
from aigc_core.quality import decisions
from aigc_core.records import StageResult
from aigc_core.report.facts import require

Lines = list[dict[str, Any]]
#: Rows of a cluster and candidates of an ambiguous name that are shown.
SHOWN = 12
DIGEST = 64  # digits


def why(config: Config, paths: Paths, name: str) -> StageResult:  # noqa: ARG001  (stages share one signature)
    """Print what is known of the row with this id, beginning of an id, or place in the source."""
    identity = find(paths, name)
    found = known(paths, identity)
    console = Console()
    for title, value in found.items():
        console.print(_drawn(title, value))
    return StageResult(state(found), facts=found)


def find(paths: Paths, name: str) -> str:
    """The id of the row that `name` means. Raises DataError where it means none or several."""
    rows = pq.read_table(require(paths.ingested / "rows.parquet", "ingest"), columns=["id", "source"])
    # A path from elsewhere ends in the place in the source.
    parts = Path(name).parts
    places = pa.array(["/".join(parts[start:]) for start in range(len(parts))] + [name], pa.string())
    exact = rows.filter(pc.or_(pc.equal(rows["id"], name), pc.is_in(rows["source"], value_set=places)))
    # Of a/b.png and b.png, both ends of one path, the longer is the one that was named.
    lengths = pc.utf8_length(exact["source"])
    exact = exact.filter(pc.equal(lengths, pc.max(lengths)))
    near = exact if exact.num_rows else rows.filter(_begins(rows, name))
    if near.num_rows == 1:
        return str(near["id"][0].as_py())
    if not near.num_rows:
        raise DataError(f"no row has an id that begins with {name!r} or comes from that place in the source")
    few = ", ".join(f"{row['id'][:12]} ({row['source']})" for row in near.slice(0, SHOWN).to_pylist())
    more = f" and {near.num_rows - SHOWN:,} more" if near.num_rows > SHOWN else ""
    raise DataError(f"{name!r} means {near.num_rows:,} rows: {few}{more}; give more of it")


def _begins(rows: Any, name: str) -> Any:
    """Rows whose id begins with it, or whose source ends with it as whole parts of a path."""
    return pc.or_(pc.starts_with(rows["id"], name), pc.ends_with(rows["source"], "/" + name.lstrip("/")))


def known(paths: Paths, identity: str) -> dict[str, Any]:
    """Table to what it holds of the row: a mapping, a list of mappings, or nothing where a stage has not run."""
    kept = _rows(paths.curated / "rows.parquet", identity)
    away = _rows(paths.quarantine / "part-0.parquet", identity, ["id", "reasons"])
    verdicts = _rows(paths.verdicts / "part-0.parquet", identity)
    row = _rows(paths.ingested / "rows.parquet", identity)[0]
    curated = {"state": "quarantined" if away else "kept" if kept else "not judged yet"}
    curated |= {"reasons": ", ".join(away[0]["reasons"])} if away else {}
    curated |= {"label": kept[0]["label"], "op": kept[0]["op"]} if kept else {}
    found = {
        "curated": curated,
        "row": row,
        "measures": _first(_rows(paths.measures / "part-0.parquet", identity)),
        "learned": _first(_rows(paths.measures / "learned.parquet", identity)),
        "verdicts": [_without(line, "id", "source") for line in verdicts],
        "cluster": _cluster(paths, identity, verdicts),
        "pairs": _pairs(paths, identity),
        "decisions": [_without(vars(d), "id") for d in decisions.read(paths.decisions) if d.id == identity],
        "planted": [_without(line, "id") for line in _rows(paths.ingested / "truth.parquet", identity)],
        "derived from it": _derived(paths, identity),
    }
    return {title: value for title, value in found.items() if value}


def state(found: dict[str, Any]) -> str:
    """One line: kept or quarantined, and why."""
    row, curated = found["row"], found["curated"]
    said = [f"{line['reason']} ({line['action']})" for line in found.get("verdicts", [])]
    return f"{row['source']} is {curated['state']}: {', '.join(said) or 'no check has anything against it'}"


def _rows(path: Path, identity: str, columns: list[str] | None = None, key: str = "id") -> Lines:
    if not path.exists():
        return []
    rows: Lines = pq.read_table(path, columns=columns, filters=[(key, "==", identity)]).to_pylist()
    return rows


def _first(rows: Lines) -> dict[str, Any]:
    return _without(rows[0], "id") if rows else {}


def _without(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


def _cluster(paths: Paths, identity: str, verdicts: Lines) -> Lines:
    """Every row of the groups that the row is in, the surviving one marked."""
    heads = {line["cluster"] for line in verdicts if line["cluster"]} | {identity}
    path = paths.verdicts / "part-0.parquet"
    if not path.exists():
        return []
    columns = ["id", "source", "reason", "cluster"]
    members: Lines = pq.read_table(path, columns=columns, filters=[("cluster", "in", sorted(heads))]).to_pylist()
    if not members:
        return []
    heads = {line["cluster"] for line in members}
    names = pq.read_table(
        paths.ingested / "rows.parquet", columns=["id", "source"], filters=[("id", "in", sorted(heads))]
    ).to_pylist()
    survivors = [
        {"id": n["id"][:12], "source": n["source"], "why": "best of the group", "survivor": n["id"][:12]} for n in names
    ]
    others = [
        {"id": m["id"][:12], "source": m["source"], "why": m["reason"], "survivor": m["cluster"][:12]}
        for m in members[:SHOWN]
    ]
    return survivors + others + ([{"id": f"{len(members) - SHOWN} more"}] if len(members) > SHOWN else [])


def _pairs(paths: Paths, identity: str) -> Lines:
    path = paths.measures / "pairs.parquet"
    return (_rows(path, identity, key="a") + _rows(path, identity, key="b"))[:SHOWN]


def _derived(paths: Paths, identity: str) -> Lines:
    """Rows of the augmented version that were made from it."""
    return _rows(paths.augmented / "rows.parquet", identity, ["id", "op"], key="parent")[:SHOWN]


def _drawn(title: str, value: Any) -> Table:
    """A mapping as two columns, a list of mappings as a table; values are text and never markup."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    if isinstance(value, dict):
        table.show_header = False
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, item in value.items():
            table.add_row(Text(name), Text(_plain(item)))
        return table
    names = list(dict.fromkeys(name for line in value for name in line))
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for line in value:
        table.add_row(*(Text(_short(_plain(line.get(name)))) for name in names))
    return table


def _short(text: str) -> str:
    """A digest by its first digits: twelve find the row again, and leave the columns room."""
    return text[:12] if len(text) == DIGEST and not set(text) - set("0123456789abcdef") else text


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

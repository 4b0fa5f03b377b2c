"""measure: raw facts of every row, and which rows look alike, in one streaming pass; nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress

from aigc_core.config import Config
from aigc_core.data.store import Version
from aigc_core.errors import DataError
from aigc_core.files import atomic_folder, scratch_folder, write_table
from aigc_core.paths import Paths
from aigc_core.quality.duplicates import find_pairs
from aigc_core.quality.learned import Learner
from aigc_core.quality.lens import Sight
from aigc_core.quality.scan import Scanned, chunks
from aigc_core.quality.small import Small
from aigc_core.quality.transforms import chosen
from aigc_core.quality.workers import ordered_map, processes
from aigc_core.records import LEARNED_SCHEMA, MEASURE_SCHEMA, StageResult
from aigc_core.stages.parts.learn import learner_of, look_of, said

#: Columns that the search for pairs needs.
USED = ["id", "content_hash", "width", "height", "error"]


def measure(config: Config, paths: Paths, workers: int | None = None) -> StageResult:
    """Write data/measures: part-0.parquet (MEASURE_SCHEMA, by id), pairs.parquet (PAIR_SCHEMA) and
    learned.parquet (LEARNED_SCHEMA).

    `workers` is the number of processes, by default one per core; the bytes do not depend on it. Raises WorkerError, with
    nothing replaced, when one of them dies.
    """
    version = Version.open(paths.ingested)
    count = version.rows.num_rows
    workers = processes(count) if workers is None else workers
    kinds = config.quality.duplicate_near.transforms
    with (
        atomic_folder(paths.measures) as scratch,
        scratch_folder(paths.work / "measure") as beside,
        Progress(*Progress.get_default_columns(), transient=True) as bars,
    ):
        # In files that the system may drop from memory: a million rows are 1.2 GB.
        small = Small.zeros(count, beside)
        learner = learner_of(config, version, beside, bars)
        pieces = (
            (chunk, learner.wanted(chunk.ids) if learner else [])
            for chunk in chunks(version.contents(), _notes(version))
        )
        sights = ordered_map(look_of(version, learner), pieces, workers)
        places = {identity: place for place, identity in enumerate(sorted(version.rows["id"].to_pylist()))}
        _write(scratch / "part-0.parquet", _learnt_from(sights, learner), small, places, bars)
        facts = pq.read_table(scratch / "part-0.parquet", columns=USED)
        task = bars.add_task("comparing", total=count * len(chosen(kinds)))
        pairs = find_pairs(facts, small, kinds, partial(bars.advance, task), workers)
        write_table(scratch / "pairs.parquet", pairs)
        task = bars.add_task("learning labels", total=1)
        learned = learner.table(partial(bars.advance, task)) if learner else LEARNED_SCHEMA.empty_table()
        write_table(scratch / "learned.parquet", learned)
        known = [learned.num_rows - learned[name].null_count for name in ("domain_distance", "label_probability")]
    broken = facts.num_rows - facts["error"].null_count
    return StageResult(
        f"measured {facts.num_rows:,} rows; {broken} cannot be decoded; {pairs.num_rows:,} pairs look alike; {said(learner, *known)}",
        {"rows": facts.num_rows, "pairs": pairs.num_rows},
    )


def _learnt_from(sights: Iterable[Sight], learner: Learner | None) -> Iterator[Scanned]:
    """What was measured, after the learner has taken what was seen."""
    for sight in sights:
        if learner is not None and sight.seen is not None:
            learner.add(sight.ids, sight.seen)
        yield sight.scanned


def _notes(version: Version) -> dict[str, str]:
    """Id to note, of the rows that have one."""
    rows = version.rows.filter(version.rows["note"].is_valid())
    return dict(zip(rows["id"].to_pylist(), rows["note"].to_pylist(), strict=True))


def _write(target: Path, scanned: Iterator[Scanned], small: Small, places: dict[str, int], bars: Progress) -> None:
    """Write facts and small pictures by id (id to place); facts a shard at a time: shards are ordered, the rows in one are not."""
    task = bars.add_task("measuring", total=len(places))
    shard: list[pa.RecordBatch] = []
    done = 0
    with pq.ParquetWriter(target, MEASURE_SCHEMA, compression="zstd", write_statistics=False) as writer:

        def flush() -> None:
            facts = pa.Table.from_batches(shard, MEASURE_SCHEMA)
            writer.write_table(facts.sort_by("id").combine_chunks())
            shard.clear()

        for part in scanned:
            ids = part.facts["id"].to_pylist()
            if shard and ids[0][0] != shard[-1]["id"][0].as_py()[0]:
                flush()
            shard.append(part.facts)
            for members, pictures in part.small:
                small.put(np.array([places[ids[member]] for member in members]), pictures)
            done += len(ids)
            bars.advance(task, len(ids))
        if shard:
            flush()
    if done != len(places):
        raise DataError(f"the content store holds {done:,} of {len(places):,} rows: run `aigc ingest` again")

"""ingest: read the source once into the content store, and give every row its split."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
from rich.progress import track

from aigc_core.config import Config
from aigc_core.data import plant
from aigc_core.data.sources import open_source
from aigc_core.data.sources.base import Entry, Notice, OpenSource
from aigc_core.data.sources.kinds import WORDS
from aigc_core.data.sources.notices import DecodeNotes, left_out, shown
from aigc_core.data.splits import assign_split
from aigc_core.data.store import ContentWriter, fill_version
from aigc_core.errors import SourceError
from aigc_core.files import atomic_folder, write_json
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.workers import ordered_map, processes
from aigc_core.records import NOTICES_FILE, ROW_SCHEMA, TRUTH_SCHEMA, StageResult, row_id

#: Planted rows are numbered on from here, also where a limit reads fewer.
EMBEDDED_ROWS = 1797
#: Sides that the networks take above 16 px, in px.
CONV_SIDES = (16, 20, 24, 28, 32)
#: Rows that are held as Python objects at once.
BATCH_ROWS = 8192
#: Rows that are decoded together, and bytes that end such a chunk earlier.
CHUNK_ROWS = 256
CHUNK_BYTES = 8 << 20
#: Where at least this share of the images is nearly black, their values are hardly what they seem.
BLACK_SHARE = 0.99
#: A channel count below this share of the rows does not decide for all of them.
CHANNEL_SHARE = 0.05

#: An entry, its bytes or null, and why they could not be read.
Read = tuple[Entry, bytes | None, str | None]


@dataclass
class _Table:
    """Rows and the counts that describe them, gathered while reading."""

    batches: list[pa.RecordBatch] = field(default_factory=list)  # smaller than Python's rows
    rows: list[dict[str, Any]] = field(default_factory=list)  # that wait for the next batch
    sides: Counter[int] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    notes: DecodeNotes = field(default_factory=DecodeNotes)
    dark: int = 0  # images that are nearly black
    brightest: float = 0.0  # the largest mean luminance of these, of 255

    def add(self, entry: Entry, error: str | None, found: image.Identity, config: Config) -> None:
        """Take one row; `error` says why its bytes could not be read."""
        if found.shape is not None:
            self.sides[min(found.shape[:2])] += 1
            self.channels[found.shape[2]] += 1
        if found.dark_mean is not None:
            self.dark += 1
            self.brightest = max(self.brightest, found.dark_mean)
        identity = row_id(entry.key)
        split = assign_split(found.digest or identity, entry.split, config.split, divide=not entry.pinned)
        note = error or found.note
        self.notes.add(note, decoded=found.shape is not None)
        row = (identity, found.digest, entry.label, entry.text, split, entry.key, entry.parent, entry.op, note)
        self.rows.append(dict(zip(ROW_SCHEMA.names, row, strict=True)))
        if len(self.rows) == BATCH_ROWS:
            self._pack()

    def notices(self) -> list[Notice]:
        """What decoding said of the rows, and whether so many images are nearly black that their values must be misread."""
        images = self.sides.total()
        if self.dark < BLACK_SHARE * images:
            return self.notes.notices()
        text = (
            f"images that are nearly black: {self.dark:,} of {images:,} (mean of the brightest: {self.brightest:.1f} of 255); "
            "check the range of the values"
        )
        return [Notice("nearly_black", self.dark, text), *self.notes.notices()]

    def _pack(self) -> None:
        self.batches.append(pa.RecordBatch.from_pylist(self.rows, ROW_SCHEMA))
        self.rows = []

    def table(self) -> pa.Table:
        """All rows (ROW_SCHEMA), in the order in which they came."""
        self._pack()
        return pa.Table.from_batches(self.batches, ROW_SCHEMA)

    def shape(self, side: int | None, notices: list[Notice]) -> dict[str, Any]:
        """The size and channels that models use for this data; `side` is the user's choice, `notices` are the reader's."""
        if not self.sides:
            others = [notice.text for notice in notices if notice.code in ("archive_inside", "left_out")]
            raise SourceError(
                "not one file of the source could be decoded: is source.kind right? What was found: "
                f"{'; '.join([self.notes.reasons(), *others])}"
            )
        return {
            "size": side or model_side(_median(self.sides)),
            "channels": model_channels(self.channels),
            "resize": image.RESIZE_MODE,
        }


def model_side(side: int) -> int:
    """Side in px that models use for images of this shorter side: 8 to 16 as is, then steps up to 32."""
    return min(max(side, 8), 16) if side <= 16 else max(s for s in CONV_SIDES if s <= side)


def model_channels(counts: Counter[int]) -> int:
    """The largest channel count that a fair share of the rows has."""
    return max(channels for channels, count in counts.items() if count >= CHANNEL_SHARE * counts.total())


def _median(counts: Counter[int]) -> int:
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if 2 * seen >= counts.total():
            return value
    raise ValueError("median of nothing")


def ingest(config: Config, paths: Paths, workers: int | None = None) -> StageResult:
    """Write data/content and data/ingested. Raises SourceError where the source as a whole cannot be read.

    `workers` is the number of processes that decode, by default one per core; the bytes do not depend on it. Raises
    WorkerError, with nothing replaced, when one of them dies.
    """
    settings = config.source
    with closing(
        open_source(settings.kind, paths.root / settings.path, settings.limit, config.seed, settings)
    ) as source:
        return _ingest(source, config, paths, workers)


def _ingest(source: OpenSource, config: Config, paths: Paths, workers: int | None) -> StageResult:
    table, truth = _Table(), list[tuple[str, str, str | None]]()
    workers = processes(len(source.entries)) if workers is None else workers
    rows = track(source.items(), "reading", total=len(source.entries), transient=True)
    with ContentWriter(paths.content) as writer:
        if config.source.kind == "digits":
            rows = iter(_with_plants(list(rows), config, truth))
        for entry, content, error, found in _identified(rows, workers):
            table.add(entry, error, found, config)
            writer.add(row_id(entry.key), content)
        told = [*source.notices, *left_out(source.skipped, WORDS)]
        shape = table.shape(config.source.side, told)
    columns = table.table()
    notices = [*told, *table.notices()]
    parameters = {
        "source": config.source.model_dump(exclude={"path"}, exclude_defaults=True) | {"kind": config.source.kind},
        "split": config.split.model_dump(),
        "seed": config.seed,
        "skipped_files": source.skipped,
    }
    if truth:
        parameters["plant"] = config.digits.plant.model_dump()
    with atomic_folder(paths.ingested) as folder:
        fill_version(
            folder, columns, operation="ingest", parameters=parameters, parent=None, content=["../content"], image=shape,
            extra={"truth": _truth_table(truth)} if truth else {},
        )  # fmt: skip
        write_json(folder / NOTICES_FILE, [asdict(notice) for notice in notices])
    return _result(columns, config.source.kind, shape, notices)


def _identified(rows: Iterable[Read], workers: int) -> Iterator[tuple[Entry, bytes | None, str | None, image.Identity]]:
    """The rows, in their order, with their identities; workers decode, this process reads and keeps the bytes meanwhile."""
    waiting: deque[list[Read]] = deque()

    def pieces() -> Iterator[list[bytes | None]]:
        chunk: list[Read] = []
        size = 0
        for row in rows:
            chunk.append(row)
            size += len(row[1] or b"")
            if len(chunk) == CHUNK_ROWS or size >= CHUNK_BYTES:
                waiting.append(chunk)
                yield [content for _, content, _ in chunk]
                chunk, size = [], 0
        waiting.append(chunk)
        yield [content for _, content, _ in chunk]

    for found in ordered_map(image.identify, pieces(), workers):
        for row, identity in zip(waiting.popleft(), found, strict=True):
            yield *row, identity


def _with_plants(rows: list[Read], config: Config, truth: list[tuple[str, str, str | None]]) -> Iterator[Read]:
    """The digits with defects added to their training rows; `truth` receives one line per planted row."""
    clean: dict[str, tuple[Entry, bytes]] = {}
    for entry, content, _ in rows:
        if content is None:  # the embedded set is always readable
            continue
        digest = image.content_hash(image.decode(content).pixels)
        if assign_split(digest, entry.split, config.split) == "train":
            clean[entry.key] = (entry, content)
    labels = {key: entry.label or "" for key, (entry, _) in clean.items()}
    wrong = plant.flips(labels, config.digits.plant.label_flip, config.seed)
    truth += [(row_id(key), "label_flip", None) for key in wrong]
    for entry, content, error in rows:
        yield replace(entry, label=wrong.get(entry.key, entry.label)), content, error
    for item in plant.additions(clean, config.digits.plant, config.seed, first=EMBEDDED_ROWS):
        truth.append((row_id(item.entry.key), item.kind, item.entry.parent))
        yield item.entry, item.content, None


def _truth_table(truth: list[tuple[str, str, str | None]]) -> pa.Table:
    columns = [list(column) for column in zip(*truth, strict=True)]
    return pa.table(columns, schema=TRUTH_SCHEMA).sort_by([("id", "ascending"), ("kind", "ascending")])


def _result(rows: pa.Table, kind: str, shape: dict[str, Any], notices: list[Notice]) -> StageResult:
    splits = Counter(rows["split"].to_pylist())
    broken = rows["content_hash"].null_count
    summary = (
        f"read {rows.num_rows:,} rows from {kind} ({broken} cannot be decoded): {splits['reference']:,} reference, "
        f"{splits['train']:,} train, {splits['test']:,} test; models see {shape['size']} px, "
        f"{shape['channels']} channel{'s' if shape['channels'] > 1 else ''}"
    )
    return StageResult(
        summary,
        {"rows": rows.num_rows, "undecodable": broken, **{k: splits[k] for k in sorted(splits)}},
        {"notices": shown(notices)},
    )

"""Tables as records: .jsonl, .json in the forms that tools write, and .parquet."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aigc_core.data.sources.base import one_line
from aigc_core.data.sources.metadata.roles import find_roles
from aigc_core.data.sources.metadata.text import decoded
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import is_split_word
from aigc_core.errors import SourceError

#: Records whose keys make the header; later keys are looked up by their roles only.
HEADER_RECORDS = 100
BATCH_ROWS = 4096

#: Header, and rows with their number in the file, from 1; a row has as many cells as the header.
Records = tuple[list[str], Iterator[tuple[int, list[Any]]]]


def read_jsonl(name: str, content: bytes, tally: Tally) -> Records:
    """One object per line. Lines that hold none are counted; raises SourceError where no line does."""
    found = _objects(name, decoded(name, content), tally)
    first = list(itertools.islice(found, HEADER_RECORDS))
    if not first and content.strip():
        raise SourceError(f"{name} holds no line with a JSON object: write one object per line")
    return _as_rows(itertools.chain(first, found), [record for _, record in first])


def _objects(name: str, text: str, tally: Tally) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield number, value
        else:
            tally.add("bad_rows", f"{name} line {number}")


def _as_rows(records: Iterator[tuple[int, dict[str, Any]]], first: Sequence[Mapping[str, Any]]) -> Records:
    header = list(dict.fromkeys(key for record in first for key in record))
    return header, ((number, [record.get(key) for key in header]) for number, record in records)


def read_json(name: str, content: bytes) -> Records:
    """A list of objects, an object of file names, or StyleGAN's {"labels": [[file, label], ...]}.

    Raises SourceError, saying what it is, for anything else.
    """
    try:
        value = json.loads(decoded(name, content))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{name} is not readable JSON ({one_line(error)}): write it again") from None
    records = _records(name, value)
    return _as_rows(iter(enumerate(records, 1)), records[:HEADER_RECORDS])


def _records(name: str, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if {"images", "annotations"} <= value.keys():
            raise SourceError(f"{name} is in COCO's format, which is not read: write its labels or captions as a table")
        if "labels" in value:
            return _pairs(name, value["labels"])
        lists = [item for item in value.values() if _is_table(item)]
        if len(lists) == 1:
            return list(lists[0])
        if all(isinstance(item, dict) for item in value.values()):
            return [{**item, "file_name": key} for key, item in value.items()]
        if all(isinstance(item, str | int) for item in value.values()):
            what = "split" if _are_splits(name, value.values()) else "label"
            return [{"file_name": key, what: item} for key, item in value.items()]
    if _is_table(value):
        return list(value)
    raise SourceError(f"{name} is none of the forms of JSON that are read: write a list of objects with file_name")


def _are_splits(name: str, values: Iterable[Any]) -> bool:
    """Whether a table is called like splits, and all values say one and nothing else."""
    return "split" in name.rpartition("/")[2].casefold() and all(is_split_word(str(value)) for value in values)


def _is_table(value: Any) -> bool:
    """Whether a value is a list of objects that name files."""
    return bool(
        isinstance(value, list)
        and value
        and all(isinstance(item, dict) for item in value)
        and find_roles(list(value[0])).images
    )


def _pairs(name: str, labels: Any) -> list[dict[str, Any]]:
    """StyleGAN's pairs; null stands for a set without labels."""
    pairs = labels.items() if isinstance(labels, dict) else labels or []
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise SourceError(f'{name} has "labels" that are no pairs of a file and its label: write [[file, label], ...]')
    return [{"file_name": file, "label": label} for file, label in pairs]


def read_parquet(name: str, content: bytes) -> Records:
    """Columns of text and numbers; others are named in the header, and empty. Raises SourceError where it is no Parquet."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{name} is not a readable Parquet file ({one_line(error)}): write it again") from None
    header = list(file.schema_arrow.names)
    simple = [field.name for field in file.schema_arrow if _is_simple(field.type)]
    if not find_roles(simple).images and find_roles(header).images:
        raise SourceError(f"{name} holds images itself: read it with source.kind: parquet")
    return header, _parquet_rows(name, file, header, simple)


def _parquet_rows(name: str, file: Any, header: list[str], simple: list[str]) -> Iterator[tuple[int, list[Any]]]:
    number = 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=simple):
            for record in batch.to_pylist():
                number += 1
                yield number, [record.get(key) for key in header]
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{name} is damaged after row {number} ({one_line(error)}): write it again") from None


def _is_simple(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_simple(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))

"""Tables of small images, and what readers make of them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
from opened import kept

from aigc_core.config import Reading
from aigc_core.data.sources.base import readers

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def opened(kind, path, **options):
    return kept(readers[kind](path, Reading.model_validate(options)))


def codes(source):
    return {notice.code: notice.count for notice in source.notices}


def said(source, code):
    return next(notice.text for notice in source.notices if notice.code == code)


def labels(source):
    return [entry.label for entry in source.entries]


def texts(source):
    return [entry.text for entry in source.entries]


def splits(source):
    return {entry.key.rpartition("#")[0]: entry.split for entry in source.entries}


def contents(source):
    return [content for _, content, _ in source.items()]


def errors(source):
    return [error for _, _, error in source.items()]


def pictures(make, count=4):
    return [make.png(number, 8) for number in range(count)]


def cells(make, count=4):
    return pa.array([{"bytes": png, "path": f"{i}.png"} for i, png in enumerate(pictures(make, count))], CELL)


def features(**told):
    return {"huggingface": json.dumps({"info": {"features": told}})}


def named(*names):
    return {"_type": "ClassLabel", "names": list(names)}


IMAGE = {"_type": "Image"}


def table(metadata=None, **columns):
    return pa.table(columns).replace_schema_metadata(metadata)


def write(make, tables, folder="set"):
    for name, content in tables.items():
        path = make.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(content, path)
    return make.root / folder


def one(make, content, **options):
    return opened("parquet", write(make, {"data.parquet": content}), **options)


#: Names the column, as text, numbers and lists need it to be decoded.
NAMED = {"columns": {"image": "image"}}

"""The tables that stages hand to each other, column by column, and what a stage says when it is done.

Every table is Parquet. Rows are keyed by `id`; the encoded originals lie once in the content store and every
later table is a small overlay over it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

Split = Literal["reference", "train", "test"]
Action = Literal["quarantine", "warn", "inform", "off"]
Severity = Literal["error", "warning"]

#: Where a classifier comes less than this share of the way from naming the commonest class to naming all rightly, looks do not
#: tell the labels.
LEARNABLE = 0.25


def labels_told(accuracy: float, chance: float) -> bool:
    """Whether looks tell the labels: by a classifier's accuracy on images that it did not learn from, and the commonest class's share."""
    return accuracy - chance >= LEARNABLE * (1 - chance)


#: The content store: sharded by the first hex digit of `id`.
CONTENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("content", pa.large_binary()),  # encoded original; null if its bytes could not even be read
    ]
)

#: The overlay of a dataset version (`rows.parquet`): one line per row, without the content.
ROW_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # `row_id(source)`; unique, also for duplicates
        pa.field("content_hash", pa.string()),  # sha256 of the decoded pixels; null if undecodable
        pa.field("label", pa.string()),  # class name; null if unlabelled
        pa.field("text", pa.string()),  # caption; null if none
        pa.field("split", pa.string(), nullable=False),  # reference | train | test
        pa.field("source", pa.string(), nullable=False),  # path below the source, member in an archive, index
        pa.field("parent", pa.string()),  # id of the row it was derived from
        pa.field("op", pa.string()),  # the operation that derived it, with its parameters
        pa.field("note", pa.string()),  # what decoding had to normalise, or why it failed
    ]
)

#: Raw facts per row; no threshold has touched them. Undecodable rows are present with nulls and `error`. Of an image with
#: alpha, mean, entropy, equal_neighbours and the percentiles are those of the pixels that are seen; std, sharpness and noise are those
#: over black or over white, whichever varies more: flat is what shows nothing over any grey.
MEASURE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("bytes", pa.int64()),  # size of the encoded original
        pa.field("width", pa.int32()),  # px
        pa.field("height", pa.int32()),  # px
        pa.field("aspect", pa.float64()),  # longer side / shorter side, >= 1
        pa.field("channels", pa.int32()),  # 1, 3 or 4
        pa.field("mean", pa.float64()),  # of the luma, in [0, 1]
        pa.field("std", pa.float64()),  # of the luma, in [0, 0.5]; under 0.02 of the colour channel that varies most
        pa.field("entropy", pa.float64()),  # of the luma histogram, bits in [0, 8]
        pa.field("sharpness", pa.float64()),  # variance of the Laplacian of the luma in [0, 1]; higher is sharper
        pa.field("content_hash", pa.string()),  # as in ROW_SCHEMA
        pa.field("perceptual_hash", pa.string()),  # 64-bit DCT hash as 16 hex digits
        pa.field("format", pa.string()),  # what the bytes are, by Pillow's name, whatever the file's name says
        pa.field("noise", pa.float64()),  # estimated standard deviation of the noise of the luma in [0, 1]
        pa.field("colour_noise", pa.float64()),  # the same of half of red minus blue; null for grey images
        pa.field("equal_neighbours", pa.float64()),  # share of neighbouring pixels of equal luma, in [0, 1]
        pa.field("p01", pa.float64()),  # first percentile of the darkest channel, in [0, 1]
        pa.field("p99", pa.float64()),  # ninety-ninth percentile of the brightest channel, in [0, 1]
        pa.field("provenance", pa.string()),  # the AI-provenance label that the bytes carry; null if none
        pa.field("error", pa.string()),  # why decoding failed; null if it did not
    ]
)

#: What only a model can say of a row (`learned.parquet` beside the measures), still without a threshold.
LEARNED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("domain_distance", pa.float64()),  # to the nearest reference rows, >= 0; higher is stranger
        pa.field("label_probability", pa.float64()),  # of the given label, out of fold, in [0, 1]; null if unlabelled
        pa.field("label_predicted", pa.string()),  # the most probable class, out of fold
        pa.field("label_predicted_probability", pa.float64()),  # in [0, 1]
    ]
)

#: Pairs of rows that look alike (`pairs.parquet` beside the measures): candidates by fingerprint, confirmed on pixels.
PAIR_SCHEMA = pa.schema(
    [
        pa.field("a", pa.string(), nullable=False),  # id; a < b
        pa.field("b", pa.string(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),  # correlation after alignment, in [-1, 1]; 1 is equal
        pa.field("transform", pa.string(), nullable=False),  # what makes b of a: same | flip | rotate90 | ... | crop
    ]
)

#: One line per row and reason, warnings included. `value` and `threshold` are what decided.
VERDICT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # a constant of aigc_core/quality/reasons.py
        pa.field("action", pa.string(), nullable=False),  # quarantine | warn | inform
        pa.field("measure", pa.string(), nullable=False),  # the column (of a table of data/measures) that decided
        pa.field("score", pa.float64()),  # in [0, 1], low is worse; null where nothing is graded
        pa.field("cluster", pa.string()),  # id of the surviving row of a group of duplicates; null outside groups
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("detail", pa.string()),  # the error's text, or the id of the surviving twin
    ]
)

#: The quarantine: every row whose action is quarantine, with its original bytes.
QUARANTINE_SCHEMA = pa.schema(
    [*ROW_SCHEMA, pa.field("reasons", pa.list_(pa.string())), CONTENT_SCHEMA.field("content")]
)

#: What was planted into the embedded digits, row by row (`truth.parquet` beside the ingested overlay).
TRUTH_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("parent", pa.string()),  # the clean row that it was made from
    ]
)


#: What a stage leaves that could do nothing: {"why": a sentence}.
NOT_RUN_FILE = "not_run.json"
#: What ingest left out, guessed or found not to meet (beside its rows): [{"code": name, "count": n, "text": a sentence}].
NOTICES_FILE = "notices.json"
#: Beside the verdicts: how each threshold came about, and what could not be looked for. Readers of the folder as one table
#: pass over names that begin with an underscore.
CALIBRATION_FILE = "_calibration.json"


def row_id(source: str) -> str:
    """Hex sha256 of a row's source-relative path, archive member and index included."""
    return hashlib.sha256(source.encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """What a check says of one row: keep it, or name the reason and the number that decided.

    `value` and `threshold` are in the unit of the column `measure`; `score` in [0, 1], low is worse; `cluster` is the
    id of the surviving row where the reason concerns a group. What is not `certain` is warned of and never quarantined.
    """

    keep: bool
    reason: str = ""
    measure: str = ""
    value: float | None = None
    threshold: float | None = None
    detail: str | None = None
    score: float | None = None
    cluster: str | None = None
    certain: bool = True


@dataclass(frozen=True)
class Check:
    """One gate question and its answer, as `data/validation.json` stores it and Dagster shows it."""

    name: str  # stable identifier, [a-z0-9_]
    description: str  # one sentence for a person
    severity: Severity
    passed: bool
    observed: float | str | None
    expected: str  # the bound in words, with its number


@dataclass(frozen=True)
class StageResult:
    """What a stage hands back: a line to print and the numbers behind it. Files are already in place."""

    summary: str
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

"""What one finished cell says: the column contract between the runner and everything that draws conclusions from it.

A cell is one arm trained with one seed and held to the study's yardstick. A cell that could not be finished is a
line too, with `error` set and null metrics: nothing is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

#: Names of the arms that others are compared with.
FULL, FULL_BUDGET = "full", "full_budget"
BASELINE = "baseline"
TREATMENT = "treatment"
RANDOM_CONTROL = "random_control"
PLACEBO = "placebo"
POSITIVE_CONTROL = "positive_control"
SIZE = "size"
CONFIRMATION = "confirmation"
VARIATION = "variation"
#: A share of the worst rows by a rule's measure left out, as many rows at random, and the baseline of both.
CUT, RANDOM_CUT, UNCUT = "cut", "random_cut", "uncut"
KINDS = (
    BASELINE, TREATMENT, RANDOM_CONTROL, PLACEBO, POSITIVE_CONTROL, SIZE, CONFIRMATION, VARIATION, CUT, RANDOM_CUT, UNCUT,
)  # fmt: skip
#: Kinds whose cells are run after the others, of the decision that leads.
LATER = (CONFIRMATION, VARIATION)

#: Figures that every finished cell carries, by the names of evaluation/metrics.py; fd in squared feature units.
METRICS = ("fd", "fd_floor", "coverage", "coverage_real", "cas", "cas_real", "agreement", "agreement_real")
#: Figures of memorization; null where the evaluation does not give them. c_t below 0, auth_gap below 0 and a high
#: copy_rate speak of copying.
MEMORY = ("c_t", "auth_gap", "copy_rate")

#: Cells as the out holds them, sorted by (arm, seed). Compute time is not here: outs are deterministic.
CELL_SCHEMA = pa.schema(
    [
        pa.field("cell", pa.string(), nullable=False),  # hex digest of everything that decides the figures
        pa.field(
            "arm", pa.string(), nullable=False
        ),  # full | without_X | random_X | placebo | blanks_2 | ...: see arms.py
        pa.field("kind", pa.string(), nullable=False),  # one of KINDS
        # X of without_X, random_X, full_budget_without_X, ..., the reason of cuts and of what is uncut; null for the others
        pa.field("decision", pa.string()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field(
            "steps", pa.int64(), nullable=False
        ),  # of training: arms of the later kinds may have others than the rest
        pa.field("share", pa.float64(), nullable=False),  # of the full recipe's training rows, 1 but for sizes
        pa.field("rows", pa.int64(), nullable=False),  # training rows
        pa.field("rows_touched", pa.int64(), nullable=False),  # rows in which the arm differs from the full recipe
        *[pa.field(name, pa.float64()) for name in (*METRICS, *MEMORY)],
        pa.field("error", pa.string()),  # why there are no figures; null for a finished cell
    ]
)


def to_frame(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Cells, one mapping each, as a DataFrame with the columns of CELL_SCHEMA in order; further keys are left out."""
    names = set(CELL_SCHEMA.names)
    table = pa.Table.from_pylist(
        [{name: value for name, value in line.items() if name in names} for line in lines], CELL_SCHEMA
    )
    frame: pd.DataFrame = table.sort_by([("arm", "ascending"), ("seed", "ascending")]).to_pandas()
    return frame


def to_table(cells: pd.DataFrame) -> pa.Table:
    """The inverse of `to_frame`: what is written to cells.parquet."""
    return pa.Table.from_pandas(cells[CELL_SCHEMA.names], CELL_SCHEMA, preserve_index=False).replace_schema_metadata()

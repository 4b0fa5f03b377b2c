"""What a Parquet file, or a split of a Hugging Face data set, offers as a table, and which of its columns are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from aigc_core.data.sources.tables.cells import Form
from aigc_core.data.sources.tables.columns import Column, Layout


class Table(Protocol):
    """What a file, or a split, offers. Both ways of reading hold a few rows at a time."""

    @property
    def name(self) -> str:
        """What its keys begin with."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns, and in the metadata what Hugging Face says of them."""

    @property
    def constants(self) -> Mapping[str, str | None]:
        """Columns that stand in the names of folders, with their one value."""

    @property
    def rows(self) -> int | None:
        """How many there are; null for a stream, whose end is not known."""

    def batches(self, columns: list[Column], rows: int) -> Iterator[pa.RecordBatch | pa.Table]:
        """These columns, at most so many rows at a time."""

    def cell(self, column: Column, index: int) -> pa.Array:
        """One image cell, as an array of length 1. Raises OSError where the table is damaged there."""


@dataclass(frozen=True)
class Part:
    """One table and which of its columns are used."""

    table: Table
    layout: Layout
    form: Form | None = None  # how its images are held, where that was looked at

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the integers of its labels."""
        return self.layout.label.classes if self.layout.label else None

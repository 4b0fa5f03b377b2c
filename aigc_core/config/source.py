"""Sections of params.yaml about raw files: where they lie, how they are read, how they are divided."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aigc_core.config.base import ClassName, Count, Section, Share

#: Readers of aigc_core/data/sources/ that stand for themselves.
ReaderKind = Literal["digits", "idx", "folder", "parquet", "hf", "torchvision"]


class Sheet(Section):
    """A grid that is cut from every image of the source; each cell becomes a row."""

    width: Count = Field(description="px of one cell")
    height: Count = Field(description="px of one cell")


class Columns(Section):
    """Column names of a table, or `column.field` of a struct; null finds a column by Hugging Face's features or by its name."""

    image: str | None = Field(
        None, description="encoded bytes, a struct with `bytes`, base64 text, or pixels as lists of integers"
    )
    label: str | None = Field(None, description="text, number, truth value, ClassLabel, or a list of one of these")
    text: str | None = Field(None, description="caption, or a list of captions")
    split: str | None = Field(None, description="reference, train, test, validation, or another word for one of these")


class Reading(Section):
    """What single readers want to know besides a path; each of them ignores what is not its own."""

    name: str | None = Field(
        None, description="hf: name on the Hub, streamed; torchvision: MNIST, FashionMNIST or CIFAR10"
    )
    config: str | None = Field(None, description="hf: configuration of the data set on the Hub")
    revision: str | None = Field(None, description="hf: commit of the data set on the Hub; null takes the newest")
    split: str | None = Field(None, description="hf: read this split alone; null reads all")
    download: bool = Field(False, description="torchvision: fetch the files into `path` where they are missing")
    columns: Columns | None = Field(None, description="parquet and hf: column names; null finds them")
    sheet: Sheet | None = Field(
        None, description="{width, height} cuts sprite sheets into cells; null takes whole images"
    )


class Part(Reading):
    """One of several sources."""

    kind: ReaderKind = Field(description="which reader")
    path: str = Field(description="file or folder below source.path, because DVC watches that one; `.` is itself")
    weight: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of its rows that is read: a seeded sample, stratified by split and class"
    )
    label: ClassName | None = Field(None, description="class of all its rows; null keeps their own labels")


class Source(Reading):
    """Where the raw files lie."""

    kind: Literal[ReaderKind, "mix"] = Field("digits", description="which reader; `mix` reads the list `sources`")
    path: str = Field(
        "data/raw", description="file or folder, relative to params.yaml; `digits` and a name on the Hub do not read it"
    )
    limit: Count | None = Field(None, description="seeded, class-stratified sample of this many rows; null reads all")
    side: Annotated[int, Field(ge=8, le=128)] | None = Field(
        None, description="px that models see; convolutions need a multiple of 4; null follows the images, up to 32"
    )
    sources: list[Part] = Field([], description="mix: {kind, path, weight, label} of each source")

    @model_validator(mode="after")
    def _sources_belong_to_mix(self) -> Source:
        if (self.kind == "mix") != bool(self.sources):
            raise ValueError("`kind: mix` and the list `sources` need each other")
        return self


class Plant(Section):
    """Shares of the clean training rows that are added once more, damaged. `label_flip` alone changes rows in place."""

    corrupt: Share = Field(0.01, description="truncated or overwritten bytes")
    blank: Share = Field(0.03, description="one grey level all over")
    duplicate_exact: Share = Field(0.03, description="the same pixels again")
    duplicate_near: Share = Field(0.02, description="the same image, brightness changed slightly")
    too_small: Share = Field(0.01, description="shrunk to 3 px")
    label_flip: Share = Field(0.0, description="the label of another class")


class Digits(Section):
    """The embedded digits; because they are clean, documented defects are planted into their training rows."""

    plant: Plant = Plant()


class SplitShares(Section):
    """Shares of the three splits; `train/` and `test/` folders of a source win over them."""

    reference: Share = Field(0.2, description="rows that the extractor learns from, and nothing else")
    train: Share = Field(0.5, description="rows that models learn from")
    test: Share = Field(0.3, description="rows that generated samples are compared with")

    @model_validator(mode="after")
    def _sum_to_one(self) -> SplitShares:
        total = self.reference + self.train + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"split shares add up to {total:g}, they must add up to 1")
        return self

"""`aigc quality suite`: the gate's numbers, drafted from the present data, to be read and put into params.yaml."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import yaml

from aigc_core.config import Config
from aigc_core.errors import DataError
from aigc_core.paths import Paths
from aigc_core.quality.draft import draft
from aigc_core.records import StageResult
from aigc_core.report.facts import require
from aigc_core.stages.parts import gate_facts


def suite(config: Config, paths: Paths, margin: float) -> StageResult:
    """The section `expectations` as YAML, in the summary. Raises DataError where nothing was curated yet."""
    require(paths.curated / "card.json", "curate")
    kept = gate_facts.read_kept(paths)
    facts = gate_facts.tables(paths, kept, config.expectations, {})["facts"].iloc[0].to_dict()
    aspects = kept.measures.get("aspect", np.empty(0, np.float32))
    if not len(aspects) or np.isnan(aspects).all():
        raise DataError("no kept row has measures: run `aigc measure` and `aigc curate` first")
    read = pq.read_metadata(paths.ingested / "rows.parquet").num_rows
    numbers = draft(facts, read, float(np.nanmax(aspects)), margin, config.expectations)
    text = yaml.safe_dump({"expectations": numbers}, sort_keys=False)
    return StageResult(
        f"# Drafted from version {kept.version} ({len(kept.ids)} of {read} rows kept) with a margin of {margin:g}.\n"
        f"# Read it, then put it into params.yaml in place of the section of this name.\n{text}",
        {"rows": len(kept.ids)},
    )

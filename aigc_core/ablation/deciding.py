"""What decides the figures of all cells of a study alike, as digests: code, extractor, real rows, weights to start from."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.ablation.pool import Pool
from aigc_core.config import Config
from aigc_core.errors import DataError
from aigc_core.files import digest, read_json
from aigc_core.paths import Paths
from aigc_core.training.held_out import REFERENCE, Unseen

#: Rooms whose code decides a cell's figures; a change in them makes new cells.
CODE = (
    "models",
    "training",
    "evaluation",
    "data",
    "modalities",
    "augment",
    "ablation/versions.py",
    "ablation/worker.py",
)


def extractor_hash(paths: Paths) -> str:
    """Of the extractor's weights. Raises DataError where there is none."""
    card = paths.extractor / "extractor.json"
    if not card.exists():
        raise DataError("there is no feature extractor yet: run `aigc extractor` first")
    return str(read_json(card)["hash"])


def start_hash(config: Config, paths: Paths) -> str:
    """Of the weights that `aigc pretrain` left. Raises DataError where there are none."""
    card = paths.pretrained(config.ablation.model) / "model.json"
    if not card.exists():
        raise DataError(
            f"the decision `pretrain` needs pre-trained weights: run `aigc pretrain {config.ablation.model}` first"
        )
    return str(read_json(card)["weights_sha256"])


def reference_hash(test: pa.Table, pool: Pool, unseen: Unseen) -> str:
    """Of the real rows that cells are held to: test rows, the curated training rows, from which the floors come, and those that
    stand for images never seen."""
    tables = [test, pool.curated.select("train").sort_by("id")]
    if unseen.ids is not None:
        rows = pool.curated.select(REFERENCE).sort_by("id")
        tables.append(rows.filter(pc.is_in(rows["id"], pa.array(sorted(unseen.ids), pa.string()))))
    return digest([[table[name].to_pylist() for name in ("id", "content_hash", "label")] for table in tables])

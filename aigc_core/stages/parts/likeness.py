"""Which training images samples are most like, in features and in pixels, with ids and sources."""

from __future__ import annotations

import torch

from aigc_core.data.loader import ImageSet
from aigc_core.data.store import Version
from aigc_core.evaluation.explain import Likeness, nearest_features, nearest_pixels
from aigc_core.evaluation.features import Extractor


def likeness(samples: torch.Tensor, train: ImageSet, extractor: Extractor, neighbours: int) -> dict[str, Likeness]:
    """By features and by pixels: the nearest training images of samples (Q, C, S, S) uint8."""
    k = min(neighbours, len(train))
    by_pixels = nearest_pixels(samples, train.pixels, k)  # first: it names a sample of another shape
    by_features = nearest_features(extractor.features(samples), extractor.features(train.pixels), k)
    return {"features": by_features, "pixels": by_pixels}


def describe(found: dict[str, Likeness], version: Version, train: ImageSet) -> list[list[dict[str, str | float | int]]]:
    """One list per sample: way, rank, id, source, label and distance of every neighbour."""
    rows = version.rows
    sources = dict(zip(rows["id"].to_pylist(), rows["source"].to_pylist(), strict=True))
    count = len(next(iter(found.values())).index)
    return [
        [
            {
                "way": way, "rank": rank + 1, "id": train.ids[place], "source": sources[train.ids[place]],
                "label": train.classes[int(train.labels[place])], "distance": round(float(near.distance[sample, rank]), 4),
            }
            for way, near in found.items()
            for rank, place in enumerate(near.index[sample].tolist())
        ]
        for sample in range(count)
    ]  # fmt: skip

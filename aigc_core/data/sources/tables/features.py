"""What Hugging Face's `datasets` writes of columns into the schema of a table."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa


def features(schema: pa.Schema) -> dict[str, Any]:
    """Hugging Face's features by column; empty where there are none."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return dict(told["info"]["features"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def inside(feature: Any) -> dict[str, Any]:
    """The feature itself, or the one inside lists: `{feature: ...}` or, as older versions wrote it, `[...]`."""
    while True:
        if isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        elif isinstance(feature, dict) and isinstance(feature.get("feature"), (dict, list)):
            feature = feature["feature"]
        else:
            return feature if isinstance(feature, dict) else {}

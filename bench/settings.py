"""params.yaml with other values in the section train, for benches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aigc_core.config import Config, load, parse

ROOT = Path(__file__).resolve().parents[1]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    inner = {
        name: merged(base.get(name, {}), value) if isinstance(value, Mapping) else value for name, value in over.items()
    }
    return {**base, **inner}


def with_train(*overs: Mapping[str, Any]) -> Config:
    """The configuration of the repository with each of `overs` in its section train, later ones winning."""
    known = load(ROOT / "params.yaml").model_dump()
    for over in overs:
        known = merged(known, {"train": over})
    return parse(known)

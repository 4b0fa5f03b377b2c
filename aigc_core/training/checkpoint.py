"""Working checkpoints: tensors and plain numbers only, whole or absent, kept outside the versioned outs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from aigc_core.errors import TrainingError
from aigc_core.files import atomic_file

NAME = "last.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replace the last checkpoint. Raises TrainingError on a full disk; the former checkpoint stays intact."""
    try:
        with atomic_file(folder / NAME) as scratch:
            torch.save(state, scratch)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"the checkpoint of step {state['step']} cannot be written ({error}): make room and run it again"
        ) from error


def load(folder: Path) -> dict[str, Any] | None:
    """The last checkpoint, or none. Raises TrainingError for a file that is not one."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path.parent.name}/{NAME} is not a readable checkpoint: remove that folder and run again"
        ) from error
    return state


def forget(folder: Path) -> None:
    """Remove the checkpoints of a training that is done."""
    shutil.rmtree(folder, ignore_errors=True)

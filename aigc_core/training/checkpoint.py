"""Working checkpoints: tensors and plain numbers only, whole or absent, kept outside the versioned outs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from aigc_core.errors import TrainingError
from aigc_core.files import atomic_file
from aigc_core.training import processes
from aigc_core.training.trainer import Trainer
from aigc_core.training.validation import Validation

PATTERN = "step-*.pt"
Curve = list[dict[str, float]]


def save(folder: Path, state: dict[str, Any], keep: int = 1) -> None:
    """Write the checkpoint of `state["step"]`, then remove all but the last `keep`.

    Raises TrainingError on a full disk; the former checkpoints stay as they are.
    """
    target = folder / f"step-{state['step']:08d}.pt"
    try:
        with atomic_file(target) as scratch:
            torch.save(state, scratch)
    except (OSError, RuntimeError) as error:
        former = latest(folder)
        kept = f"{short(former)} stays" if former else "there is no earlier one"
        raise TrainingError(
            f"the checkpoint of step {state['step']} cannot be written ({_reason(error, folder)}), {kept}: make room and run "
            "it again"
        ) from error
    for old in _all(folder)[:-keep]:
        old.unlink()


def latest(folder: Path) -> Path | None:
    """The file of the last checkpoint, or none."""
    return max(_all(folder), default=None)


def short(path: Path) -> str:
    """A checkpoint as a sentence names it: training, identity, step."""
    return "/".join(path.parts[-3:])


def load(folder: Path) -> dict[str, Any] | None:
    """The last checkpoint, or none. Raises TrainingError for a file that is not one."""
    path = latest(folder)
    if path is None:
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{short(path)} is not a readable checkpoint: remove that file and run again, from the one before it or "
            "from the beginning"
        ) from error
    return state


def of(trainer: Trainer, step: int, curve: Curve, validation: Validation | None) -> dict[str, Any]:
    """All that a training has to remember after `step` steps."""
    return {
        "step": step,
        "networks": {name: network.state_dict() for name, network in trainer.state().items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in trainer.optimizers.items()},
        "curve": curve,
        **({} if validation is None else {"validation": validation.state()}),
    }


def resume(trainer: Trainer, work: Path, validation: Validation | None) -> tuple[int, Curve]:
    """Put trainer and validation where the last checkpoint left them; returns its step, and the curve until then."""
    state = processes.from_first(lambda: load(work))
    if state is None:
        return 0, []
    for name, network in trainer.state().items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in trainer.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    if validation is not None:
        validation.load_state(state["validation"])
    return int(state["step"]), list(state["curve"])


def forget(folder: Path) -> None:
    """Remove the checkpoints of a training that is done."""
    shutil.rmtree(folder, ignore_errors=True)


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob(PATTERN))


def _reason(error: Exception, folder: Path) -> str:
    """One line. What torch says of a full disk names no disk, and comes with a trace of C++ calls."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0].strip()
    return f"{said}; {shutil.disk_usage(folder).free / 2**20:,.0f} MiB are free there"

"""Stops a training whose losses are no longer numbers, or far too large ones, and says where to look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from aigc_core.errors import TrainingError
from aigc_core.training import checkpoint, processes
from aigc_core.training.chance import Batches
from aigc_core.training.trainer import Losses

#: Steps whose losses wait on the device, so that reading them does not stop it at every step.
WAITING = 256
SHOWN = 4  # row ids in the sentence; the error carries all


class UnstableError(TrainingError):
    """A loss or a weight went where no training comes back from. `rows` are the ids of that step's batch."""

    def __init__(self, message: str, step: int, rows: Sequence[str]) -> None:
        super().__init__(message)
        self.step, self.rows = step, list(rows)


class Guard:
    """Watches every step, and looks when it is asked to or when many wait."""

    def __init__(self, limit: float, batches: Batches, ids: Sequence[str], work: Path) -> None:
        self.limit, self.batches, self.ids, self.work = limit, batches, ids, work
        self._waiting: list[tuple[int, Losses]] = []

    def watch(self, step: int, values: Losses) -> None:
        """Note the losses of step number `step` (the first is 1). Raises as `look` does."""
        self._waiting.append((step, values))
        if len(self._waiting) == WAITING:
            self.look()

    def look(self) -> dict[str, float]:
        """The losses of the last step noted. Raises UnstableError for the first that is not finite or beyond the limit."""
        rows = processes.mean(torch.stack([torch.stack(list(values.values())) for _, values in self._waiting])).tolist()
        for (step, values), numbers in zip(self._waiting, rows, strict=True):
            for name, number in zip(values, numbers, strict=True):
                if not math.isfinite(number):
                    raise self._error(f"{name} is {number}", step)
                if abs(number) > self.limit:
                    raise self._error(f"{name} is {number:.3g}, beyond train.max_loss = {self.limit:g},", step)
        last = dict(zip(self._waiting[-1][1], rows[-1], strict=True))
        self._waiting = self._waiting[-1:]  # looked at again it says the same
        return last

    def weights(self, networks: dict[str, nn.Module], step: int) -> None:
        """Raises UnstableError where a weight is not finite: a loss is known before the step that it leads to."""
        for name, network in networks.items():
            for tensor in network.state_dict().values():
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise self._error(f"a weight of {name} is not finite", step)

    def _error(self, what: str, step: int) -> UnstableError:
        rows = [self.ids[index] for index in self.batches.at(step - 1).tolist()]
        named = ", ".join(identity[:12] for identity in rows[:SHOWN])
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        kept = checkpoint.latest(self.work)
        good = f"the last good checkpoint is {checkpoint.short(kept)}" if kept else "no checkpoint was written yet"
        return UnstableError(
            f"{what} at step {step} (rows {named}{more}); {good}: lower the learning rate, set clip_norm, or look at "
            "those rows with `aigc quality why`",
            step,
            rows,
        )

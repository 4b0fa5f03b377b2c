"""Training in several processes, which torchrun starts: each takes its part of every batch, gradients are averaged.

The parts together are the batch of one process, in its order, and what is drawn for it is drawn for the whole and cut:
losses and weights are those of one process up to the order of sums. Alone, nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.overrides import TorchFunctionMode

from aigc_core.errors import ConfigError

T = TypeVar("T")


def count() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process writes files and reports."""
    return count() == 1 or dist.get_rank() == 0


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes that torchrun started, for as long as the block runs; alone, or where they are joined, nothing."""
    if _started() == 1 or count() > 1:
        yield
        return
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def refuse_alone() -> None:
    """Raises ConfigError where torchrun started several processes that did not join: each would write the same files."""
    if _started() > 1 and count() == 1:
        raise ConfigError(
            f"torchrun started {_started()} processes, and only `aigc train` shares its work among them: "
            "run this command alone"
        )


def refuse_uneven(batch_size: int) -> None:
    """Raises ConfigError for a batch that cannot be cut into equal parts."""
    if batch_size % count():
        raise ConfigError(
            f"train.batch_size = {batch_size} cannot be shared evenly by {count()} processes: take a multiple of {count()}"
        )


def part(rows: int) -> slice:
    """Which of the rows of a whole batch are this process's."""
    size = rows // count()
    first = size * (dist.get_rank() if count() > 1 else 0)
    return slice(first, first + size)


def average_gradients(weights: Sequence[torch.Tensor]) -> None:
    """Every gradient becomes its mean over the processes."""
    if count() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= count()
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


def mean(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over the processes."""
    if count() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / count()


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """The rows (B, ...) of all processes, in the order of the whole batch."""
    if count() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(count())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns in the first process, which alone calls it."""
    if count() == 1:
        return make()
    box: list[Any] = [make() if is_first() else None]
    dist.broadcast_object_list(box, src=0)
    made: T = box[0]
    return made


def drawing(rows: int) -> AbstractContextManager[object]:
    """Within it, what is drawn with a generator for this process's `rows` rows is its part of a draw for the whole batch."""
    return nullcontext() if count() == 1 else _Drawing(rows)


class _Drawing(TorchFunctionMode):
    """Every family draws (rows, ...) numbers with torch.rand or torch.randn and a generator that all processes have alike."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.rand, torch.randn) and kwargs.get("generator") is not None:
            shape = tuple(args) if isinstance(args[0], int) else tuple(args[0])
            if shape and shape[0] == self.rows:
                whole = self.rows * count()
                return func((whole, *shape[1:]), **kwargs)[part(whole)]
        return func(*args, **kwargs)


def _started() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))

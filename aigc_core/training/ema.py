"""Exponential moving average of weights (Karras et al. 2018, section 4.1)."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """average <- decay * average + (1 - decay) * model, with a shorter memory during the first steps."""
    # Without the ramp the random first weights would weigh as much as the decay's whole horizon.
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)

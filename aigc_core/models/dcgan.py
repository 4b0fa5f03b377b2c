"""The networks of DCGAN (Radford et al. 2016, section 3 and figure 1), for any side that halves to 4 to 7 px.

As published, 64 px become 4 px in four strided convolutions; 28 px become 7 px in two. Two differences: images are
normalised one by one (groups instead of batches), so that a sample does not depend on its batch, and the label's
embedding stands beside the noise.

Legend: N = images, C = channels, S = side in px.
"""

from __future__ import annotations

from torch import nn

from aigc_core.models.blocks import LEAK, norm
from aigc_core.models.spec import ModelSpec

#: Standard deviation of the first weights (Radford et al. 2016, section 4).
FIRST_WEIGHTS = 0.02


def upward(inputs: int, spec: ModelSpec) -> nn.Sequential:
    """Transposed convolutions: (N, inputs) to (N, C, S, S) before the tanh."""
    widths = [spec.width(stage) for stage in reversed(range(spec.halvings))]
    layers: list[nn.Module] = [
        nn.Linear(inputs, widths[0] * spec.base**2),
        nn.Unflatten(1, (widths[0], spec.base, spec.base)),
    ]
    for before, after in zip(widths, [*widths[1:], spec.channels], strict=True):
        layers += [norm(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    return _drawn(nn.Sequential(*layers))


def downward(spec: ModelSpec) -> nn.Sequential:
    """Strided convolutions: (N, C, S, S) to the flattened smallest map; no normalisation of the first one's output."""
    layers: list[nn.Module] = [nn.Conv2d(spec.channels, spec.width(0), 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
    for stage in range(1, spec.halvings):
        layers += [
            nn.Conv2d(spec.width(stage - 1), spec.width(stage), 4, stride=2, padding=1),
            norm(spec.width(stage)),
            nn.LeakyReLU(LEAK),
        ]
    return _drawn(nn.Sequential(*layers, nn.Flatten()))


def _drawn(network: nn.Sequential) -> nn.Sequential:
    for module in network:
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=FIRST_WEIGHTS)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network

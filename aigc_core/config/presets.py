"""Known recipes by name, as values of the section `train`.

A preset replaces a value that stands at its default, because params.yaml shows every default; any other value is the
user's and wins. Where somebody wants the default of a value that a preset replaces, a preset is the wrong tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

PresetName = Literal["dcgan-mnist"]

PRESETS: dict[str, Mapping[str, Any]] = {
    # Radford et al. 2016, sections 3 and 4: noise of 100, transposed convolutions, Adam with 2e-4 and beta1 of .5.
    "dcgan-mnist": {
        "batch_size": 64,
        "network": {"latent": 100, "conv_width": 64, "architecture": "dcgan"},
        "gan": {
            "steps": 3000, "learning_rate": 0.0002, "beta1": 0.5, "beta2": 0.999, "loss": "nonsaturating",
            "mlp_r1": 0.0, "conv_r1": 0.0, "spectral_norm": False, "ema": 0.0,
        },
    }
}  # fmt: skip


def filled(given: Mapping[str, Any], preset: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the values of `preset` where it has none or the default."""
    found = dict(given)
    for name, value in preset.items():
        usual, own = defaults[name], given.get(name, defaults[name])
        if isinstance(value, Mapping):
            found[name] = filled(own, value, usual) if isinstance(own, Mapping) else own
        elif own == usual:
            found[name] = value
    return found

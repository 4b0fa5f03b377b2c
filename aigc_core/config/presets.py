"""Known recipes by name, as values of the section `train`.

A preset replaces a value that stands at its default, because params.yaml shows every default; any other value is the
user's and wins. Where somebody wants the default of a value that a preset replaces, a preset is the wrong tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

PresetName = Literal["dcgan-mnist", "dcgan-r1-mnist"]

PRESETS: dict[str, Mapping[str, Any]] = {
    # Radford et al. 2016, sections 3 and 4: noise of 100, transposed convolutions, Adam with 2e-4 and beta1 of .5.
    "dcgan-mnist": {
        "batch_size": 64,
        "network": {"latent": 100, "conv_width": 64, "architecture": "dcgan"},
        "gan": {
            "steps": 3000, "learning_rate": 0.0002, "beta1": 0.5, "beta2": 0.999, "loss": "nonsaturating",
            "mlp_r1": 0.0, "conv_r1": 0.0, "spectral_norm": False, "ema": 0.0,
        },
    },
    # The same networks at half the width with what holds a GAN: R1 at every eighth step (Mescheder et al. 2018; Karras et al.
    # 2020, appendix B) and an average of the weights, as params.yaml has them. bench/mnist_generator.py measures it.
    "dcgan-r1-mnist": {
        "network": {"conv_width": 32, "architecture": "dcgan"},
        "gan": {"steps": 8000, "r1_every": 8},
    },
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

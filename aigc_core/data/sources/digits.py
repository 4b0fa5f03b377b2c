"""The embedded default: scikit-learn's copy of the UCI handwritten digits, 1,797 grey images of 8x8 px.

Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI (1998). Grey levels 0..16 become 0..255.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aigc_core.config import Reading
from aigc_core.data.sources.base import Entry, OpenSource, readers
from aigc_core.modalities import image


@readers.register("digits")
def open_digits(path: Path, options: Reading) -> OpenSource:  # noqa: ARG001  (the set is embedded)
    """The digits as PNG bytes, labelled "0" to "9"."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    entries = [Entry(f"digits/{index:04d}", label=str(label)) for index, label in enumerate(bunch.target)]
    place = {entry.key: index for index, entry in enumerate(entries)}
    return OpenSource(entries, lambda entry: image.encode_png(pixels[place[entry.key]]))

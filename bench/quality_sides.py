"""What the workers of quality_speed.py do; they import this file, so it needs no more than what they measure with."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from aigc_core.modalities import image
from aigc_core.quality.scan import Chunk, Scanned, scan


def decode_only(files: list[Path]) -> int:
    return sum(np.asarray(Image.open(io.BytesIO(path.read_bytes()))).shape[0] for path in files)


def decode_normalised(files: list[Path]) -> int:
    return sum(image.decode(path.read_bytes()).pixels.shape[0] for path in files)


def scan_files(files: list[Path]) -> Scanned:
    chunk = Chunk()
    for path in files:
        chunk.add(str(path), path.read_bytes(), None)
    return scan(chunk)

"""Small sources on disk, made by the test that needs them."""

from __future__ import annotations

import gzip
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from opened import OPEN

from aigc_core.config import Config
from aigc_core.modalities import image
from aigc_core.paths import Paths


class Makers:
    """Makers of sources below one temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def pixels(self, seed: int, side: int = 12, channels: int = 3) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)

    def png(self, seed: int, side: int = 12, channels: int = 3) -> bytes:
        return image.encode_png(self.pixels(seed, side, channels))

    def folder(self, files: dict[str, bytes], name: str = "images") -> Path:
        for file, content in files.items():
            path = self.root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.root / name

    def zip(self, files: dict[str, bytes], name: str = "images.zip") -> Path:
        with zipfile.ZipFile(self.root / name, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        return self.root / name

    def idx(self, name: str, array: np.ndarray, *, cut: int = 0, zipped: bool = False, folder: str = "idx") -> Path:
        body = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        body = body[: len(body) - cut]
        return self.folder({name: gzip.compress(body, mtime=0) if zipped else body}, folder)

    def config(self, kind: str, path: Path | None = None, limit: int | None = None, **sections: object) -> Config:
        source = {"kind": kind, "path": str(path or "data/raw"), "limit": limit}
        return Config.model_validate({"source": source, **sections})  # a section `source` wins

    def paths(self, name: str = "checkout") -> Paths:
        return Paths(self.root / name)


@pytest.fixture
def make(tmp_path: Path) -> Makers:
    return Makers(tmp_path)


@pytest.fixture
def one_thread():
    """Training with one thread, whose sums have one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _closed_again():
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.fixture(scope="session")
def whole_store(tmp_path_factory) -> Path:
    """MLflow's store as it is made first: that takes seconds, a copy takes none."""
    from aigc_core.tracking import store

    place = tmp_path_factory.mktemp("store") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own use of its database library warns
        store.make_ready(place)
    return place

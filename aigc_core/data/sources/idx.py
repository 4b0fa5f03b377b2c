"""MNIST-style idx files, gzip or not: a folder with `*images*` files, each beside its `*labels*` file.

Format: two zero bytes, a type byte (8 = uint8), the number of dimensions, one big-endian uint32 per dimension,
then the values (LeCun, Cortes, Burges: the MNIST database).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from aigc_core.config import Reading
from aigc_core.data.sources.base import Entry, OpenSource, own_splits, readers
from aigc_core.errors import SourceError
from aigc_core.modalities import image
from aigc_core.records import Split


@readers.register("idx")
def open_idx(path: Path, options: Reading) -> OpenSource:  # noqa: ARG001  (idx has no options)
    """List all images of a folder of idx files, or of one images file; keys are `file#index`.

    Of a file that lies there gzipped and unpacked, as torchvision leaves them, the unpacked one is read.
    Raises SourceError for files that are no idx files, end too early or do not belong together.
    """
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name an idx file or a folder with idx files")
    found = [path] if path.is_file() else sorted(item for item in path.iterdir() if _holds_images(item))
    twins = {item.name for item in found if item.suffix == ".gz" and item.with_suffix("") in found}
    files = {item.name: _IdxFile(item) for item in found if item.name not in twins}
    if not files:
        raise SourceError(
            f"source.path {str(path)!r} holds no idx file of images: expected names such as train-images-idx3-ubyte.gz"
        )
    entries = [
        Entry(f"{name}#{index}", label=label, split=_split_of(name))
        for name, file in files.items()
        for index, label in enumerate(file.labels())
    ]

    def read(entry: Entry) -> bytes:
        name, _, index = entry.key.rpartition("#")
        return files[name].png(int(index))

    def close() -> None:
        for file in files.values():
            file.close()

    return OpenSource(own_splits(entries), read, {"packed copies": len(twins)} if twins else {}, close)


def _holds_images(path: Path) -> bool:
    return path.is_file() and ("idx3" in path.name or "images" in path.name) and "labels" not in path.name


def _split_of(name: str) -> Split | None:
    lowered = name.lower()
    if lowered.startswith(("t10k", "test")):
        return "test"
    return "train" if lowered.startswith("train") else None


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")  # type: ignore[return-value]


class _IdxFile:
    """Reads images one after another; seeking backwards in a gzip file starts again from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: IO[bytes] | None = None  # opened by the first image
        with _open(path) as handle:
            self._shape, self._start = _header(handle, path)
        if len(self._shape) not in (3, 4) or math.prod(self._shape) == 0:
            raise SourceError(
                f"{path.name} has the shape {self._shape}: images need (count, height, width[, channels])"
            )
        if len(self._shape) == 4 and self._shape[3] not in (1, 3, 4):
            raise SourceError(f"{path.name} has {self._shape[3]} channels: 1, 3 or 4 can be read")

    def close(self) -> None:
        """Close the file of images; the next image opens it again."""
        if self._handle is not None:
            self._handle.close()
        self._handle = None

    def labels(self) -> list[str | None]:
        """Labels from the file beside it; nulls where there is none. The lengths must agree."""
        name = self.path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
        stem = name.removesuffix(".gz")
        beside = next((p for p in (self.path.with_name(stem), self.path.with_name(stem + ".gz")) if p.exists()), None)
        if beside is None or beside == self.path:
            return [None] * self._shape[0]
        with _open(beside) as handle:
            shape, _ = _header(handle, beside)
            if shape != self._shape[:1]:
                raise SourceError(
                    f"{beside.name} holds {' x '.join(map(str, shape)) or 'no'} labels for {self._shape[0]} images: "
                    "the files do not belong together"
                )
            values = _read(handle, shape[0], beside)
        return [str(value) for value in values]

    def png(self, index: int) -> bytes:
        """The image at `index`, encoded."""
        count = math.prod(self._shape[1:])
        if self._handle is None:
            self._handle = _open(self.path)
        values = np.frombuffer(_read(self._handle, count, self.path, self._start + index * count), np.uint8)
        shape = self._shape[1:] if len(self._shape) == 4 else (*self._shape[1:], 1)
        return image.encode_png(values.reshape(shape))


def _header(handle: IO[bytes], path: Path) -> tuple[tuple[int, ...], int]:
    magic = _read(handle, 4, path)
    if magic[:2] != b"\0\0" or magic[2] != 8:
        raise SourceError(f"{path.name} is not an idx file of bytes: it begins with {magic.hex()}")
    count = magic[3]
    return struct.unpack(f">{count}I", _read(handle, 4 * count, path)), 4 + 4 * count


def _read(handle: IO[bytes], count: int, path: Path, start: int | None = None) -> bytes:
    try:
        if start is not None:
            handle.seek(start)
        data = handle.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} cannot be read ({error}): fetch the file again") from None
    if len(data) != count:
        raise SourceError(f"{path.name} ends too early: {len(data)} of {count} bytes; fetch the file again")
    return data

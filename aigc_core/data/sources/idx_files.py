"""One idx file: its header, its values, its images as PNG."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from aigc_core.data.sources.archives import stand_in
from aigc_core.data.sources.kinds import START_BYTES
from aigc_core.data.sources.tables.cells import CHANNELS, as_bytes, png
from aigc_core.errors import SourceError

#: Types of values by the third byte of a file; numbers are big-endian.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class NotIdxError(SourceError):
    """A file that does not begin as an idx file does."""


class IdxFile:
    """Reads images one after another; seeking backwards in a gzip file starts again from its beginning.

    Raises NotIdxError for another beginning, SourceError for a file that ends too early.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self._path = name, path
        self._handle: IO[bytes] | None = None  # opened by the first image
        with self._opened() as handle:
            zipped = isinstance(handle, gzip.GzipFile)
            size = path.stat().st_size
            magic = self._read(handle, 4) if zipped or size > 3 else b""
            if magic[:2] != b"\0\0" or magic[2] not in TYPES:
                why = stand_in(magic if zipped else magic + handle.read(START_BYTES))
                why = why or f"it begins with {magic.hex()} instead of 0000 and a type"
                raise NotIdxError(f"{name} is not an idx file: {why}")
            self.shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", self._read(handle, 4 * magic[3]))
        self.dtype = np.dtype(TYPES[magic[2]])
        self._start = 4 + 4 * magic[3]
        #: Bytes that the header says nothing of; the length of packed values is not known before they are read.
        self.left_over = (
            0 if zipped or not self.shape else size - self._start - math.prod(self.shape) * self.dtype.itemsize
        )
        if self.left_over < 0 and self._reversed(size):
            raise SourceError(
                f"{name} has its header in little-endian order, and idx files are big-endian: write it anew, for example "
                "with numbers of the type '>i4'"
            )
        if self.left_over < 0:
            raise SourceError(f"{name} ends too early: {-self.left_over} bytes are missing; fetch the file again")

    def _reversed(self, size: int) -> bool:
        """Whether the header fits a file of `size` bytes when its numbers are read the other way round."""
        shape = struct.unpack(f"<{len(self.shape)}I", struct.pack(f">{len(self.shape)}I", *self.shape))
        return bool(self._start + math.prod(shape) * self.dtype.itemsize == size)

    def check_images(self) -> None:
        """Raise SourceError where the values are no images: whole numbers, of count x height x width, with 1, 3 or 4 channels
        behind these or before the height."""
        shape = " x ".join(map(str, self.shape))
        if len(self.shape) not in (3, 4) or math.prod(self.shape[1:]) == 0:
            raise SourceError(
                f"{self.name} has the shape {shape or 'of one number'}: images need count x height x width"
            )
        if self.channels_first and self.shape[1] not in CHANNELS:
            raise SourceError(
                f"{self.name} has the shape {shape}: of four numbers the last, or the second, must be 1, 3 or 4 channels"
            )
        if self.dtype.kind == "f":
            raise SourceError(
                f"{self.name} holds floats of {8 * self.dtype.itemsize} bits, whose range is not known: save the pixels as "
                "bytes from 0 to 255"
            )

    @property
    def channels_first(self) -> bool:
        """Whether the channels stand before height and width."""
        return len(self.shape) == 4 and self.shape[3] not in CHANNELS

    def values(self) -> Any:
        """All values, in the shape and the type of the file: for labels."""
        with self._opened() as handle:
            data = self._read(handle, math.prod(self.shape) * self.dtype.itemsize, self._start)
        return np.frombuffer(data, self.dtype).reshape(self.shape).astype(self.dtype.newbyteorder("="))

    def png(self, index: int) -> bytes:
        """The image at `index`, encoded. Raises OSError where its values are no bytes."""
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        if self._handle is None:
            self._handle = self._opened()
        values = np.frombuffer(self._read(self._handle, size, self._start + index * size), self.dtype)
        return png(as_bytes(values).reshape(self.shape[1:]))

    def close(self) -> None:
        """Close the file; the next image opens it again."""
        if self._handle is not None:
            self._handle.close()
        self._handle = None

    def _opened(self) -> IO[bytes]:
        try:
            with self._path.open("rb") as handle:
                zipped = handle.read(2) == b"\x1f\x8b"
            return gzip.open(self._path) if zipped else self._path.open("rb")  # type: ignore[return-value]
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read ({error.strerror}): make it readable") from None

    def _read(self, handle: IO[bytes], count: int, start: int | None = None) -> bytes:
        try:
            if start is not None:
                handle.seek(start)
            data = handle.read(count)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self.name} cannot be read ({error}): fetch the file again") from None
        if len(data) != count:
            raise SourceError(f"{self.name} ends too early: {len(data)} of {count} bytes; fetch the file again")
        return data

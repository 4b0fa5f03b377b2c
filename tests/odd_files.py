"""Image files as no library writes them: PNG and TIFF byte by byte, EXIF with one broken entry, segments of a JPEG."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

EXIF = b"Exif\0\0"
CODES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 11: "f"}


def smooth(seed: int, height: int = 24, width: int = 32, channels: int = 3) -> np.ndarray:
    """A picture of 20 to 235 without grain, which lossy formats hardly change: uint8 (H, W, C)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    planes = [np.asarray(Image.fromarray(coarse[..., k]).resize((width, height))) for k in range(channels)]
    values = np.stack(planes, axis=2).astype(float)
    return np.round(20 + (values - values.min()) / (values.max() - values.min()) * 215).astype(np.uint8)


def saved(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: object) -> bytes:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes, *, sound: bool = True) -> bytes:
    check = zlib.crc32(name + body) ^ (not sound)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def with_chunk(png: bytes, name: bytes, body: bytes, *, sound: bool = True, late: bool = False) -> bytes:
    """A PNG with one more chunk, behind IHDR or before IEND."""
    place = len(png) - 12 if late else 33
    return png[:place] + chunk(name, body, sound=sound) + png[place:]


def png(values: np.ndarray, bits: int, colour: int, before: bytes = b"") -> bytes:
    """A PNG of values (H, W, S), each row without a filter; `before` stands before the pixels."""
    height, width = values.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        places = np.arange(bits - 1, -1, -1)
        rows = [np.packbits((row.reshape(-1, 1).astype(int) >> places) & 1).tobytes() for row in values]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def exif_of(entries: list[tuple[int, int, int, bytes]], order: str = "<", tail: bytes = b"") -> bytes:
    """An EXIF block of entries (tag, type, count, four bytes)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHI4s", *entry) for entry in entries) + bytes(4) + tail


def turned(value: int, order: str = "<") -> tuple[int, int, int, bytes]:
    """The entry of an orientation, as it should be."""
    return (0x0112, 3, 1, struct.pack(order + "H2x", value))


def tiff(values: np.ndarray, photometric: int = 1, order: str = "<", *, planar: int = 1, extra: tuple[int, ...] = (),
         rows: int = 0, tile: int = 0, packed: bool = False, predictor: int = 1,
         tags: dict[int, tuple[int, list | bytes]] | None = None) -> bytes:  # fmt: skip
    """A TIFF of values (H, W, S) of any type; `packed` compresses, `rows` and `tile` cut it into strips or squares."""
    height, width, samples = values.shape
    planes = [values] if planar == 1 else [values[..., k : k + 1] for k in range(samples)]
    step = tile or rows or height
    parts = [_piece(plane, top, left, step, tile or width) for plane in planes for top in range(0, height, step)
             for left in range(0, width, tile or width)]  # fmt: skip
    bodies = [_bytes(part, order, predictor) for part in parts]
    bodies = [zlib.compress(body) if packed else body for body in bodies]
    places = [8 + sum(len(body) + len(body) % 2 for body in bodies[:k]) for k in range(len(bodies))]
    entries: dict[int, tuple[int, list | bytes]] = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [8 * values.itemsize] * samples), 259: (3, [8 if packed else 1]),
        262: (3, [photometric]), 277: (3, [samples]), 284: (3, [planar]), 317: (3, [predictor]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * samples),
        (324 if tile else 273): (4, places), (325 if tile else 279): (4, [len(body) for body in bodies]),
        **({322: (3, [tile]), 323: (3, [tile])} if tile else {278: (4, [step])}),
        **({338: (3, list(extra))} if extra else {}), **(tags or {}),
    }  # fmt: skip
    return _written(entries, b"".join(body + bytes(len(body) % 2) for body in bodies), order)


def _piece(plane: np.ndarray, top: int, left: int, high: int, wide: int) -> np.ndarray:
    part = plane[top : top + high, left : left + wide]
    return part if wide == plane.shape[1] else np.pad(part, ((0, high - len(part)), (0, wide - part.shape[1]), (0, 0)))


def _bytes(part: np.ndarray, order: str, predictor: int) -> bytes:
    if predictor == 2:
        part = part.copy()
        part[:, 1:] -= part[:, :-1].copy()
    if predictor == 3:
        size, samples = part.itemsize, part.shape[2]
        heavy = part.astype(part.dtype.newbyteorder(">")).view(np.uint8).reshape(len(part), -1, size)
        flat = heavy.swapaxes(1, 2).reshape(len(part), -1)
        flat[:, samples:] -= flat[:, :-samples].copy()
        return flat.tobytes()
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def _written(entries: dict[int, tuple[int, list | bytes]], body: bytes, order: str) -> bytes:
    table = b""
    for tag, (kind, values) in sorted(entries.items()):
        count = len(values) // (2 if kind == 5 else 1)
        raw = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{CODES[kind]}", *values)
        if len(raw) > 4:
            place = 8 + len(body)
            body += raw + bytes(len(raw) % 2)
            raw = struct.pack(order + "I", place)
        table += struct.pack(order + "HHI4s", tag, kind, count, raw)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(body))
    return head + body + struct.pack(order + "H", len(entries)) + table + bytes(4)

"""Hostile sources through ingest, measure and curate: none crashes, none is lost, none is read outside.

Every case lies among twelve good images, which have to stay. A case says what becomes of its own rows: `KEPT`, or
the reason for which they are quarantined.
"""

import io
import os
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aigc_core.data.sources import base, open_source
from aigc_core.data.store import Version
from aigc_core.errors import SourceError
from aigc_core.records import row_id
from aigc_core.stages import ingest as ingest_stage
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

KEPT = "kept"
CORRUPT = "corrupt"
GOOD = 12


def journey(make, kind, path, **source):
    """What became of every row, by key: KEPT or its reasons. Every row that was read is in one of the two."""
    config = make.config(kind, path, quality={"max_quarantined_share": 1.0}, **source)
    paths = make.paths()
    read = int(ingest(config, paths).metrics["rows"])
    measure(config, paths)
    curate(config, paths)
    kept = Version.open(paths.curated).rows["source"].to_pylist()
    quarantined = pq.read_table(paths.quarantine / "part-0.parquet").to_pylist()
    assert len(kept) + len(quarantined) == read
    fate = dict.fromkeys(kept, KEPT) | {row["source"]: row["reasons"] for row in quarantined}
    assert len(fate) == read, "no row is counted twice"
    assert fate.keys() == set(Version.open(paths.ingested).rows["source"].to_pylist())
    return fate


def good(make):
    return {f"good{i:02}.png": make.png(1000 + i) for i in range(GOOD)}


def check(fate, expected):
    for key, outcome in expected.items():
        assert fate[key] == KEPT if outcome == KEPT else outcome in fate[key], f"{key}: {fate[key]}"
    others = [outcome for key, outcome in fate.items() if key not in expected]
    assert others == [KEPT] * GOOD


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture(make, seed=1, mode="RGB", side=12):
    return Image.fromarray(make.pixels(seed, side)).convert(mode)


def png_of(width, height, idat):
    """A PNG that says it is this large, with whatever image data."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def sixteen_bits(make):
    wide = np.random.default_rng(3).integers(0, 65536, (12, 12)).astype(np.uint16)
    return saved(Image.fromarray(wide), "PNG")


def transparent_palette(make):
    return saved(picture(make).quantize(16), "PNG", transparency=3)


def rotated(make):
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(picture(make, side=16).crop((0, 0, 16, 12)), "JPEG", exif=exif, quality=95)


def animated(make, kind):
    frames = [picture(make, seed) for seed in (1, 2, 3)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


def bomb_in_text(make):
    """A PNG whose text unpacks to far more than the file holds; its pixels are whole, and the text is never unpacked."""
    content = make.png(5)
    body = b"Comment\0\0" + zlib.compress(bytes(80 << 20))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return content[:33] + chunk + content[33:]


def not_finite(make):
    return saved(Image.fromarray(np.full((12, 12), np.nan, np.float32)), "TIFF")


#: One file each: its name, its bytes, what becomes of it.
FILES = {
    "decompression bomb": ("bomb.png", lambda make: png_of(12000, 12000, zlib.compress(bytes(1 << 20))), CORRUPT),
    "bomb beyond Pillow's own limit": ("bomb.png", lambda make: png_of(60000, 60000, zlib.compress(bytes(9))), CORRUPT),
    "bomb in a text chunk": ("text.png", bomb_in_text, KEPT),
    "30,000 x 1": ("line.png", lambda make: saved(Image.effect_noise((30000, 1), 90), "PNG"), "too_small"),
    "16 bits": ("wide.png", sixteen_bits, KEPT),
    "palette with transparency": ("palette.png", transparent_palette, KEPT),
    "CMYK JPEG": ("print.jpg", lambda make: saved(picture(make, 1, "CMYK"), "JPEG", quality=95), KEPT),
    "EXIF rotation": ("phone.jpg", rotated, KEPT),
    "animated GIF": ("moving.gif", lambda make: animated(make, "GIF"), KEPT),
    "animated WebP": ("moving.webp", lambda make: animated(make, "WEBP"), KEPT),
    "SVG named .png": ("drawing.png", lambda make: b"<svg xmlns='http://www.w3.org/2000/svg'/>", CORRUPT),
    "truncated": ("half.png", lambda make: make.png(5)[:200], CORRUPT),
    "zero bytes": ("empty.png", lambda make: b"", CORRUPT),
    "pixels that are not finite": ("nan.tiff", not_finite, CORRUPT),
    "EPS, which Ghostscript would run": (
        "run.png",
        lambda make: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        CORRUPT,
    ),
    "zip called an image": ("inner.png", lambda make: make.zip({"a.png": make.png(1)}, "i.zip").read_bytes(), CORRUPT),
    "name in Chinese with spaces and emoji": ("图 片/我的 猫 🐈.png", lambda make: make.png(5), KEPT),
    "name of 200 letters and a quote": (f"it's{'n' * 200}.png", lambda make: make.png(5), KEPT),
    "name with a line break": ("two\nlines.png", lambda make: make.png(5), KEPT),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_one_hostile_file(make, case, packed):
    name, build, outcome = FILES[case]
    files = {**good(make), name: build(make)}
    path = make.zip(files) if packed else make.folder(files)
    check(journey(make, "folder", path), {name: outcome})


def test_what_decoding_normalised_is_noted(make):
    files = {**good(make), **{FILES[case][0]: FILES[case][1](make) for case in FILES if FILES[case][2] == KEPT}}
    journey(make, "folder", make.folder(files))
    notes = {row["source"]: row["note"] for row in Version.open(make.paths().ingested).rows.to_pylist()}
    assert notes["text.png"] == "metadata that cannot be read ignored"
    assert notes["wide.png"] == "mode I;16 scaled to 8 bits"
    assert notes["palette.png"] == "mode P read as RGBA"
    assert notes["print.jpg"] == "mode CMYK read as RGB"
    assert notes["phone.jpg"] == "EXIF orientation 6 applied"
    assert notes["moving.webp"].startswith("first of 3 frames")
    assert notes["moving.gif"].startswith("first of 3 frames")


def test_links_pipes_and_loops_in_a_folder(make):
    outside = make.folder({"secret.png": make.png(5)}, "outside")
    path = make.folder(good(make))
    (path / "leaves.png").symlink_to(outside / "secret.png")
    (path / "away").symlink_to(outside)
    (path / "nowhere.png").symlink_to(path / "gone.png")
    (path / "loop.png").symlink_to(path / "loop.png")
    (path / "round").symlink_to(path)
    os.mkfifo(path / "pipe.png")
    fate = journey(make, "folder", path)
    check(fate, dict.fromkeys(["leaves.png", "away", "nowhere.png", "loop.png", "pipe.png"], CORRUPT))
    assert make.png(5) not in [content for _, content in Version.open(make.paths().ingested).contents()]


def test_a_name_that_is_no_text(make):
    path = make.folder(good(make))
    (Path(os.fsdecode(os.fsencode(path) + b"/\xff\xfe.png"))).write_bytes(make.png(5))
    (path / "\\udcff\\udcfe.png").write_bytes(make.png(6))
    fate = journey(make, "folder", path)
    assert list(fate.values()) == [KEPT] * (GOOD + 2)


def test_zip_that_climbs_repeats_and_hides(make):
    path = make.zip({**good(make), "../up.png": make.png(5), "/root.png": make.png(6), "c:\\..\\w.png": make.png(7)})
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the name stands twice is the case
        archive.writestr("twice.png", make.png(8))
        archive.writestr("twice.png", make.png(9))
        archive.writestr("inner.zip", make.zip({"deep.png": make.png(4)}, "deep.zip").read_bytes())
    before = sorted(make.root.rglob("*.png"))
    fate = journey(make, "folder", path)
    assert "inner.zip" not in fate, "an archive inside is left out, and counted"
    bad = dict.fromkeys(["../up.png", "/root.png", "c:\\..\\w.png"], CORRUPT)
    check(fate, {**bad, "twice.png": KEPT, "twice.png#2": KEPT})
    assert sorted(make.root.rglob("*.png")) == before, "nothing is unpacked"


def test_a_member_that_is_too_large_is_not_unpacked(make, monkeypatch):
    from aigc_core.data.sources import archives, folder

    for module in (archives, folder, base):
        monkeypatch.setattr(module, "MAX_BYTES", 5000)
    files = {**good(make), "huge.png": bytes(5001)}
    check(journey(make, "folder", make.zip(files)), {"huge.png": CORRUPT})
    check(journey(make, "folder", make.folder(files)), {"huge.png": CORRUPT})


def test_a_bomb_in_a_zip_is_not_unpacked(make):
    path = make.zip(good(make))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bmp", bytes(20 << 20))
    check(journey(make, "folder", path), {"bomb.bmp": CORRUPT})
    content = dict(Version.open(make.paths().ingested).contents())[row_id("bomb.bmp")]
    assert content is None


def test_a_zip_with_a_password(make):
    path = make.zip({**good(make), "secret.png": make.png(5)})
    raw = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.rindex(signature) + flags] |= 1
    path.write_bytes(raw)
    check(journey(make, "folder", path), {"secret.png": CORRUPT})


def test_a_zip_with_a_method_that_nobody_knows(make):
    path = make.zip({**good(make), "strange.png": make.png(5)})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\1\2") + 10
    raw[at : at + 2] = struct.pack("<H", 97)
    path.write_bytes(raw)
    check(journey(make, "folder", path), {"strange.png": CORRUPT})


def test_a_zip_whose_directory_leads_before_its_start(make):
    path = make.zip(good(make))
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\5\6") + 16
    raw[at : at + 4] = struct.pack("<I", struct.unpack("<I", raw[at : at + 4])[0] + 10)
    path.write_bytes(raw)
    found = list(open_source("folder", path, None, 0).items())
    assert len(found) == GOOD
    assert all(content is None and reason.startswith("cannot be read") for _, content, reason in found)


def test_a_zip_with_a_damaged_name_before_the_bytes(make):
    path = make.zip({**good(make), "\u00e9.png": make.png(5)})
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xc3\x00", 1))
    check(journey(make, "folder", path), {"\u00e9.png": CORRUPT})


def test_a_zip_of_a_version_that_nobody_knows(make):
    path = make.zip(good(make))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 6] = 99
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=r"zip file version 9\.9"):
        ingest(make.config("folder", path), make.paths())


def test_a_zip_with_a_member_without_a_name(make):
    path = make.zip({**good(make), "_.png": make.png(5)})
    path.write_bytes(path.read_bytes().replace(b"_.png", b"\0.png"))  # a name ends at its first zero
    check(journey(make, "folder", path), {"member without a name": KEPT})


@pytest.mark.parametrize("size", [-512, -5000])
def test_tar_whose_headers_lead_backwards(make, size):
    member = tarfile.TarInfo("a.png")
    member.size = size
    path = make.root / "bad.tar"
    path.write_bytes(tarfile.TarInfo("b.png").tobuf() + member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(SourceError, match="neither a folder nor a readable"):
        ingest(make.config("folder", path), make.paths())


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_with_links_devices_and_climbers(make, mode):
    path = make.root / "images.tar"
    with tarfile.open(path, mode) as archive:

        def add(name, content=b"", kind=tarfile.REGTYPE, target=""):
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, target
            archive.addfile(member, io.BytesIO(content))

        for name, content in good(make).items():
            add(name, content)
        add("../up.png", make.png(5))
        add("/root.png", make.png(6))
        add("soft.png", kind=tarfile.SYMTYPE, target="/etc/hostname")
        add("hard.png", kind=tarfile.LNKTYPE, target="good00.png")
        add("device.png", kind=tarfile.CHRTYPE)
        add("pipe.png", kind=tarfile.FIFOTYPE)
        add("folder.png", kind=tarfile.DIRTYPE)
        add("图 🐈.png", make.png(7))
    bad = ["../up.png", "/root.png", "soft.png", "hard.png", "device.png", "pipe.png"]
    check(journey(make, "folder", path), {**dict.fromkeys(bad, CORRUPT), "图 🐈.png": KEPT})
    notes = {row["source"]: row["note"] for row in Version.open(make.paths().ingested).rows.to_pylist()}
    assert notes["hard.png"] == notes["soft.png"] == "a link inside an archive is not followed"
    assert notes["device.png"] == notes["pipe.png"] == "not a plain file"
    assert notes["../up.png"] == notes["/root.png"] == "its name climbs out of the archive"


def test_parquet_with_nulls_and_paths_in_the_image_column(make):
    cells = [{"bytes": content, "path": None} for content in good(make).values()]
    cells += [None, {"bytes": None, "path": "/etc/hostname"}, {"bytes": b"no image", "path": "a.png"}]
    column = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": column}), make.root / "x.parquet")
    fate = journey(make, "parquet", make.root / "x.parquet")
    check(fate, {f"x.parquet#{GOOD + i}": CORRUPT for i in range(3)})


def after_listing(monkeypatch, act):
    """Runs `act` once the source is listed and before it is read."""
    original = ingest_stage.open_source

    def open_then_act(*arguments):
        source = original(*arguments)
        act()
        return source

    monkeypatch.setattr(ingest_stage, "open_source", open_then_act)


def test_files_that_vanish_or_are_swapped_after_listing(make, monkeypatch):
    secret = make.folder({"secret.png": make.png(5)}, "outside") / "secret.png"
    path = make.folder({**good(make), "vanishes.png": make.png(6), "swapped.png": make.png(7)})

    def act():
        (path / "vanishes.png").unlink()
        (path / "swapped.png").unlink()
        (path / "swapped.png").symlink_to(secret)

    after_listing(monkeypatch, act)
    check(journey(make, "folder", path), {"vanishes.png": CORRUPT, "swapped.png": CORRUPT})
    assert secret.read_bytes() not in [content for _, content in Version.open(make.paths().ingested).contents()]


def test_a_file_without_permission(make, monkeypatch):
    path = make.folder({**good(make), "private.png": make.png(6)})
    original = Path.read_bytes

    def read_bytes(self):
        if self.name == "private.png":  # chmod would not stop root
            raise PermissionError(13, "Permission denied", str(self))
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    check(journey(make, "folder", path), {"private.png": CORRUPT})
    notes = {row["source"]: row["note"] for row in Version.open(make.paths().ingested).rows.to_pylist()}
    assert notes["private.png"] == "cannot be read: Permission denied"


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_folders_without_permission(make, monkeypatch, kind):
    path = make.folder({**good(make), "private/1.png": make.png(6)})
    original, denied = os.scandir, path / "private"

    def scandir(folder):
        if folder in (denied, str(denied)):  # chmod would not stop root
            raise PermissionError(13, "Permission denied", str(folder))
        return original(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    if kind == "folder":
        check(journey(make, kind, path), {"private": CORRUPT})
    denied = path
    with pytest.raises(SourceError, match="cannot be listed: Permission denied"):
        ingest(make.config(kind, path), make.paths())


def test_five_thousand_tiny_files_in_one_folder(make):
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 8, 8, 3), dtype=np.uint8)
    path = make.folder({f"{i:04}.ppm": saved(Image.fromarray(tile), "PPM") for i, tile in enumerate(pixels)})
    (path / "0777.ppm").write_bytes(b"P6")
    fate = journey(make, "folder", path)
    assert len(fate) == 5000
    assert CORRUPT in fate["0777.ppm"]
    assert list(fate.values()).count(KEPT) == 4999


@pytest.mark.parametrize("sheet", [{"width": 12, "height": 12}, {"width": 8, "height": 12}])
def test_sheets_with_a_bad_one_among_them(make, sheet):
    canvas = Image.fromarray(make.pixels(9, 24))
    path = make.folder({"a.png": saved(canvas, "PNG"), "b.png": make.png(8, 24), "c.png": make.png(1)[:90]})
    config = make.config("folder", path).source.model_dump() | {"sheet": sheet}
    fate = journey(make, "folder", path, source=config)
    assert CORRUPT in fate.pop("c.png")
    assert len(fate) == 2 * (24 // sheet["width"]) * 2
    assert set(fate.values()) == {KEPT}


def idx_folder(make, folder):
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 20), ("t10k", 10)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        pixels[3] = 9  # a blank one
        make.idx(f"{prefix}-images-idx3-ubyte", pixels, folder=folder)
        make.idx(f"{prefix}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 2, folder=folder)
    return make.root / folder


def idx_source(make):
    return {"kind": "idx", "path": str(idx_folder(make, "idx"))}, 30, 2


def torchvision_source(make):
    idx_folder(make, "root/MNIST/raw")
    return {"kind": "torchvision", "path": str(make.root / "root"), "name": "MNIST"}, 30, 2


def cells(make):
    return [{"bytes": content, "path": None} for content in [*good(make).values(), make.png(1)[:70], None]]


def hf_source(make):
    features = datasets.Features({"image": datasets.Image()})
    held = [{**cell, "bytes": cell["bytes"] or b""} for cell in cells(make)]  # it refuses to write a null itself
    datasets.Dataset.from_dict({"image": held}, features=features).save_to_disk(make.root / "saved")
    return {"kind": "hf", "path": str(make.root / "saved")}, GOOD + 2, 2


def stream_source(make):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (make.root / "hub").mkdir()
    pq.write_table(pa.table({"image": pa.array(cells(make), kind)}), make.root / "hub/train-0.parquet")
    return {"kind": "hf", "name": str(make.root / "hub")}, GOOD + 2, 2


def mix_source(make):
    make.folder({**good(make), "bad.png": b"no"}, "all/files")
    idx_folder(make, "all/idx")
    parts = [{"kind": "folder", "path": "files"}, {"kind": "idx", "path": "idx", "weight": 0.5, "label": "digit"}]
    return {"kind": "mix", "path": str(make.root / "all"), "sources": parts}, GOOD + 1 + 15, None


@pytest.mark.parametrize("build", [idx_source, torchvision_source, hf_source, stream_source, mix_source])
def test_every_other_kind_adds_up(make, build):
    source, rows, bad = build(make)
    fate = journey(make, None, None, source=source)
    assert len(fate) == rows
    condemned = [key for key, outcome in fate.items() if outcome != KEPT]
    assert len(condemned) == bad if bad is not None else "files/bad.png" in condemned

"""What bytes are that are no image that can be read, by how they begin, and what to do about it."""

from __future__ import annotations

import functools
import importlib
import re

from PIL import Image

from aigc_core.modalities.decoding import tiff as tags
from aigc_core.modalities.decoding.tiff import Tiff

#: Brands of ISO media files (bytes 8 to 12, after "ftyp").
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"})
STILL_BRANDS = HEIC_BRANDS | {b"avif", b"avis"}
JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
#: Optional packages that teach Pillow a format: the module, what it calls the format, and the function that registers it.
PLUGINS = {"HEIC": ("pillow_heif", "HEIF", "register_heif_opener"), "JPEG XL": ("pillow_jxl", "JXL", "")}

RAW = "a camera raw file ({}): develop it to JPEG, PNG or TIFF"
VIDEO = "a video ({}): write its frames as images"
ARCHIVE = "an archive or container ({}): unpack it, or name it as the source"
DRAWING = "a vector drawing ({}): export it as PNG"
DATA = "a data file ({}): write its images as PNG or TIFF"
TEXT = "a text file ({}), not an image: was the download refused?"
#: Beginnings of files, and what to say of them; the first that fits.
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file: run git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, not the file: run git annex get"),
    (b"FUJIFILMCCD-RAW", RAW.format("RAF")),
    (b"IIRO", RAW.format("ORF")), (b"IIRS", RAW.format("ORF")), (b"MMOR", RAW.format("ORF")),
    (b"IIU\0", RAW.format("RW2")), (b"FOVb", RAW.format("X3F")), (b"\0MRM", RAW.format("MRW")),
    (b"\x1aE\xdf\xa3", VIDEO.format("Matroska or WebM")), (b"OggS", VIDEO.format("Ogg")), (b"FLV\1", VIDEO.format("FLV")),
    (b"\0\0\1\xba", VIDEO.format("MPEG")), (b"\0\0\1\xb3", VIDEO.format("MPEG")), (b"\x30\x26\xb2\x75", VIDEO.format("WMV")),
    (b"PK\3\4", ARCHIVE.format("zip")), (b"PK\5\6", ARCHIVE.format("zip")), (b"\x1f\x8b", ARCHIVE.format("gzip")),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE.format("7z")), (b"Rar!", ARCHIVE.format("rar")), (b"BZh", ARCHIVE.format("bzip2")),
    (b"\xfd7zXZ\0", ARCHIVE.format("xz")), (b"\x28\xb5\x2f\xfd", ARCHIVE.format("Zstandard")),
    (b"%PDF-", DRAWING.format("PDF")), (b"%!PS", DRAWING.format("PostScript or EPS")), (b"\xc5\xd0\xd3\xc6", DRAWING.format("EPS")),
    (b"\xd7\xcd\xc6\x9a", DRAWING.format("WMF")), (b"\1\0\0\0l\0\0\0", DRAWING.format("EMF")),
    (b"\x93NUMPY", DATA.format("NumPy array")), (b"\x89HDF\r\n", DATA.format("HDF5")), (b"PAR1", DATA.format("Parquet")),
    (b"SIMPLE  =", DATA.format("FITS")), (b"\x76\x2f\x31\x01", DATA.format("OpenEXR")), (b"#?RADIANCE", DATA.format("Radiance HDR")),
    (b"#?RGBE", DATA.format("Radiance HDR")), (b"PF\n", DATA.format("colour PFM")), (b"MATLAB 5.0", DATA.format("MATLAB")),
    (b"GRIB", DATA.format("GRIB")), (b"BUFR", DATA.format("BUFR")), (b"ARROW1", DATA.format("Arrow")),
    (b"gimp xcf", "a GIMP project: export it as PNG"), (b"\0\5\x16\7", "notes of macOS on another file (AppleDouble)"),
    (b"Obj\1", DATA.format("Avro")), (b"\x80\2", DATA.format("pickle")), (b"\x80\4", DATA.format("pickle")), (b"\x80\5", DATA.format("pickle")),
)  # fmt: skip
#: Beginnings of the usual images.
IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
)
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_PAGE = re.compile(rb"<(!doctype html|html|head|body)[\s>]", re.IGNORECASE)


def reason(content: bytes) -> str | None:
    """What bytes are that are no image, and what to do, in one phrase; None where nothing is known of them."""
    for beginning, words in BEGINNINGS:
        if content.startswith(beginning):
            return words
    return _media(content) or _text(content) or _elsewhere(content)


def _media(content: bytes) -> str | None:
    kind = plugin(content)
    if kind is not None:
        module = PLUGINS[kind][0].replace("_", "-")
        package = f"{module}-plugin" if kind == "JPEG XL" else module
        return f"{kind}: install {package} into this environment, or convert the files to JPEG or PNG"
    if content[4:8] == b"ftyp":
        if content[8:12] in STILL_BRANDS:
            return "AVIF that is damaged, or that this Pillow cannot read: convert the files to JPEG or PNG"
        return RAW.format("CR3") if content[8:12] == b"crx " else VIDEO.format("MP4 or QuickTime")
    if content[:4] == b"RIFF" and content[8:12] == b"AVI ":
        return VIDEO.format("AVI")
    return None


def _text(content: bytes) -> str | None:
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if _SVG.search(start) and start.startswith(b"<"):
        return DRAWING.format("SVG")
    if _PAGE.match(start) or (start.startswith(b"<") and _PAGE.search(start)):
        return TEXT.format("HTML page")
    if start.startswith(b"<?xml"):
        return TEXT.format("XML")
    if start[:1] in (b"{", b"[") and start.isascii():
        return TEXT.format("JSON")
    return None


def _elsewhere(content: bytes) -> str | None:
    """What is known by another place than the first bytes, or by nothing being there."""
    if content[128:132] == b"DICM":
        return DATA.format("DICOM")
    if content[12:16] == b"CgBI":
        return "a PNG in the form that Apple's tools write for iPhones (CgBI): convert it with `pngcrush -revert-iphone-optimizations`"
    if content[257:262] == b"ustar":
        return ARCHIVE.format("tar")
    if not content.strip(b"\0"):
        return "nothing but zeros: was the download or the copy broken off?"
    return None


def damaged(content: bytes) -> str | None:
    """Which image the bytes begin as that no reader can open: a layout that none knows, or a header that is broken."""
    found = tags.read(content)
    if found is not None and found.entries:
        bits = "+".join(f"{value:g}" for value in found.numbers(tags.BITS)[:8]) or "1"
        kind = {2: "signed ", 3: "float "}.get(found.whole(tags.SAMPLE_FORMAT, 1), "")
        return (
            f"a TIFF that cannot be read ({kind}{bits} bits, photometric {found.whole(tags.PHOTOMETRIC, 0)}, "
            f"compression {found.whole(tags.COMPRESSION, 1)}): write it with 8 or 16 bits"
        )
    name = "TIFF" if found else "WebP" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None
    name = name or next((name for beginning, name in IMAGES if content.startswith(beginning)), None)
    return f"a damaged {name}: its header cannot be read" if name else None


def camera_raw(tiff: Tiff) -> str | None:
    """The reason why a TIFF is refused whose first directory holds no more than the preview of a raw photograph."""
    if tags.DNG_VERSION in tiff.entries:
        return RAW.format("DNG")
    if tiff.content[8:10] == b"CR":
        return RAW.format("CR2")
    preview = tiff.whole(tags.SUBFILE, 0) & 1 and tags.SUB_IFDS in tiff.entries
    return RAW.format("NEF, ARW or another") if preview else None


def plugin(content: bytes) -> str | None:
    """The format that an optional package reads, by its key in PLUGINS."""
    if content.startswith(JPEG_XL):
        return "JPEG XL"
    if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS and b"avif" not in content[16:64]:
        return "HEIC"
    return None


@functools.cache
def registered(kind: str) -> str | None:
    """Pillow's name for a format of PLUGINS, if the package that reads it is installed and willing; asked once a process."""
    module, name, function = PLUGINS[kind]
    try:
        package = importlib.import_module(module)
        if function:
            getattr(package, function)()
    except Exception:  # whatever a foreign package does on import, this one then reads without it
        return None
    return name if name in Image.OPEN else None

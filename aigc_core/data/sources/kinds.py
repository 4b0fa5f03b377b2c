"""Which files of a folder are rows, which say something of rows, and which are neither."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from PIL import Image

from aigc_core.modalities.decoding.foreign import JPEG_XL, STILL_BRANDS

#: Folders and files that operating systems and tools leave behind, in small letters.
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"})
HIDDEN, NOTE, OTHER = "hidden", "text without a suffix", "odd suffix"
_WORD = re.compile(r"\.[a-z_-]{1,12}")
#: Texts that accompany data sets, with any suffix that is not an image's or with none.
NOTES = frozenset(
    {"readme", "license", "licence", "copying", "citation", "changelog", "notice", "authors", "contributors", "manifest",
     "makefile", "dockerfile"}
)  # fmt: skip
#: What files of other suffixes are, in a word.
GROUPS: dict[str, tuple[str, ...]] = {
    "tables": (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".feather"),
    "texts": (
        ".txt", ".text", ".md", ".json", ".html", ".htm", ".pdf", ".xml", ".yaml", ".yml", ".py", ".caption", ".prompt", ".cls",
        ".rst", ".tex", ".bib", ".cff", ".cfg", ".conf", ".toml", ".css", ".js", ".ts", ".ipynb", ".sh", ".bat", ".cmd", ".ps1",
        ".m", ".r", ".c", ".h", ".cpp", ".java", ".names", ".list", ".lst", ".log", ".srt", ".vtt", ".xmp", ".aae", ".pp3",
        ".nfo", ".md5", ".sha1", ".sha256", ".sig", ".asc", ".ini", ".eml",
    ),
    "videos": (
        ".mp4", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".m4v", ".mpg", ".mpeg", ".3gp", ".mts", ".m2ts", ".ogv", ".vob",
    ),
    "sounds": (
        ".mp3", ".wav", ".flac", ".ogg", ".m4a", ".aac", ".wma", ".opus", ".aif", ".aiff", ".mid", ".midi",
    ),
    "archives": (
        ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".rar", ".7z", ".zst", ".lz4", ".iso", ".dmg", ".cab",
    ),
    "arrays and weights": (
        ".npy", ".npz", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".h5", ".hdf5", ".hdf", ".pkl", ".pickle", ".joblib",
        ".mat", ".tfrecord", ".tfrecords", ".pb", ".tflite", ".gguf", ".lmdb", ".mdb",
    ),
    "office files": (
        ".doc", ".docx", ".xls", ".xlsx", ".xlsm", ".ppt", ".pptx", ".odt", ".ods", ".odp", ".rtf", ".pages", ".numbers", ".key",
    ),
    "databases and links": (".db", ".sqlite", ".sqlite3", ".lnk", ".url", ".webloc"),
}  # fmt: skip
GROUP_OF = {suffix: group for group, suffixes in GROUPS.items() for suffix in suffixes}
ARCHIVES = frozenset(GROUPS["archives"])
#: Those that no reader opens, and those of them that are read after all where they pack a .tar.
PACKED = ARCHIVES - {".zip", ".tar", ".gz", ".tgz", ".tbz2", ".txz"}
TAR_READ = frozenset({".bz2", ".xz"})
PARQUET = frozenset({".parquet", ".pq"})
#: The same of files that may turn out to be images.
WORDS = {
    **GROUP_OF,
    **dict.fromkeys(
        (".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".aria2"), "unfinished downloads"
    ),
    HIDDEN: "hidden and system files",
    NOTE: "texts",
    OTHER: "others",
}
#: Files of these suffixes are rows, whatever their bytes are: what cannot be decoded is quarantined with its reason.
IMAGES = frozenset(
    (
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm",
        ".pbm", ".pnm", ".pfm", ".tga", ".icb", ".vda", ".vst", ".ico", ".cur", ".icns", ".psd", ".dds", ".pcx", ".dcx", ".sgi",
        ".rgb", ".rgba", ".bw", ".xbm", ".xpm", ".jp2", ".j2k", ".jpx", ".jpc", ".jpf", ".j2c", ".avif", ".avifs", ".heic",
        ".heif", ".hif", ".jxl", ".mpo", ".fits", ".fit", ".ras", ".msp", ".im", ".blp", ".ftu", ".ftc", ".gbr", ".pcd", ".pxr",
        ".qoi", ".svg", ".eps", ".ps", ".emf", ".wmf", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf",
    )
)  # fmt: skip
#: Tables by suffix, and files that stand beside one image and say something of it.
TABLES = PARQUET | {".csv", ".tsv", ".jsonl", ".ndjson", ".json"}
BESIDE = frozenset({".txt", ".text", ".caption", ".prompt", ".cls", ".json"})
#: Bytes that say what a file is, and readers of Pillow that find a start but no picture of their own.
START_BYTES = 32
STUBS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})


@dataclass
class Sorted:
    """The files of a source by what they are for."""

    rows: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)  # may be tables that name rows
    beside: list[str] = field(default_factory=list)  # may stand beside a row of the same name
    skipped: Counter[str] = field(default_factory=Counter)  # files that are neither, by suffix
    archives: list[str] = field(default_factory=list)  # of the skipped ones


def sort_out(names: Iterable[str], refused: Iterable[str], start: Callable[[str], bytes]) -> Sorted:
    """Sort files by their names; of one with an unknown suffix, `start` gives the first bytes to see if it may be an image.

    A file without a suffix and one whose bytes may not be read stay rows. A .json file may be a table, or stand beside an
    image.
    """
    found, closed = Sorted(), set(refused)
    for name in names:
        if is_hidden(name):
            found.skipped[HIDDEN] += 1
            continue
        suffix = suffix_of(name)
        if suffix in IMAGES or (not suffix and not _is_note(name)):
            found.rows.append(name)
        elif suffix in TABLES or suffix in BESIDE:
            found.tables += [name] if suffix in TABLES else []
            found.beside += [name] if suffix in BESIDE else []
        elif suffix not in GROUP_OF and not _is_note(name) and (name in closed or may_be_image(_begin(start, name))):
            found.rows.append(name)
        else:
            found.skipped[_counted_as(suffix)] += 1
            found.archives += [name] if suffix in ARCHIVES else []
    return found


def is_hidden(name: str) -> bool:
    """Whether a file or one of its folders is hidden, or made by a system for itself."""
    parts = name.split("/")
    if any(part[:1] == "." and part != ".." for part in parts):
        return True
    return parts[-1].casefold() in SYSTEM_FILES or not SYSTEM_FOLDERS.isdisjoint(part.casefold() for part in parts)


def suffix_of(name: str) -> str:
    """The suffix in small letters, without blanks; "" where there is none."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.strip().lower()}" if dot and stem and suffix.strip() else ""


def _counted_as(suffix: str) -> str:
    """The suffix, where it is one; numbers and long endings would be counted one by one."""
    if not suffix:
        return NOTE
    return suffix if suffix in WORDS or _WORD.fullmatch(suffix) else OTHER


def _is_note(name: str) -> bool:
    return name.rpartition("/")[2].partition(".")[0].casefold() in NOTES


def _begin(start: Callable[[str], bytes], name: str) -> bytes:
    try:
        return start(name)
    except OSError:
        return b""


def may_be_image(start: bytes) -> bool:
    """Whether a file that begins like this may be an image, also of a kind that Pillow alone does not read."""
    return may_be_plugins(start) or bool(pillow_formats(start))


def may_be_plugins(start: bytes) -> bool:
    """Whether a file that begins like this may be an image of a kind that optional packages or some builds of Pillow read."""
    return start.startswith(JPEG_XL) or (start[4:8] == b"ftyp" and start[8:12] in STILL_BRANDS)


def pillow_formats(start: bytes) -> tuple[str, ...]:
    """The formats that Pillow reads in which a file may be that begins like this; no other media than images."""
    Image.init()
    start = start.ljust(START_BYTES, b"\0")
    return tuple(name for name, (_, accepts) in Image.OPEN.items() if accepts and name not in STUBS and accepts(start))

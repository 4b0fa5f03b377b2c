"""Archives read in place, never unpacked: members by name, those that may not be read, and how to read the rest."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from aigc_core.data.sources.base import MAX_BYTES
from aigc_core.data.sources.kinds import START_BYTES
from aigc_core.data.sources.other_kind import advice
from aigc_core.errors import SourceError

#: A large member that unpacks to more times its packed size is a bomb: images hardly shrink in an archive.
MAX_RATIO = 200
BOMB_BYTES = 16 << 20
#: Stands for a member whose name is empty.
NAMELESS = "member without a name"
#: A bit of a zip member that says that its name is in UTF-8.
UTF8_FLAG = 0x800
#: What damaged compressed bytes raise.
DAMAGE = (zlib.error, lzma.LZMAError, struct.error, EOFError)


@dataclass(frozen=True)
class Files:
    """Files by name. `order` sorts names into the order in which reading them is one pass."""

    names: list[str]
    refused: dict[str, str]  # name -> why its bytes may not be read
    read: Callable[[str], bytes]
    start: Callable[[str], bytes]  # the first START_BYTES of a file, or fewer
    order: Callable[[str], int | str]
    close: Callable[[], None]
    empty: list[str] = field(default_factory=list)  # folders with nothing in them
    guessed: list[str] = field(default_factory=list)  # names whose letters the archive does not tell


class Names:
    """Makes names unique and printable: a name that stands twice is told apart by `#2`."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def take(self, name: str) -> str:
        """The name as a key: bytes that are no text become escapes."""
        printable = name.encode("utf-8", "backslashreplace").decode()
        self._times[printable] += 1
        count = self._times[printable]
        return printable if count == 1 else self.take(f"{printable}#{count}")


def open_archive(path: Path) -> Files:
    """Open a .zip or a .tar, by what its bytes are. Raises SourceError for anything else."""
    try:
        with path.open("rb") as handle:
            start = handle.read(2)
        if start != b"PK" and tarfile.is_tarfile(path):
            return _open_tar(path)
        return _open_zip(path)
    # RuntimeError: a directory of a zip version that zipfile does not know, or links upon links. The others are damage
    # that the two modules do not translate.
    except (zipfile.BadZipFile, tarfile.TarError, RuntimeError, OSError, ValueError, OverflowError, *DAMAGE) as error:
        raise SourceError(
            f"source.path {str(path)!r} is neither a folder nor a readable .zip or .tar ({error}): {_instead(path)}"
        ) from None


def _instead(path: Path) -> str:
    """What to do about a file that is no archive."""
    try:
        with path.open("rb") as handle:
            found = stand_in(handle.read(START_BYTES))
    except OSError:
        found = None
    return found or advice(path, "folder") or "fetch it again"


def stand_in(start: bytes) -> str | None:
    """What lies in a file's place, by how it begins, and what to do; null where nothing is known."""
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer instead of the file: run `git lfs pull`"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page instead of the file, as a failed download leaves it: fetch it again"
    return None


def _climbs(name: str) -> bool:
    """Whether a name leads out of the archive; a backslash is a separator as well."""
    if ".." not in name and "\\" not in name and name[:1] != "/" and name[1:2] != ":":
        return False
    posix = PurePosixPath(name.replace("\\", "/"))
    return posix.is_absolute() or ".." in posix.parts or bool(re.match(r"[A-Za-z]:[\\/]", name))


def _refusal(name: str, size: int, packed: int) -> str | None:
    if _climbs(name):
        return "its name climbs out of the archive"
    if size > MAX_BYTES:
        return f"unpacks to more than {MAX_BYTES:,} bytes"
    if size > max(BOMB_BYTES, MAX_RATIO * packed):
        return f"{packed:,} bytes that unpack to {size:,}: a decompression bomb"
    return None


def _below(name: str) -> str:
    """A member's name as a path below the archive; one that climbs out stays as it is."""
    plain = "//" not in name and "./" not in name and not name.endswith("/")
    return name if plain or _climbs(name) else str(PurePosixPath(name))


def _empty(folders: Iterable[str], files: Iterable[str]) -> list[str]:
    """Folders that are listed and hold nothing."""
    listed = {_below(name) for name in folders} - {"."}
    held: set[str] = set()
    for name in (*files, *listed) if listed else ():
        while (name := name.rpartition("/")[0]) and name not in held:
            held.add(name)
    return sorted(listed - held)


def _open_zip(path: Path) -> Files:
    archive = zipfile.ZipFile(path)
    names, guessed = Names(), list[str]()
    members: dict[str, zipfile.ZipInfo] = {}
    refused: dict[str, str] = {}
    folders: list[str] = []
    for member in archive.infolist():
        # A damaged directory may hold a member without a name, on which zipfile's own `is_dir` fails: it is a row all the same.
        written, sure = _zip_name(member)
        slashed = written.replace("\\", "/")
        if slashed.endswith("/"):
            folders.append(slashed)
            continue
        name = names.take(written if _climbs(written) else _below(slashed) or NAMELESS)
        members[name] = member
        guessed += [] if sure else [name]
        if reason := _refusal(written, member.file_size, member.compress_size):
            refused[name] = reason

    def read(name: str, count: int = -1) -> bytes:
        try:
            with archive.open(members[name]) as handle:
                return handle.read(count)
        # What zipfile raises for a member that is locked by a password, or packed by a method that it does not know: the
        # row goes into quarantine with zipfile's words, and the rest is read.
        except RuntimeError as error:
            raise OSError(f"archive member that cannot be unpacked: {error}") from None
        # UnicodeDecodeError: the name that stands before the bytes is damaged, and says that it is UTF-8.
        except (zipfile.BadZipFile, UnicodeDecodeError, *DAMAGE) as error:
            raise OSError(f"damaged archive member: {error}") from None

    return Files(
        list(members), refused, read, lambda name: read(name, START_BYTES), lambda name: name, archive.close,
        _empty(folders, members), guessed,
    )  # fmt: skip


def _zip_name(member: zipfile.ZipInfo) -> tuple[str, bool]:
    """A member's name, and whether its letters are certain.

    Without the flag for UTF-8 zipfile reads a name in code page 437, but most tools that write no flag write UTF-8.
    """
    name = member.filename
    if name.isascii() or member.flag_bits & UTF8_FLAG:
        return name, True
    try:
        return name.encode("cp437").decode("utf-8"), True
    except UnicodeError:
        return name, False


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int  # of its bytes in the unpacked stream
    size: int


def _open_tar(path: Path) -> Files:
    """One pass lists the members; their bytes are then read by offset.

    In a compressed archive that means unpacking the stream up to there, which is one more pass where the members
    are read in `order`; only going back starts the stream again.
    """
    members, refused, folders = _tar_members(path)
    handle: list[IO[bytes]] = []  # opened by the first read

    def read(name: str, count: int | None = None) -> bytes:
        if not handle:
            handle.append(_stream(path))
        member = members[name]
        size = member.size if count is None else min(count, member.size)
        try:
            handle[0].seek(member.offset)
            content = handle[0].read(size)
        except DAMAGE as error:
            raise OSError(f"damaged archive member: {error}") from None
        if len(content) != size:
            raise OSError(f"the archive ends inside it: {len(content):,} of {member.size:,} bytes")
        return content

    def close() -> None:
        while handle:
            handle.pop().close()

    return Files(
        list(members), refused, read, lambda name: read(name, START_BYTES), lambda name: members[name].offset, close,
        _empty(folders, members),
    )  # fmt: skip


def _tar_members(path: Path) -> tuple[dict[str, _Member], dict[str, str], list[str]]:
    """Members by name, why some may not be read, and the folders."""
    names = Names()
    folders: list[str] = []
    members: dict[str, _Member] = {}
    refused: dict[str, str] = {}
    with tarfile.open(path, "r:*") as archive:
        place = -1
        while (member := archive.next()) is not None:
            if archive.offset <= place:
                raise tarfile.ReadError("its headers lead backwards")
            place = archive.offset
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
            if member.isdir():
                folders.append(member.name)
                continue
            name = names.take(_below(member.name))
            members[name] = _Member(member.offset_data, member.size)
            reason = _refusal(name, member.size, member.size)
            if member.issym() or member.islnk():
                reason = "a link inside an archive is not followed"
            elif not member.isreg() or member.issparse():
                reason = "not a plain file"
            if reason:
                refused[name] = reason
    return members, refused, folders


def _stream(path: Path) -> IO[bytes]:
    """The unpacked bytes of a tar file."""
    with path.open("rb") as handle:
        start = handle.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if start.startswith(b"BZh"):
        return bz2.BZ2File(path)
    return lzma.LZMAFile(path) if start.startswith(b"\xfd7zXZ") else path.open("rb")

"""Archives read in place, never unpacked: members by name, those that may not be read, and how to read the rest."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from aigc_core.data.sources.base import MAX_BYTES
from aigc_core.errors import SourceError

#: A large member that unpacks to more times its packed size is a bomb: images hardly shrink in an archive.
MAX_RATIO = 200
BOMB_BYTES = 16 << 20
#: Stands for a member whose name is empty.
NAMELESS = "member without a name"
#: What damaged compressed bytes raise.
DAMAGE = (zlib.error, lzma.LZMAError, struct.error, EOFError)


@dataclass(frozen=True)
class Files:
    """Files by name. `order` sorts names into the order in which reading them is one pass."""

    names: list[str]
    refused: dict[str, str]  # name -> why its bytes may not be read
    read: Callable[[str], bytes]
    order: Callable[[str], int | str]
    close: Callable[[], None]


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
            f"source.path {str(path)!r} is neither a folder nor a readable .zip or .tar ({error}): fetch it again"
        ) from None


def _refusal(name: str, size: int, packed: int) -> str | None:
    posix = PurePosixPath(name.replace("\\", "/"))
    if posix.is_absolute() or ".." in posix.parts:
        return "its name climbs out of the archive"
    if size > MAX_BYTES:
        return f"unpacks to more than {MAX_BYTES:,} bytes"
    if size > max(BOMB_BYTES, MAX_RATIO * packed):
        return f"{packed:,} bytes that unpack to {size:,}: a decompression bomb"
    return None


def _open_zip(path: Path) -> Files:
    archive = zipfile.ZipFile(path)
    names = Names()
    # A damaged directory may hold a member without a name, on which zipfile's own `is_dir` fails: it is a row all the same.
    files = [member for member in archive.infolist() if not member.filename.endswith("/")]
    members = {names.take(member.filename or NAMELESS): member for member in files}
    reasons = {name: _refusal(name, member.file_size, member.compress_size) for name, member in members.items()}

    def read(name: str) -> bytes:
        try:
            return archive.read(members[name])
        # What zipfile raises for a member that is locked by a password, or packed by a method that it does not know: the
        # row goes into quarantine with zipfile's words, and the rest is read.
        except RuntimeError as error:
            raise OSError(f"archive member that cannot be unpacked: {error}") from None
        # UnicodeDecodeError: the name that stands before the bytes is damaged, and says that it is UTF-8.
        except (zipfile.BadZipFile, UnicodeDecodeError, *DAMAGE) as error:
            raise OSError(f"damaged archive member: {error}") from None

    refused = {name: reason for name, reason in reasons.items() if reason}
    return Files(list(members), refused, read, lambda name: name, archive.close)


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int  # of its bytes in the unpacked stream
    size: int


def _open_tar(path: Path) -> Files:
    """One pass lists the members; their bytes are then read by offset.

    In a compressed archive that means unpacking the stream up to there, which is one more pass where the members
    are read in `order`; only going back starts the stream again.
    """
    members, refused = _tar_members(path)
    handle: list[IO[bytes]] = []  # opened by the first read

    def read(name: str) -> bytes:
        if not handle:
            handle.append(_stream(path))
        member = members[name]
        try:
            handle[0].seek(member.offset)
            content = handle[0].read(member.size)
        except DAMAGE as error:
            raise OSError(f"damaged archive member: {error}") from None
        if len(content) != member.size:
            raise OSError(f"the archive ends inside it: {len(content):,} of {member.size:,} bytes")
        return content

    def close() -> None:
        while handle:
            handle.pop().close()

    return Files(list(members), refused, read, lambda name: members[name].offset, close)


def _tar_members(path: Path) -> tuple[dict[str, _Member], dict[str, str]]:
    names = Names()
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
                continue
            name = names.take(member.name)
            members[name] = _Member(member.offset_data, member.size)
            reason = _refusal(name, member.size, member.size)
            if member.issym() or member.islnk():
                reason = "a link inside an archive is not followed"
            elif not member.isreg() or member.issparse():
                reason = "not a plain file"
            if reason:
                refused[name] = reason
    return members, refused


def _stream(path: Path) -> IO[bytes]:
    """The unpacked bytes of a tar file."""
    with path.open("rb") as handle:
        start = handle.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if start.startswith(b"BZh"):
        return bz2.BZ2File(path)
    return lzma.LZMAFile(path) if start.startswith(b"\xfd7zXZ") else path.open("rb")

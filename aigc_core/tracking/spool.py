"""What a run is told, on disk before it is delivered: .work/tracking/<stage>-<id>/ with run.json, log.jsonl and files/.

run.json says whose run it is and how many entries were delivered; log.jsonl has one entry a line and only grows. Its owner
holds a lock on the folder for as long as it lives, so that nobody else delivers for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from aigc_core.files import read_json, write_json

#: Kinds of entries that hold a file of the spool.
FILES = ("artifact", "image")

Entry = dict[str, Any]


class Spool:
    """The entries of one run that wait, in order. Where the disk takes nothing more, they are kept in memory alone."""

    def __init__(self, folder: Path, about: dict[str, Any], waiting: list[Entry], lock: int | None) -> None:
        self.folder, self.about, self.waiting, self._lock = folder, about, waiting, lock
        self.fault: OSError | None = None  # why entries are in memory alone

    @classmethod
    def begin(cls, root: Path, about: dict[str, Any]) -> Spool:
        """A new one below `root`; it appears locked and whole."""
        identity = uuid.uuid4().hex
        spool = cls(root / f"{about['stage'].replace('/', '-')}-{identity[:12]}", {**about, "id": identity, "sent": 0}, [], None)  # fmt: skip
        scratch = root / f".{identity}"
        try:
            scratch.mkdir(parents=True)
            write_json(scratch / "run.json", spool.about)
            (scratch / "log.jsonl").touch()
            spool._lock = _locked(scratch)
            scratch.rename(spool.folder)
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            spool.fault = error
        return spool

    @classmethod
    def open(cls, folder: Path) -> Spool | None:
        """The spool of a process that has ended; None where its owner lives, or another delivers it, or it is no spool."""
        try:
            lock = _locked(folder)
        except OSError:
            return None
        try:
            about, log = read_json(folder / "run.json"), folder / "log.jsonl"
            text = log.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]  # a line that was cut off by a kill or a full disk was never said
            if len(whole) < len(text):
                os.truncate(log, len(whole))
            entries = [json.loads(line) for line in whole.splitlines()]
            return cls(folder, about, entries[about["sent"] :], lock)
        except (OSError, ValueError, KeyError, TypeError):
            os.close(lock)
            return None

    def note(self, kind: str, **values: Any) -> None:
        """Add an entry. Never raises for a full disk or a folder that cannot be written: see `fault`."""
        entry = {"kind": kind, **values}
        self.waiting.append(entry)
        if self.fault is not None:
            return
        line = (json.dumps(entry) + "\n").encode()
        log = self.folder / "log.jsonl"
        try:
            before = log.stat().st_size
            with log.open("ab", buffering=0) as handle:
                try:
                    if handle.write(line) != len(line):
                        raise OSError(28, "No space left on device", str(log))
                except OSError:
                    handle.truncate(before)
                    raise
        except OSError as error:
            self.fault = error

    def keep(self, path: Path) -> str:
        """A file or folder as it is now, for delivery later; returns where. Links where the disk can, else copies."""
        if self.fault is not None:
            return str(path)
        place = self.folder / "files" / uuid.uuid4().hex[:12] / path.name
        try:
            place.parent.mkdir(parents=True)
            if path.is_dir():
                shutil.copytree(path, place, copy_function=_link)
            else:
                _link(str(path), str(place))
        except (OSError, shutil.Error) as error:
            shutil.rmtree(place.parent, ignore_errors=True)
            self.fault = error if isinstance(error, OSError) else OSError(str(error))
            return str(path)
        return str(place.relative_to(self.folder))

    def delivered(self) -> None:
        """The first entry that waits has arrived."""
        entry = self.waiting.pop(0)
        self.about["sent"] += 1
        self.save()
        place = self.folder / entry.get("path", "/")
        if entry["kind"] in FILES and place.is_relative_to(self.folder):
            shutil.rmtree(place.parent, ignore_errors=True)

    def save(self) -> None:
        """Write run.json, where the disk takes it."""
        if self.fault is None:
            try:
                write_json(self.folder / "run.json", self.about)
            except OSError as error:
                self.fault = error

    def close(self) -> None:
        """Let go, too; a spool in which nothing waits and whose run has ended is removed."""
        if not self.waiting and self.about.get("ended"):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Let go, and leave everything as it is."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def spools(root: Path) -> list[Path]:
    """The folders of all spools, whosever they are, in order of name."""
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def in_words(waiting: list[Entry]) -> str:
    """What waits, counted."""
    points = sum(len(entry["points"]) for entry in waiting if entry["kind"] == "metrics")
    files = sum(entry["kind"] in (*FILES, "table") for entry in waiting)
    others = sum(entry["kind"] not in ("metrics", *FILES, "table") for entry in waiting)
    parts = [(points, "point"), (files, "file"), (others, "other entry")]
    plural = {"other entry": "other entries"}
    return ", ".join(f"{n:,} {name if n == 1 else plural.get(name, name + 's')}" for n, name in parts if n) or "nothing"


def _locked(folder: Path) -> int:
    """A descriptor that holds the folder's lock. Raises OSError where another process holds it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _link(source: str, target: str) -> str:
    """Files of this project are replaced, never written over: a second name is as good as a copy, and costs nothing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

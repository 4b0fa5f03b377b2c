"""This checkout's own store, mlflow/mlflow.db: made beside its place under a lock, and set aside where it is broken."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from aigc_core.tracking.base import say, short

LOCK_S = 180.0  # another process makes the store in ten seconds, and on a busy disk in a minute
QUIET_S = 5.0  # a store that was written to so lately may be one that MLflow's own server is making
SUFFIXES = ("", "-journal", "-wal", "-shm")


def make_ready(place: Path, *, own: bool = True) -> None:
    """See to it that there is a whole store at `place`, alone among all processes.

    A store that is broken or of another schema is renamed, with a sentence that says where it is now, and one is made anew: of
    its own runs where it can be brought up to date, else empty. With `own` false it is somebody else's and is only made where
    there is none. Raises OSError where the folder cannot be written, or where another process does not let go of the lock.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place.parent / f".{place.name}.lock"):
        for left in place.parent.glob(f".making-{place.name}*"):
            left.unlink(missing_ok=True)
        fault = _settled_fault(place) if own and os.path.lexists(place) else None
        if os.path.lexists(place) and fault is None:
            return
        made = place.parent / f".making-{place.name}"
        saved = fault is not None and _brought_up_to_date(place, made)
        if not saved:
            _make(made)
        if fault is not None:
            aside = _set_aside(place)
            _forget(place)
            then = "its runs were taken over into one that is up to date" if saved else "a new one was begun"
            say(f"the store {place.parent.name}/{place.name} {fault}: it was renamed {aside.name}, and {then}")
        made.rename(place)


def fault_of(place: Path) -> str | None:
    """What is wrong with a store that exists, as the end of a sentence; None where it is whole and of this MLflow's schema.

    Raises OSError where that cannot be told now: it is locked by another process, or may not be read.
    """
    if not place.is_file():
        return "is not a file"
    if place.stat().st_size == 0:
        return "is empty"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(place))}?mode=rw", uri=True, timeout=5)) as database:
            broken = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if broken != "ok":
                return "is damaged"
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return "is no whole store of MLflow's"
            versions = [version for (version,) in database.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.OperationalError as error:
        raise OSError(5, f"the database cannot be opened: {error}", str(place)) from error
    except sqlite3.DatabaseError:
        return "is no database"
    newest = _newest()
    return None if versions == [newest] else f"has the schema {', '.join(versions) or 'of none'}, not {newest}"


def _settled_fault(place: Path) -> str | None:
    """The fault of a store that nobody has written to for a moment: MLflow's server, too, makes one step by step."""
    deadline = time.monotonic() + LOCK_S
    while (fault := fault_of(place)) is not None and time.monotonic() < deadline:
        if time.time() - place.lstat().st_mtime > QUIET_S or not place.is_file() or place.stat().st_size == 0:
            return fault
        time.sleep(0.5)
    return fault


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    descriptor, deadline = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644), time.monotonic() + LOCK_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _newest() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision  # the check that MLflow makes itself

    return str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]


def _make(place: Path) -> None:
    """A new store with MLflow's default experiment in it; its connections are closed, so that it can be renamed."""
    from mlflow import MlflowClient

    try:
        MlflowClient(f"sqlite:///{place.resolve()}").search_experiments(max_results=1)
    finally:
        _forget(place)


def _forget(place: Path) -> None:
    """Close this process's connections: they would go on to the file under its other name."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    engine = SqlAlchemyStore._engine_map.get(f"sqlite:///{place.resolve()}")
    if engine is not None:
        engine.dispose()


def _brought_up_to_date(old: Path, new: Path) -> bool:
    """Whether `new` is now a whole store with what `old` holds."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    try:
        with closing(sqlite3.connect(f"file:{quote(str(old))}?mode=rw", uri=True)) as source:
            if source.execute("SELECT count(*) FROM runs").fetchone()[0] == 0:
                return False  # nothing to save
            with closing(sqlite3.connect(new)) as target:
                source.backup(target)
        engine = create_sqlalchemy_engine(f"sqlite:///{new.resolve()}")  # type: ignore[no-untyped-call]
        try:
            _upgrade_db(engine)  # type: ignore[no-untyped-call]
        finally:
            engine.dispose()
        if fault_of(new) is None:
            return True
    except Exception as error:  # whatever is wrong with it, the next best is a new one
        say(f"the runs of {old.name} cannot be taken over ({short(error)})")
    new.unlink(missing_ok=True)
    return False


def _set_aside(place: Path) -> Path:
    """Rename a store, and the files that the database keeps beside it, to the first free name; returns it."""
    number = 1
    while os.path.lexists(aside := place.with_name(f"{place.name}.set-aside-{number}")):
        number += 1
    for suffix in SUFFIXES:
        part = place.with_name(place.name + suffix)
        if os.path.lexists(part):
            part.rename(aside.with_name(aside.name + suffix))
    return aside

"""The way to the store or server that runs go to, with bounded waiting."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aigc_core.paths import Paths
from aigc_core.tracking import store
from aigc_core.tracking.base import say

ADDRESS = "MLFLOW_TRACKING_URI"
PROBE_S, ANSWER_S = 2.0, 3  # together under five seconds: what a server that is down may cost at the start
PATIENT_S = 60  # where nothing waits for the answer
PAUSES_S = (5.0, 15.0, 60.0)  # after the first, second and every later failure in a row


class UnreachableError(Exception):
    """A server does not answer."""


class Link:
    """One store, by address; None is this checkout's own. Asks a server whether it is there before anything else."""

    def __init__(self, paths: Paths, uri: str | None) -> None:
        self.paths, self.uri = paths, uri
        self.failures, self._next = 0, 0.0
        self._client: Any = None

    @property
    def name(self) -> str:
        """The address without password, or the place below the checkout."""
        return re.sub(r"//[^/@]*@", "//", self.uri) if self.uri else "mlflow/mlflow.db"

    @property
    def remote(self) -> bool:
        """Whether a server is asked."""
        return self.uri is not None and self.uri.startswith(("http://", "https://"))

    def due(self) -> bool:
        """Whether enough time has passed since the last failure."""
        return time.monotonic() >= self._next

    def failed(self) -> None:
        """Wait for a while before the next attempt."""
        self._next = time.monotonic() + PAUSES_S[min(self.failures, len(PAUSES_S) - 1)]
        self.failures += 1

    def client(self) -> Any:
        """MLflow's client. Raises UnreachableError, or what the store raises, within a few seconds."""
        if self.remote:
            _probe(str(self.uri))
        if self._client is None:
            self._client = self._opened()
        return self._client

    def _opened(self) -> Any:
        from mlflow import MlflowClient

        for logger in ("alembic", "mlflow", "urllib3.connectionpool"):  # the first migration would print a page
            logging.getLogger(logger).setLevel(logging.WARNING)
        # What a store raises is told in a sentence; MLflow would print two hundred lines about it first.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        if self.uri is None:
            place = (self.paths.root / "mlflow" / "mlflow.db").absolute()
            store.make_ready(place)
            return MlflowClient(f"sqlite:///{place.resolve()}")
        if self.uri.startswith("sqlite:///"):
            store.make_ready(Path(self.uri.removeprefix("sqlite:///")), own=False)
        # Not through mlflow.set_tracking_uri: that sets the environment variable, and then nothing tells whose wish it was.
        return MlflowClient(self.uri)


def installed() -> bool:
    """Whether MLflow can be imported; where not, that is said on standard error."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient  # noqa: F401
    except ImportError:
        say("tracking.enabled is true, but mlflow is not installed: this run is not tracked")
        return False
    return True


def chosen() -> str | None:
    """The address that the environment names; None for this checkout's own store."""
    return os.environ.get(ADDRESS) or None


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Within it MLflow waits so long for an answer and asks once, unless the environment says otherwise."""
    wished = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    mine = {name: value for name, value in wished.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


def _probe(uri: str) -> None:
    """Raises UnreachableError where nothing answers. In a thread: looking a name up has no time limit of its own."""
    found: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_S):  # noqa: S310 - http, as MLflow asks it
                found.append("")
        except urllib.error.HTTPError as error:
            found.append("" if error.code < 500 else f"it answers {error.code}")
        except (OSError, ValueError) as error:
            found.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_S)
    if not found or found[0]:
        raise UnreachableError(found[0] if found else f"no answer in {PROBE_S:.0f} s")

"""`make ui`: Dagster and MLflow together on 127.0.0.1, until Ctrl-C or until one of them ends.

Nothing leaves this machine: both listen on the loopback address alone, and telemetry is off.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from pipelines.guard import end_group

HOST = "127.0.0.1"
DAGSTER_PORT = 3000
MLFLOW_PORT = 5000
ROOT = Path(__file__).resolve().parents[1]
START_S = 180.0  # a cold start on a slow disk imports for a minute


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """Somebody asked the pair to end."""


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"no free port from {first} to {first + 99} on {HOST}: end what listens there")


def environment(root: Path, mlflow_url: str) -> dict[str, str]:
    """What both servers, and the stages that Dagster runs, are told."""
    home = root / ".dagster"
    home.mkdir(exist_ok=True)
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PWD": str(root),  # .env builds DAGSTER_HOME from it
        "DAGSTER_HOME": str(home),
        "AIGC_MLFLOW_UI": mlflow_url,
        "DO_NOT_TRACK": "1",
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight more processes, for features that nothing here uses
        "PYTHONWARNINGS": "ignore",  # the servers' own deprecations; tests, not users, look at ours
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "NO_ALBUMENTATIONS_UPDATE": "1",
    }


def commands(dagster_port: int, mlflow_port: int, store: str) -> dict[str, list[str]]:
    """The two command lines, run in the checkout. Where `store` is a server, that one is used and none is started."""
    python = sys.executable
    mlflow = [python, "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1"]
    mlflow += ["--uvicorn-opts", "--log-level warning"]  # a line per request would bury the two addresses
    # Answers only to the addresses of this machine: a page elsewhere cannot read runs through the browser.
    mlflow += ["--allowed-hosts", f"{HOST}:{mlflow_port},localhost:{mlflow_port}"]
    mlflow += ["--backend-store-uri", store, "--default-artifact-root", "mlflow/artifacts"]
    dagster = [
        python,
        "-m",
        "dagster",
        "dev",
        "--host",
        HOST,
        "--port",
        str(dagster_port),
        "--log-level",
        "warning",
    ]
    return {"Dagster": dagster} if store.startswith("http") else {"MLflow": mlflow, "Dagster": dagster}


def wait_until_up(name: str, url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once `url` answers; SystemExit where the process ends first or takes too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{name} ended while starting, with exit code {process.returncode}: its words are above")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - always http on the loopback address
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.3)
    raise SystemExit(f"{name} did not answer on {url} within {START_S:.0f} s")


def serve(root: Path, dagster_first: int = DAGSTER_PORT, mlflow_first: int = MLFLOW_PORT) -> int:
    """Start both, print both addresses, end both. Returns the exit code: 0 after Ctrl-C, 1 where one of them died."""
    ports = {"Dagster": free_port(dagster_first), "MLflow": free_port(mlflow_first)}
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    store = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow/mlflow.db"
    if store.startswith("http"):
        urls["MLflow"] = store
    (root / "mlflow").mkdir(exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    # SIGINT too: a shell that starts this in the background makes it deaf to Ctrl-C.
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _stop)
    try:
        print("Starting Dagster and MLflow ...", flush=True)
        for name, command in commands(ports["Dagster"], ports["MLflow"], store).items():
            running[name] = subprocess.Popen(
                command,
                cwd=root,
                env=environment(root, urls["MLflow"]),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        for name in ("Dagster", "MLflow"):
            if name in running:
                wait_until_up(name, urls[name], running[name])
            print(f"{name:8} {urls[name]}", flush=True)
        print("Ctrl-C ends both.", flush=True)
        return _watch(running)
    except Stopped:
        return 0
    finally:
        _end_all(list(running.values()))
        print("Dagster and MLflow have ended.", flush=True)


def _watch(running: dict[str, subprocess.Popen[bytes]]) -> int:
    while True:
        for name, process in running.items():
            if process.poll() is not None:
                print(f"{name} ended with exit code {process.returncode}, so both end.", file=sys.stderr, flush=True)
                return 1
        time.sleep(0.5)


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End every group; a second Ctrl-C while that happens must not leave half of them behind."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    for process in processes:
        # Asked all at once, so that the patience below is waited for only once.
        if process.poll() is None:
            process.terminate()
    for process in processes:
        end_group(process)


def _stop(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise Stopped


if __name__ == "__main__":
    sys.exit(serve(ROOT))

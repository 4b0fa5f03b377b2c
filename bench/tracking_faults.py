"""A real MLflow server is killed and started again at random moments of a training: does it have, in the end, what was logged?

    python -m bench.tracking_faults --rounds 20

Each round logs a few hundred points, tags and files in a process of its own, with a flush every few steps, kills the server
with SIGKILL at random moments, and at the end delivers what is left. Points are compared one by one.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections import Counter
from pathlib import Path

from aigc_core.paths import Paths

#: A training that logs and does nothing else: STEPS steps, a flush after every tenth, a picture after every fiftieth.
TRAINING = """
import sys, time
from pathlib import Path
from aigc_core.config import Tracking
from aigc_core.paths import Paths
from aigc_core.tracking import link, open_tracker
link.PAUSES_S = (0.2,)  # so that a short training meets a server that is back
root, steps, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with open_tracker(Tracking(), Paths(root), "train@gan", {"seed": 0}, []) as tracker:
    print("begun", flush=True)
    for step in range(1, steps + 1):
        tracker.metrics({"loss": step / 7, "other": -step}, step)
        time.sleep(pause)
        if step % 10 == 0:
            tracker.flush()
        if step % 50 == 0:
            picture = root / f"grid-{step}.png"
            picture.write_bytes(b"%d" % step)
            tracker.artifact(picture, "grids")
            picture.unlink()
            tracker.tags({f"at-{step}": "yes"})
print("trained", flush=True)
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """An MLflow server with a store of its own, on one port for its whole life, however often it is killed."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root, self.port = root, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.store = store
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, without waiting."""
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
        ]
        command += [
            "--backend-store-uri",
            f"sqlite:///{self.store}",
            "--artifacts-destination",
            str(self.root / "served"),
        ]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.root / "server.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.root, start_new_session=True
            )

    def wait(self, seconds: float = 180) -> None:
        """Until it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError((self.root / "server.txt").read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL for it and the processes that it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait()


def run_round(root: Path, store: Path, seed: int, steps: int = 400) -> dict[str, int]:
    """One training with a server that dies now and then; counts what is missing, doubled or wrong in the end."""
    from aigc_core.tracking import outstanding, sync
    from mlflow import MlflowClient

    chance, server = random.Random(seed), Server(root, store)
    server.launch()
    server.wait()
    os.environ["MLFLOW_TRACKING_URI"] = server.uri
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(root), str(steps), "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    kills = 0
    try:
        if training.stdout is None or training.stdout.readline() != "begun\n":
            raise RuntimeError("the training did not begin")
        while training.poll() is None:
            time.sleep(chance.uniform(0.2, 4))
            server.kill()
            kills += 1
            time.sleep(chance.uniform(0, 2))
            # A server takes longer to start than this training takes, so that it would hardly ever meet one that is back.
            held = chance.random() < 0.7
            if held:
                training.send_signal(signal.SIGSTOP)
            server.launch()
            if held or chance.random() < 0.5:  # else it is killed before it answers, and training goes on without it
                server.wait()
            training.send_signal(signal.SIGCONT)
        server.wait()
        said = training.communicate()
        waited = len(outstanding(Paths(root)))
        sync(Paths(root))
        client = MlflowClient(server.uri)
        runs = client.search_runs([client.get_experiment_by_name("aigc").experiment_id])
        found = {
            "rc": training.returncode,
            "kills": kills,
            "runs": len(runs),
            "waited": waited,
            "left": len(outstanding(Paths(root))),
        }
        found["recovered"] = said[1].count("takes entries again")
        return found | compared(client, runs[0], steps)
    finally:
        training.kill()
        server.kill()
        os.environ.pop("MLFLOW_TRACKING_URI")


def compared(client: object, run: object, steps: int) -> dict[str, int]:
    """What the run has, against what was logged."""
    missing = doubled = wrong = 0
    for name, value in (("loss", lambda step: step / 7), ("other", lambda step: -step)):
        history = client.get_metric_history(run.info.run_id, name)  # type: ignore[attr-defined]
        times = Counter(point.step for point in history)
        missing += len(set(range(1, steps + 1)) - set(times))
        doubled += sum(count - 1 for count in times.values())
        wrong += sum(abs(point.value - value(point.step)) > 1e-9 for point in history)
    grids = {item.path for item in client.list_artifacts(run.info.run_id, "grids")}  # type: ignore[attr-defined]
    missing += len({f"grids/grid-{step}.png" for step in range(50, steps + 1, 50)} - grids)
    missing += sum(f"at-{step}" not in run.data.tags for step in range(50, steps + 1, 50))  # type: ignore[attr-defined]
    finished = run.info.status == "FINISHED"  # type: ignore[attr-defined]
    return {"missing": missing, "doubled": doubled, "wrong": wrong, "finished": int(finished)}


def main() -> None:
    """Print a line per round; exit code 1 where something is missing, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    from aigc_core.tracking import store

    bad = 0
    for number in range(chosen.rounds):
        with tempfile.TemporaryDirectory() as folder:
            store.make_ready(Path(folder) / "server.db")
            found = run_round(Path(folder), Path(folder) / "server.db", number, chosen.steps)
        print(number, found, flush=True)
        bad += (
            any(found[name] for name in ("rc", "missing", "doubled", "wrong", "left"))
            or found["runs"] != 1
            or not found["finished"]
        )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

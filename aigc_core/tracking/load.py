"""MLflow's own watch over the machine, below `system/`; cards need the package nvidia-ml-py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aigc_core.tracking.base import Tracker, say, short

#: Seconds between two looks, unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says otherwise.
EVERY_S = 10.0
#: The monitor wants an address, which nothing is sent to; without one it would make a store in the folder that aigc runs in.
NOWHERE = "http://127.0.0.1:9"


@contextmanager
def watched(tracker: Tracker, begun: float) -> Iterator[None]:
    """Note the load of processor, memory, disk and card with the other points; a step is a second since `begun`.

    MLflow's monitor collects, and its loop is not used: it asks the server at every look, and ends at the first failure.
    """
    monitor, ended = _monitor(), threading.Event()

    def look() -> None:
        while monitor is not None and not ended.wait(monitor.sampling_interval):
            try:
                monitor.collect_metrics()
                values = {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
                for one in monitor.monitors:
                    one.clear_metrics()
            except Exception as error:  # a counter that the system does not have is no reason to stop
                say(f"the machine's load is no longer noted: {short(error)}")
                return
            tracker.metrics(values, int(time.time() - begun))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2)


def _monitor() -> Any:
    try:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        return SystemMetricsMonitor("", sampling_interval=EVERY_S, tracking_uri=NOWHERE)  # type: ignore[no-untyped-call]
    except Exception as error:
        say(f"the machine's load is not noted: {short(error)}")
        return None

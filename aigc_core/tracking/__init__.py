"""Runs in MLflow, behind a small protocol. This folder is the only one that imports mlflow.

MLflow never decides whether something is trained. What a run is told is written to a spool under .work/tracking first
and delivered from there: a server that does not answer, a broken store or a full disk cost a sentence, and what was not
delivered waits for the next flush, the next stage or `aigc track sync`.
"""

from aigc_core.tracking.base import Child, Tracker
from aigc_core.tracking.runs import MlflowTracker, input_digests, open_tracker
from aigc_core.tracking.sync import outstanding, sync

__all__ = [
    "Child",
    "MlflowTracker",
    "Tracker",
    "input_digests",
    "open_tracker",
    "outstanding",
    "sync",
]

"""What runs of earlier processes left: delivered, ended, or told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.tracking import processes
from aigc_core.tracking.base import say, short
from aigc_core.tracking.delivery import Delivery, pages
from aigc_core.tracking.link import ANSWER_S, PATIENT_S, Link, chosen, installed, patience
from aigc_core.tracking.spool import Entry, Spool, in_words, spools

LEFT_S = 20.0  # what a stage spends at most on what others left


def deliver(delivery: Delivery, seconds: int) -> bool:
    """Deliver what waits in one spool; a failure is said once until it is over. Never raises for a fault of MLflow's."""
    link, spool = delivery.link, delivery.spool
    try:
        with patience(seconds):
            delivery.all()
    except Exception as error:
        _say_failure(link, error)
        return False
    if link.failures:
        say(f"MLflow takes entries again ({link.name}): {spool.about['name']} is delivered")
        link.failures = 0
    return True


def _say_failure(link: Link, error: Exception) -> None:
    if link.failures == 0:
        say(
            f"MLflow takes nothing now ({link.name}: {short(error)}): the stage goes on, and what its run is told waits in "
            ".work/tracking for the next flush, the next stage or `aigc track sync`"
        )
    link.failed()


def refusal(paths: Paths, spool: Spool) -> Callable[[Entry, str], None]:
    """Keeps an entry that MLflow refuses for good, with its answer, in .work/tracking/refused.jsonl."""

    def refused(entry: Entry, why: str) -> None:
        say(f"MLflow refuses {in_words([entry])} of {spool.about['name']}: {why}; kept in .work/tracking/refused.jsonl")
        try:
            with (paths.tracking / "refused.jsonl").open("a") as handle:
                handle.write(json.dumps({"run": spool.about["name"], "why": why, **entry}) + "\n")
        except OSError as error:
            say(f".work/tracking/refused.jsonl cannot be written ({short(error)}): the entry is lost")

    return refused


def clear(paths: Paths, link: Link, stage: str) -> None:
    """At a stage's start: deliver what others left for the same store, and end runs of this stage whose process is gone."""
    deadline = time.monotonic() + LEFT_S
    for spool in _left(paths):
        if spool.about["uri"] == link.uri and time.monotonic() < deadline and link.due():
            deliver(_delivery(spool, link, paths), ANSWER_S)
        spool.close()
    if link.due():
        _end_abandoned(link, stage, ANSWER_S)


def sync(paths: Paths) -> tuple[StageResult, bool]:
    """Deliver everything that waits, each to the store that its run was begun for; returns also whether nothing is left."""
    if not installed():
        return StageResult("nothing is delivered without mlflow"), not outstanding(paths)
    links: dict[str | None, Link] = {}
    delivered = []
    for spool in _left(paths):
        link = links.setdefault(spool.about["uri"], Link(paths, spool.about["uri"]))
        name, told = spool.about["name"], in_words(spool.waiting)
        if spool.waiting and link.failures == 0 and deliver(_delivery(spool, link, paths), PATIENT_S):
            delivered.append(f"{name}: {told}")
        spool.close()
    here = links.setdefault(chosen(), Link(paths, chosen()))
    own = (paths.root / "mlflow" / "mlflow.db").exists()
    if here.failures == 0 and (here.uri is not None or own):
        ended = _end_abandoned(here, None, PATIENT_S)
        delivered += [f"{name}: ended as KILLED, its process is gone" for name in ended]
    left = outstanding(paths)
    first = f"delivered to MLflow: {'; '.join(delivered)}" if delivered else "nothing was delivered to MLflow"
    return StageResult("\n".join([first, *left]) if left or delivered else "nothing waits for MLflow"), not left


def outstanding(paths: Paths) -> list[str]:
    """What waits for MLflow in this checkout, and what it refused, a sentence each; runs under way are left out."""
    told = []
    for folder in spools(paths.tracking):
        spool = Spool.open(folder)
        if spool is not None:
            if spool.waiting:
                to = Link(paths, spool.about["uri"]).name
                told.append(f"MLflow: {in_words(spool.waiting)} of {spool.about['name']} wait for {to}: `aigc track sync` delivers them")  # fmt: skip
            spool.release()
    refused = paths.tracking / "refused.jsonl"
    if refused.exists():
        told.append(f"MLflow refused {len(refused.read_text().splitlines()):,} entries: .work/tracking/refused.jsonl has them and why; remove it once read")  # fmt: skip
    return told


def _left(paths: Paths) -> list[Spool]:
    """The spools of processes that have ended; a run that none of them ended was killed."""
    found = []
    for folder in spools(paths.tracking):
        spool = Spool.open(folder)
        if spool is None:
            continue
        if not spool.about.get("ended"):
            spool.note("ended", status="KILLED", at=time.time())
            spool.about["ended"] = "KILLED"
            spool.save()
        found.append(spool)
    return found


def _delivery(spool: Spool, link: Link, paths: Paths) -> Delivery:
    return Delivery(spool, link, paths.run_file(spool.about["stage"]), refusal(paths, spool))


def _end_abandoned(link: Link, stage: str | None, seconds: int) -> list[str]:
    """End runs that are RUNNING although the process on this host that they name is gone; returns their names."""
    ended = []
    condition = f"attributes.status = 'RUNNING' and tags.`{processes.HOST}` = '{processes.own()[processes.HOST]}'"
    if stage is not None:
        condition += f" and tags.stage = '{stage}'"
    try:
        with patience(seconds):
            client = link.client()
            for experiment in client.search_experiments():
                for run in list(pages(client, experiment.experiment_id, condition)):
                    if processes.gone(run.data.tags):
                        client.set_terminated(run.info.run_id, "KILLED")
                        ended.append(str(run.info.run_name))
    except Exception as error:
        _say_failure(link, error)
    if ended:
        say(f"ended as KILLED in MLflow, because their process is gone: {', '.join(ended)}")
    return ended

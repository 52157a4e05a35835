"""A worker as a process of its own, beside whoever wants one: the demo, the benchmarks."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from agents.roster import usual_agents
from streams.embedded.claim import Claim
from streams.embedded.ports import LOOPBACK, free_ports
from streams.embedded.supervised import SupervisedProcess
from streams.errors import HeadroomError
from streams.settings import PREFIX, Settings

_READY_SECONDS = 90.0


class WorkerNotReadyError(HeadroomError):
    """The worker did not get ready in time; the message ends with what it logged last."""


@contextmanager
def worker_process(
    settings: Settings,
    claim: Claim,
    *,
    name: str,
    only: Collection[str] | None = None,
    wait: bool = True,
) -> Iterator[SupervisedProcess]:
    """A worker that replays a history; it ends with the block, and with this process.

    Args:
        settings: broker, topics and directories; its log goes into `embedded_dir`.
        claim: of whoever starts it, held by it too.
        name: the worker's.
        only: agents to run; else the usual ones.
        wait: until it is ready.

    Raises:
        WorkerNotReadyError: it was waited for in vain.
        EmbeddedPartError: it ended meanwhile.
    """
    only = only or usual_agents(settings)
    (port,) = free_ports(1, [])
    own = {
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "REPLICATION_FACTOR": settings.replication_factor,
        "MIN_INSYNC_REPLICAS": settings.min_insync_replicas,
        "PARTITIONS": settings.partitions,
        "EMBEDDED_DIR": settings.embedded_dir,
        "STATE_DIR": settings.state_dir,
        "CLOCK": "replayed",
        "WEB_PORT": port,
        "WORKER_NAME": name,
    }
    if settings.procedures_dir is not None:
        own["PROCEDURES_DIR"] = settings.procedures_dir
    process = SupervisedProcess(
        "The worker",
        [
            sys.executable,
            "-m",
            "agents.cli.main",
            "worker",
            "--only",
            ",".join(only or usual_agents(settings)),
        ],
        log=settings.embedded_dir / "worker.log",
        claim=claim,
        environment=os.environ | {PREFIX + key: str(value) for key, value in own.items()},
    )
    try:
        if wait:
            wait_until_ready(process, port)
        yield process
    finally:
        process.stop()


def wait_until_ready(process: SupervisedProcess, port: int, what: str = "the worker") -> None:
    """Until what a process serves on a port of loopback is ready.

    Raises:
        WorkerNotReadyError: it is waited for in vain.
        EmbeddedPartError: it ended meanwhile.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        process.check()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise WorkerNotReadyError(
        f"{what} is not ready after {_READY_SECONDS:.0f} s; its log ends:\n{process.log_tail()}"
    )

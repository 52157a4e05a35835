"""Compares again and again, and says what came of it as metrics.

Each comparison is a process of its own: its memory is gone when it has ended, and it can be stopped
at any time, since it changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from agents.reconcile.findings import NAMES
from streams.health import HealthServer
from streams.metrics import Metrics
from streams.settings import Settings

logger = logging.getLogger(__name__)

_COMPARE = (sys.executable, "-m", "agents.cli.main", "reconcile", "--json")


async def compare_every(settings: Settings, seconds: float) -> None:
    """Until SIGTERM or SIGINT; `seconds` are from the end of one comparison to the next.

    Raises `ConfigurationError` when the port for the metrics is taken.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    metrics = Metrics()
    ended = False
    health = HealthServer(
        metrics, alive=list, ready=lambda: [] if ended else ["the first comparison is under way"]
    )
    await health.start(settings.web_host, settings.web_port)
    try:
        while not stopping.is_set():
            begun = time.time()
            outcome = await _compare(stopping)
            if outcome is not None:
                ended = True
                _show(metrics, outcome, time.time() - begun)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), seconds)
    finally:
        await health.stop()


async def _compare(stopping: asyncio.Event) -> dict[str, Any] | None:
    """What came of one comparison; None when it came to no end."""
    process = await asyncio.create_subprocess_exec(*_COMPARE, stdout=asyncio.subprocess.PIPE)
    stop = asyncio.create_task(_stop(process, stopping))
    outcome: dict[str, Any] | None = None
    assert process.stdout is not None  # noqa: S101  asked for
    async for line in process.stdout:
        said = json.loads(line)
        if said["finding"] == "outcome":
            outcome = said
        else:
            _log(said)
    status = await process.wait()
    stop.cancel()
    if outcome is None and not stopping.is_set():
        logger.error("the comparison broke off with exit status %s", status)
    return outcome


def _log(said: dict[str, Any]) -> None:
    """What was found. Of a difference not the values, which may be of a person."""
    if said["finding"] != "difference":
        logger.info("%s", said["text"])
        return
    about = ", ".join(part for part in (said["account_id"], said["what"], said["field"]) if part)
    against = NAMES[said["against"]]
    logger.error(
        "%s: %s and journal differ [%s]: %s",
        *(about, against, said["place"], said["cause"]),
        extra={"account": said["account_id"]},
    )


async def _stop(process: asyncio.subprocess.Process, stopping: asyncio.Event) -> None:
    await stopping.wait()
    process.terminate()


def _show(metrics: Metrics, outcome: dict[str, Any], seconds: float) -> None:
    for against in NAMES:
        metrics.reconcile_differences.labels(against).set(outcome["against"].get(against, 0))
    metrics.reconcile_not_compared.set(outcome["not_compared"])
    metrics.reconcile_accounts.set(outcome["accounts"])
    metrics.reconcile_seconds.set(seconds)
    metrics.reconcile_timestamp_seconds.set(time.time())
    logger.info(
        "%s differences in %s accounts, %s rows; %.1f s",
        *(outcome["differences"], outcome["accounts"], outcome["rows"], seconds),
    )

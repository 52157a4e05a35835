"""What a check says, and how many checks are run at once, each within its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from smtplib import SMTPException
from typing import Literal, TypeAlias

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException
from httpx2 import HTTPError

from streams.errors import HeadroomError

Verdict: TypeAlias = Literal["ok", "warning", "wrong"]

OF_THE_THING: tuple[type[Exception], ...] = (
    HeadroomError,
    KafkaException,
    ClickHouseError,
    HTTPError,
    SMTPException,
    OSError,
)
"""Errors of what is examined: each is a finding. Any other is a bug of ours and shows itself."""


@dataclass(frozen=True)
class Finding:
    """What one check found. Only `wrong` makes the command fail.

    Attributes:
        check: what was looked at; a check may find several things.
        text: what is so.
        do: what to do about it; empty when nothing is.
    """

    check: str
    verdict: Verdict
    text: str
    do: str = ""


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        name: stands in its findings.
        look: finds; it changes nothing.
        do: what to do when it cannot even be looked at.
    """

    name: str
    look: Callable[[], Iterable[Finding]]
    do: str


def run_all(checks: Sequence[Check], seconds: float) -> list[Finding]:
    """What all of them find, in their order. They run at the same time; one that has not ended in
    so many seconds is a finding by itself.
    """
    found: dict[int, list[Finding]] = {}
    bugs: list[BaseException] = []

    def run(place: int, check: Check) -> None:
        try:
            found[place] = _guarded(check)
        except BaseException as bug:  # noqa: BLE001  it is raised where somebody sees it
            bugs.append(bug)

    # What hangs must not keep the process from ending.
    threads = [
        threading.Thread(target=run, args=(place, check), name=f"doctor-{check.name}", daemon=True)
        for place, check in enumerate(checks)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if bugs:
        raise bugs[0]
    return [
        finding
        for place, check in enumerate(checks)
        for finding in found.get(place, [_silent(check, seconds)])
    ]


def _guarded(check: Check) -> list[Finding]:
    try:
        return list(check.look())
    except OF_THE_THING as error:
        text = str(error).partition("\n")[0] or type(error).__name__
        return [Finding(check.name, "wrong", text, check.do)]


def _silent(check: Check, seconds: float) -> Finding:
    return Finding(check.name, "wrong", f"does not answer within {seconds:g} s", check.do)

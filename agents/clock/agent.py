"""The clock: the leading worker tells every journal partition that a business day has begun.

It is the only place where the product asks what day it is. The rules ignore a day that is not later
than theirs, so it does no harm to say it twice: after a restart, or by two leaders during a
rebalance.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import faust

from agents.simulate import business_day
from schemas.catalogue import JOURNAL
from schemas.dates import date_of, day_of
from schemas.events import Day
from streams.app import Wiring
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.outlet import Flight, Outgoing, Outlet

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


def announce_business_days(app: faust.App, wiring: Wiring, codec: Codec, outlet: Outlet) -> None:
    """Have the App's leader say today's date when it becomes the leader, and each new one."""
    zone = ZoneInfo(wiring.settings.time_zone)
    partitions = wiring.topics[JOURNAL].partitions
    headers = headers_of("clock")
    said: Any = None

    @app.timer(interval=_LOOK_SECONDS, on_leader=True)  # type: ignore[untyped-decorator]
    @fail_stop
    async def look_at_the_clock() -> None:
        nonlocal said
        today = datetime.now(zone).date()
        if said == today:
            return
        said = today
        event = business_day(day_of(today))
        value = codec.encode(event)
        unwatched = Flight()  # a day that is lost with the leader is said again by the next one
        for partition in range(partitions):
            outlet.send(Outgoing(JOURNAL, None, value, headers(event), partition), unwatched)
        logger.info("business day %s begins", today.isoformat())


def day_begins(day: Day, time_zone: str) -> float:
    """When a business day begins by the calendar of a time zone, seconds since 1970."""
    return datetime.combine(date_of(day), datetime.min.time(), ZoneInfo(time_zone)).timestamp()

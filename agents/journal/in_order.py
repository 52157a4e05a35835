"""The partitions of a journal as one course of events, for a ledger that holds every account.

Partitions are not ordered against each other. What they share is the business day: each has the
event with which it begins. So all that one partition has before a day comes before all that any has
after it, which is all that an account can tell; within a day what was written first comes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from agents.journal.entries import DIRECT, Entry
from schemas.events import (
    BROADCAST,
    AccountMoved,
    AccountRecalled,
    BusinessDayContinued,
    BusinessDayStarted,
    Event,
)

_OF_PARTITIONS = (AccountMoved, AccountRecalled, BusinessDayContinued)
"""What there is only because there are partitions."""
_Place = tuple[int, int, int, int, int]


def in_order(partitions: Iterable[Iterator[Entry]]) -> Iterator[Event]:
    """Every event once, as it was sent in.

    Left out is what the journal holds only because accounts are kept apart: what was forwarded to
    where an account is, accounts on their way, the pieces of dunning runs, and the copies of events
    for everyone.
    """
    told: set[str] = set()
    for _, event in heapq.merge(*(_placed(entries) for entries in partitions), key=_place_of):
        if isinstance(event, BROADCAST):
            name = f"{type(event).__name__} {event.event_id}"
            if name in told:
                continue
            told.add(name)
        yield event


def _placed(entries: Iterator[Entry]) -> Iterator[tuple[_Place, Event]]:
    """The events of one partition with a place that only rises."""
    day, written = -(2**31), 0
    for entry in entries:
        event = entry.event
        if isinstance(event, _OF_PARTITIONS) or entry.sent != DIRECT:
            continue
        begins = isinstance(event, BusinessDayStarted) and event.date > day
        if isinstance(event, BusinessDayStarted) and event.date > day:
            day = event.date
        written = max(written, entry.timestamp)
        yield (day, not begins, written, entry.partition, entry.offset), event


def _place_of(placed: tuple[_Place, Event]) -> _Place:
    return placed[0]

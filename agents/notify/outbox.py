"""The steps of one partition that are to leave, and how far everything before is settled. Pure.

What is known of an attempt stands in the changelog under its key: that it is about to leave, with
the mark of who wrote that, or that it is settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, DunningStep, DunningStepSettled, Event

CARRIED = ("email", "sms", "letter")
"""Channels on which something is sent. A call, and a handover, are for people."""


class Known(msgspec.Struct, frozen=True):
    """What the changelog says of an attempt.

    Attributes:
        offset: of its record.
        until: the last day on which it may leave. Its record may come a second time, further on
            (docs/guarantees.md), and must be known then; after that day it would be late.
        mark: of who is about to let it leave; empty when it is settled.
    """

    offset: int
    until: Day
    mark: str = ""


@dataclass
class Waiting:
    """An attempt that is to leave.

    Attributes:
        key: step and attempt.
        offset: of its record.
        size: of its record, in bytes.
        mark: of who wrote down that it was about to leave; empty when nobody did.
        not_before: when to try again, on the caller's clock.
        tries: how often it was not taken.
    """

    key: str
    step: DunningStep
    offset: int
    size: int
    mark: str = ""
    not_before: float = 0.0
    tries: int = 0


class Outbox:
    """What is waiting, oldest first.

    Args:
        known: what the changelog says of attempts.
    """

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._known = dict(known)
        self._waiting: dict[str, Waiting] = {}
        self._notes: dict[str, Known] = {}
        self.size = 0
        """Bytes of the records that wait."""

    def take(self, offset: int, size: int, event: Event) -> None:
        """Have a step wait, or no longer, since something became of it without us."""
        if isinstance(event, DunningStepSettled):
            for key, waiting in list(self._waiting.items()):
                if waiting.step.step_id == event.step_id and not waiting.mark:
                    self._remove(key)
                    self._notes[key] = self._note(waiting, "")
        elif isinstance(event, DunningStep) and not event.proposed and event.channel in CARRIED:
            key = key_of(event)
            known = self._known.get(key)
            if key not in self._waiting and (known is None or known.mark):
                mark = "" if known is None else known.mark
                self._waiting[key] = Waiting(key, event, offset, size, mark)
                self.size += size

    def begun(self, waiting: Waiting, mark: str) -> Known:
        """It is about to leave; what is to be written of it."""
        waiting.mark = mark
        return self._note(waiting, mark)

    def settled(self, waiting: Waiting) -> Known:
        """Something became of it; what is to be written of it."""
        self._remove(waiting.key)
        return self._note(waiting, "")

    def notes(self) -> dict[str, Known]:
        """What else is to be written before anybody reads from a later position: what became of
        steps without us.
        """
        notes, self._notes = self._notes, {}
        return notes

    def stays(self, waiting: Waiting) -> None:
        """It was about to leave and has not: it waits as before."""
        waiting.mark = ""

    def next(self, may_try: Callable[[Waiting], bool]) -> Waiting | None:
        """The oldest that may be tried."""
        return next(filter(may_try, self._waiting.values()), None)

    def by_channel(self) -> Counter[str]:
        """How many wait."""
        return Counter(one.step.channel for one in self._waiting.values())

    def position(self, next_offset: int) -> int:
        """The offset before which nothing waits."""
        return next((one.offset for one in self._waiting.values()), next_offset)

    def forget(self, position: int, today: Day) -> list[str]:
        """Drop what nobody needs any more when reading begins at `position`; the keys."""
        gone = [
            key
            for key, known in self._known.items()
            if known.offset < position and known.until < today
        ]
        for key in gone:
            del self._known[key]
        return gone

    def __len__(self) -> int:
        return len(self._waiting)

    def _note(self, waiting: Waiting, mark: str) -> Known:
        known = Known(waiting.offset, last_day(waiting.step), mark)
        self._known[waiting.key] = known
        return known

    def _remove(self, key: str) -> None:
        self.size -= self._waiting.pop(key).size


def key_of(step: DunningStep) -> str:
    """One per attempt."""
    return f"{step.step_id}#{step.attempt or 1}"


def last_day(step: DunningStep) -> Day:
    """The last day on which it may leave: that by which to pay; of a notice, which has to leave its
    reader all the days that the law gives, that on which it was made.
    """
    if step.costs_to_come is not None:
        return step.occurred_at // MICROSECONDS_PER_DAY
    return step.pay_by

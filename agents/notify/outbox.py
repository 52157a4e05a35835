"""The steps of one partition that are to leave, and how far everything before is settled. Pure.

What is known of an attempt stands in the changelog under its key: that it is about to leave, with
the mark of who wrote that, or that it is settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import msgspec

from agents.notify.carriers import Errand
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, DunningStep, DunningStepSettled, Event, HandoverChanged

LETTERS = ("email", "sms", "letter")
"""Channels by which letters leave. A call is for people, and so is a handover unless there is
somewhere to hand over to.
"""
_CHANGES_REMEMBERED = 60
"""Days for which it is remembered that a change was told."""


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
        key: step and attempt, or the change.
        offset: of its record.
        size: of its record, in bytes.
        mark: of who wrote down that it was about to leave; empty when nobody did.
        not_before: when to try again, on the caller's clock.
        tries: how often it was not taken.
    """

    key: str
    errand: Errand
    offset: int
    size: int
    mark: str = ""
    not_before: float = 0.0
    tries: int = 0


class Outbox:
    """What is waiting, oldest first.

    Args:
        known: what the changelog says of attempts.
        carried: channels on which something is sent.
    """

    def __init__(self, known: Mapping[str, Known], carried: Collection[str] = LETTERS) -> None:
        self._known = dict(known)
        self._carried = carried
        self._waiting: dict[str, Waiting] = {}
        self._notes: dict[str, Known] = {}
        self.size = 0
        """Bytes of the records that wait."""

    def take(self, offset: int, size: int, event: Event) -> None:
        """Have a step wait, or no longer, since something became of it without us."""
        if isinstance(event, DunningStepSettled):
            for key, waiting in list(self._waiting.items()):
                one = waiting.errand
                is_step = isinstance(one, DunningStep) and one.step_id == event.step_id
                if is_step and not waiting.mark:
                    self._remove(key)
                    self._notes[key] = self._note(waiting, "")
            return
        errand = self._errand(event)
        if errand is None:
            return
        key = key_of(errand)
        known = self._known.get(key)
        if key not in self._waiting and (known is None or known.mark):
            mark = "" if known is None else known.mark
            self._waiting[key] = Waiting(key, errand, offset, size, mark)
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
        return Counter(one.errand.channel for one in self._waiting.values())

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

    def _errand(self, event: Event) -> Errand | None:
        """The event, if something is to leave because of it."""
        match event:
            case DunningStep() if not event.proposed and event.channel in self._carried:
                return event
            case HandoverChanged() if event.channel in self._carried:
                return event
            case _:
                return None

    def _note(self, waiting: Waiting, mark: str) -> Known:
        known = Known(waiting.offset, last_day(waiting.errand), mark)
        self._known[waiting.key] = known
        return known

    def _remove(self, key: str) -> None:
        self.size -= self._waiting.pop(key).size


def key_of(errand: Errand) -> str:
    """One per attempt, one per change."""
    if isinstance(errand, HandoverChanged):
        return f"{errand.step_id}!{errand.event_id}"
    return f"{errand.step_id}#{errand.attempt or 1}"


def is_late(errand: Errand, today: Day) -> bool:
    """Whether it may not leave any more. What has changed of a claim is told however late."""
    return isinstance(errand, DunningStep) and today > last_day(errand)


def last_day(errand: Errand) -> Day:
    """The last day on which a step may leave: that by which to pay; of a notice, which has to leave
    its reader all the days that the law gives, that on which it was made. Of a change the last day
    on which its record may come again.
    """
    if isinstance(errand, HandoverChanged):
        return errand.on + _CHANGES_REMEMBERED
    if errand.costs_to_come is not None:
        return errand.occurred_at // MICROSECONDS_PER_DAY
    return errand.pay_by

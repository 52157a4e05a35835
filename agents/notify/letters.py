"""Letters as a trade: steps of dunning, and what has changed of claims that were handed over.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agents.notify.carriers import Errand
from agents.notify.outbox import Known, Now
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, DunningStep, DunningStepSettled, HandoverChanged, Instant

LETTERS = ("email", "sms", "letter")
"""Channels by which letters leave. A call is for people, and so is a handover unless there is
somewhere to hand over to.
"""
_CHANGES_REMEMBERED = 60
"""Days for which it is remembered that a change was told."""


class Letters:
    """Each leaves by itself, on the way of its channel, as soon as it can.

    Args:
        carried: channels on which something is sent.
    """

    queue_max = 1 << 60
    """How many may wait is for whoever reads the steps to bound: none of them may be lost."""

    def __init__(self, carried: Collection[str] = LETTERS) -> None:
        self._carried = carried

    def hear(self, offset: int, said: object) -> Mapping[str, Known] | None:
        del offset
        return {} if isinstance(said, DunningStepSettled) else None

    def recall(self, key: str, known: Known) -> None:
        """Nothing is remembered besides the letters."""

    def errand(self, said: object) -> Errand | None:
        match said:
            case DunningStep() if not said.proposed and said.channel in self._carried:
                return said
            case HandoverChanged() if said.channel in self._carried:
                return said
            case _:
                return None

    def is_off(self, said: object, errand: Errand) -> bool:
        """Something became of the step without us."""
        return (
            isinstance(said, DunningStepSettled)
            and isinstance(errand, DunningStep)
            and errand.step_id == said.step_id
        )

    def key_of(self, errand: Errand) -> str:
        return key_of(errand)

    def way_of(self, errand: Errand) -> str:
        return errand.channel

    def due(self, errand: Errand) -> Instant:
        del errand
        return 0

    def may_leave(self, errand: Errand, now: Now) -> bool:
        del errand, now
        return True

    def is_late(self, errand: Errand, now: Now) -> bool:
        return is_late(errand, now.today)

    def until(self, errand: Errand) -> Day:
        return last_day(errand)

    def gathers(self, errand: Errand) -> str:
        del errand
        return ""

    def message(self, errands: Sequence[Errand]) -> Errand:
        return errands[0]


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

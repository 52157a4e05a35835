"""The rules without Kafka: a file of events taken as the journal, in its order.

The pipeline runs the same `reduce` on the same journal, so both say the same, event for event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agents.core.ledger import Ledger, MemoryLedger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit.day_run import continued
from agents.credit.effects import (
    AccountLeft,
    AccountTouched,
    Continuation,
    Forward,
    GroupTouched,
    Sent,
)
from agents.credit.rules import figures, group_figures, reduce
from agents.intake.rules import check
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import (
    AccountMoved,
    AccountRecalled,
    BusinessDayContinued,
    BusinessDayStarted,
    Day,
    Event,
    ExposureChanged,
    GroupExposureChanged,
)


class Simulation:
    """One partition that holds every account and group.

    Args:
        policy: what decides.
        ledger: the state to go on from; else nothing has happened yet.
    """

    def __init__(self, policy: PolicyBook, ledger: Ledger | None = None) -> None:
        self._policy = policy
        self._ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self._touched: set[str] = set()
        self._groups: set[str] = set()

    @property
    def ledger(self) -> Ledger:
        """The state as it is."""
        return self._ledger

    def feed(self, event: Event) -> Iterator[Event | Refusal]:
        """Apply one event; yields what goes out, and refusals, in order.

        Accounts move to their groups and back here as the events say so, and the run of a day is
        done when the day begins. What a journal tells of that is passed over.
        """
        if isinstance(event, AccountMoved | AccountRecalled | BusinessDayContinued):
            return
        refusal = None if isinstance(event, BusinessDayStarted) else check(event)
        if refusal is not None:
            yield refusal
            return
        yield from self._apply(event, Sent())

    def _apply(self, event: Event, sent: Sent) -> Iterator[Event | Refusal]:
        following: Event | None = event
        while following is not None:
            event, following = following, None
            for effect in reduce(self._ledger, event, self._policy, sent):
                match effect:
                    case AccountTouched():
                        self._touched.add(effect.account_id)
                    case GroupTouched():
                        self._groups.add(effect.group_id)
                    case Forward():
                        yield from self._apply(effect.event, effect.sent)
                    case AccountLeft():
                        self._touched.add(effect.account_id)
                    case Continuation():
                        following = continued(effect)
                    case _:
                        yield effect

    def figures(self) -> Iterator[ExposureChanged]:
        """The figures of every account, by customer id."""
        for account_id in sorted(self._touched):
            yield figures(self._ledger, account_id, self._policy)

    def group_figures(self) -> Iterator[GroupExposureChanged]:
        """The figures of every credit group, by its id."""
        for group_id in sorted(self._groups):
            yield group_figures(self._ledger, group_id, self._policy)


def with_days(events: Iterable[Event]) -> Iterator[Event]:
    """The same events, and `BusinessDayStarted` before the first of each later day, gaps filled.

    An event that will be refused begins no day: its date may be a mistake of centuries.
    """
    today: Day | None = None
    for event in events:
        if check(event) is not None:
            yield event
            continue
        day = event.occurred_at // MICROSECONDS_PER_DAY
        if today is None:
            today = day - 1
        for started in range(today + 1, day + 1):
            yield business_day(started)
        today = max(today, day)
        yield event


def business_day(day: Day) -> BusinessDayStarted:
    """The event with which a day begins; the same for everyone who says it."""
    return BusinessDayStarted(
        event_id=f"day-{format_day(day)}", occurred_at=day * MICROSECONDS_PER_DAY, date=day
    )

"""What the dunning runs of coming days would say, on a ledger that is thrown away afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.dunning.procedure import TO_NOBODY
from agents.simulate import Simulation, business_day
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import Day, DunningStep, DunningStepReported


class PastDayError(ValueError):
    """The day has begun already; what it said is published."""


def rehearse(ledger: Ledger, policies: PolicyBook, until: Day) -> Iterator[DunningStep]:
    """The steps of every day up to `until`, as they would go out if nothing else happened: nobody
    pays, and what goes out arrives, but for what a person has to approve or to do. The ledger is
    changed.

    Raises:
        PastDayError: the ledger's day is not before `until`.
    """
    today: Day | None = ledger.get(state.BUSINESS_DAY)
    if today is not None and today >= until:
        raise PastDayError(f"{format_day(today)} has begun already")
    simulation = Simulation(policies, ledger)
    for day in range(until if today is None else today + 1, until + 1):
        said = list(simulation.feed(business_day(day)))
        for step in (one for one in said if isinstance(one, DunningStep)):
            yield step
            if day < until and goes_by_itself(step):
                for _ in simulation.feed(arrived(step)):
                    pass


def goes_by_itself(step: DunningStep) -> bool:
    """Whether no person has to approve it or to do it."""
    return not step.proposed and step.channel not in TO_NOBODY


def arrived(step: DunningStep) -> DunningStepReported:
    """That it was sent on its day."""
    return DunningStepReported(
        event_id=f"rehearsed-{step.step_id}-{step.attempt}",
        occurred_at=step.occurred_at,
        customer_id=step.customer_id,
        step_id=step.step_id,
        attempt=step.attempt or 1,
        channel=step.channel,
        result="sent",
        on=step.occurred_at // MICROSECONDS_PER_DAY,
    )

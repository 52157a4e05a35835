"""How well a coming shortage of headroom is foretold, on the real receivables of the demo.

A *hold* is an order held for the limit while no other order of the customer waits. It was announced
in time when a warning came on one of the `forecast_days` before it, and at least `IN_TIME_DAYS`
before. A warning is a *false alarm* when no hold follows within `forecast_days`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files

from agents.core.policy_text import parse_policy
from agents.credit import reasons
from agents.demo.history import events_of, read_settled_invoices
from agents.simulate import Simulation, with_days
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import BusinessDayStarted, Day, Event, OrderDecision, RiskSignal

IN_TIME_DAYS = 3


@dataclass(frozen=True)
class Foresight:
    """Counts of one run. `chance`: the share of all customers and days on which a warning given
    blindly would have been right.
    """

    forecast_days: int
    holds: int
    in_time: int
    warnings: int
    false_alarms: int
    chance: float


def foresight(forecast_days: int) -> Foresight:
    """Run the real receivables under the policy that ships, looking so many days ahead."""
    invoices = read_settled_invoices()
    customers = len({invoice.customer_id for invoice in invoices})
    holds, warnings, days = _told(events_of(invoices), forecast_days)
    in_sight = {
        (customer, day)
        for customer, held_on in holds.items()
        for hold in held_on
        for day in range(hold - forecast_days, hold)
    }
    return Foresight(
        forecast_days=forecast_days,
        holds=sum(map(len, holds.values())),
        in_time=_in_time(holds, warnings, forecast_days),
        warnings=sum(map(len, warnings.values())),
        false_alarms=sum(
            not any(day < hold <= day + forecast_days for hold in holds[customer])
            for customer, told_on in list(warnings.items())
            for day in told_on
        ),
        chance=len(in_sight) / (customers * days),
    )


_ByCustomer = dict[str, list[Day]]


def _told(history: list[Event], forecast_days: int) -> tuple[_ByCustomer, _ByCustomer, int]:
    """The days of holds and of warnings, by customer, and how many days there were."""
    shipped = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")
    changed = f'version = "ahead-{forecast_days}"\n[alerts]\nforecast_days = {forecast_days}\n'
    simulation = Simulation(parse_policy(changed, shipped))
    holds: _ByCustomer = defaultdict(list)
    warnings: _ByCustomer = defaultdict(list)
    waiting: dict[str, set[str]] = defaultdict(set)
    days = 0
    for event in with_days(history):
        days += isinstance(event, BusinessDayStarted)
        today = event.occurred_at // MICROSECONDS_PER_DAY
        for effect in simulation.feed(event):
            match effect:
                case OrderDecision(decision="held", customer_id=customer):
                    if not waiting[customer] and reasons.CREDIT_LIMIT_EXCEEDED in effect.reasons:
                        holds[customer].append(today)
                    waiting[customer].add(effect.order_id)
                case OrderDecision(customer_id=customer):
                    waiting[customer].discard(effect.order_id)
                case RiskSignal(customer_id=customer):
                    warnings[customer].append(today)
    return holds, warnings, days


def _in_time(holds: _ByCustomer, warnings: _ByCustomer, forecast_days: int) -> int:
    return sum(
        any(hold - forecast_days <= day <= hold - IN_TIME_DAYS for day in warnings[customer])
        for customer, held_on in list(holds.items())
        for hold in held_on
    )

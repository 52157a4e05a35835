"""The real receivables as events, and what the pure rules make of them."""

from __future__ import annotations

from collections import Counter

from agents.demo.history import (
    ORDER_LEAD_DAYS,
    credit_limit_of,
    events_of,
    open_receivables_on,
    read_settled_invoices,
)
from agents.intake.rules import check
from agents.policy_file import load_policy
from agents.simulate import Simulation, with_days
from schemas.events import (
    BusinessDayStarted,
    CreditLimitAlert,
    InvoiceIssued,
    OrderDecision,
    OrderPlaced,
)

_DAY = 86_400_000_000


def test_the_file_is_what_its_source_says() -> None:
    invoices = read_settled_invoices()
    assert len(invoices) == len({one.invoice_id for one in invoices}) == 2466
    assert len({one.customer_id for one in invoices}) == 100
    assert sum(one.amount for one in invoices) == 14_770_318
    assert sum(one.disputed for one in invoices) == 561


def test_every_event_of_the_history_is_accepted_and_in_order() -> None:
    events = events_of(read_settled_invoices())
    assert [check(event) for event in events] == [None] * len(events)
    assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
    placed = {e.order_id: e.occurred_at // _DAY for e in events if isinstance(e, OrderPlaced)}
    invoiced = {e.order_id: e.issued_on for e in events if isinstance(e, InvoiceIssued)}
    assert {invoiced[order_id] - day for order_id, day in placed.items()} == {ORDER_LEAD_DAYS}


def test_open_receivables_agree_with_the_file_on_every_day_for_every_customer() -> None:
    """What the rules keep is what the file says, to the cent, at the end of each of 752 days."""
    invoices = read_settled_invoices()
    simulation = Simulation(load_policy(None))
    today: int | None = None
    compared = 0

    def compare(day: int) -> int:
        kept = {
            one.customer_id: one.open_receivables
            for one in simulation.figures()
            if one.open_receivables
        }
        assert kept == open_receivables_on(invoices, day)
        return len(kept)

    for event in with_days(events_of(invoices)):
        if isinstance(event, BusinessDayStarted):
            if today is not None:
                compared += compare(today)
            today = event.date
        list(simulation.feed(event))
    assert today == max(one.settled_on for one in invoices)
    assert compared > 40_000


def test_every_order_is_decided_and_no_hold_is_left() -> None:
    simulation = Simulation(load_policy(None))
    latest: dict[str, str] = {}
    decisions: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    for event in with_days(events_of(read_settled_invoices())):
        for effect in simulation.feed(event):
            if isinstance(effect, OrderDecision):
                latest[effect.order_id] = effect.decision
                decisions[effect.decision] += 1
            elif isinstance(effect, CreditLimitAlert):
                alerts[f"{effect.threshold} {effect.direction}"] += 1
    assert len(latest) == 2466
    assert set(latest.values()) == {"approved", "released"}
    # The limits are such that customers are held at their peaks, and not all the time.
    assert decisions["held"] == decisions["released"] > 200
    assert alerts["0.80 raised"] == alerts["0.80 cleared"] > 300
    assert all(one.exposure == 0 for one in simulation.figures())


def test_limits_come_from_the_customers_own_peaks() -> None:
    invoices = read_settled_invoices()
    by_customer: dict[str, list[object]] = {}
    for one in invoices:
        by_customer.setdefault(one.customer_id, []).append(one)
    limits = [credit_limit_of(group) for group in by_customer.values()]  # type: ignore[arg-type]
    assert all(limit % 500 == 0 and limit > 0 for limit in limits)
    assert len(set(limits)) > 20

"""What the world outside sends: customers, groups, orders, invoices, payments, on their topics.
Some of it is sent twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

import msgspec

from schemas import events as ev
from schemas.catalogue import topic_of
from schemas.events import Event

FIRST_DAY = 20_514
_AT = FIRST_DAY * 86_400_000_000
_CUSTOMERS = 5
_GROUP = "G-1"
POISON = 13
"""Of an order so high the rules fail in the simulated release."""


def events(chance: Random, number: int) -> Iterator[Event]:
    """Made up as chance has it. Money is short, so that orders are held and released."""
    numbers = itertools.count()
    orders: list[ev.OrderPlaced] = []
    invoices: list[ev.InvoiceIssued] = []

    def common() -> tuple[str, int]:
        n = next(numbers)
        return f"e-{n}", _AT + n * 1_000_000

    def customer(customer_id: str, group_id: str | None = None) -> Event:
        event_id, at = common()
        return ev.CustomerUpserted(
            event_id=event_id,
            occurred_at=at,
            customer_id=customer_id,
            currency="EUR",
            credit_limit=chance.choice((500, 1_000, 2_000)),
            group_id=group_id,
        )

    def order() -> ev.OrderPlaced:
        event_id, at = common()
        orders.append(
            ev.OrderPlaced(
                event_id=event_id,
                occurred_at=at,
                customer_id=chance.choice(customers),
                order_id=f"O-{len(orders)}",
                amount=chance.randint(20, 400),
                currency="EUR",
            )
        )
        return orders[-1]

    def invoice() -> Event:
        if not orders:
            return order()
        event_id, at = common()
        whose = chance.choice(orders)
        invoices.append(
            ev.InvoiceIssued(
                event_id=event_id,
                occurred_at=at,
                customer_id=whose.customer_id,
                invoice_id=f"I-{len(invoices)}",
                order_id=whose.order_id,
                amount=whose.amount,
                currency="EUR",
                issued_on=FIRST_DAY,
                due_on=FIRST_DAY + chance.choice((0, 30)),
            )
        )
        return invoices[-1]

    def payment() -> Event:
        if not invoices:
            return order()
        event_id, at = common()
        paid = chance.choice(invoices)
        return ev.PaymentReceived(
            event_id=event_id,
            occurred_at=at,
            customer_id=paid.customer_id,
            payment_id=f"P-{event_id}",
            amount=paid.amount,
            currency="EUR",
            value_on=FIRST_DAY,
            allocations=[ev.Allocation(invoice_id=paid.invoice_id, amount=paid.amount)],
        )

    def cancellation() -> Event:
        if not orders:
            return order()
        event_id, at = common()
        whose = chance.choice(orders)
        return ev.OrderCancelled(
            event_id=event_id,
            occurred_at=at,
            customer_id=whose.customer_id,
            order_id=whose.order_id,
        )

    def rate() -> Event:
        event_id, at = common()
        return ev.FxRatePublished(
            event_id=event_id,
            occurred_at=at,
            base="EUR",
            quote="USD",
            rate=f"1.{chance.randint(10, 30)}",
            valid_on=FIRST_DAY,
        )

    def group() -> Event:
        event_id, at = common()
        return ev.CreditGroupUpserted(
            event_id=event_id,
            occurred_at=at,
            group_id=_GROUP,
            currency="EUR",
            credit_limit=chance.choice((1_000, 3_000)),
        )

    def refused() -> Event:
        event_id, at = common()
        return ev.OrderPlaced(
            event_id=event_id,
            occurred_at=at,
            customer_id=chance.choice(customers),
            order_id=f"bad-{event_id}",
            amount=0,
            currency="EUR",
        )

    def poison() -> Event:
        poisoned.append(msgspec.structs.replace(order(), amount=POISON))
        return poisoned[-1]

    def retry() -> Event:
        event_id, at = common()
        return ev.ParkedAccountRetried(
            event_id=event_id,
            occurred_at=at,
            customer_id=chance.choice(poisoned).customer_id,
            by="ann",
            reason="mended",
        )

    def discard() -> Event:
        event_id, at = common()
        parked = chance.choice(poisoned)
        return ev.ParkedEventDiscarded(
            event_id=event_id,
            occurred_at=at,
            customer_id=parked.customer_id,
            parked_event_id=parked.event_id,
            by="ann",
            reason="not wanted",
        )

    poisoned: list[ev.OrderPlaced] = []
    with_poison = chance.random() < 0.3
    customers = [f"C-{n}" for n in range(_CUSTOMERS)]
    with_group = chance.random() < 0.5
    for customer_id in customers:
        yield customer(customer_id)
    for _ in range(number):
        kind = chance.choices(
            (order, invoice, payment, cancellation, rate, refused), (60, 12, 18, 4, 1, 2)
        )[0]
        yield kind()
        if with_poison and chance.random() < 0.04:
            yield poison()
        if poisoned and chance.random() < 0.1:
            yield chance.choice((retry, discard))()
        if with_group and chance.random() < 0.04:
            yield group()
        if chance.random() < 0.03:
            member = _GROUP if with_group and chance.random() < 0.7 else None
            yield customer(chance.choice(customers), member)


def topic_for(event: Event) -> str:
    return topic_of(type(event).__name__)

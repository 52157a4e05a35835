"""The work that benchmarks give to the pipeline: customers who order, are invoiced and pay.

Three events per order: placed, invoiced in full, paid. Customers are drawn at random, the limits
are such that about one order in ten is held and released by a later payment. The same seed gives
the same events.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    Allocation,
    CustomerUpserted,
    Event,
    InvoiceIssued,
    OrderPlaced,
    PaymentReceived,
)

DAY = 20_500
_LIMIT = 8_000_00
_OPEN_AT_ONCE = 6

BUSINESS = (OrderPlaced, InvoiceIssued, PaymentReceived)
"""What `business` is made of."""


def customers(count: int) -> Iterator[Event]:
    """The master records."""
    for number in range(count):
        yield CustomerUpserted(
            event_id=f"c-{number}",
            occurred_at=DAY * MICROSECONDS_PER_DAY,
            customer_id=customer_id(number),
            currency="EUR",
            credit_limit=_LIMIT,
        )


def business(count: int, customer_count: int, seed: int = 1) -> Iterator[Event]:
    """`count` events of orders, invoices and payments, in the order in which they happened."""
    draw = random.Random(seed)
    at = DAY * MICROSECONDS_PER_DAY
    waiting: list[tuple[int, str, int]] = []
    produced = number = 0
    while produced < count:
        number += 1
        customer = customer_id(draw.randrange(customer_count))
        amount = draw.randrange(100_00, 3_000_00)
        at += 1000
        yield _order(number, customer, amount, at)
        waiting.append((number, customer, amount))
        produced += 1
        if len(waiting) < _OPEN_AT_ONCE * customer_count // 4:
            continue
        then, whose, due = waiting.pop(0)
        yield _invoice(then, whose, due, at + 1)
        yield _payment(then, whose, due, at + 2)
        produced += 2


def orders(count: int, customer_count: int, seed: int = 1) -> Iterator[OrderPlaced]:
    """Small orders that all fit, for measuring how long an answer takes."""
    draw = random.Random(seed)
    for number in range(count):
        yield _order(number, customer_id(draw.randrange(customer_count)), 1, DAY * 10**10 + number)


def customer_id(number: int) -> str:
    return f"C-{number:06d}"


def _order(number: int, customer: str, amount: int, at: int) -> OrderPlaced:
    return OrderPlaced(
        event_id=f"o-{number}",
        occurred_at=at,
        customer_id=customer,
        order_id=f"O-{number}",
        amount=amount,
        currency="EUR",
    )


def _invoice(number: int, customer: str, amount: int, at: int) -> InvoiceIssued:
    return InvoiceIssued(
        event_id=f"i-{number}",
        occurred_at=at,
        customer_id=customer,
        invoice_id=f"I-{number}",
        amount=amount,
        currency="EUR",
        issued_on=DAY,
        due_on=DAY + 30,
        order_id=f"O-{number}",
        final_for_order=True,
    )


def _payment(number: int, customer: str, amount: int, at: int) -> PaymentReceived:
    return PaymentReceived(
        event_id=f"p-{number}",
        occurred_at=at,
        customer_id=customer,
        payment_id=f"P-{number}",
        amount=amount,
        currency="EUR",
        value_on=DAY,
        allocations=[Allocation(invoice_id=f"I-{number}", amount=amount)],
    )

"""Two years of real receivables, told as events.

Real, from the file: customers, invoices, amounts, due dates, settlement dates, which invoices were
disputed. Derived here, by rule, because the file does not have it:

* an **order** of the invoice's amount, `ORDER_LEAD_DAYS` before the invoice that then names it;
* a **credit limit** per customer: `LIMIT_SHARE` of the highest total of open receivables and open
  orders that the customer's own history would reach without a limit, rounded up to a full 5.00, so
  that a busy customer is held at its peaks and released when its payments arrive;
* a **payment** of the full amount on the settlement date, allocated to its invoice;
* a **dispute** raised `DISPUTE_AFTER_DAYS` after the invoice, or on the settlement date if that is
  earlier, and rejected on the settlement date (the file shows every invoice paid in full);
* times of day, so that within a day payments come first, then disputes, invoices and orders.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from schemas.dates import day_of
from schemas.events import (
    Allocation,
    CustomerUpserted,
    Day,
    DisputeResolved,
    Event,
    Instant,
    InvoiceDisputed,
    InvoiceIssued,
    Minor,
    OrderPlaced,
    PaymentReceived,
)
from schemas.money import parse_amount

CURRENCY = "USD"
ORDER_LEAD_DAYS = 14
DISPUTE_AFTER_DAYS = 10
LIMIT_SHARE = (4, 5)
_LIMIT_STEP: Minor = 500
_HOUR: Instant = 3_600_000_000
_DAY: Instant = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class SettledInvoice:
    """One line of the file."""

    customer_id: str
    invoice_id: str
    issued_on: Day
    due_on: Day
    settled_on: Day
    amount: Minor
    disputed: bool


def read_settled_invoices() -> list[SettledInvoice]:
    """The file that ships with the demo, in its order."""
    source = files("agents.demo") / "ibm-accounts-receivable.csv"
    return [
        SettledInvoice(
            customer_id=line["customerID"],
            invoice_id=line["invoiceNumber"],
            issued_on=_day(line["InvoiceDate"]),
            due_on=_day(line["DueDate"]),
            settled_on=_day(line["SettledDate"]),
            amount=parse_amount(line["InvoiceAmount"], CURRENCY),
            disputed=line["Disputed"] == "Yes",
        )
        for line in csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    ]


def events_of(invoices: Iterable[SettledInvoice]) -> list[Event]:
    """The whole history in the order in which it happened."""
    by_customer: dict[str, list[SettledInvoice]] = defaultdict(list)
    for invoice in invoices:
        by_customer[invoice.customer_id].append(invoice)
    first_day = min(one.issued_on for group in by_customer.values() for one in group)
    events: list[Event] = []
    for customer_id, group in by_customer.items():
        events.append(_customer(customer_id, group, first_day - ORDER_LEAD_DAYS))
        for invoice in group:
            events.extend(_story(invoice))
    return sorted(events, key=lambda event: event.occurred_at)


def open_receivables_on(invoices: Iterable[SettledInvoice], day: Day) -> dict[str, Minor]:
    """What each customer owes at the end of `day`, from the file alone."""
    owed: dict[str, Minor] = defaultdict(int)
    for invoice in invoices:
        if invoice.issued_on <= day < invoice.settled_on:
            owed[invoice.customer_id] += invoice.amount
    return dict(owed)


def credit_limit_of(invoices: Iterable[SettledInvoice]) -> Minor:
    """The limit that the demo gives to the customer with these invoices."""
    moves: dict[Day, Minor] = defaultdict(int)
    for invoice in invoices:
        moves[invoice.issued_on - ORDER_LEAD_DAYS] += invoice.amount
        moves[invoice.settled_on] -= invoice.amount
    peak = level = 0
    for day in sorted(moves):
        level += moves[day]
        peak = max(peak, level)
    share, whole = LIMIT_SHARE
    return -(-peak * share // (whole * _LIMIT_STEP)) * _LIMIT_STEP


def _customer(customer_id: str, invoices: list[SettledInvoice], day: Day) -> Event:
    return CustomerUpserted(
        event_id=f"customer-{customer_id}",
        occurred_at=day * _DAY,
        customer_id=customer_id,
        currency=CURRENCY,
        credit_limit=credit_limit_of(invoices),
        name=f"Customer {customer_id}",
        kind="b2b",
    )


def _story(invoice: SettledInvoice) -> list[Event]:
    order_id = f"O-{invoice.invoice_id}"
    customer_id = invoice.customer_id
    story: list[Event] = [
        OrderPlaced(
            event_id=f"order-{invoice.invoice_id}",
            occurred_at=(invoice.issued_on - ORDER_LEAD_DAYS) * _DAY + 12 * _HOUR,
            customer_id=customer_id,
            order_id=order_id,
            amount=invoice.amount,
            currency=CURRENCY,
            deliver_on=invoice.issued_on,
        ),
        InvoiceIssued(
            event_id=f"invoice-{invoice.invoice_id}",
            occurred_at=invoice.issued_on * _DAY + 11 * _HOUR,
            customer_id=customer_id,
            invoice_id=invoice.invoice_id,
            amount=invoice.amount,
            currency=CURRENCY,
            issued_on=invoice.issued_on,
            due_on=invoice.due_on,
            order_id=order_id,
            final_for_order=True,
        ),
        PaymentReceived(
            event_id=f"payment-{invoice.invoice_id}",
            # A payment on the invoice's own day comes after it.
            occurred_at=invoice.settled_on * _DAY
            + (9 if invoice.settled_on > invoice.issued_on else 13) * _HOUR,
            customer_id=customer_id,
            payment_id=f"P-{invoice.invoice_id}",
            amount=invoice.amount,
            currency=CURRENCY,
            value_on=invoice.settled_on,
            allocations=[Allocation(invoice_id=invoice.invoice_id, amount=invoice.amount)],
        ),
    ]
    if invoice.disputed:
        story += _dispute(invoice)
    return story


def _dispute(invoice: SettledInvoice) -> list[Event]:
    raised_on = min(invoice.issued_on + DISPUTE_AFTER_DAYS, invoice.settled_on)
    return [
        InvoiceDisputed(
            event_id=f"disputed-{invoice.invoice_id}",
            occurred_at=raised_on * _DAY + 8 * _HOUR,
            customer_id=invoice.customer_id,
            invoice_id=invoice.invoice_id,
            dispute_id=f"D-{invoice.invoice_id}",
            reason="as marked in the file",
        ),
        DisputeResolved(
            event_id=f"resolved-{invoice.invoice_id}",
            occurred_at=invoice.settled_on * _DAY + 8 * _HOUR + _HOUR // 2,
            customer_id=invoice.customer_id,
            invoice_id=invoice.invoice_id,
            dispute_id=f"D-{invoice.invoice_id}",
            outcome="rejected",
        ),
    ]


def _day(text: str) -> Day:
    return day_of(datetime.strptime(text, "%m/%d/%Y").date())  # noqa: DTZ007  # a date, no time

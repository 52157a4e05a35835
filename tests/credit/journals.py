"""Journals for example tests, written shortly: one customer, euros, days counted from `DAY`."""

from __future__ import annotations

from typing import Any

from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.simulate import Simulation, business_day
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, Event

CUSTOMER = "C-1"
DAY: Day = 20_000
"""2024-10-04, on which every journal begins."""
_OF_NO_CUSTOMER = (ev.CreditGroupUpserted, ev.FxRatePublished, ev.FeedAdvanced)


class Journal(list[Event]):
    """Events in their order, a microsecond apart; their ids are `e-1`, `e-2` and so on."""

    def __init__(self) -> None:
        super().__init__([business_day(DAY)])
        self.today = DAY

    def wait(self, days: int = 1) -> None:
        """Begin the day that is so many later; the days between are not begun."""
        self.today += days
        self.append(business_day(self.today))

    def say(self, kind: Any, customer_id: str = CUSTOMER, **fields: Any) -> None:
        fields = {
            "event_id": f"e-{len(self)}",
            "occurred_at": self.today * MICROSECONDS_PER_DAY + len(self),
            **({} if kind in _OF_NO_CUSTOMER else {"customer_id": customer_id}),
            **fields,
        }
        self.append(kind(**fields))

    def customer(self, limit: int | None, customer_id: str = CUSTOMER, **fields: Any) -> None:
        fields = {"currency": "EUR", **fields}
        self.say(ev.CustomerUpserted, customer_id, credit_limit=limit, **fields)

    def order(self, order_id: str, amount: int, customer_id: str = CUSTOMER, **fields: Any) -> None:
        fields = {"currency": "EUR", **fields}
        self.say(ev.OrderPlaced, customer_id, order_id=order_id, amount=amount, **fields)

    def invoice(self, invoice_id: str, amount: int, due_in: int = 30, **fields: Any) -> None:
        fields = {"currency": "EUR", "issued_on": self.today + min(due_in, 0), **fields}
        self.say(
            ev.InvoiceIssued,
            invoice_id=invoice_id,
            amount=amount,
            due_on=self.today + due_in,
            **fields,
        )

    def pay(
        self,
        payment_id: str,
        amount: int,
        invoice_id: str | None = None,
        customer_id: str = CUSTOMER,
    ) -> None:
        self.say(
            ev.PaymentReceived,
            customer_id,
            payment_id=payment_id,
            amount=amount,
            currency="EUR",
            value_on=self.today,
            allocations=[]
            if invoice_id is None
            else [ev.Allocation(invoice_id=invoice_id, amount=amount)],
        )

    def outcome(self, policy: PolicyBook) -> list[Event | Refusal]:
        """What goes out."""
        simulation = Simulation(policy)
        return [effect for event in self for effect in simulation.feed(event)]


def two_orders(limit: int, used: int, older: int, younger: int) -> Journal:
    """The customer owes an invoice when two orders come."""
    journal = Journal()
    journal.customer(limit)
    journal.invoice("I-1", used)
    journal.order("O-1", older)
    journal.order("O-2", younger)
    return journal

"""Whom customers pay with: makes a payment that they are sent to, and tells what became of it.

A notice that something has changed is a hint and no more: anybody can send one. So what became of a
payment is always asked for, and the same answer makes the same events.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from schemas.events import (
    Allocation,
    Day,
    Event,
    Instant,
    Minor,
    PaymentFailed,
    PaymentReceived,
    PaymentReversed,
)
from streams.errors import HeadroomError


class Bill(msgspec.Struct, frozen=True):
    """What is to be paid: `shares` say what of it is for which invoice, the rest is for interest
    and costs.
    """

    customer_id: str
    reference: str
    amount: Minor
    currency: str
    shares: list[tuple[str, Minor]]
    language: str
    country: str
    back_to: str
    """Where the customer comes back to."""


class Standing(msgspec.Struct, frozen=True):
    """How a payment stands.

    Attributes:
        payment_id: ours, of the provider's name and id.
        status: `waiting`, `paid`, `failed`, `charged_back`, or `given_up` by the customer.
        at: since when.
        on: the day on which it was paid, at the creditor's.
    """

    payment_id: str
    customer_id: str
    status: str
    amount: Minor
    currency: str
    shares: list[tuple[str, Minor]]
    at: Instant
    on: Day
    back_at: Instant = 0
    """When it was charged back."""


class ProviderError(HeadroomError):
    """The provider cannot be asked now, or does not take it. The text stands in the log: codes, not
    what was answered.
    """


class PaymentProvider(Protocol):
    """A way to pay."""

    name: str
    """Stands in the path of its notices, and before the ids of its payments."""
    origin: str
    """Of the pages that customers are sent to, for the browser's policy."""

    def begin(self, bill: Bill, notices: str, key: str) -> str:
        """Where the customer pays. The same key: the same payment.

        Args:
            bill: what is to be paid.
            notices: the address that hears when something changes.
            key: of this wish to pay.

        Raises:
            ProviderError: there can be no payment now.
        """
        ...

    def standing(self, notice: str) -> Standing | None:
        """How the payment stands that a notice names; None when it is none that we began.

        Raises:
            ProviderError: it cannot be found out now.
        """
        ...


def events_of(standing: Standing) -> list[Event]:
    """What a payment's standing says. Whatever was said before has the same ids."""
    received = PaymentReceived(
        event_id=f"{standing.payment_id}-received",
        occurred_at=standing.at,
        customer_id=standing.customer_id,
        payment_id=standing.payment_id,
        amount=standing.amount,
        currency=standing.currency,
        value_on=standing.on,
        allocations=[Allocation(invoice_id=one, amount=part) for one, part in standing.shares],
    )
    match standing.status:
        case "paid":
            return [received]
        case "charged_back":
            # Should the notice of the payment itself be the one that got lost.
            reversed_ = PaymentReversed(
                event_id=f"{standing.payment_id}-charged-back",
                occurred_at=standing.back_at,
                customer_id=standing.customer_id,
                payment_id=standing.payment_id,
                reason="charge-back",
            )
            return [received, reversed_]
        case "failed":
            failed = PaymentFailed(
                event_id=f"{standing.payment_id}-failed",
                occurred_at=standing.at,
                customer_id=standing.customer_id,
                payment_id=standing.payment_id,
                invoice_id=standing.shares[0][0] if standing.shares else None,
                reason="failed",
            )
            return [failed]
        case _:
            return []

"""A closed document's id is remembered for 400 days from the day on which it closed; an open one's
as long as it is open.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from credit.journals import CUSTOMER, Journal
from credit.policy_worlds import policy

from agents.core.ledger import MemoryLedger
from agents.credit import state
from agents.credit.rules import reduce
from schemas import events as ev

POLICY = policy()
_REMEMBERED_DAYS = 400


def _is_known(journal: Journal, document: str) -> bool:
    ledger = MemoryLedger()
    for event in journal:
        reduce(ledger, event, POLICY)
    return ledger.get(state.document_key(CUSTOMER, document[0].lower(), document)) is not None


def _customer(limit: int = 1_000) -> Journal:
    journal = Journal()
    journal.customer(limit)
    return journal


def _invoiced_in_full() -> Journal:
    journal = _customer()
    journal.order("O-1", 100)
    journal.invoice("I-1", 100, order_id="O-1")
    return journal


def _released_and_invoiced() -> Journal:
    journal = _customer(limit=10)
    journal.order("O-1", 100)
    journal.say(ev.OrderReleased, order_id="O-1", by="ann", reason="promised")
    journal.invoice("I-1", 100, order_id="O-1")
    return journal


def _cancelled() -> Journal:
    journal = _customer()
    journal.order("O-1", 100)
    journal.say(ev.OrderCancelled, order_id="O-1")
    return journal


def _paid() -> Journal:
    journal = _customer()
    journal.invoice("I-1", 100)
    journal.pay("P-1", 100, "I-1")
    return journal


def _taken_back() -> Journal:
    journal = _customer()
    journal.pay("P-1", 100)
    journal.say(ev.PaymentReversed, payment_id="P-1", reason="charge-back")
    return journal


def _credited() -> Journal:
    journal = _customer()
    journal.invoice("I-1", 100)
    journal.say(
        ev.CreditNoteIssued, credit_note_id="C-1", amount=100, currency="EUR", invoice_id="I-1"
    )
    return journal


@pytest.mark.parametrize(
    ("history", "document"),
    [
        (_invoiced_in_full, "O-1"),
        (_released_and_invoiced, "O-1"),
        (_cancelled, "O-1"),
        (_paid, "I-1"),
        (_paid, "P-1"),
        (_taken_back, "P-1"),
        (_credited, "I-1"),
        (_credited, "C-1"),
    ],
)
def test_what_is_closed_is_forgotten_after_400_days(
    history: Callable[[], Journal], document: str
) -> None:
    journal = history()
    journal.wait(_REMEMBERED_DAYS - 1)
    assert _is_known(journal, document)
    journal.wait()
    assert not _is_known(journal, document)


def test_what_is_said_of_a_closed_document_keeps_it_no_longer() -> None:
    journal = _customer()
    journal.order("O-1", 100)
    journal.invoice("I-1", 100, order_id="O-1")
    journal.pay("P-1", 100, "I-1")
    journal.wait(_REMEMBERED_DAYS - 1)
    journal.invoice("I-2", 100, order_id="O-1")
    journal.say(ev.InvoiceWrittenOff, invoice_id="I-1")
    journal.say(ev.PaymentCleared, payment_id="P-1")
    journal.wait()
    assert [_is_known(journal, one) for one in ("O-1", "I-1", "P-1")] == [False] * 3


def _open_in_part() -> Journal:
    journal = _customer()
    journal.order("O-1", 100)
    journal.invoice("I-1", 99, order_id="O-1")
    journal.pay("P-1", 50, "I-1")
    return journal


def _delivered_not_invoiced() -> Journal:
    journal = _customer()
    journal.order("O-1", 100)
    journal.say(ev.OrderDelivered, order_id="O-1")
    return journal


def _held_though_invoiced() -> Journal:
    journal = _customer(limit=10)
    journal.order("O-1", 100)
    journal.invoice("I-1", 100, order_id="O-1")
    return journal


def _cancelled_before_it_came() -> Journal:
    journal = _customer()
    journal.say(ev.OrderCancelled, order_id="O-1")
    return journal


def _overpaid() -> Journal:
    journal = _customer()
    journal.invoice("I-1", 100)
    journal.pay("P-1", 101, "I-1")
    return journal


def _not_cleared() -> Journal:
    journal = _customer()
    journal.say(
        ev.PaymentReceived,
        payment_id="P-1",
        amount=100,
        currency="EUR",
        value_on=journal.today,
        allocations=[],
        cleared=False,
    )
    return journal


def _unapplied() -> Journal:
    journal = _customer()
    journal.pay("P-1", 1)
    journal.say(ev.CreditNoteIssued, credit_note_id="C-1", amount=1, currency="EUR")
    return journal


def _cleared_before_it_came() -> Journal:
    journal = _customer()
    journal.say(ev.PaymentCleared, payment_id="P-1")
    return journal


@pytest.mark.parametrize(
    ("history", "document"),
    [
        (_open_in_part, "O-1"),
        (_open_in_part, "I-1"),
        (_delivered_not_invoiced, "O-1"),
        (_held_though_invoiced, "O-1"),
        (_cancelled_before_it_came, "O-1"),
        (_overpaid, "I-1"),
        (_not_cleared, "P-1"),
        (_unapplied, "P-1"),
        (_unapplied, "C-1"),
        (_cleared_before_it_came, "P-1"),
    ],
)
def test_what_is_open_or_has_not_come_is_never_forgotten(
    history: Callable[[], Journal], document: str
) -> None:
    journal = history()
    journal.wait(_REMEMBERED_DAYS + 1)
    assert _is_known(journal, document)


def test_a_document_that_was_opened_again_keeps_none_of_those_that_closed_with_it() -> None:
    journal = _customer()
    journal.invoice("I-1", 100)
    journal.invoice("I-2", 100)
    parts = [ev.Allocation(invoice_id=one, amount=100) for one in ("I-1", "I-2")]
    journal.say(
        ev.PaymentReceived,
        payment_id="P-1",
        amount=200,
        currency="EUR",
        value_on=journal.today,
        allocations=parts,
    )
    journal.invoice("I-1", 150, revision=1)
    journal.wait(_REMEMBERED_DAYS)
    assert [_is_known(journal, one) for one in ("I-1", "I-2", "P-1")] == [True, False, False]

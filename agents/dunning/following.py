"""What events on an account mean for its dunning. One function per event."""

from __future__ import annotations

from collections.abc import Iterable

from agents.credit import state
from agents.credit.case import Case
from agents.credit.stamps import supersedes
from agents.dunning.agenda import look_on
from agents.dunning.terms import debtor_of, followed_of, put_debtor, put_followed
from schemas.events import (
    CustomerUpserted,
    DunningPaused,
    DunningResumed,
    PaymentAllocated,
    PaymentCleared,
    PaymentReceived,
    PaymentReversed,
)


def customer_upserted(case: Case, event: CustomerUpserted) -> None:
    """Note who the debtor is and how to reach them."""
    debtor = debtor_of(case)
    if not supersedes(debtor.master, event):
        return
    before = (debtor.kind, debtor.country, debtor.email, debtor.phone)
    debtor.kind = event.kind or "b2b"
    debtor.country = event.country or ""
    debtor.language = (event.language or "").partition("-")[0].lower()
    debtor.name = event.name
    debtor.email = event.email
    debtor.phone = event.phone
    if before != (debtor.kind, debtor.country, debtor.email, debtor.phone):
        debtor.unreachable = False
        if case.account.oldest_due is not None:
            look_on(case, case.today + 1)
    put_debtor(case, debtor)


def dunning_paused(case: Case, event: DunningPaused) -> None:
    """Nothing more is sent, for an invoice or for all; through `until`, or until it is resumed."""
    _pause(case, event, paused=True)


def dunning_resumed(case: Case, event: DunningResumed) -> None:
    """What was paused goes on where it was."""
    _pause(case, event, paused=False)


def _pause(case: Case, event: DunningPaused | DunningResumed, *, paused: bool) -> None:
    debtor = debtor_of(case)
    paused_one = debtor if event.invoice_id is None else followed_of(case, event.invoice_id)
    if not supersedes(paused_one.pause, event):
        return
    paused_one.paused = paused
    paused_one.paused_until = event.until if paused else None
    if not paused:
        debtor.unreachable = False
    put_debtor(case, debtor)
    if event.invoice_id is not None:
        followed = followed_of(case, event.invoice_id)
        followed.paused, followed.paused_until = paused, paused_one.paused_until
        followed.pause = paused_one.pause
        put_followed(case, event.invoice_id, followed)
    look_on(case, case.today + 1)


def payment_moved(
    case: Case, event: PaymentReceived | PaymentAllocated | PaymentCleared | PaymentReversed
) -> None:
    """Note for which invoices a payment is on its way that can still fail."""
    payment: state.Payment | None = case.ledger.get(
        state.payment_key(case.account_id, event.payment_id)
    )
    if payment is None:
        return
    on_its_way = payment.known and not payment.cleared and not payment.reversed
    if not on_its_way and isinstance(event, PaymentReceived | PaymentAllocated):
        return  # it was never on its way: most payments are not
    _note_debit(case, event.payment_id, {share.invoice_id for share in payment.shares}, on_its_way)


def _note_debit(case: Case, payment_id: str, invoice_ids: Iterable[str], on_its_way: bool) -> None:
    for invoice_id in sorted(invoice_ids):
        followed = followed_of(case, invoice_id)
        if (payment_id in followed.debits) is on_its_way:
            continue
        if on_its_way:
            followed.debits.append(payment_id)
        else:
            followed.debits.remove(payment_id)
            look_on(case, case.today + 1)
        put_followed(case, invoice_id, followed)

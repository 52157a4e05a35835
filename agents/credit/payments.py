"""What payments do to an account. One function per event.

A payment counts once it is received, cleared and not reversed. Then each share of it is set against
its invoice and the rest is unapplied cash. Whatever the split, it lowers the exposure by exactly
its amount: what an invoice cannot take is unapplied as well.
"""

from __future__ import annotations

from agents.credit import state
from agents.credit.case import Case
from agents.credit.invoices import apply_to_invoice
from schemas.events import PaymentAllocated, PaymentCleared, PaymentReceived, PaymentReversed


def payment_received(case: Case, event: PaymentReceived) -> None:
    payment = _load(case, event.payment_id)
    cleared = event.cleared is not False
    if payment.known:
        if (event.amount, event.currency, event.value_on, cleared, event.allocations) != (
            payment.amount,
            payment.currency,
            payment.value_on,
            payment.received_cleared,
            payment.received_allocations,
        ):
            case.refuse(
                "document_conflict",
                "payment_id",
                f"payment {event.payment_id} is known with other content",
            )
        return
    payment.known = True
    payment.amount = event.amount
    payment.currency = event.currency
    payment.value_on = event.value_on
    payment.received_cleared = cleared
    payment.received_allocations = event.allocations
    payment.cleared = payment.cleared or cleared
    case.book(event.currency)
    waiting = payment.shares
    payment.shares = [state.Share(part.invoice_id, part.amount) for part in event.allocations]
    for share in waiting:
        _add_share(case, event.payment_id, payment, share)
    _rebook(case, event.payment_id, payment)


def payment_cleared(case: Case, event: PaymentCleared) -> None:
    payment = _load(case, event.payment_id)
    payment.cleared = True
    _rebook(case, event.payment_id, payment)


def payment_allocated(case: Case, event: PaymentAllocated) -> None:
    payment = _load(case, event.payment_id)
    if event.event_id in payment.seen:
        return
    payment.seen.append(event.event_id)
    share = state.Share(event.invoice_id, event.amount)
    if payment.known:
        _add_share(case, event.payment_id, payment, share)
    else:
        payment.shares.append(share)
    _rebook(case, event.payment_id, payment)


def payment_reversed(case: Case, event: PaymentReversed) -> None:
    """Take the payment back: every invoice that it paid is open again, with its own due day."""
    payment = _load(case, event.payment_id)
    if not payment.reversed:
        payment.reversed = True
        payment.closed_on = None  # it closes anew, and is remembered from now on
    _rebook(case, event.payment_id, payment)


def _load(case: Case, payment_id: str) -> state.Payment:
    payment: state.Payment | None = case.ledger.get(state.payment_key(case.account_id, payment_id))
    return state.Payment() if payment is None else payment


def _add_share(case: Case, payment_id: str, payment: state.Payment, share: state.Share) -> None:
    """Add a share, unless the payment has less left than that."""
    left = payment.amount - sum(one.amount for one in payment.shares)
    if share.amount > left:
        case.refuse(
            "allocation_exceeds_payment",
            "amount",
            f"payment {payment_id} has {left} minor units left, "
            f"not {share.amount} for invoice {share.invoice_id}",
        )
        return
    payment.shares.append(share)


def _rebook(case: Case, payment_id: str, payment: state.Payment) -> None:
    """Set the shares against their invoices, or take them back, and book the rest."""
    counts = payment.known and payment.cleared and not payment.reversed
    applied = 0
    for share in payment.shares:
        if counts and not share.applied:
            apply_to_invoice(case, share.invoice_id, share.amount, payment.currency)
            share.applied = True
        elif share.applied and not counts:
            apply_to_invoice(case, share.invoice_id, -share.amount, payment.currency)
            share.applied = False
        applied += share.amount if share.applied else 0
    if payment.known:
        case.rebook_unapplied(payment, payment.amount - applied if counts else 0)
    case.store_payment(payment_id, payment)

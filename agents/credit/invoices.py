"""What invoices, credit notes and disputes do to an account. One function per event."""

from __future__ import annotations

from agents.credit import state
from agents.credit.case import Case
from agents.credit.orders import move_back_to_orders, move_to_invoice
from agents.credit.stamps import supersedes
from schemas.events import (
    CreditNoteIssued,
    DisputeResolved,
    DunningStep,
    InvoiceCancelled,
    InvoiceDisputed,
    InvoiceIssued,
    InvoiceWrittenOff,
    Minor,
)


def load_invoice(case: Case, invoice_id: str) -> state.Invoice:
    """The invoice, or a new record for facts that came before it."""
    invoice: state.Invoice | None = case.ledger.get(state.invoice_key(case.account_id, invoice_id))
    return state.Invoice() if invoice is None else invoice


def invoice_issued(case: Case, event: InvoiceIssued) -> None:
    """Book an invoice; with a higher `revision` than the one known, book the difference."""
    invoice = load_invoice(case, event.invoice_id)
    revision = event.revision or 0
    if invoice.known:
        if revision < invoice.revision:
            # Replaced already; but insurers count from the first day on which it was due.
            case.withdraw(event.invoice_id, invoice)
            invoice.original_due_on = min(invoice.original_due_on, event.due_on)
            case.enter(event.invoice_id, invoice)
            case.rebook_invoice(event.invoice_id, invoice)
            return
        if revision == invoice.revision:
            if _content(event) != _booked_content(invoice):
                case.refuse(
                    "document_conflict",
                    "invoice_id",
                    f"invoice {event.invoice_id} revision {revision} is known with other content",
                )
            return
        if not invoice.cancelled:
            move_back_to_orders(case, invoice)
        case.withdraw(event.invoice_id, invoice)
        invoice.original_due_on = min(invoice.original_due_on, event.due_on)
        if event.currency != invoice.currency:
            _empty(case, event.invoice_id, invoice)
    else:
        invoice.original_due_on = event.due_on
    invoice.known = True
    invoice.amount = event.amount
    invoice.currency = event.currency
    invoice.issued_on = event.issued_on
    invoice.due_on = event.due_on
    invoice.parts = _parts(event)
    invoice.final_for_order = bool(event.final_for_order)
    invoice.revision = revision
    invoice.net_amount = event.net_amount
    case.book(event.currency)
    case.enter(event.invoice_id, invoice)
    if not invoice.cancelled:
        move_to_invoice(case, invoice)
    case.rebook_invoice(event.invoice_id, invoice)


def invoice_cancelled(case: Case, event: InvoiceCancelled) -> None:
    """Take the invoice back: its order is to be invoiced again, its payments are unapplied."""
    invoice = load_invoice(case, event.invoice_id)
    if invoice.cancelled:
        return
    invoice.cancelled = True
    if invoice.known:
        move_back_to_orders(case, invoice)
    case.rebook_invoice(event.invoice_id, invoice)


def invoice_written_off(case: Case, event: InvoiceWrittenOff) -> None:
    """Give up what is open; money that still comes for it pays the debt that was given up."""
    invoice = load_invoice(case, event.invoice_id)
    if not invoice.written_off:
        invoice.written_off = True
        case.account.written_off += 1
    case.rebook_invoice(event.invoice_id, invoice)


def credit_note_issued(case: Case, event: CreditNoteIssued) -> None:
    """Set a credit note against its invoice; without one, or beyond what is open, it is unapplied
    credit.
    """
    key = state.credit_note_key(case.account_id, event.credit_note_id)
    note: state.CreditNote | None = case.ledger.get(key)
    if note is not None:
        if (event.amount, event.currency, event.invoice_id) != (
            note.amount,
            note.currency,
            note.invoice_id,
        ):
            case.refuse(
                "document_conflict",
                "credit_note_id",
                f"credit note {event.credit_note_id} is known with other content",
            )
        return
    note = state.CreditNote(event.currency, event.amount, event.invoice_id)
    if event.invoice_id is None:
        case.rebook_unapplied(note, event.amount)
    else:
        apply_to_invoice(
            case, event.invoice_id, event.amount, event.currency, credited=event.amount
        )
    case.store_credit_note(event.credit_note_id, note)


def invoice_disputed(case: Case, event: InvoiceDisputed) -> None:
    """Take the contested part out of what can be overdue; it stays in the exposure."""
    invoice = load_invoice(case, event.invoice_id)
    dispute = invoice.disputes.setdefault(event.dispute_id, state.Dispute())
    if dispute.known:
        if dispute.amount != event.amount:
            case.refuse(
                "document_conflict",
                "dispute_id",
                f"dispute {event.dispute_id} is known with other content",
            )
        return
    dispute.known = True
    dispute.amount = event.amount
    case.rebook_invoice(event.invoice_id, invoice)


def dispute_resolved(case: Case, event: DisputeResolved) -> None:
    """End a dispute. What was agreed to is credited by a credit note; until that comes it is not
    due.
    """
    invoice = load_invoice(case, event.invoice_id)
    dispute = invoice.disputes.setdefault(event.dispute_id, state.Dispute())
    if supersedes(dispute.resolved, event):
        dispute.outcome = event.outcome
        dispute.credited = event.credited_amount
    case.rebook_invoice(event.invoice_id, invoice)


def apply_to_invoice(
    case: Case, invoice_id: str, amount: Minor, currency: str, *, credited: Minor = 0
) -> None:
    """Set money (or, with a negative amount, take it back) against an invoice, known or still to
    come. What that cannot take, as all in another currency, is unapplied.
    """
    invoice = load_invoice(case, invoice_id)
    applied = invoice.applied.setdefault(currency, state.Applied())
    applied.amount += amount
    applied.credited += credited
    case.rebook_invoice(invoice_id, invoice)


def _empty(case: Case, invoice_id: str, invoice: state.Invoice) -> None:
    """Take it out of its old currency's totals, before a revision gives it another."""
    invoice.known = False
    case.rebook_invoice(invoice_id, invoice)


def invoices_dunned(case: Case, event: DunningStep) -> None:
    """Remember the level that each invoice has reached; it stays when a payment is taken back."""
    for dunned in event.invoices:
        invoice = load_invoice(case, dunned.invoice_id)
        invoice.dunning_level = max(invoice.dunning_level, event.level)
        case.rebook_invoice(dunned.invoice_id, invoice)


def _parts(event: InvoiceIssued) -> list[state.InvoicedPart]:
    """The orders that it is for, each with what of it is for that order."""
    if event.orders:
        return [state.InvoicedPart(part.order_id, part.amount) for part in event.orders]
    return [] if event.order_id is None else [state.InvoicedPart(event.order_id, event.amount)]


def _content(event: InvoiceIssued) -> tuple[object, ...]:
    return (
        event.amount,
        event.currency,
        event.issued_on,
        event.due_on,
        [(part.order_id, part.amount) for part in _parts(event)],
        bool(event.final_for_order),
        event.net_amount,
    )


def _booked_content(invoice: state.Invoice) -> tuple[object, ...]:
    return (
        invoice.amount,
        invoice.currency,
        invoice.issued_on,
        invoice.due_on,
        [(part.order_id, part.amount) for part in invoice.parts],
        invoice.final_for_order,
        invoice.net_amount,
    )

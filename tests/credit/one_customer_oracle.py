"""A slow and obvious second opinion: exposure recomputed from the whole history, without looking at
the rules.

It knows documents and facts only. Which orders reserve is taken from the decisions that were
published, since the oracle checks what an account is worth, not what was decided
(`test_credit_properties` checks that separately).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas import events as ev
from schemas.events import Event, OrderDecision


@dataclass(frozen=True)
class Worth:
    open_receivables: int
    delivered_not_invoiced: int
    open_orders: int
    unapplied_credit: int

    @property
    def exposure(self) -> int:
        return (
            self.open_receivables
            + self.delivered_not_invoiced
            + self.open_orders
            - self.unapplied_credit
        )


def worth(
    history: Iterable[Event], decisions: Iterable[OrderDecision], small_balance: int
) -> Worth:
    """What one customer's account is worth after `history`, one currency."""
    first: dict[tuple[str, str], Event] = {}
    facts: dict[tuple[str, str], list[Event]] = {}
    seen: set[tuple[str, str]] = set()
    for event in history:
        if (type(event).__name__, event.event_id) in seen:
            continue
        seen.add((type(event).__name__, event.event_id))
        for field in ("order_id", "invoice_id", "payment_id", "credit_note_id"):
            if field in event.__struct_fields__ and (key := getattr(event, field)) is not None:
                first.setdefault((type(event).__name__, key), event)
                facts.setdefault((type(event).__name__, key), []).append(event)

    def known(kind: type[Event], key: str) -> bool:
        return (kind.__name__, key) in first

    def all_of(kind: type[Event], key: str | None = None) -> list[Event]:
        return [
            event
            for (name, one), found in facts.items()
            if name == kind.__name__ and key in (None, one)
            for event in found
        ]

    # Money that counts: received, cleared, not reversed.
    on_invoice: dict[str, int] = {}
    unapplied = 0
    payments = {
        e.payment_id: e for e in all_of(ev.PaymentReceived) if isinstance(e, ev.PaymentReceived)
    }
    for payment_id, payment in payments.items():
        cleared = payment.cleared is not False or known(ev.PaymentCleared, payment_id)
        if not cleared or known(ev.PaymentReversed, payment_id):
            continue
        left = payment.amount
        for part in payment.allocations:
            on_invoice[part.invoice_id] = on_invoice.get(part.invoice_id, 0) + part.amount
            left -= part.amount
        for later in all_of(ev.PaymentAllocated, payment_id):
            assert isinstance(later, ev.PaymentAllocated)
            if later.amount <= left:
                on_invoice[later.invoice_id] = on_invoice.get(later.invoice_id, 0) + later.amount
                left -= later.amount
        unapplied += left
    notes = {
        e.credit_note_id: e
        for e in all_of(ev.CreditNoteIssued)
        if isinstance(e, ev.CreditNoteIssued)
    }
    for note in notes.values():
        if note.invoice_id is None:
            unapplied += note.amount
        else:
            on_invoice[note.invoice_id] = on_invoice.get(note.invoice_id, 0) + note.amount

    receivables = 0
    invoiced: dict[str, int] = {}
    final: set[str] = set()
    invoices = {
        e.invoice_id: e for e in all_of(ev.InvoiceIssued) if isinstance(e, ev.InvoiceIssued)
    }
    for invoice_id, invoice in invoices.items():
        got = on_invoice.pop(invoice_id, 0)
        if known(ev.InvoiceCancelled, invoice_id):
            unapplied += got
            continue
        if invoice.order_id is not None:
            invoiced[invoice.order_id] = invoiced.get(invoice.order_id, 0) + invoice.amount
            if invoice.final_for_order:
                final.add(invoice.order_id)
        rest = invoice.amount - got
        if rest < 0:
            unapplied -= rest
        elif not known(ev.InvoiceWrittenOff, invoice_id) and not (got and rest <= small_balance):
            receivables += rest
    unapplied += sum(on_invoice.values())

    status = {decision.order_id: decision.decision for decision in decisions}
    open_orders = 0
    delivered_total = 0
    for order in all_of(ev.OrderPlaced):
        assert isinstance(order, ev.OrderPlaced)
        key = order.order_id
        total = order.amount
        changes = [e for e in all_of(ev.OrderChanged, key) if isinstance(e, ev.OrderChanged)]
        changed_at = -1
        if changes:
            last = max(changes, key=lambda e: e.occurred_at)
            total, changed_at = last.amount, last.occurred_at
        whole_cancelled = False
        for cancel in all_of(ev.OrderCancelled, key):
            assert isinstance(cancel, ev.OrderCancelled)
            if cancel.amount is None:
                whole_cancelled = True
            elif cancel.occurred_at > changed_at:
                total -= cancel.amount
        total = max(total, 0)
        delivered = 0
        for delivery in all_of(ev.OrderDelivered, key):
            assert isinstance(delivery, ev.OrderDelivered)
            delivered += delivery.amount or 0
        if any(
            e.amount is None
            for e in all_of(ev.OrderDelivered, key)
            if isinstance(e, ev.OrderDelivered)
        ):
            delivered = max(delivered, total)
        billed = invoiced.get(key, 0)
        if key in final:
            continue
        delivered_total += max(delivered - billed, 0)
        if not whole_cancelled and status.get(key) in ("approved", "released"):
            open_orders += max(total - max(delivered, billed), 0)
    return Worth(receivables, delivered_total, open_orders, unapplied)

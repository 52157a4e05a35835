"""Small worlds of one customer for property tests: documents with fixed content, told by events in
any order.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas import events as ev
from schemas.events import Event

CUSTOMER = "C-1"
DAY = 86_400_000_000
START = 20_000 * DAY

_amounts = st.integers(1, 400)


@st.composite
def histories(draw: st.DrawFn, *, max_events: int = 30) -> list[Event]:
    """Events with rising `occurred_at`; every document keeps its content."""
    orders: dict[str, int] = {f"O-{n}": draw(_amounts) for n in range(3)}
    invoices = {
        f"I-{n}": (
            draw(_amounts),
            draw(st.sampled_from([None, None, *orders])),
            draw(st.booleans()),
            draw(st.integers(-60, 60) | st.integers(0, 7)),  # the events span a week
        )
        for n in range(3)
    }
    payments: dict[str, tuple[int, list[ev.Allocation], bool]] = {}
    for n in range(3):
        amount = draw(_amounts)
        left, parts = amount, []
        for invoice_id in draw(
            st.lists(st.sampled_from([*invoices, "I-strange"]), max_size=2, unique=True)
        ):
            part = draw(st.integers(0, left))
            if part:
                parts.append(ev.Allocation(invoice_id=invoice_id, amount=part))
                left -= part
        payments[f"P-{n}"] = (amount, parts, draw(st.booleans()))
    notes = {f"N-{n}": (draw(_amounts), draw(st.sampled_from([None, *invoices]))) for n in range(2)}

    def one(number: int) -> Any:
        common: dict[str, Any] = {
            "event_id": f"e-{number}",
            "occurred_at": START + number * DAY // 4,
            "customer_id": CUSTOMER,
        }
        kind: Any = draw(st.sampled_from(_KINDS))
        if kind in (ev.OrderPlaced, ev.OrderChanged, ev.OrderDelivered, ev.OrderCancelled):
            order_id = draw(st.sampled_from(list(orders)))
            if kind is ev.OrderPlaced:
                return ev.OrderPlaced(
                    **(common | {"occurred_at": START, "event_id": f"placed-{order_id}"}),
                    order_id=order_id,
                    amount=orders[order_id],
                    currency="EUR",
                )
            if kind is ev.OrderChanged:
                return ev.OrderChanged(**common, order_id=order_id, amount=draw(_amounts))
            return kind(**common, order_id=order_id, amount=draw(st.none() | st.integers(1, 200)))
        if kind in (ev.OrderHeld, ev.OrderReleased):
            return kind(
                **common, order_id=draw(st.sampled_from(list(orders))), by="ann", reason="r"
            )
        if kind in (ev.InvoiceIssued, ev.InvoiceCancelled, ev.InvoiceWrittenOff):
            invoice_id = draw(st.sampled_from(list(invoices)))
            if kind is not ev.InvoiceIssued:
                return kind(**common, invoice_id=invoice_id)
            amount, names_order, final, due = invoices[invoice_id]
            return ev.InvoiceIssued(
                **common,
                invoice_id=invoice_id,
                amount=amount,
                currency="EUR",
                issued_on=20_000 - 100,
                due_on=20_000 + due,
                order_id=names_order,
                final_for_order=final,
            )
        if kind is ev.InvoiceDisputed:
            return ev.InvoiceDisputed(
                **common,
                invoice_id=draw(st.sampled_from(list(invoices))),
                dispute_id="D-1",
                reason="r",
                amount=50,
            )
        if kind is ev.CreditNoteIssued:
            note_id = draw(st.sampled_from(list(notes)))
            amount, about = notes[note_id]
            return ev.CreditNoteIssued(
                **common, credit_note_id=note_id, amount=amount, currency="EUR", invoice_id=about
            )
        if kind in (ev.PaymentReceived, ev.PaymentCleared, ev.PaymentReversed, ev.PaymentAllocated):
            payment_id = draw(st.sampled_from(list(payments)))
            if kind is ev.PaymentReceived:
                amount, parts, cleared = payments[payment_id]
                return ev.PaymentReceived(
                    **common,
                    payment_id=payment_id,
                    amount=amount,
                    currency="EUR",
                    value_on=20_000,
                    allocations=parts,
                    cleared=cleared,
                )
            if kind is ev.PaymentAllocated:
                return ev.PaymentAllocated(
                    **common,
                    payment_id=payment_id,
                    invoice_id=draw(st.sampled_from(list(invoices))),
                    amount=draw(st.integers(1, 100)),
                )
            if kind is ev.PaymentReversed:
                return ev.PaymentReversed(**common, payment_id=payment_id, reason="r")
            return ev.PaymentCleared(**common, payment_id=payment_id)
        if kind is ev.CreditLimitChanged:
            return ev.CreditLimitChanged(
                **common,
                credit_limit=draw(st.none() | st.integers(0, 800)),
                valid_until=draw(st.none() | st.integers(20_000, 20_010)),
            )
        if kind is ev.BusinessDayStarted:
            day = 20_000 + number
            return ev.BusinessDayStarted(event_id=f"day-{day}", occurred_at=day * DAY, date=day)
        if kind is ev.CustomerUpserted:
            return ev.CustomerUpserted(
                **common,
                currency="EUR",
                credit_limit=draw(st.none() | st.integers(0, 800)),
                unlimited=draw(st.sampled_from([None, None, None, True])),
            )
        return kind(**common, by="ann", reason="r")

    first = ev.CustomerUpserted(
        event_id="first", occurred_at=START, customer_id=CUSTOMER, currency="EUR", credit_limit=500
    )
    return [first, *(one(number) for number in range(1, draw(st.integers(1, max_events)) + 1))]


_KINDS: list[type[Event]] = [
    ev.OrderPlaced,
    ev.OrderPlaced,
    ev.OrderPlaced,
    ev.OrderChanged,
    ev.OrderDelivered,
    ev.OrderCancelled,
    ev.OrderHeld,
    ev.OrderReleased,
    ev.InvoiceIssued,
    ev.InvoiceIssued,
    ev.InvoiceCancelled,
    ev.InvoiceWrittenOff,
    ev.InvoiceDisputed,
    ev.CreditNoteIssued,
    ev.PaymentReceived,
    ev.PaymentReceived,
    ev.PaymentCleared,
    ev.PaymentReversed,
    ev.PaymentAllocated,
    ev.CreditLimitChanged,
    ev.CustomerUpserted,
    ev.CustomerBlocked,
    ev.CustomerUnblocked,
    ev.BusinessDayStarted,
]

"""What orders do to an account. One function per event; the check itself is in `order_check`."""

from __future__ import annotations

from agents.credit import state
from agents.credit.case import Case
from agents.credit.order_check import (
    cancel,
    decide_parts_changed,
    decide_placed,
    decide_total_changed,
    hold_by_person,
    release_by_person,
)
from agents.credit.positions import order_total
from schemas.events import (
    OrderCancelled,
    OrderChanged,
    OrderDelivered,
    OrderHeld,
    OrderPlaced,
    OrderReleased,
)


def load_order(case: Case, order_id: str) -> state.Order:
    """The order, or a new record for facts that came before it."""
    order: state.Order | None = case.ledger.get(state.order_key(case.account_id, order_id))
    return state.Order() if order is None else order


def order_placed(case: Case, event: OrderPlaced) -> None:
    order = load_order(case, event.order_id)
    if order.known:
        if (event.amount, event.currency, event.deliver_on) != (
            order.placed_amount,
            order.currency,
            order.deliver_on,
        ):
            case.refuse(
                "document_conflict",
                "order_id",
                f"order {event.order_id} is known with other content",
            )
        return
    order.known = True
    order.currency = event.currency
    order.placed_amount = event.amount
    order.placed_at = event.occurred_at
    order.deliver_on = event.deliver_on
    if not order.total_sequence:
        order.total = event.amount
    case.book(event.currency)
    decide_placed(case, event.order_id, order)


def order_changed(case: Case, event: OrderChanged) -> None:
    order = load_order(case, event.order_id)
    if order.total_sequence and event.occurred_at < order.total_at:
        return
    order.total = event.amount
    order.total_at = event.occurred_at
    order.total_sequence = case.account.sequence
    decide_total_changed(case, event.order_id, order)


def order_delivered(case: Case, event: OrderDelivered) -> None:
    order = load_order(case, event.order_id)
    if event.amount is None:
        order.delivered_all = True
    elif event.event_id in order.seen:
        return
    else:
        order.seen.append(event.event_id)
        order.delivered += event.amount
    decide_parts_changed(case, event.order_id, order)


def order_cancelled(case: Case, event: OrderCancelled) -> None:
    order = load_order(case, event.order_id)
    if event.amount is None:
        if order.cancelled_all:
            return
        order.cancelled_all = True
    elif event.event_id in order.seen:
        return
    else:
        order.seen.append(event.event_id)
        order.cancels.append(state.Cancel(event.occurred_at, case.account.sequence, event.amount))
    if order.cancelled_all or (order.known and order_total(order) == 0):
        cancel(case, event.order_id, order)
    else:
        decide_parts_changed(case, event.order_id, order)


def order_held(case: Case, event: OrderHeld) -> None:
    order = load_order(case, event.order_id)
    if event.occurred_at < order.manual_at or event.event_id in order.seen:
        return
    order.seen.append(event.event_id)
    order.manual_at = event.occurred_at
    order.manual_hold_by = event.by
    order.override_by = None
    hold_by_person(case, event.order_id, order)


def order_released(case: Case, event: OrderReleased) -> None:
    order = load_order(case, event.order_id)
    if event.occurred_at < order.manual_at or event.event_id in order.seen:
        return
    order.seen.append(event.event_id)
    order.manual_at = event.occurred_at
    order.manual_hold_by = None
    order.override_by = event.by
    release_by_person(case, event.order_id, order)


def move_to_invoice(case: Case, invoice: state.Invoice) -> None:
    """Move what an invoice takes over from its order: the exposure does not jump.

    An invoice in another currency takes no amount over; the order then ends by `final_for_order`.
    """
    if invoice.order_id is None:
        return
    order = load_order(case, invoice.order_id)
    if not order.invoiced:
        order.invoiced_currency = invoice.currency
    if order.invoiced_currency == invoice.currency:
        invoice.moved_from_order = invoice.amount
        order.invoiced += invoice.amount
    order.final_invoices += invoice.final_for_order
    decide_parts_changed(case, invoice.order_id, order)


def move_back_to_order(case: Case, invoice: state.Invoice) -> None:
    """Give back what the invoice took over: the order is again to be invoiced."""
    if invoice.order_id is None:
        return
    order = load_order(case, invoice.order_id)
    order.invoiced -= invoice.moved_from_order
    invoice.moved_from_order = 0
    order.final_invoices -= invoice.final_for_order
    decide_parts_changed(case, invoice.order_id, order)

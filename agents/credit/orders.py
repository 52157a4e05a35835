"""What orders do to an account. One function per event; the check itself is in `order_check`."""

from __future__ import annotations

from agents.credit import state
from agents.credit.authority import Overreach, check_authority
from agents.credit.case import Case
from agents.credit.order_decisions import (
    cancel,
    decide_delivered,
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
        if (event.amount, event.currency, event.deliver_on, event.net_amount) != (
            order.placed_amount,
            order.currency,
            order.deliver_on,
            order.net_amount,
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
    order.net_amount = event.net_amount
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
        if order.delivered_all:
            return
        order.delivered_all = True
    elif event.event_id in order.seen:
        return
    else:
        order.seen.append(event.event_id)
        order.delivered += event.amount
    decide_delivered(case, event.order_id, order)


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
    order.manual_hold_why = event.reason
    order.manual_hold_until = event.valid_until
    if event.valid_until is not None and case.today <= event.valid_until:
        case.look_again_on(event.valid_until + 1, event.order_id)
    order.override = None
    hold_by_person(case, event.order_id, order)


def order_released(case: Case, event: OrderReleased) -> None:
    order = load_order(case, event.order_id)
    if event.occurred_at < order.manual_at or event.event_id in order.seen:
        return
    override = state.Override(
        by=event.by,
        why=event.reason,
        role=event.role,
        confirmed_by=event.confirmed_by,
        until=case.today + case.policy.validity_days - 1
        if event.valid_until is None
        else event.valid_until,
    )
    if order.known:
        try:
            check_authority(case, event.order_id, order, override)
        except Overreach as fault:
            case.refuse(fault.reason, fault.field, str(fault))
            return
    order.seen.append(event.event_id)
    order.manual_at = event.occurred_at
    order.manual_hold_by = None
    order.override = override
    release_by_person(case, event.order_id, order)


def move_to_invoice(case: Case, invoice: state.Invoice) -> None:
    """Move what an invoice takes over from its orders: the exposure does not jump.

    One in another currency than the order's lowers nothing there; the order then ends by
    `final_for_order`.
    """
    for part in invoice.parts:
        order = load_order(case, part.order_id)
        part.moved = part.amount
        order.invoiced[invoice.currency] = order.invoiced.get(invoice.currency, 0) + part.moved
        order.final_invoices += invoice.final_for_order
        decide_parts_changed(case, part.order_id, order)


def move_back_to_orders(case: Case, invoice: state.Invoice) -> None:
    """Give back what the invoice took over: its orders are again to be invoiced."""
    for part in invoice.parts:
        order = load_order(case, part.order_id)
        order.invoiced[invoice.currency] = order.invoiced.get(invoice.currency, 0) - part.moved
        part.moved = 0
        order.final_invoices -= invoice.final_for_order
        decide_parts_changed(case, part.order_id, order)

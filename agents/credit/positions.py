"""What a document stands for, from the facts known about it.

Both functions look at sums of facts only, never at the order in which the facts came. That is why
the exposure ends up the same in every order of arrival.
"""

from __future__ import annotations

import msgspec

from agents.credit.state import Applied, Invoice, Order
from schemas.events import Minor

_NOTHING = Applied()


class InvoicePosition(msgspec.Struct, frozen=True, gc=False):
    """`open` is what is owed; `taken` is what it takes of the money in its own currency that was
    set against it; `due` is open and not contested.
    """

    open: Minor
    taken: Minor
    due: Minor


def order_total(order: Order) -> Minor:
    """What is ordered now: the last total less the parts cancelled since it was said."""
    total = order.total
    for cancel in order.cancels:
        if (cancel.at, cancel.sequence) > (
            order.total_at,
            order.total_sequence,
        ) or not order.total_sequence:
            total -= cancel.amount
    return max(total, 0)


def order_extent(order: Order) -> Minor:
    """What is ordered now, or what went out where that is more: what the order has come to."""
    return max(order_total(order), order.delivered)


def order_position(order: Order) -> tuple[Minor, Minor]:
    """(what is left undelivered and uninvoiced, what is delivered and not invoiced), gross, minor
    units of the order's currency, whatever the order's status.

    What is delivered counts even for a held order, since the goods are out. Nothing counts before
    the order itself has come: until then its currency is not known.
    """
    if not order.known or order.final_invoices:
        return 0, 0
    total = order_total(order)
    out = max(order.delivered, total) if order.delivered_all else order.delivered
    invoiced = order.invoiced.get(order.currency, 0)
    rest = 0 if order.cancelled_all else max(total - max(out, invoiced), 0)
    return rest, max(out - invoiced, 0)


def invoice_position(invoice: Invoice, small_balance: Minor) -> InvoicePosition:
    """What an invoice stands for; a part-paid rest up to `small_balance` closes it.

    Money in another currency pays nothing here, nor does any before the invoice itself has come.
    """
    if not invoice.known or invoice.cancelled:
        return InvoicePosition(0, 0, 0)
    applied = invoice.applied.get(invoice.currency, _NOTHING)
    rest = invoice.amount - applied.amount
    if rest <= 0:
        return InvoicePosition(0, invoice.amount, 0)
    if invoice.written_off or (applied.amount > 0 and rest <= small_balance):
        return InvoicePosition(0, applied.amount, 0)
    contested = min(rest, _contested(invoice, rest, applied.credited))
    return InvoicePosition(rest, applied.amount, rest - contested)


def _contested(invoice: Invoice, rest: Minor, credited: Minor) -> Minor:
    contested = 0
    awaited = 0
    for dispute in invoice.disputes.values():
        if not dispute.outcome:
            contested += rest if dispute.amount is None else dispute.amount
        elif dispute.outcome != "rejected":
            agreed = dispute.credited if dispute.credited is not None else dispute.amount
            awaited += invoice.amount if agreed is None else agreed
    return contested + max(awaited - credited, 0)

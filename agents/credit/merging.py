"""Two customers become one: the account of the one is taken into that of the other.

Documents keep their ids. Where the customer who stays has a document of the same id, the one that
comes is kept as `<merged customer>/<id>`, and events that still come for the merged customer find
it under that name. Limit, block and terms are those of the customer who stays; limits are not added
up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agents.core.ledger import Ledger
from agents.credit import state
from agents.credit.case import Case
from agents.credit.named_documents import FIELD_OF_LIST, KIND_OF_FIELD
from agents.dunning.absorbing import absorb_followed, absorb_handed, absorb_message, absorb_promise
from schemas.events import AccountMoved, Event


def absorb(case: Case, event: AccountMoved) -> None:
    """Take a part of another customer's account into this one."""
    other = event.customer_id

    def invoice_here(invoice_id: str) -> str:
        return _known_as(case.ledger, case.account_id, "i", invoice_id, (other,))

    def payment_here(payment_id: str) -> str:
        return _known_as(case.ledger, case.account_id, "p", payment_id, (other,))

    case.account.absorbed += [
        one for one in absorbed_with(event) if one not in case.account.absorbed
    ]
    # Credit notes and invoices, then orders, then payments: what is referred to is found under its
    # new name because names are given by what this account had before, or has by now.
    for entry in event.entries:
        kind, own_id = entry.key[0], entry.key[1:]
        value = state.from_json(entry.key, entry.value)
        if kind == "a":
            case.account.written_off += value.written_off
            case.account.days_late[:0] = value.days_late
        elif kind == "o":
            _absorb_order(case, _free_id(case, "o", other, own_id), value)
        elif kind == "i":
            _absorb_invoice(case, other, _free_id(case, "i", other, own_id), value)
        elif kind == "p":
            _absorb_payment(case, other, _free_id(case, "p", other, own_id), value)
        elif kind == "c":
            _absorb_credit_note(case, other, _free_id(case, "c", other, own_id), value)
        elif kind == "u":
            absorb_promise(case, other, own_id, value, invoice_here)
        elif kind == "v":
            absorb_message(case, own_id, value, invoice_here)
        elif kind == "z":
            absorb_followed(case, other, own_id, value, invoice_here, payment_here)
        elif kind == "y":
            absorb_handed(case, value, invoice_here)


def absorbed_with(event: AccountMoved) -> list[str]:
    """Who comes with this part of an account: its customer, and those merged into it before."""
    entries = {entry.key: entry.value for entry in event.entries}
    before = state.from_json("a", entries["a"]).absorbed if "a" in entries else []
    return [*before, event.customer_id]


def renamed(ledger: Ledger, account_id: str, event: Event, aliases: tuple[str, ...]) -> Event:
    """The event with the names that its documents have here.

    `aliases`: the customers under whose ids the event came, the first one first.
    """
    changes: dict[str, Any] = {}
    for field, kind in KIND_OF_FIELD.items():
        named = getattr(event, field, None)
        if named is not None:
            changes[field] = _known_as(ledger, account_id, kind, named, aliases)
    for field, named_by in FIELD_OF_LIST.items():
        parts = getattr(event, field, None)
        if parts:
            kind = KIND_OF_FIELD[named_by]
            changes[field] = [
                msgspec.structs.replace(
                    part,
                    **{
                        named_by: _known_as(
                            ledger, account_id, kind, getattr(part, named_by), aliases
                        )
                    },
                )
                for part in parts
            ]
    return msgspec.structs.replace(event, **changes)


# ── inside ──────────────────────────────────────────────────────────────────────────────────────


def _absorb_order(case: Case, order_id: str, order: state.Order) -> None:
    order.booked_open = order.booked_delivered = order.booked_held = 0
    order.closed_on = None
    case.rebook_order(order_id, order)
    if order.status == "held":
        case.count_held(order_id, order, 1)
        case.account.smallest_held = 0
    if order.override is not None:
        case.look_again_on(order.override.until + 1, order_id)


def _absorb_invoice(case: Case, other: str, invoice_id: str, invoice: state.Invoice) -> None:
    invoice.booked_open = invoice.booked_due = invoice.booked_level = 0
    invoice.booked_blocks = False
    for applied in invoice.applied.values():
        applied.booked_excess = 0
    invoice.closed_on = None
    for part in invoice.parts:
        # Orders come after invoices: the name is taken if the order that has it is not from there.
        part.order_id = _free_id(case, "o", other, part.order_id)
    case.rebook_invoice(invoice_id, invoice)


def _absorb_payment(case: Case, other: str, payment_id: str, payment: state.Payment) -> None:
    unapplied, payment.booked_unapplied, payment.closed_on = payment.booked_unapplied, 0, None
    for share in payment.shares:
        share.invoice_id = _known_as(case.ledger, case.account_id, "i", share.invoice_id, (other,))
    # A repeat of the payment comes with the new names, and is to be told by its content.
    payment.received_allocations = [
        msgspec.structs.replace(
            part,
            invoice_id=_known_as(case.ledger, case.account_id, "i", part.invoice_id, (other,)),
        )
        for part in payment.received_allocations
    ]
    if payment.known:
        case.rebook_unapplied(payment, unapplied)
    case.store_payment(payment_id, payment)


def _absorb_credit_note(case: Case, other: str, note_id: str, note: state.CreditNote) -> None:
    unapplied, note.booked_unapplied, note.closed_on = note.booked_unapplied, 0, None
    if note.invoice_id is not None:
        # Credit notes come before invoices.
        note.invoice_id = _free_id(case, "i", other, note.invoice_id)
    case.rebook_unapplied(note, unapplied)
    case.store_credit_note(note_id, note)


def _free_id(case: Case, kind: str, other: str, document_id: str) -> str:
    """The name that a document of the other customer gets here."""
    if case.ledger.get(state.document_key(case.account_id, kind, document_id)) is None:
        return document_id
    return f"{other}/{document_id}"


def _known_as(
    ledger: Ledger, account_id: str, kind: str, document_id: str, aliases: tuple[str, ...]
) -> str:
    """The name under which a document of a merged customer is kept here."""
    for prefix in _prefixes(aliases):
        if ledger.get(state.document_key(account_id, kind, prefix + document_id)) is not None:
            return prefix + document_id
    return document_id


def _prefixes(aliases: tuple[str, ...]) -> Iterator[str]:
    """What may stand before an id after these mergers, likeliest first: a name that the first of
    them gave was only added to by the later ones.
    """
    found = [""]
    for alias in aliases:
        found = [one for prefix in found for one in (f"{alias}/{prefix}", prefix)]
    yield from found[:-1]

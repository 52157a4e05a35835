"""What a letter asks, as it is now: paid, contested, promised since. Pure."""

from __future__ import annotations

import msgspec

from agents.core.ledger import Ledger
from agents.credit import state
from agents.dunning import records
from agents.dunning.letter import language_of
from agents.dunning.records import Debtor, Followed, Message
from agents.notify.ticket import Ticket
from schemas.events import Day, Minor


class Item(msgspec.Struct, frozen=True):
    """An invoice of the letter.

    Attributes:
        open: what is left unpaid, minor units.
        due: what of it is not contested.
        promised: a promise or a plan stands for it.
    """

    invoice_id: str
    due_on: Day
    open: Minor
    due: Minor
    promised: bool


class ClaimNow(msgspec.Struct, frozen=True):
    """The claim of a letter, in minor units of `currency`."""

    customer_id: str
    step_id: str
    name: str
    language: str
    country: str
    currency: str
    items: list[Item]
    interest: Minor
    costs: Minor
    handed_over: bool
    """Somebody else collects it."""

    @property
    def principal(self) -> Minor:
        return sum(one.due for one in self.items)

    @property
    def total(self) -> Minor:
        """What is to be paid: nothing more than was asked once nothing is due of its invoices."""
        return self.principal + self.interest + self.costs if self.principal else 0

    @property
    def shares(self) -> list[tuple[str, Minor]]:
        """What of a payment of it all is for which invoice, the one due first before others."""
        payable = [one for one in self.items if one.due]
        return [
            (one.invoice_id, one.due)
            for one in sorted(payable, key=lambda one: (one.due_on, one.invoice_id))
        ]


def claim_now(ledger: Ledger, account_id: str, ticket: Ticket) -> ClaimNow | None:
    """The claim that a ticket stands for; None when the letter is too old to be remembered.

    Args:
        ledger: of the partition that has the account.
        account_id: where the customer's account is now.
        ticket: of the letter.
    """
    message: Message | None = ledger.get(records.message_key(account_id, ticket.step_id))
    debtor: Debtor | None = ledger.get(records.debtor_key(account_id))
    if message is None or debtor is None:
        return None
    handed = {one.invoice_id for one in debtor.handed}
    return ClaimNow(
        customer_id=account_id,
        step_id=ticket.step_id,
        name=debtor.name or "",
        language=language_of(debtor),
        country=debtor.country,
        currency=message.currency,
        items=[_item(ledger, account_id, one.invoice_id, one.due_on) for one in message.items],
        interest=ticket.interest,
        costs=ticket.costs,
        handed_over=any(one.invoice_id in handed for one in message.items),
    )


def _item(ledger: Ledger, account_id: str, invoice_id: str, due_on: Day) -> Item:
    invoice: state.Invoice | None = ledger.get(state.invoice_key(account_id, invoice_id))
    followed: Followed | None = ledger.get(records.followed_key(account_id, invoice_id))
    if invoice is None:  # forgotten: closed long ago
        return Item(invoice_id, due_on, 0, 0, promised=False)
    return Item(
        invoice_id,
        invoice.due_on,
        invoice.booked_open if invoice.net_amount is None else _gross_open(invoice),
        invoice.booked_due,
        promised=followed is not None and bool(followed.promises),
    )


def _gross_open(invoice: state.Invoice) -> Minor:
    """What is booked may be without VAT; what is owed is not."""
    applied = invoice.applied.get(invoice.currency, state.Applied())
    closed = invoice.cancelled or invoice.written_off or not invoice.booked_open
    return 0 if closed else max(invoice.amount - applied.amount, 0)

"""A payment that failed is answered at once, with another way to pay: at most twice for an invoice,
and not on the day of a reminder.
"""

from __future__ import annotations

from agents.credit import state
from agents.credit.case import Case
from agents.dunning.letter import SECOND_CHANCE
from agents.dunning.messages import begin, issue, message_of
from agents.dunning.records import ISSUED, Item
from agents.dunning.terms import Terms, debtor_of, followed_of, put_followed, terms_of
from schemas.events import PaymentFailed

_AT_MOST = 2
_FAILURES_REMEMBERED = 10


def payment_failed(case: Case, event: PaymentFailed) -> None:
    """Send a message about the invoice, if one may be sent now."""
    if event.invoice_id is None:
        return
    invoice: state.Invoice | None = case.ledger.get(
        state.invoice_key(case.account_id, event.invoice_id)
    )
    if invoice is None:
        return
    followed = followed_of(case, event.invoice_id)
    if event.payment_id in followed.failed:
        return  # it was said before
    followed.failed.append(event.payment_id)
    del followed.failed[:-_FAILURES_REMEMBERED]
    put_followed(case, event.invoice_id, followed)
    debtor = debtor_of(case)
    terms = terms_of(case, debtor)
    if terms is None or not invoice.booked_due or not _may(case, terms):
        return
    if any(one.invoice_id == event.invoice_id for one in debtor.handed):
        return  # somebody else writes about it
    if followed.second_chances >= _AT_MOST or followed.under_way:
        return
    if followed.is_deferred(case.today):
        return
    followed.second_chances += 1
    put_followed(case, event.invoice_id, followed)
    item = Item(event.invoice_id, 0, invoice.booked_due, invoice.due_on)
    step_id, message = begin(case, terms, invoice.currency, [item], SECOND_CHANCE, 0)
    issue(case, terms, step_id, message, event.occurred_at)


def _may(case: Case, terms: Terms) -> bool:
    debtor = terms.debtor
    if not terms.procedure.second_chance or not terms.reaches("email"):
        return False
    if debtor.is_paused(case.today) or debtor.attempted_on == case.today:
        return False
    under_way = (message_of(case, one) for one in debtor.under_way)
    return not any(message is not None and message.state == ISSUED for message in under_way)

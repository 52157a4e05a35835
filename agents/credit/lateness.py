"""What of an account is late: for the order check, and for whoever asks why it holds.

The account's own figure, `overdue`, has all that is late. Under a policy that says
`overdue.defer_promised` the order check leaves out what a promise or a payment plan stands for, as
long as it is kept.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from agents.credit import state
from agents.credit.bookkeeping import Books
from agents.dunning import records
from agents.dunning.records import Followed
from schemas.events import Day, Minor


class Late(NamedTuple):
    """A late invoice, as far as it is not contested; `amount` in minor units of `currency`."""

    due_on: Day
    invoice_id: str
    amount: Minor
    currency: str


def late_invoices(books: Books) -> list[Late]:
    """All that count as late for the order check, oldest first."""
    start, end = state.due_range(books.account_id, None, books.today)
    late = [
        Late(state.due_day(key), state.last_part(key), due.amount, due.currency)
        for key, due in books.ledger.scan(start, end)
    ]
    if not _defers(books):
        return late
    return [one for one in late if not is_promised(books, one.invoice_id)]


def is_promised(books: Books, invoice_id: str) -> bool:
    """Whether a promise or a payment plan that is kept stands for the invoice."""
    followed: Followed | None = books.ledger.get(records.followed_key(books.account_id, invoice_id))
    return followed is not None and bool(followed.promises)


def is_overdue(books: Books) -> bool:
    """Whether an uncontested invoice is too late and late invoices reach the policy's amount."""
    oldest, policy = books.account.oldest_due, books.policy
    if oldest is None or books.today - oldest <= policy.max_overdue_days:
        return False
    overdue: Minor | Fraction
    if _defers(books):
        late = late_invoices(books)
        if not late or books.today - late[0].due_on <= policy.max_overdue_days:
            return False
        overdue = total(books, late)
        unvalued = any(not books.is_valued(one.currency) for one in late)
    else:
        overdue, unvalued = books.valued_book().overdue, books.has_unvalued_currency()
    minimum = books.policy_amount(policy.min_overdue_amount)
    # What cannot be valued counts as reaching the amount.
    return minimum is None or overdue >= minimum or unvalued


def total(books: Books, late: list[Late]) -> Minor | Fraction:
    """What these invoices come to, exact, in the account's currency."""
    return sum((books.exact(one.amount, one.currency) for one in late), start=Fraction(0))


def _defers(books: Books) -> bool:
    """Whether something may be left out."""
    return books.policy.defer_promised and books.account.promises > 0

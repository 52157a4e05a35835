"""On which day the dunning run looks at an account next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.dunning import records

if TYPE_CHECKING:  # the books say themselves when an invoice becomes due
    from agents.credit.bookkeeping import Books
    from schemas.events import Day


def look_on(books: Books, day: Day) -> None:
    """Have the account looked at on `day`, or sooner if it is to be looked at sooner already."""
    account = books.account
    if books.policies.dunning is None or 0 < account.dun_on <= day:
        return
    forget_look(books)
    account.dun_on = day
    books.ledger.put(records.agenda_key(day, books.account_id), True)


def forget_look(books: Books) -> None:
    """Take the account from the agenda."""
    if books.account.dun_on:
        books.ledger.delete(records.agenda_key(books.account.dun_on, books.account_id))
        books.account.dun_on = 0

"""Counts an account's documents again, when the terms by which they count are others than before:
the account is in another segment, another version of the policy holds, or it came with documents
that were counted elsewhere.
"""

from __future__ import annotations

from agents.core.policy import Policy
from agents.credit import state
from agents.credit.bookkeeping import Books
from agents.credit.rate_watch import watch_rates


def recount(books: Books) -> None:
    """Bring the totals to what every document stands for under the terms of today, if these are
    others; that costs as much as the account has documents.
    """
    account, counting = books.account, _counting(books.policy)
    if account.counting == counting:
        return
    account.counting = counting
    account.smallest_held = 0
    for key, order in list(books.ledger.scan(*state.order_range(books.account_id))):
        books.rebook_order(state.last_part(key)[1:], order)
    for key, invoice in list(books.ledger.scan(*state.invoice_range(books.account_id))):
        books.rebook_invoice(state.last_part(key)[1:], invoice)
    watch_rates(books)


def _counting(policy: Policy) -> state.Counting:
    return state.Counting(
        policy.net_of_vat,
        policy.shipping_horizon_days,
        policy.small_balance,
        policy.currency,
        policy.fx_pivot,
    )

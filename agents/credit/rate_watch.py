"""Which accounts to look at when a rate moves: those whose figures, or limit, hang on it."""

from __future__ import annotations

from agents.credit import state
from agents.credit.account_day import AccountDay


def watch_rates(shown: AccountDay) -> None:
    """Have the account looked at whenever a rate moves that its figures hang on."""
    account, policy = shown.account, shown.policy
    account.foreign = any(currency != account.currency for currency in account.books)
    currencies = {*account.books, account.currency}
    if policy.currency is not None:
        currencies.add(policy.currency)
    if len(currencies) > 1:
        # Of two currencies one is not the pivot, and every rate that values one has it on one side.
        for currency in sorted(currencies - {policy.fx_pivot}):
            shown.ledger.put(state.valued_key(currency, shown.account_id), True)

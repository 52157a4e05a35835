"""What day it is for a partition, and for an account."""

from __future__ import annotations

from agents.core.ledger import Ledger
from agents.credit import state
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, Event


def today_of(ledger: Ledger, event: Event) -> Day:
    """The partition's business day; before any has started, the day on which the event happened."""
    business_day: Day | None = ledger.get(state.BUSINESS_DAY)
    return event.occurred_at // MICROSECONDS_PER_DAY if business_day is None else business_day


def day_of(ledger: Ledger, account_id: str, event: Event) -> Day:
    """The day on which an account follows an event of its own. Before any business day has started
    it is the event's, but the account's does not go back: a late repeat is no new day.
    """
    today = today_of(ledger, event)
    if ledger.get(state.BUSINESS_DAY) is None:
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is not None and account.aged_to is not None:
            return max(today, account.aged_to)
    return today

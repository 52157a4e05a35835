"""What the customer's master record, limits and blocks do to an account. One function per event.

Such facts replace each other, and the one that arose last at its source counts, whenever it
arrives.
"""

from __future__ import annotations

from agents.credit import state
from agents.credit.case import Case
from schemas.events import (
    CreditLimitChanged,
    CustomerBlocked,
    CustomerUnblocked,
    CustomerUpserted,
    Event,
)


def customer_upserted(case: Case, event: CustomerUpserted) -> None:
    account = case.account
    if _supersedes(account.master, event):
        account.known = True
        account.segment = event.segment or ""
        account.unlimited = bool(event.unlimited)
        account.closed = bool(event.closed)
        account.prepays = event.payment_terms_days == 0
        account.insured_limit = event.insured_limit
        case.resegment()
        if account.currency != event.currency:
            account.currency = event.currency
            case.watch_rates()
    if _supersedes(account.standing, event):
        account.limit = event.credit_limit
        account.limit_valid_until = event.limit_valid_until
        if event.limit_valid_until is not None:
            case.wake_on(event.limit_valid_until + 1)
    if event.blocked is not None and _supersedes(account.block, event):
        account.blocked = event.blocked


def credit_limit_changed(case: Case, event: CreditLimitChanged) -> None:
    """Set a new standing limit, which ends a temporary one; or, with `valid_until`, a temporary
    one.
    """
    account = case.account
    if event.valid_until is None:
        if _supersedes(account.standing, event):
            account.limit = event.credit_limit
            account.limit_valid_until = None
    elif _supersedes(account.temporary, event):
        account.temporary_limit = event.credit_limit
        account.temporary_until = event.valid_until
        case.wake_on(event.valid_until + 1)


def customer_blocked(case: Case, event: CustomerBlocked) -> None:
    if _supersedes(case.account.block, event):
        case.account.blocked = True


def customer_unblocked(case: Case, event: CustomerUnblocked) -> None:
    if _supersedes(case.account.block, event):
        case.account.blocked = False


def _supersedes(stamp: state.Stamp, event: Event) -> bool:
    """Whether the event is newer than what stands, and from now on stands. A repeat is not."""
    if event.occurred_at < stamp.at:
        return False
    if event.occurred_at == stamp.at:
        if event.event_id in stamp.event_ids:
            return False
        stamp.event_ids.append(event.event_id)
        return True
    stamp.at = event.occurred_at
    stamp.event_ids = [event.event_id]
    return True

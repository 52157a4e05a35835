"""What the customer's master record, limits and blocks do to an account. One function per event.

Such facts replace each other, and the one that arose last at its source counts, whenever it
arrives.
"""

from __future__ import annotations

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit.case import Case
from agents.credit.effects import Effect
from agents.credit.group_books import GroupBooks
from agents.credit.rate_watch import watch_rates
from agents.credit.settlement import settle_group
from agents.credit.stamps import supersedes
from schemas.events import (
    CreditGroupUpserted,
    CreditLimitChanged,
    CustomerBlocked,
    CustomerUnblocked,
    CustomerUpserted,
    Day,
)


def customer_upserted(case: Case, event: CustomerUpserted) -> None:
    account = case.account
    if supersedes(account.master, event):
        account.known = True
        account.segment = event.segment or ""
        account.account_manager = event.account_manager or ""
        account.unlimited = bool(event.unlimited)
        account.closed = bool(event.closed)
        account.prepays = event.payment_terms_days == 0
        account.insured_limit = event.insured_limit
        case.resegment()
        if account.currency != event.currency:
            account.currency = event.currency
            account.smallest_held = 0  # it was an amount in the old one
            watch_rates(case)
    if supersedes(account.standing, event):
        account.limit = event.credit_limit
        account.limit_valid_until = event.limit_valid_until
        if event.limit_valid_until is not None:
            case.wake_on(max(event.limit_valid_until, case.today) + 1)
    if event.blocked is not None and supersedes(account.block, event):
        account.blocked = event.blocked


def credit_limit_changed(case: Case, event: CreditLimitChanged) -> None:
    """Set a new standing limit, which ends a temporary one; or, with `valid_until`, a temporary
    one.
    """
    account = case.account
    if event.valid_until is None:
        if supersedes(account.standing, event):
            account.limit = event.credit_limit
            account.limit_valid_until = None
        account.limit_decided_at = max(account.limit_decided_at, event.occurred_at)
    elif supersedes(account.temporary, event):
        account.temporary_limit = event.credit_limit
        account.temporary_until = event.valid_until
        case.wake_on(max(event.valid_until, case.today) + 1)


def customer_blocked(case: Case, event: CustomerBlocked) -> None:
    if supersedes(case.account.block, event):
        case.account.blocked = True


def customer_unblocked(case: Case, event: CustomerUnblocked) -> None:
    if supersedes(case.account.block, event):
        case.account.blocked = False


def group_upserted(
    ledger: Ledger,
    policies: PolicyBook,
    event: CreditGroupUpserted,
    today: Day,
    effects: list[Effect],
) -> None:
    """A credit group's limit and currency, as they are now."""
    books = GroupBooks(ledger, policies, event.group_id, event, today)
    group = books.group
    if supersedes(group.master, event):
        group.known = True
        group.limit = event.credit_limit
        if group.currency != event.currency:
            group.currency = event.currency
            books.watch_rates()
        books.room_changed = True
    settle_group(books, effects)
